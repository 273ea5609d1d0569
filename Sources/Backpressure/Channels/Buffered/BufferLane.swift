// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One lane of a buffer: its elements in order of arrival, the senders that wait to get in, and its own bound.

//
// ## Cost
// What a processor does before it gives a lock back is to finish all stores that came before. So the fast path makes few:
// counts are differences of what came in and what went out, ends of the list are told by the count and not by nil, and
// costs are kept only where elements differ in cost, and the only element of a lane is its head and nothing else.

/// A queue within a buffer.
///
/// It is part of a state that a lock guards.
struct BufferLane {
    /// The ends of the list: the head means nothing while the lane is empty, the tail while it has fewer than two.
    private var head: CellPointer?
    private var tail: CellPointer?
    /// Elements that ever came in, and that ever went out.
    private(set) var entered: UInt64 = 0
    private(set) var left: UInt64 = 0
    private(set) var weight = 0
    /// Of the costs of its elements.
    let bound: Int
    /// Whether elements may cost something else than 1.
    let isWeighed: Bool
    var senders: WaiterList
    var counters = LaneCounters()

    /// `index` of up to 64 lanes.
    init(index: Int, bound: Int, isWeighed: Bool) {
        self.bound = bound
        self.isWeighed = isWeighed
        senders = WaiterList(tag: Self.firstTag + UInt8(index))
    }

    /// Tags of the senders' lists; those of other lists are below.
    static let firstTag: UInt8 = 16

    @inline(__always)
    var count: Int { Int(truncatingIfNeeded: entered &- left) }

    /// The sum of the costs.
    @inline(__always)
    var cost: Int { isWeighed ? weight : count }

    @inline(__always)
    var first: CellPointer? { count > 0 ? head : nil }

    @inline(__always)
    var last: CellPointer? { count > 1 ? tail : first }

    /// Links `cell` behind all others, of which there are `count`.
    @inline(__always)
    mutating func append(_ cell: CellPointer, behind count: Int, isWeighed: Bool) {
        if count == 0 {
            head = cell
        } else {
            let last = count == 1 ? head : tail
            cell.pointee.previous = last
            last?.pointee.next = cell
            tail = cell
        }
        entered &+= 1
        if isWeighed { weight &+= cell.pointee.cost }
    }

    /// Unlinks and returns the oldest element, of one or more.
    @inline(__always)
    mutating func removeFirst(isWeighed: Bool) -> CellPointer {
        guard let cell = head else { preconditionFailure("an occupied lane has no element") }
        left &+= 1
        if entered != left { head = cell.pointee.next }
        if isWeighed { weight &-= cell.pointee.cost }
        return cell
    }

    /// Unlinks `cell`, which this lane holds.
    mutating func remove(_ cell: CellPointer) {
        if cell == head {
            head = cell.pointee.next
        } else {
            cell.pointee.previous?.pointee.next = cell.pointee.next
            if cell == tail {
                tail = cell.pointee.previous
            } else {
                cell.pointee.next?.pointee.previous = cell.pointee.previous
            }
        }
        left &+= 1
        if isWeighed { weight &-= cell.pointee.cost }
    }

    /// The newest element costs something else than before.
    mutating func recost(_ cell: CellPointer, to cost: Int) {
        guard isWeighed else { return }
        weight += cost - cell.pointee.cost
        cell.pointee.cost = cost
    }

    /// Forgets all its elements: they hang on the first one, one after the other.
    mutating func detachAll() -> CellPointer? {
        guard count > 0 else { return nil }
        last?.pointee.next = nil
        left = entered
        weight = 0
        return head
    }
}

/// What happened in a lane.
///
/// What was sent and received follows from these and from what came in and went out.
struct LaneCounters: Sendable {
    var droppedNewest: UInt64 = 0
    var evicted: UInt64 = 0
    var expired: UInt64 = 0
    var shed: UInt64 = 0
    var conflated: UInt64 = 0
    var abandoned: UInt64 = 0
}
