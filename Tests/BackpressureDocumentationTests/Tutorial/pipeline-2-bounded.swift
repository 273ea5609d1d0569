// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure

/// The channel holds 8 events at most: who sends the ninth waits until there is room.
func boundedPipeline(_ station: Station, into store: Store) async -> Int {
    let events = BoundedChannel<Event, Never>(capacity: 8)

    let source = Task {
        for event in station.events {
            _ = await events.send(event)
        }
        events.finish()
    }

    for await event in events {
        await store.save(event)
    }
    await source.value
    return events.snapshot().peakDepth  // 8 at most
}
