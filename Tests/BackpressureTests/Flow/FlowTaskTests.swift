// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import BackpressureTestSupport
import Foundation
import Testing

@testable import Backpressure

@Suite("Flow: tasks", .timeLimit(.minutes(10)))
struct FlowTaskTests {
    @Test("mapAsync runs so many at a time, and keeps the order or not")
    func mapAsync() async throws {
        for isOrdered in [true, false] {
            let hand = Hand<Int>()
            let probe = Probe<Int>(.unbounded)
            let gates = (0..<3).map { _ in BoundedChannel<Int, Never>(capacity: 1) }
            let running = Shared(0)
            hand.mapAsync(limit: 2, ordered: isOrdered) { number in
                running.update { $0 += 1 }
                let result = try await gates[number].receive() ?? -1
                running.update { $0 -= 1 }
                return result
            }.subscribe(probe)
            #expect(hand.requests == [2])
            hand.send(0, 1)
            try await settle { running.value == 2 }
            _ = gates[1].trySend(11)
            if isOrdered {
                try await settle { running.value == 1 }
                #expect(probe.elements.isEmpty && hand.requests == [2])
                _ = gates[0].trySend(10)
                try await settle { probe.elements == [10, 11] }
            } else {
                try await settle { probe.elements == [11] && hand.requests == [2, 1] }
                _ = gates[0].trySend(10)
                try await settle { probe.elements == [11, 10] }
            }
            try await settle { hand.requestedInAll == 4 }
            hand.send(2)
            hand.complete()
            _ = gates[2].trySend(12)
            try await settle { probe.isComplete }
            #expect(probe.elements.last == 12)
            probe.expectContract()
        }
    }

    @Test("a failure or a cancel cancels the running tasks")
    func mapAsyncEnds() async throws {
        for isFailure in [true, false] {
            let hand = Hand<Int>()
            let probe = Probe<Int>(.unbounded)
            let parked = BoundedChannel<Int, Never>(capacity: 1)
            let cancelled = Shared(0)
            hand.mapAsync(limit: 4) { number in
                if number == 9 { throw Boom() }
                do {
                    _ = try await parked.receive()
                } catch {
                    cancelled.update { $0 += 1 }
                    throw error
                }
                return number
            }.subscribe(probe)
            hand.send(1, 2)
            try await settle { parked.snapshot().waitingReceivers == 2 }
            if isFailure { hand.send(9) } else { probe.cancel() }
            try await settle { cancelled.value == 2 && hand.isCancelled }
            #expect(probe.elements.isEmpty && (probe.error is Boom) == isFailure && !probe.isComplete)
            probe.expectContract()
        }
    }

    @Test("mapAsync over a long stream: never more than the limit, all in order")
    func mapAsyncLong() async throws {
        let count = LaneSize("flow.mapAsync", plain: 5_000, sanitizer: 1_000, deep: 200_000).count
        let running = Shared((now: 0, most: 0))
        let probe = Probe<Int>(1, each: 1)
        Flow.range(0..<count).mapAsync(limit: 3) { number in
            running.update { running in
                running.now += 1
                running.most = max(running.most, running.now)
            }
            await Task.yield()
            running.update { $0.now -= 1 }
            return number
        }.subscribe(probe)
        try await settle { probe.isComplete }
        #expect(probe.elements == Array(0..<count) && running.value.most <= 3)
        probe.expectContract()
    }

    @Test("values asks for prefetch, then in batches, and cancels when the loop is left")
    func values() async throws {
        let hand = Hand<Int>()
        var iterator: Flow.Values<Hand<Int>>.AsyncIterator? = hand.values(prefetch: 4).makeAsyncIterator()
        #expect(hand.requests == [4])
        hand.send(1, 2, 3, 4)
        for number in 1...3 { #expect(try await iterator?.next() == number) }
        #expect(hand.requests == [4, 3])
        #expect(try await iterator?.next() == 4)
        iterator = nil
        #expect(hand.isCancelled)

        var sum = 0
        for try await number in Flow.range(0..<1_000).values(prefetch: 3) { sum += number }
        #expect(sum == 499_500)
        await #expect(throws: Boom.self) {
            for try await _ in Flow.fail(Boom(), Int.self).values() {}
        }
        let sink = Flow.Sink<Int>(.unicast(capacity: 1))
        for try await _ in sink.onBackpressureLatest().prefix(0).values() {}
    }

