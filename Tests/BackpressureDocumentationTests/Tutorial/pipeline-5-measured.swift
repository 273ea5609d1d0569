// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure
import BackpressureMetrics

/// The channel has a name in a registry, and rules say when it is overloaded.
func measuredPipeline(_ station: Station, into store: Store) async throws -> HealthReport {
    let events = PriorityChannel<Event, Never>(
        capacity: 8,
        lanes: [PriorityLane(capacity: 8), PriorityLane(capacity: 8)],
        order: .strict(aging: 16)
    )
    let registry = MetricsRegistry()
    try registry.add(events, named: "events")
    let monitor = HealthMonitor(registry)

    for event in station.events {
        _ = events.trySend(event, lane: event.isAlarm ? 0 : 1)
    }
    events.finish()
    let report = monitor.look()  // in the middle of the burst
    print(MetricsTable(registry.collect()))

    for await event in events {
        await store.save(event)
    }
    return report  // not healthy; its reasons name the channel
}
