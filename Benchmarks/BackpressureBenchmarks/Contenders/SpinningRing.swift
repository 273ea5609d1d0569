// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Floor of one producer and one consumer: a ring of a power of two, whose sides spin instead of waiting. It is not a
// channel for anybody: it burns both cores and knows one producer and one consumer.
//
// ## Algorithm
// Lamport's single-producer single-consumer ring; each side keeps a copy of the other's position and looks at the real
// one only when the copy says full or empty.
//
// ## Memory ordering
// The store of one's own position releases the slot, the load of the other's acquires it.

import Synchronization

final class SpinningRing: IntChannel, @unchecked Sendable {
    typealias Line = (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int)
    private static var emptyLine: Line { (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) }

    private let slots: UnsafeMutablePointer<Int>
    private let capacity: Int
    private let isFinished = Atomic<Bool>(false)
    private let padding0 = SpinningRing.emptyLine
    /// Written by the consumer.
    private let head = Atomic<Int>(0)
    private var tailSeenByConsumer = 0
    private let padding1 = SpinningRing.emptyLine
    /// Written by the producer.
    private let tail = Atomic<Int>(0)
    private var headSeenByProducer = 0
    private let padding2 = SpinningRing.emptyLine

    init(capacity: Int) {
        precondition(capacity & (capacity - 1) == 0, "a power of two")
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    deinit { slots.deallocate() }

    @inline(__always)
    func send(_ element: Int) async {
        let position = tail.load(ordering: .relaxed)
        if position &- headSeenByProducer == capacity { await spinWhileFull(position) }
        slots[position & (capacity &- 1)] = element
        tail.store(position &+ 1, ordering: .releasing)
    }

    @inline(__always)
    func receive() async -> Int? {
        let position = head.load(ordering: .relaxed)
        if position == tailSeenByConsumer, await !spinWhileEmpty(position) { return nil }
        let element = slots[position & (capacity &- 1)]
        head.store(position &+ 1, ordering: .releasing)
        return element
    }

    // The loops that may yield are out of line: a call that may leave the task, once it is inlined into the caller's
    // loop, makes the compiler check the executor on every turn, at 20 ns.

    @inline(never)
    private func spinWhileFull(_ position: Int) async {
        var patience = Patience()
        while true {
            headSeenByProducer = head.load(ordering: .acquiring)
            if position &- headSeenByProducer < capacity { return }
            if patience.isOver() { await Task.yield() }
        }
    }

    /// False at the end.
    @inline(never)
    private func spinWhileEmpty(_ position: Int) async -> Bool {
        var patience = Patience()
        while true {
            let finished = isFinished.load(ordering: .acquiring)
            tailSeenByConsumer = tail.load(ordering: .acquiring)
            if position != tailSeenByConsumer { return true }
            if finished { return false }
            if patience.isOver() { await Task.yield() }
        }
    }

    func finish() async { isFinished.store(true, ordering: .releasing) }

    // MARK: The loops

    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    func consume(atMost limit: Int) async -> Checksum {
        var checksum = Checksum()
        while checksum.count < limit, let element = await receive() { checksum.add(element) }
        return checksum
    }

    @inline(never)
    func ask(_ count: Int, back: SpinningRing) async -> Checksum {
        var checksum = Checksum()
        for trip in 0..<count {
            await send(trip)
            guard let answer = await back.receive() else { break }
            checksum.add(answer &- 1)
        }
        return checksum
    }

    @inline(never)
    func answer(back: SpinningRing) async -> Checksum {
        var checksum = Checksum()
        while let trip = await receive() {
            checksum.add(trip)
            await back.send(trip &+ 1)
        }
        return checksum
    }
}

/// Spins for some microseconds, then gives its core to whoever else wants it; now and then also its place in Swift's
/// pool of threads, because with one thread the other side could never run.
private struct Patience {
    private var spins = 0

    @inline(__always)
    mutating func isOver() -> Bool {
        spins &+= 1
        if spins & 4095 != 0 { return false }
        Platform.yieldThread()
        return spins & 0xF_FFFF == 0
    }
}
