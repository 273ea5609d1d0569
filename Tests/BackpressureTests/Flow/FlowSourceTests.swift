// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("Flow: sources", .timeLimit(.minutes(10)))
struct FlowSourceTests {
    @Test("a sequence sends what was asked for, then the end without being asked")
    func sequence() {
        let probe = Probe<Int>()
        Flow.range(0..<5).subscribe(probe)
        #expect(probe.elements.isEmpty && !probe.hasEnded)
        probe.request(2)
        #expect(probe.elements == [0, 1])
        probe.request(1)
        #expect(probe.elements == [0, 1, 2] && !probe.hasEnded)
        probe.request(2)
        #expect(probe.elements == [0, 1, 2, 3, 4] && probe.isComplete)
        probe.request(1)
        probe.expectContract()
    }

    @Test("no elements, one element, an error: none needs demand for its end")
    func small() {
        let none = Probe<Int>()
        Flow.empty().subscribe(none)
        #expect(none.isComplete)
        let one = Probe<Int>(.unbounded)
        Flow.just(7).subscribe(one)
        #expect(one.elements == [7] && one.isComplete)
        let bad = Probe<Int>()
        Flow.fail(Boom()).subscribe(bad)
        #expect(bad.error is Boom && !bad.isComplete)
        for probe in [none, one, bad] { probe.expectContract() }
    }

    @Test("zero and negative demands end the stream with the demand in the error", arguments: [0, -1, Int64.min])
    func invalid(count: Int64) {
        let probe = Probe<Int>()
        Flow.range(0..<5).subscribe(probe)
        probe.request(Demand(count))
        #expect((probe.error as? Flow.InvalidDemand)?.demand == Demand(count))
        probe.request(1)
        #expect(probe.elements.isEmpty)
        let inside = Probe<Int>(3, each: Demand(count == 0 ? -7 : count))
        Flow.range(0..<5).subscribe(inside)
        #expect(inside.elements == [0] && inside.error is Flow.InvalidDemand)
        probe.expectContract()
        inside.expectContract()
    }

    @Test("a million requests from inside onNext do not nest, and the demand does not wrap")
    func recursion() {
        let count = LaneSize("flow.recursion", plain: 1_000_000, sanitizer: 100_000, deep: 10_000_000).count
        struct Deep: Flow.Subscriber {
            let low: Shared<(low: UInt, high: UInt, count: Int, isComplete: Bool)>
            var subscription: (any Flow.Subscription)?
            var lowest = UInt.max
            var highest = UInt.min
            var seen = 0

            mutating func onSubscribe(_ subscription: any Flow.Subscription) {
                self.subscription = subscription
                subscription.request(1)
            }
            mutating func onNext(_ element: Int) {
                var here = 0
                withUnsafeMutablePointer(to: &here) { pointer in
                    lowest = min(lowest, UInt(bitPattern: pointer))
                    highest = max(highest, UInt(bitPattern: pointer))
                }
                seen += 1
                subscription?.request(seen.isMultiple(of: 2) ? 1 : Demand(Int64.max - 1))
            }
            mutating func onError(_ error: any Error) {}
            mutating func onComplete() {
                let (lowest, highest, seen) = (lowest, highest, seen)
                low.update { $0 = (lowest, highest, seen, true) }
            }
        }
        let result = Shared((low: UInt.max, high: UInt.min, count: 0, isComplete: false))
        Flow.range(0..<count).map { $0 &+ 1 }.subscribe(Deep(low: result))
        let outcome = result.value
        #expect(outcome.isComplete && outcome.count == count)
        print("stack between the shallowest and the deepest of \(count) requests: \(outcome.high - outcome.low) bytes")
        #expect(outcome.high - outcome.low == 0)
    }

    @Test("cancel inside onNext stops at once; references are dropped")
    func cancel() {
        let probe = Probe<Int>(.unbounded) { probe, element in if element == 2 { probe.cancel() } }
        Flow.range(0..<1_000_000).subscribe(probe)
        #expect(probe.elements == [0, 1, 2] && !probe.hasEnded)
        probe.request(5)
        probe.cancel()
        #expect(probe.elements == [0, 1, 2])
        probe.expectContract()

        weak var gone: Probe<Int>?
        do {
            let probe = Probe<Int>()
            gone = probe
            Flow.range(0..<10).map { $0 }.subscribe(probe)
            probe.request(1)
            probe.cancel()
            probe.log.update { $0.subscription = nil }
        }
        #expect(gone == nil)
    }

    @Test("requests from many threads lose nothing")
    func threads() {
        let count = LaneSize("flow.requests", plain: 40_000, sanitizer: 8_000, deep: 4_000_000).count
        let probe = Probe<Int>()
        Flow.range(0..<count).subscribe(probe)
        Threads.run(4) { _ in for _ in 0..<count / 4 { probe.request(1) } }
        #expect(probe.elements.count == count / 4 * 4 && probe.elements == Array(0..<count / 4 * 4))
        probe.expectContract()
    }

    @Test("an asynchronous sequence is asked for what was requested")
    func asyncSequence() async throws {
        let asked = Shared(0)
        let numbers = AsyncStream<Int>(unfolding: {
            let next = asked.update { asked in
                asked += 1
                return asked
            }
            return next <= 5 ? next : nil
        })
        let probe = Probe<Int>()
        UncheckedSequence(numbers).publisher.subscribe(probe)
        probe.request(2)
        try await settle { probe.elements == [1, 2] }
        #expect(asked.value == 2)
        probe.request(.unbounded)
        try await settle { probe.isComplete }
        #expect(probe.elements == [1, 2, 3, 4, 5] && asked.value == 6)
        probe.expectContract()
    }

    @Test("a channel's publisher takes what is asked for; cancelling ends the wait and loses nothing")
    func channel() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 8)
        for number in 1...4 { _ = channel.trySend(number) }
        let probe = Probe<Int>(2)
        channel.publisher.subscribe(probe)
        try await settle { probe.elements == [1, 2] }
        #expect(channel.count == 2)
        probe.request(5)
        try await settle { probe.elements.count == 4 && channel.snapshot().waitingReceivers == 1 }
        probe.cancel()
        try await settle { channel.snapshot().waitingReceivers == 0 }
        _ = channel.trySend(5)
        #expect(channel.count == 1 && !probe.hasEnded)

        let other = Probe<Int>(3)
        channel.publisher.subscribe(other)
        channel.finish()
        try await settle { other.isComplete }
        #expect(other.elements == [5])
        probe.expectContract()
        other.expectContract()
    }

    @Test("what a sequence throws ends the stream")
    func asyncThrows() async throws {
        let channel = BoundedChannel<Int, Boom>(capacity: 2)
        _ = channel.trySend(1)
        channel.finish(throwing: Boom())
        let probe = Probe<Int>(.unbounded)
        channel.publisher.subscribe(probe)
        try await settle { probe.hasEnded }
        #expect(probe.elements == [1] && probe.error is Boom)
        probe.expectContract()
    }
}

/// A sequence that its test alone uses.
struct UncheckedSequence<Base: AsyncSequence>: AsyncSequence, @unchecked Sendable {
    let base: Base

    init(_ base: Base) { self.base = base }

    func makeAsyncIterator() -> Base.AsyncIterator { base.makeAsyncIterator() }
}
