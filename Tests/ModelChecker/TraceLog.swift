// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The steps of one execution, in order, for the reversal of races: who took each, what happens before it, and what a
// location held before each write.
//
// Memory grows with the longest execution and is kept: starting an execution forgets everything in O(1).

/// A step that was taken.
struct TraceStep {
    /// What happens before it, it included: by thread, the number of its last such step.
    var clock: Clock
    /// The node of the search at which it was chosen, or -1 if no other thread could step.
    var node: Int32
    var thread: UInt8
}

/// A write, as far as a sleeper may care.
struct TraceWrite {
    var before: UInt64
    var step: UInt32
    /// The write of the same location before this one, or -1.
    var previous: Int32
}

struct TraceLog {
    /// Step `n` is at index n; steps are numbered from 1.
    private(set) var steps: UnsafeMutablePointer<TraceStep>
    private(set) var count = 0
    private(set) var writes: UnsafeMutablePointer<TraceWrite>
    private var writeCount = 0
    private var stepCapacity = 1024
    private var writeCapacity = 1024

    init() {
        steps = .allocate(capacity: stepCapacity)
        writes = .allocate(capacity: writeCapacity)
    }

    mutating func reset() { (count, writeCount) = (0, 0) }

    @inline(__always)
    mutating func append(_ step: TraceStep) {
        count += 1
        if count == stepCapacity { growSteps() }
        steps[count] = step
    }

    /// Notes a write; returns its place in the log.
    @inline(__always)
    mutating func append(_ write: TraceWrite) -> Int32 {
        if writeCount == writeCapacity { growWrites() }
        writes[writeCount] = write
        writeCount += 1
        return Int32(truncatingIfNeeded: writeCount - 1)
    }

    @inline(never)
    private mutating func growSteps() {
        let old = steps
        steps = .allocate(capacity: stepCapacity * 2)
        steps.update(from: old, count: stepCapacity)
        stepCapacity *= 2
        old.deallocate()
    }

    @inline(never)
    private mutating func growWrites() {
        let old = writes
        writes = .allocate(capacity: writeCapacity * 2)
        writes.update(from: old, count: writeCapacity)
        writeCapacity *= 2
        old.deallocate()
    }
}
