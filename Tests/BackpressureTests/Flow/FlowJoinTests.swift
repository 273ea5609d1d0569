// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("Flow: several publishers", .timeLimit(.minutes(10)))
struct FlowJoinTests {
    @Test("flatMap subscribes to so many, asks each for prefetch, and serves them in turn")
    func flatMap() {
        let outer = Hand<Int>()
        let inners = (0..<3).map { _ in Hand<Int>() }
        let probe = Probe<Int>()
        outer.flatMap(maxConcurrency: 2, prefetch: 4) { inners[$0] }.subscribe(probe)
        #expect(outer.requests == [2])
        outer.send(0, 1)
        #expect(outer.requests == [2] && inners[0].requests == [4] && inners[1].requests == [4])
        inners[0].send(1, 2, 3)
        inners[1].send(11, 12)
        probe.request(4)
        #expect(probe.elements == [1, 11, 2, 12])
        inners[1].complete()
        #expect(outer.requests == [2, 1])
        outer.send(2)
        outer.complete()
        probe.request(.unbounded)
        #expect(probe.elements == [1, 11, 2, 12, 3] && inners[0].requests == [4, 3])
        inners[0].complete()
        #expect(!probe.hasEnded)
        inners[2].send(21)
        inners[2].complete()
        #expect(probe.elements.last == 21 && probe.isComplete)
        probe.expectContract()
    }

    @Test("an inner error ends the stream, cancels the others, and drops what waits")
    func flatMapFails() {
        let outer = Hand<Int>()
        let inners = (0..<2).map { _ in Hand<Int>() }
        let probe = Probe<Int>()
        outer.flatMap(maxConcurrency: 2) { inners[$0] }.subscribe(probe)
        outer.send(0, 1)
        inners[0].send(1)
        inners[1].fail(Boom())
        #expect(probe.error is Boom && outer.isCancelled && inners[0].isCancelled && probe.elements.isEmpty)
        probe.expectContract()
    }

    @Test("cancel reaches the outer and every inner publisher, and one that connects later")
    func flatMapCancel() {
        let outer = Hand<Int>()
        let inner = Hand<Int>()
        let probe = Probe<Int>(4)
        outer.flatMap(maxConcurrency: 2) { _ in inner }.subscribe(probe)
        outer.send(0)
        probe.cancel()
        #expect(outer.isCancelled && inner.isCancelled)
        probe.expectContract()
    }

    @Test("concatMap keeps the order of its publishers")
    func concatMap() {
        let probe = Probe<Int>(7)
        Flow.range(0..<4).concatMap(prefetch: 2) { start in Flow.range(start * 10..<start * 10 + 3) }.subscribe(probe)
        #expect(probe.elements == [0, 1, 2, 10, 11, 12, 20])
        probe.request(.unbounded)
        #expect(probe.elements.count == 12 && probe.isComplete)
        probe.expectContract()
    }

    @Test("merge sends what comes, and ends with the later of the two")
    func merge() {
        let first = Hand<Int>()
        let second = Hand<Int>()
        let probe = Probe<Int>(.unbounded)
        first.merge(with: second, prefetch: 4).subscribe(probe)
        #expect(first.requests == [4] && second.requests == [4])
        first.send(1)
        second.send(2)
        first.send(3)
        first.complete()
        #expect(probe.elements == [1, 2, 3] && !probe.hasEnded)
        second.complete()
        #expect(probe.isComplete)
        probe.expectContract()
    }

    @Test("zip pairs, asks both ahead, and ends when one side can give no more")
    func zip() {
        let first = Hand<Int>()
        let second = Hand<String>()
        let probe = Probe<String>(.unbounded)
        first.zip(with: second, prefetch: 4).map { "\($0.0)\($0.1)" }.subscribe(probe)
        #expect(first.requests == [4] && second.requests == [4])
        first.send(1, 2, 3)
        second.send("a")
        #expect(probe.elements == ["1a"])
        second.send("b")
        second.complete()
        #expect(probe.elements == ["1a", "2b"] && probe.isComplete && first.isCancelled)
        probe.expectContract()

        let failing = Probe<String>(.unbounded)
        let third = Hand<Int>()
        third.zip(with: Flow.fail(Boom(), String.self)).map { $0.1 }.subscribe(failing)
        #expect(failing.error is Boom && third.isCancelled)
        failing.expectContract()
    }