    @Test("an error is thrown after the elements before it; a cancelled task leaves the loop and cancels upstream")
    func valuesEnds() async throws {
        let hand = Hand<Int>()
        var iterator = hand.values().makeAsyncIterator()
        hand.send(1)
        hand.fail(Boom())
        #expect(try await iterator.next() == 1)
        await #expect(throws: Boom.self) { try await iterator.next() }

        let other = Hand<Int>()
        let task = Task {
            var count = 0
            for try await _ in other.values() { count += 1 }
            return count
        }
        try await settle { other.requests == [16] }
        other.send(1)
        task.cancel()
        #expect(try await task.value <= 1)
        try await settle { other.isCancelled }
    }

    @Test("a publisher that sends more than values asked for is cut off")
    func valuesOverrun() async {
        let hand = Hand<Int>()
        var iterator = hand.values(prefetch: 1).makeAsyncIterator()
        hand.send(1, 2)
        #expect(hand.isCancelled)
        #expect((try? await iterator.next()) == 1)
        await #expect(throws: Rejection.full) { try await iterator.next() }
    }

    @Test("there and back: a channel, a publisher, a loop; nothing lost, the demand holds the producer")
    func roundTrip() async throws {
        let count = LaneSize("flow.roundtrip", plain: 5_000, sanitizer: 1_000, deep: 500_000).count
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        let producer = Task {
            for number in 0..<count { _ = await channel.send(number) }
            channel.finish()
        }
        var expected = 0
        for try await number in channel.publisher.map({ $0 &* 2 }).values(prefetch: 8) {
            #expect(number == expected * 2)
            expected += 1
        }
        await producer.value
        #expect(expected == count)
    }
}

@Suite("Flow: throttle", .timeLimit(.minutes(10)))
struct FlowThrottleTests {
    @Test("one element is asked for after each admission, and one admission for each element")
    func admissions() async throws {
        let permits = BoundedChannel<Void, Never>(capacity: 16)
        let asked = Shared(0)
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.throttle {
            asked.update { $0 += 1 }
            _ = try await permits.receive()
        }.subscribe(probe)
        #expect(asked.value == 0 && hand.requests.isEmpty)
        probe.request(2)
        try await settle { asked.value == 1 && permits.snapshot().waitingReceivers == 1 }
        #expect(hand.requests.isEmpty)
        _ = permits.trySend(())
        try await settle { hand.requests == [1] }
        #expect(asked.value == 1)
        hand.send(1)
        #expect(probe.elements == [1])
        try await settle { asked.value == 2 }
        _ = permits.trySend(())
        try await settle { hand.requests == [1, 1] }
        hand.send(2)
        hand.complete()
        #expect(probe.elements == [1, 2] && probe.isComplete && asked.value == 2)
        probe.expectContract()
    }

    @Test("a limiter's tokens are taken one for each element, and set the pace")
    func limiter() async throws {
        let clock = ManualClock()
        let bucket = TokenBucket(rate: Rate(1, per: .seconds(1)), burst: 2, clock: clock)
        let hand = Hand<Int>()
        let probe = Probe<Int>(.unbounded)
        hand.throttle(by: bucket).subscribe(probe)
        for number in 1...4 {
            if number > 2 {
                await clock.sleepers(atLeast: 1)
                #expect(hand.requests.count == number - 1, "asked for an element without a token")
                clock.advance(by: .seconds(1))
            }
            try await settle { hand.requests.count == number }
            hand.send(number)
        }
        hand.complete()
        #expect(probe.elements == [1, 2, 3, 4] && probe.isComplete)
        probe.expectContract()
    }

    @Test("a refusal ends the stream; a cancel ends the wait")
    func ends() async throws {
        let hand = Hand<Int>()
        let probe = Probe<Int>(1)
        hand.throttle { throw Boom() }.subscribe(probe)
        try await settle { probe.error is Boom && hand.isCancelled }
        let permits = BoundedChannel<Void, Never>(capacity: 1)
        let waiting = Probe<Int>(1)
        let other = Hand<Int>()
        other.throttle { _ = try await permits.receive() }.subscribe(waiting)
        try await settle { permits.snapshot().waitingReceivers == 1 }
        waiting.cancel()
        try await settle { permits.snapshot().waitingReceivers == 0 && other.isCancelled }
        #expect(!waiting.hasEnded)
        probe.expectContract()
        waiting.expectContract()
    }
}

@Suite("Flow: the table of operators")
struct OperatorTableTests {
    @Test("each stage has one row, and the article prints it")
    func rows() throws {
        let names = OperatorTable.rows.map(\.name)
        #expect(Set(names).count == names.count && names.count >= 30)
        let article = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
            .appending(path: "Sources/Backpressure/Backpressure.docc/Demand-driven-streams.md")
        let lines = try String(contentsOf: article, encoding: .utf8).split(separator: "\n").map(String.init)
        for row in OperatorTable.rows { #expect(lines.contains(row.description), "\(row) is not in the article") }
    }
}
