// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure
import BackpressureMetrics

/// Measurements are shed before they cost anything, as many as the load demands; alarms pass.
func sheddingPipeline(_ station: Station, into store: Store) async throws -> (shed: UInt64, depth: Int) {
    let events = PriorityChannel<Event, Never>(
        capacity: 8,
        lanes: [PriorityLane(capacity: 8), PriorityLane(capacity: 8)],
        order: .strict(aging: 16)
    )
    let registry = MetricsRegistry()
    try registry.add(events, named: "events")
    let monitor = HealthMonitor(registry)
    let shedder = PriorityShedder(levels: 2)

    let saving = Task {
        for await event in events {
            await store.save(event)
        }
    }
    for event in station.events {
        if event.number.isMultiple(of: 10) {
            shedder.update(load: monitor.look().status == .healthy ? 1 : 4)  // four times too much
        }
        let level = event.isAlarm ? 0 : 1
        guard shedder.admit(level: level) == nil else { continue }
        _ = events.trySend(event, lane: level)
    }
    events.finish()
    await saving.value
    return (shedder.shed, events.snapshot().peakDepth)
}