    @Test("two threads feed a merge: nothing is lost or doubled, signals stay serial")
    func mergeThreads() {
        let count = LaneSize("flow.merge.threads", plain: 4_000, sanitizer: 2_000, deep: 2_000_000).count
        let sinks = (0..<2).map { _ in Flow.Sink<Int>(.unicast(capacity: 64)) }
        let probe = Probe<Int>(8, each: 1)
        sinks[0].merge(with: sinks[1], prefetch: 8).subscribe(probe)
        Threads.run(2) { index in
            for number in 0..<count {
                while sinks[index].emit(index * count + number) == .overflow {}
            }
            sinks[index].finish()
        }
        #expect(probe.isComplete && probe.elements.count == 2 * count)
        let halves = (0..<2).map { half in probe.elements.filter { $0 / count == half } }
        #expect(halves[0] == Array(0..<count) && halves[1] == Array(count..<2 * count))
        probe.expectContract()
    }
}

@Suite("Flow: batches", .timeLimit(.minutes(10)))
struct FlowBufferTests {
    @Test("each array asked for is asked of upstream as so many elements; the last may be short")
    func count() {
        let hand = Hand<Int>()
        let probe = Probe<[Int]>()
        hand.buffer(3).subscribe(probe)
        #expect(hand.requests.isEmpty)
        probe.request(1)
        #expect(hand.requests == [3])
        hand.send(1, 2, 3)
        #expect(probe.elements == [[1, 2, 3]] && hand.requests == [3])
        probe.request(2)
        #expect(hand.requests == [3, 3])
        hand.send(4)
        hand.complete()
        #expect(probe.elements == [[1, 2, 3], [4]] && probe.isComplete)
        probe.expectContract()
    }

    @Test("a failure comes after the elements so far")
    func failure() {
        let hand = Hand<Int>()
        let probe = Probe<[Int]>(1)
        hand.buffer(3).subscribe(probe)
        hand.send(1, 2)
        hand.fail(Boom())
        #expect(probe.elements == [[1, 2]] && probe.error is Boom)
        probe.expectContract()
    }

    @Test("the first element waits no longer than the linger, and only upstream's debt is asked for again")
    func linger() async throws {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<[Int]>(1)
        hand.buffer(3, linger: .seconds(5), clock: clock).subscribe(probe)
        hand.send(1)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(3))
        hand.send(2)
        clock.advance(by: .seconds(2))
        try await settle { probe.elements == [[1, 2]] }
        probe.request(1)
        #expect(hand.requests == [3, 2])
        // One of the first three is still owed, so two were asked for.
        hand.send(3, 4, 5)
        #expect(probe.elements == [[1, 2], [3, 4, 5]])
        probe.request(1)
        hand.send(6)
        try await settle { clock.sleeperCount > 0 }
        hand.complete()
        #expect(probe.elements.last == [6] && probe.isComplete)
        try await settle { clock.sleeperCount == 0 }
        probe.expectContract()
    }
}

@Suite("Flow: time", .timeLimit(.minutes(10)))
struct FlowTimeoutTests {
    @Test("no first element in time")
    func initial() async throws {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<Int>(1)
        hand.timeout(initial: .seconds(5), clock: clock).subscribe(probe)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        try await settle { probe.hasEnded }
        #expect(probe.error as? Rejection == .timedOut && hand.isCancelled)
        probe.expectContract()
    }

