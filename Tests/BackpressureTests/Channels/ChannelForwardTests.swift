// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// From an asynchronous sequence into a channel: room first, and an honest account of the end.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// Counts up, notes how many were asked for, and may throw or wait at the end.
private struct Counting: AsyncSequence {
    enum End { case exhausted, failure, waiting }

    let limit: Int
    var end = End.exhausted
    let asked = Shared(0)

    struct Iterator: AsyncIteratorProtocol {
        let base: Counting
        var next = 0

        mutating func next(isolation actor: isolated (any Actor)?) async throws(TestFailure) -> Int? {
            base.asked.update { $0 += 1 }
            if next < base.limit {
                next += 1
                return next - 1
            }
            switch base.end {
            case .exhausted: return nil
            case .failure: throw TestFailure(number: 9)
            case .waiting:
                while !Task.isCancelled { await Task.yield() }
                return nil
            }
        }

        mutating func next() async throws(TestFailure) -> Int? { try await next(isolation: nil) }
    }

    func makeAsyncIterator() -> Iterator { Iterator(base: self) }
}

@Suite("channel: forward", .timeLimit(.minutes(10)))
struct ChannelForwardTests {
    private typealias Channel = BoundedChannel<Int, TestFailure>

    @Test("all elements, in order, and the end of the sequence; the channel stays open")
    func forward_toTheEnd() async throws {
        let channel = Channel(capacity: 2)
        async let result = channel.forward(Counting(limit: 20))
        for expected in 0..<20 { #expect(try await channel.receive() == expected) }
        let end = await result
        #expect(end.sent == 20 && end.dropped == 0 && end.unsent == nil && end.end == .exhausted)
        #expect(!channel.isClosed && channel.snapshot().reserved == 0)
    }

    @Test("an element is pulled only when there is room for it")
    func forward_whenFull_pullsNothing() async throws {
        let channel = Channel(capacity: 2)
        let source = Counting(limit: 10)
        let task = Task { await channel.forward(source) }
        try await settle { channel.snapshot().waitingSenders == 1 }
        #expect(source.asked.value == 2 && channel.count == 2)
        #expect(try await channel.receive() == 0)
        try await settle { channel.snapshot().waitingSenders == 1 && channel.count == 2 }
        #expect(source.asked.value == 3)
        task.cancel()
        let result = await task.value
        #expect(result.sent == 3 && result.unsent == nil && result.end == .rejected(.cancelled))
        #expect(channel.snapshot().reserved == 0 && channel.snapshot().waitingSenders == 0)
    }

    @Test("the source's error is reported, or forwarded to the receivers")
    func forward_whenSourceFails() async throws {
        let channel = Channel(capacity: 8)
        let result = await channel.forward(Counting(limit: 2, end: .failure))
        #expect(result.sent == 2 && result.end == .failed(TestFailure(number: 9)) && !channel.isClosed)
        await channel.forward(Counting(limit: 1, end: .failure), finishingWith: { $0 })
        var received: [Int] = []
        await #expect(throws: TestFailure(number: 9)) { for try await element in channel { received.append(element) } }
        #expect(received == [0, 1, 0])
    }

    @Test("finishing ends the channel after the last element, also when the task was cancelled")
    func forward_finishing() async throws {
        let channel = Channel(capacity: 8)
        let result = await channel.forward(Counting(limit: 3), finishingWith: { $0 })
        #expect(result.sent == 3 && channel.isClosed && channel.count == 3)
        let other = Channel(capacity: 8)
        let task = Task { await other.forward(Counting(limit: 1, end: .waiting), finishingWith: { $0 }) }
        #expect(try await other.receive() == 0)
        task.cancel()
        #expect(await task.value.end == .rejected(.cancelled) && other.isClosed)
        #expect(try await other.receive() == nil)
    }

    @Test("a closed channel ends it; an element that was pulled meanwhile is in the result")
    func forward_whenChannelCloses() async throws {
        let finished = Channel(capacity: 1)
        finished.finish()
        let source = Counting(limit: 3)
        #expect(await finished.forward(source).end == .rejected(.finished))
        #expect(source.asked.value == 0)

        struct Closing: AsyncSequence, AsyncIteratorProtocol {
            let channel: Channel
            mutating func next() async -> Int? { await next(isolation: nil) }
            mutating func next(isolation actor: isolated (any Actor)?) async -> Int? {
                channel.cancel()
                return 7
            }
            func makeAsyncIterator() -> Closing { self }
        }
        let channel = Channel(capacity: 1)
        let result = await channel.forward(Closing(channel: channel))
        #expect(result.sent == 0 && result.unsent == 7)
        if case .rejected(let reason) = result.end { #expect(reason == .abandoned) } else { Issue.record("\(result)") }
    }

    @Test("policies that drop or refuse get their elements")
    func forward_underOtherPolicies() async {
        let dropping = Channel(capacity: 2, overflow: .dropNewest)
        let dropped = await dropping.forward(Counting(limit: 5))
        #expect(dropped.sent == 2 && dropped.dropped == 3 && dropped.end == .exhausted)
        let rejecting = Channel(capacity: 2, overflow: .reject)
        let rejected = await rejecting.forward(Counting(limit: 5))
        #expect(rejected.sent == 2 && rejected.unsent == 2 && rejected.end == .rejected(.full))
        let latest = Channel(capacity: 2, overflow: .dropOldest)
        #expect(await latest.forward(Counting(limit: 5)).sent == 5 && latest.count == 2)
    }
}
