// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One lane of a buffer: its elements in order of arrival, the senders that wait to get in, and its own bound.

/// A queue within a buffer.
///
/// It is part of a state that a lock guards.
struct BufferLane {
    private(set) var first: CellPointer?
    private(set) var last: CellPointer?
    private(set) var count = 0
    private(set) var cost = 0
    /// Of the costs of its elements.
    let bound: Int
    var senders: WaiterList
    var counters = LaneCounters()

    /// `index` of up to 64 lanes.
    init(index: Int, bound: Int) {
        self.bound = bound
        senders = WaiterList(tag: Self.firstTag + UInt8(index))
    }

    /// Tags of the senders' lists; those of other lists are below.
    static let firstTag: UInt8 = 16

    /// Links `cell` behind all others.
    @inline(__always)
    mutating func append(_ cell: CellPointer) {
        cell.pointee.next = nil
        cell.pointee.previous = last
        if let last { last.pointee.next = cell } else { first = cell }
        last = cell
        count &+= 1
        cost &+= cell.pointee.cost
    }

    /// Unlinks `cell`, which this lane holds.
    @inline(__always)
    mutating func remove(_ cell: CellPointer) {
        let next = cell.pointee.next
        let previous = cell.pointee.previous
        if let previous { previous.pointee.next = next } else { first = next }
        if let next { next.pointee.previous = previous } else { last = previous }
        count &-= 1
        cost &-= cell.pointee.cost
    }

    /// The newest element costs something else than before.
    mutating func recost(_ cell: CellPointer, to cost: Int) {
        self.cost += cost - cell.pointee.cost
        cell.pointee.cost = cost
    }

    /// Forgets all its elements; returns the first, the others hang on it.
    mutating func detachAll() -> CellPointer? {
        defer { (first, last, count, cost) = (nil, nil, 0, 0) }
        return first
    }
}

/// What happened in a lane.
struct LaneCounters: Sendable {
    var sent: UInt64 = 0
    var received: UInt64 = 0
    var droppedNewest: UInt64 = 0
    var evicted: UInt64 = 0
    var expired: UInt64 = 0
    var conflated: UInt64 = 0
    var abandoned: UInt64 = 0
}