    @Test("idle runs only while upstream owes an element")
    func idle() async throws {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.timeout(idle: .seconds(5), clock: clock).subscribe(probe)
        clock.advance(by: .seconds(60))
        #expect(clock.sleeperCount == 0)
        probe.request(2)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(4))
        hand.send(1)
        clock.advance(by: .seconds(4))
        try await settle { clock.nextDeadline?.offset == .seconds(69) }
        #expect(!probe.hasEnded)
        hand.send(2)
        clock.advance(by: .seconds(60))
        try await settle { clock.sleeperCount == 0 }
        #expect(!probe.hasEnded)
        probe.request(1)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        try await settle { probe.hasEnded }
        #expect(probe.elements == [1, 2] && probe.error as? Rejection == .timedOut)
        probe.expectContract()
    }

    @Test("no demand in time")
    func backpressure() async throws {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.timeout(backpressure: .seconds(5), clock: clock).subscribe(probe)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(4))
        probe.request(1)
        clock.advance(by: .seconds(60))
        try await settle { clock.sleeperCount == 0 }
        #expect(!probe.hasEnded)
        hand.send(1)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        try await settle { probe.hasEnded }
        #expect(probe.elements == [1] && probe.error as? Rejection == .timedOut && hand.isCancelled)
        probe.expectContract()
    }

    @Test("a stream that ends leaves no timer")
    func noTimerLeft() async throws {
        let clock = ManualClock()
        let probe = Probe<Int>(1)
        let hand = Hand<Int>()
        hand.timeout(initial: .seconds(5), idle: .seconds(5), backpressure: .seconds(5), clock: clock).subscribe(probe)
        await clock.sleepers(atLeast: 1)
        hand.complete()
        #expect(probe.isComplete)
        try await settle { clock.sleeperCount == 0 }
    }

    @Test("retry asks the new attempt for what the old one owed, and gives up when the budget says so")
    func retry() {
        let attempts = Shared(0)
        let failures = Shared<[Int]>([])
        let source = Deferred {
            let attempt = attempts.update { attempts in
                attempts += 1
                return attempts
            }
            return Flow.range(0..<10).tryMap { number in
                if number == attempt { throw Boom() }
                return number
            }
        }
        let probe = Probe<Int>(4)
        source.retry { failure in
            failures.update { $0.append(failure.total * 10 + failure.consecutive) }
            return failure.total < 3 ? .retry : .giveUp
        }.subscribe(probe)
        #expect(probe.elements == [0, 0, 1, 0])
        probe.request(.unbounded)
        #expect(probe.elements == [0, 0, 1, 0, 1, 2] && probe.error is Boom)
        #expect(attempts.value == 3 && failures.value == [11, 21, 31])
        probe.expectContract()
    }

    @Test("thousands of failures in a row do not nest")
    func retryDeep() {
        let count = LaneSize("flow.retry.failures", plain: 20_000, sanitizer: 5_000, deep: 1_000_000).count
        let failures = Shared(0)
        let probe = Probe<Int>(1)
        Threads.run(1, stackSize: 1 << 18) { _ in
            Flow.fail(Boom(), Int.self).retry { failure in
                failures.update { $0 = failure.consecutive }
                return failure.consecutive < count ? .retry : .giveUp
            }.subscribe(probe)
        }
        #expect(failures.value == count && probe.error is Boom)
        probe.expectContract()
    }

    @Test("a retry waits for its time, and a cancel ends the wait")
    func retryAfter() async throws {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<Int>(2)
        hand.retry(clock: clock) { _ in .retryAfter(.seconds(2)) }.subscribe(probe)
        hand.fail(Boom())
        await clock.sleepers(atLeast: 1)
        #expect(hand.log.value.subscriptions == 1)
        clock.advance(by: .seconds(2))
        try await settle { hand.log.value.subscriptions == 2 && hand.requests == [2, 2] }
        hand.send(1)
        #expect(probe.elements == [1])
        hand.fail(Boom())
        await clock.sleepers(atLeast: 1)
        probe.cancel()
        try await settle { clock.sleeperCount == 0 }
        #expect(!probe.hasEnded && hand.log.value.subscriptions == 2)
        probe.expectContract()
    }
}

/// Makes a publisher anew for each subscriber.
private struct Deferred<Made: Flow.Publisher>: Flow.Publisher {
    typealias Output = Made.Output

    let make: @Sendable () -> Made

    func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Made.Output {
        make().subscribe(subscriber)
    }
}
