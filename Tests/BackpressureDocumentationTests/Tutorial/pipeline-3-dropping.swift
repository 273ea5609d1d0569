// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure

/// A source that cannot wait: what does not fit is dropped, the oldest first, and somebody hears of it.
func droppingPipeline(
    _ station: Station, into store: Store, onDrop: @escaping @Sendable (Event) -> Void
) async -> UInt64 {
    let events = BoundedChannel<Event, Never>(
        capacity: 8,
        overflow: .dropOldest,
        onUndelivered: { event, _ in onDrop(event) }
    )

    for event in station.events {
        _ = events.trySend(event)  // synchronous: a callback may do it
    }
    events.finish()

    for await event in events {
        await store.save(event)
    }
    return events.snapshot().evicted  // 92 of 100, alarms among them
}
