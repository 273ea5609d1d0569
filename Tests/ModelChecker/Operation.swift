// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A step of a thread, as it is announced before it is done.

/// The memory ordering of an atomic operation.
public enum MemoryOrder: UInt8, Sendable {
    /// Atomic, orders nothing else.
    case relaxed
    /// Sees what the store it reads from released.
    case acquiring
    /// Hands over what came before it.
    case releasing
    /// Both.
    case acquiringAndReleasing

    @inline(__always) var acquires: Bool { self == .acquiring || self == .acquiringAndReleasing }
    @inline(__always) var releases: Bool { self == .releasing || self == .acquiringAndReleasing }
}

/// What is done at a place in the source.
public enum OperationKind: UInt8, Sendable, Hashable {
    /// An atomic load.
    case load
    /// An atomic store.
    case store
    /// An atomic exchange.
    case exchange
    /// An atomic compare-exchange that fails only for a reason.
    case compareExchange
    /// An atomic compare-exchange that may fail for no reason.
    case weakCompareExchange
    /// An atomic bitwise or.
    case fetchOr
    /// An atomic bitwise and.
    case fetchAnd
    /// An atomic wrapping addition.
    case fetchAdd
    /// Taking a lock.
    case lock
    /// Giving a lock back.
    case unlock
    /// A turn of a loop that waits for another thread.
    case pause
    /// Sleeping until a word changes.
    case park
    /// An operation of a recorded history begins: ordered with the ends of others, and with nothing else.
    case invoke
    /// An operation of a recorded history ends: ordered with the beginnings of others, and with nothing else.
    case respond
    /// The beginning of a stretch in which nobody else steps.
    case section
    /// The rescuer of a model steps in: nobody else can move.
    case rescue
    /// The outcome of a test.
    case decide
    /// A plain read.
    case plainRead
    /// A plain write.
    case plainWrite
    /// Giving memory back.
    case free
}

/// A thread's next step.
///
/// `location` and `second` are indices of `LocationTable`, or -1.
struct Operation {
    var kind: OperationKind = .load
    var order: MemoryOrder = .relaxed
    var location: Int32 = -1
    var second: Int32 = -1
    var site: Int32 = -1
    var operand: UInt64 = 0
    var expected: UInt64 = 0
}

/// One component per thread.
typealias Clock = SIMD8<UInt32>

extension Clock {
    @inline(__always)
    mutating func join(_ other: Clock) { self = pointwiseMax(self, other) }

    /// Whether every component is at most that of `other`.
    @inline(__always)
    func isBefore(_ other: Clock) -> Bool { all(self .<= other) }
}
