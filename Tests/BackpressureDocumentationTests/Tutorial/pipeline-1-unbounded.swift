// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Everything that is sent is kept until somebody asks for it: the buffer has no bound.
func unboundedPipeline(_ station: Station, into store: Store) async -> Int {
    let (events, source) = AsyncStream.makeStream(of: Event.self)

    var buffered = 0
    for event in station.events {
        if case .enqueued = source.yield(event) { buffered += 1 }
    }
    source.finish()

    for await event in events {
        await store.save(event)
    }
    return buffered  // 100: the whole burst was in memory
}
