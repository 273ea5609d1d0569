// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The deadlines of a primitive's waiters, and the decision when its one timer must ring.
//
// ## Algorithm
// A binary heap by deadline; every waiter knows its place in it, so that leaving early costs O(log n). The timer is
// lazy: it is armed for the earliest deadline and stays armed when that waiter leaves; when it rings and nothing is
// due it sleeps on for the then earliest deadline, or ends. So waits of one length, however many, share one task.
// Only a deadline earlier than the armed one replaces the task.
//
// ## Invariants
// I1  A waiter with a deadline is in the heap exactly while it is linked.
// I2  While the heap is not empty a timer is armed for its earliest deadline or for an earlier instant.
// I3  A timer of an older generation does nothing.

/// The heap and the armed instant.
///
/// It is part of a state that a lock guards.
struct Deadlines {
    private var heap: [WaiterRef] = []
    /// When the timer of the present generation rings; `Int64.max` while none is armed.
    private(set) var armedFor: Int64
    private(set) var generation: UInt64 = 0

    /// - Parameter armedFor: When a timer rings already; by default there is none.
    init(armedFor: Int64 = .max) { self.armedFor = armedFor }

    var isEmpty: Bool { heap.isEmpty }

    /// The earliest deadline; `Int64.max` when there is none.
    var earliest: Int64 { heap.first?.pointer.pointee.deadline ?? .max }

    /// Enters a waiter that has just been linked.
    ///
    /// - Returns: What the caller must arm once it has released the lock, if anything.
    mutating func insert(_ waiter: WaiterRef) -> TimerRequest? {
        let deadline = waiter.pointer.pointee.deadline
        guard deadline != .max else { return nil }
        heap.append(waiter)
        waiter.pointer.pointee.heapIndex = Int32(truncatingIfNeeded: heap.count - 1)
        siftUp(heap.count - 1)
        guard deadline < armedFor else { return nil }
        armedFor = deadline
        generation += 1
        return TimerRequest(deadline: deadline, generation: generation)
    }

    /// Takes out a waiter that has just been unlinked.
    mutating func remove(_ waiter: WaiterRef) {
        let index = Int(waiter.pointer.pointee.heapIndex)
        guard index >= 0 else { return }
        waiter.pointer.pointee.heapIndex = -1
        let moved = heap.removeLast()
        guard index < heap.count else { return }
        place(moved, at: index)
        siftUp(index)
        siftDown(Int(moved.pointer.pointee.heapIndex))
    }

    /// A waiter whose deadline is `now` or earlier, the earliest first.
    ///
    /// It stays in until `remove`.
    func due(at now: Int64) -> WaiterRef? {
        guard let first = heap.first, first.pointer.pointee.deadline <= now else { return nil }
        return first
    }

    /// The timer of `generation` rang and all that was due is out: what it must sleep for next, or nil to end.
    mutating func rearm(generation: UInt64) -> Int64? {
        guard generation == self.generation else { return nil }
        armedFor = heap.first?.pointer.pointee.deadline ?? .max
        return armedFor == .max ? nil : armedFor
    }

    private mutating func place(_ waiter: WaiterRef, at index: Int) {
        heap[index] = waiter
        waiter.pointer.pointee.heapIndex = Int32(truncatingIfNeeded: index)
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let waiter = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard waiter.pointer.pointee.deadline < heap[parent].pointer.pointee.deadline else { break }
            place(heap[parent], at: index)
            index = parent
        }
        place(waiter, at: index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let waiter = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count,
                heap[child + 1].pointer.pointee.deadline < heap[child].pointer.pointee.deadline
            {
                child += 1
            }
            guard heap[child].pointer.pointee.deadline < waiter.pointer.pointee.deadline else { break }
            place(heap[child], at: index)
            index = child
        }
        place(waiter, at: index)
    }
}

/// A timer to be armed once the lock is released.
struct TimerRequest: Sendable {
    let deadline: Int64
    let generation: UInt64
}
