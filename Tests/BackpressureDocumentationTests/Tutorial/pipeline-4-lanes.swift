// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure

/// Alarms have a lane of their own: when all is full, a measurement pays.
func lanedPipeline(_ station: Station, into store: Store) async -> (sent: UInt64, lost: UInt64) {
    let events = PriorityChannel<Event, Never>(
        capacity: 8,
        lanes: [PriorityLane(capacity: 8), PriorityLane(capacity: 8)],
        order: .strict(aging: 16)
    )

    for event in station.events {
        _ = events.trySend(event, lane: event.isAlarm ? 0 : 1)
    }
    events.finish()

    for await event in events {
        await store.save(event)
    }
    let reading = events.snapshot()
    return (reading.sent, reading.evicted + reading.droppedNewest)  // no alarm is among the lost
}
