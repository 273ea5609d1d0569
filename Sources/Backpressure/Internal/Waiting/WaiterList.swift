// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiters in order of registration: an intrusive doubly linked list, and the chain of those to be woken.
//
// Appending, taking either end and removing from the middle are O(1), without allocation. Taking the first is FIFO,
// taking the last is LIFO. A list never owns its waiters (their tasks do), so a list of a million is forgotten
// without recursion.

/// A queue of waiters.
///
/// It is part of a state that a lock guards.
struct WaiterList {
    private(set) var first: WaiterRef?
    private(set) var last: WaiterRef?
    private var length: Int32 = 0
    /// What `Waiter.list` says of its members; not 0.
    let tag: UInt8

    init(tag: UInt8) {
        precondition(tag != 0, "tag 0 says that a waiter is in no list")
        self.tag = tag
    }

    var isEmpty: Bool { first == nil }

    var count: Int { Int(length) }

    /// Links `waiter` behind all others.
    mutating func append(_ waiter: WaiterRef) {
        assert(waiter.pointer.pointee.list == 0, "a waiter is in one list at most")
        waiter.pointer.pointee.list = tag
        waiter.pointer.pointee.next = nil
        waiter.pointer.pointee.previous = last?.pointer
        if let last { last.pointer.pointee.next = waiter.pointer } else { first = waiter }
        last = waiter
        length += 1
    }

    /// Links `waiter` before all others.
    mutating func prepend(_ waiter: WaiterRef) {
        assert(waiter.pointer.pointee.list == 0, "a waiter is in one list at most")
        waiter.pointer.pointee.list = tag
        waiter.pointer.pointee.previous = nil
        waiter.pointer.pointee.next = first?.pointer
        if let first { first.pointer.pointee.previous = waiter.pointer } else { last = waiter }
        first = waiter
        length += 1
    }

    /// Whether this list holds `waiter`.
    func contains(_ waiter: WaiterRef) -> Bool { waiter.pointer.pointee.list == tag }

    /// Unlinks `waiter`, which this list holds.
    mutating func remove(_ waiter: WaiterRef) {
        assert(contains(waiter), "the waiter is in another list")
        let next = waiter.pointer.pointee.next
        let previous = waiter.pointer.pointee.previous
        if let previous { previous.pointee.next = next } else { first = next.map(WaiterRef.init) }
        if let next { next.pointee.previous = previous } else { last = previous.map(WaiterRef.init) }
        waiter.pointer.pointee.next = nil
        waiter.pointer.pointee.previous = nil
        waiter.pointer.pointee.list = 0
        length -= 1
    }

    /// Unlinks and returns the waiter that came first.
    mutating func popFirst() -> WaiterRef? {
        guard let first else { return nil }
        remove(first)
        return first
    }

    /// Unlinks and returns the waiter that came last.
    mutating func popLast() -> WaiterRef? {
        guard let last else { return nil }
        remove(last)
        return last
    }
}

/// Waiters that have left every list, in order.
///
/// The chain runs through their own links, which nothing else uses any more: it needs no room, whatever the number.
struct NodeChain: Sendable {
    private var first: WaiterRef?
    private var last: WaiterRef?

    var isEmpty: Bool { first == nil }

    mutating func append(_ node: WaiterRef) {
        assert(node.pointer.pointee.list == 0, "a waiter is unlinked before it is chained")
        node.pointer.pointee.next = nil
        if let last { last.pointer.pointee.next = node.pointer } else { first = node }
        last = node
    }

    mutating func popFirst() -> WaiterRef? {
        guard let node = first else { return nil }
        first = node.pointer.pointee.next.map(WaiterRef.init)
        if first == nil { last = nil }
        return node
    }
}

/// Waiters whose verdict is given and who are to be woken once the lock is released, in order.
///
/// A batch that is not empty must be woken: its waiters sleep until then.
struct WakeBatch: Sendable {
    private var chain = NodeChain()

    var isEmpty: Bool { chain.isEmpty }

    /// Adds a waiter that has just been unlinked and given its verdict.
    mutating func append(_ waiter: WaiterRef) { chain.append(waiter) }

    /// Wakes all; the caller holds no lock.
    ///
    /// A woken waiter may be gone at once, so it is out of the chain before.
    consuming func wakeAll() {
        while let waiter = chain.popFirst() { waiter.wake() }
    }
}
