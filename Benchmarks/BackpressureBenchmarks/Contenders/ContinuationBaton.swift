// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Floors that are bare continuations: the baton between two tasks (ping-pong), and many parked tasks resumed (drain),
// cancelled (cancel) or weighed (bytes).

import Synchronization

/// Two tasks that hand a baton there and back through nothing but continuations.
///
/// Whoever holds the baton publishes its own continuation before it resumes the other's, so neither slot is ever read
/// before it is written, and the resume orders the two.
final class ContinuationBaton: @unchecked Sendable {
    typealias Baton = UnsafeContinuation<Int, Never>

    private var first: Baton?
    private var second: Baton?
    private let isSecondParked = Atomic<Bool>(false)

    /// `count` round trips; each carries the number of the trip there and its successor back.
    func run(roundTrips count: Int) async throws -> Sample {
        async let received = serve()
        while !isSecondParked.load(ordering: .acquiring) { await Task.yield() }

        let meter = Meter.begin()
        var sum = 0
        for trip in 0..<count { sum &+= await handToSecond(trip) &- 1 }
        let sample = meter.end(operations: count)

        second?.resume(returning: -1)
        let there = await received
        let expected = count &* (count &- 1) / 2
        guard sum == expected, there == expected else { throw HardFailure(text: "baton: wrong checksum") }
        return sample
    }

    @inline(__always)
    private func handToSecond(_ value: Int) async -> Int {
        await withUnsafeContinuation { continuation in
            first = continuation
            second?.resume(returning: value)
        }
    }

    @concurrent
    private func serve() async -> Int {
        var value = await withUnsafeContinuation { continuation in
            second = continuation
            isSecondParked.store(true, ordering: .releasing)
        }
        var sum = 0
        while value >= 0 {
            sum &+= value
            let answer = value &+ 1
            value = await withUnsafeContinuation { continuation in
                second = continuation
                first?.resume(returning: answer)
            }
        }
        return sum
    }
}

/// Tasks parked on bare continuations, each on its own place of a shelf that was allocated before.
final class ContinuationShelf: @unchecked Sendable {
    private let places: UnsafeMutablePointer<UnsafeContinuation<Void, Never>>
    private let parked = Atomic<Int>(0)

    init(places count: Int) { places = .allocate(capacity: count) }

    deinit { places.deallocate() }

    func park(at index: Int) async {
        await withUnsafeContinuation { continuation in
            (places + index).initialize(to: continuation)
            parked.wrappingAdd(1, ordering: .releasing)
        }
    }

    var parkedCount: Int { parked.load(ordering: .acquiring) }

    @inline(never)
    func resumeAll() {
        for index in 0..<parkedCount { places[index].resume() }
    }
}

/// Tasks parked on a continuation under a cancellation handler, and nothing else: the floor of a cancellable wait.
final class CancellableShelf: @unchecked Sendable {
    private static let empty = 0
    private static let parkedMark = 1
    private static let cancelledMark = 2

    private let places: UnsafeMutablePointer<UnsafeContinuation<Void, Never>>
    private let marks: UnsafeMutablePointer<Atomic<Int>>
    private let parked = Atomic<Int>(0)
    private let count: Int

    init(places count: Int) {
        self.count = count
        places = .allocate(capacity: count)
        marks = .allocate(capacity: count)
        for index in 0..<count { (marks + index).initialize(to: Atomic(Self.empty)) }
    }

    deinit {
        marks.deinitialize(count: count)
        marks.deallocate()
        places.deallocate()
    }

    var parkedCount: Int { parked.load(ordering: .acquiring) }

    func park(at index: Int) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                (places + index).initialize(to: continuation)
                let before = marks[index].exchange(Self.parkedMark, ordering: .acquiringAndReleasing)
                parked.wrappingAdd(1, ordering: .releasing)
                if before == Self.cancelledMark { continuation.resume() }
            }
        } onCancel: {
            resume(at: index)
        }
    }

    /// Whoever exchanges the parked mark away resumes; a second call finds the cancelled mark and does nothing.
    private func resume(at index: Int) {
        let before = marks[index].exchange(Self.cancelledMark, ordering: .acquiringAndReleasing)
        if before == Self.parkedMark { places[index].resume() }
    }

    func resumeAll() {
        for index in 0..<count { resume(at: index) }
    }
}
