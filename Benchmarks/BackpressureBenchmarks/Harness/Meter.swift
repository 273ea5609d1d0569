// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One measured stretch of work: how many operations, how long, how many calls of malloc.
//
// The same stretch serves the timed rounds (allocation counting off, so that malloc runs at its own speed) and the one
// counted pass (its time is thrown away).

import AllocationCounter

/// What one stretch of work came to.
struct Sample: Sendable {
    var operations: Int
    var nanoseconds = 0
    var allocations = 0
    /// Of a row that is not about time: its value.
    var bytes: Double?
    /// The allocations of a memory row are its value, so they are not reported a second time.
    static func bytes(_ value: Double) -> Sample { Sample(operations: 1, bytes: value) }
}

/// The begin of a stretch.
struct Meter {
    private let allocations: Int64
    private let start: Int

    @inline(__always)
    private init(allocations: Int64, start: Int) {
        self.allocations = allocations
        self.start = start
    }

    @inline(__always)
    static func begin() -> Meter {
        let allocations = bench_allocations_count()
        return Meter(allocations: allocations, start: Platform.nanoseconds())
    }

    @inline(__always)
    func end(operations: Int) -> Sample {
        let nanoseconds = Platform.nanoseconds() - start
        return Sample(
            operations: operations, nanoseconds: nanoseconds,
            allocations: Int(bench_allocations_count() - allocations))
    }
}

/// Counting of allocations, for the stretches that are not timed.
enum Allocations {
    static var areCounted: Bool { bench_allocations_available() }

    /// Usable bytes of malloc that are alive, relative to when counting was switched on.
    static var liveBytes: Int { Int(bench_allocations_live_bytes()) }

    static func startCounting() { bench_allocations_enable(true) }

    static func stopCounting() { bench_allocations_enable(false) }
}

/// A result that proves the run worthless: the program says so and exits 70.
struct HardFailure: Error {
    let text: String
}

/// What consumers got, against what producers sent: the integers from 0 up.
struct Checksum: Sendable {
    var sum = 0
    var count = 0

    @inline(__always)
    mutating func add(_ element: Int) {
        sum &+= element
        count &+= 1
    }

    mutating func add(_ other: Checksum) {
        sum &+= other.sum
        count &+= other.count
    }

    func verify(elements: Int, in place: String) throws(HardFailure) {
        let expected = elements &* (elements &- 1) / 2
        guard sum == expected, count == elements else {
            throw HardFailure(
                text: "\(place): wrong checksum: \(count) of \(elements) elements, sum \(sum) instead of \(expected)")
        }
    }
}
