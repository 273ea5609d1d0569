// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Floor of a pair: two relaxed atomic adds on lines 128 bytes apart, which is the least that a send and a receive by
// different threads can cost. Its C twin must agree within 10 %. Beside it, the contender that shows the allocation
// counter red: the same two adds and one allocation.

import AllocationCounter
import Synchronization

final class AtomicAdds: Sendable {
    private let first = Atomic<Int>(0)
    private let padding = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    private let second = Atomic<Int>(0)

    @inline(never)
    private func add(times: Int) -> Sample {
        let meter = Meter.begin()
        for _ in 0..<times {
            first.wrappingAdd(1, ordering: .relaxed)
            second.wrappingAdd(1, ordering: .relaxed)
        }
        return meter.end(operations: times)
    }

    @inline(never)
    private func addAndAllocate(times: Int) -> Sample {
        let meter = Meter.begin()
        for _ in 0..<times {
            first.wrappingAdd(1, ordering: .relaxed)
            // Through an opaque call, or the optimiser removes the pair of malloc and free.
            release(Self.allocate())
            second.wrappingAdd(1, ordering: .relaxed)
        }
        return meter.end(operations: times)
    }

    private func verify(times: Int) throws {
        guard first.load(ordering: .relaxed) == times, second.load(ordering: .relaxed) == times else {
            throw HardFailure(text: "two adds: wrong sum")
        }
    }

    @inline(never)
    @_optimize(none)
    private static func allocate() -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer.allocate(byteCount: 24, alignment: 8)
    }

    @inline(never)
    @_optimize(none)
    private func release(_ pointer: UnsafeMutableRawPointer) { pointer.deallocate() }

    static let name = "two atomic adds"

    /// The floor, for any row whose operation is a pair.
    static let floor = Contender(name, floor: true) { operations in
        let adds = AtomicAdds()
        let sample = adds.add(times: operations)
        try adds.verify(times: operations)
        return sample
    }

    static let twin = Contender("two atomic adds in C") { operations in
        let meter = Meter.begin()
        let sum = bench_floor_two_adds(Int64(operations))
        let sample = meter.end(operations: operations)
        guard sum == 2 * Int64(operations) else { throw HardFailure(text: "two adds in C: wrong sum") }
        return sample
    }

    static let allocatesOnce = Contender("allocates-once") { operations in
        let adds = AtomicAdds()
        let sample = adds.addAndAllocate(times: operations)
        try adds.verify(times: operations)
        return sample
    }
}
