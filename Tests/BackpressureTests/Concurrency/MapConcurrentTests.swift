// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bounded task group, over sequences and asynchronous sequences.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// Counts what runs at once.
private final class Meter: Sendable {
    private let state = LockedState((now: 0, most: 0, total: 0))

    func enter() {
        state.withLock {
            $0.now += 1
            $0.total += 1
            $0.most = max($0.most, $0.now)
        }
    }
    func leave() { state.withLock { $0.now -= 1 } }
    var most: Int { state.withLock { $0.most } }
    var now: Int { state.withLock { $0.now } }
    var total: Int { state.withLock { $0.total } }
}

@Suite("mapConcurrent", .timeLimit(.minutes(10)))
struct MapConcurrentTests {
    private static let limits = [1, 2, 7, 100]

    @Test("results in the order of the input, never more at once than the limit", arguments: limits)
    func sequence_ordered(limit: Int) async {
        let meter = Meter()
        let squares = await (0..<60).mapConcurrent(limit: limit) { number in
            meter.enter()
            for _ in 0..<(60 - number) % 5 { await Task.yield() }
            meter.leave()
            return number * number
        }
        #expect(squares == (0..<60).map { $0 * $0 } && meter.most <= limit && meter.total == 60)
        #expect(await [Int]().mapConcurrent(limit: limit) { $0 }.isEmpty)
    }

    @Test("results in the order of completion")
    func sequence_completion() async {
        let gate = AsyncSemaphore(permits: 1)
        gate.tryAcquire()?.forget()
        let order = await [0, 1, 2].mapConcurrent(limit: 3, order: .completion) { number in
            // The first one waits for the last.
            if number == 0 { try? await gate.withPermits {} }
            if number == 2 { gate.release() }
            return number
        }
        #expect(order.sorted() == [0, 1, 2] && (order.firstIndex(of: 0) ?? 0) > (order.firstIndex(of: 2) ?? 9))
    }

    @Test("the first error ends it: the others are cancelled and waited for")
    func sequence_throws() async {
        let meter = Meter()
        let clock = ManualClock()
        await #expect(throws: TestFailure(number: 3)) {
            try await (0..<50).mapConcurrent(limit: 4) { number in
                meter.enter()
                defer { meter.leave() }
                if number == 3 { throw TestFailure(number: 3) }
                // Ends only by cancellation.
                try await clock.sleep(for: .seconds(1))
            }
        }
        #expect(meter.now == 0 && meter.total == 4)
    }

    @Test("forEachConcurrent: all calls, bounded, and the first error")
    func forEach() async throws {
        let meter = Meter()
        await (0..<40).forEachConcurrent(limit: 3) { _ in
            meter.enter()
            await Task.yield()
            meter.leave()
        }
        #expect(meter.most <= 3 && meter.total == 40 && meter.now == 0)
        await #expect(throws: TestFailure.self) {
            try await [1, 2].forEachConcurrent(limit: 1) { number in if number == 2 { throw TestFailure() } }
        }
    }

    private func numbers(_ count: Int) -> BoundedChannel<Int, TestFailure> {
        let channel = BoundedChannel<Int, TestFailure>(capacity: max(count, 1))
        for number in 0..<count { _ = channel.trySend(number) }
        return channel
    }

    @Test("an asynchronous sequence: in order, and all of it", arguments: limits)
    func asyncSequence_ordered(limit: Int) async throws {
        let base = numbers(200)
        base.finish()
        let meter = Meter()
        var seen: [Int] = []
        let results = base.mapConcurrent(limit: limit) { number in
            meter.enter()
            for _ in 0..<number % 3 { await Task.yield() }
            meter.leave()
            return number
        }
        for try await number in results { seen.append(number) }
        #expect(seen == Array(0..<200) && meter.most <= limit)
    }

    @Test("completion order: all of it, once", arguments: limits)
    func asyncSequence_completion(limit: Int) async throws {
        let base = numbers(200)
        base.finish()
        var seen: [Int] = []
        let results = base.mapConcurrent(limit: limit, order: .completion) { number in
            for _ in 0..<number % 3 { await Task.yield() }
            return number
        }
        for try await number in results { seen.append(number) }
        #expect(seen.sorted() == Array(0..<200))
    }

    @Test("the base is read no further than the limit beyond what was taken")
    func asyncSequence_isBounded() async throws {
        let base = numbers(100)
        base.finish()
        let iterator = Shared(0)
        var results = base.mapConcurrent(limit: 3) { $0 }.makeAsyncIterator()
        for taken in 1...20 {
            #expect(try await results.next() == taken - 1)
            for _ in 0..<200 { await Task.yield() }
            #expect(base.snapshot().received <= UInt64(taken + 3))
            iterator.update { $0 += 1 }
        }
    }

    @Test("a result does not wait for the next element of the base")
    func asyncSequence_doesNotWaitForTheBase() async throws {
        let base = numbers(1)
        var results = base.mapConcurrent(limit: 4) { $0 }.makeAsyncIterator()
        #expect(try await results.next() == 0)
        base.finish()
        #expect(try await results.next() == nil)
        #expect(try await results.next() == nil)
    }

    @Test("errors of a call and of the base come after the results before them")
    func asyncSequence_throws() async throws {
        let base = numbers(10)
        base.finish(throwing: TestFailure(number: 9))
        var seen: [Int] = []
        await #expect(throws: TestFailure(number: 9)) {
            for try await number in base.mapConcurrent(limit: 3, { $0 }) { seen.append(number) }
        }
        #expect(seen == Array(0..<10))
        let other = numbers(10)
        other.finish()
        seen = []
        await #expect(throws: TestFailure(number: 5)) {
            let results = other.mapConcurrent(limit: 3) { number in
                if number == 5 { throw TestFailure(number: 5) }
                return number
            }
            for try await number in results { seen.append(number) }
        }
        #expect(seen == Array(0..<5))
    }

    @Test("when the iterator goes, the work is cancelled")
    func asyncSequence_iteratorGoes() async throws {
        let meter = Meter()
        let clock = ManualClock()
        let base = numbers(100)
        do {
            var results = base.mapConcurrent(limit: 5) { number in
                meter.enter()
                defer { meter.leave() }
                if number > 0 { try await clock.sleep(for: .seconds(1)) }
                return number
            }.makeAsyncIterator()
            #expect(try await results.next() == 0)
            await clock.sleepers(atLeast: 4)
        }
        try await settle { meter.now == 0 && clock.sleeperCount == 0 }
        #expect(meter.total <= 6)
    }

    @Test("a cancelled consumer gets CancellationError")
    func asyncSequence_cancelled() async throws {
        let base = numbers(0)
        let task = Task { () -> Int? in
            var results = base.mapConcurrent(limit: 2) { $0 }.makeAsyncIterator()
            return try await results.next()
        }
        try await settle { base.snapshot().waitingReceivers == 1 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
