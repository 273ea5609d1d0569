// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The races in which a fast-path operation stands between its claim and its publish, made exact: the test claims the
// slot by hand and publishes when it likes.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A slot in the hands of an operation that has claimed it and not finished with it.
struct ClaimedSlot {
    let slot: UnsafeMutableRawPointer
    let stamp: UInt64
}

extension ChannelBench {
    private static var stride: Int { SlotLayout(of: Int.self).stride }
    private static var offset: Int { SlotLayout(of: Int.self).elementOffset }

    /// The first half of a send by the fast path.
    func beginSend() -> ClaimedSlot? {
        guard case .claimed(let slot, let stamp) = channel.ring.claimForSend(stride: Self.stride) else { return nil }
        return ClaimedSlot(slot: slot, stamp: stamp)
    }

    /// The second half.
    func endSend(_ claim: ClaimedSlot, _ element: Int) {
        (claim.slot + Self.offset).bindMemory(to: Int.self, capacity: 1).initialize(to: element)
        AtomicWord(at: claim.slot).storeReleasing(claim.stamp)
    }

    /// The first half of a receive by the fast path.
    func beginReceive() -> ClaimedSlot? {
        guard case .claimed(let slot, let stamp) = channel.ring.claimForReceive(stride: Self.stride) else { return nil }
        return ClaimedSlot(slot: slot, stamp: stamp)
    }

    /// The second half.
    func endReceive(_ claim: ClaimedSlot) -> Int {
        let element = (claim.slot + Self.offset).bindMemory(to: Int.self, capacity: 1).move()
        AtomicWord(at: claim.slot).storeReleasing(claim.stamp)
        return element
    }
}

let everyFairness: [Fairness] = [.fifo, .eventual(bypass: 1), .eventual(bypass: 2), .default]

@Suite("a fast-path operation half-way", .timeLimit(.minutes(10)))
struct ChannelInFlightTests {
    @Test("receive, a sender half-way: the receiver does not sleep over it", arguments: everyFairness)
    func receive_whenHeadUnpublished_polls(fairness: Fairness) async throws {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        let claim = try #require(bench.beginSend())
        let receiver = bench.receive()
        #expect(bench.snapshot.waitingReceivers == 1)
        #expect(bench.snapshot.depth == 1)
        bench.endSend(claim, 7)
        #expect(await bench.executor.run { receiver.answer == .received(7) })
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    /// The lost wake-up of a steward that hands on too early.
    ///
    /// R1 and R2 sleep; a send grants R1, who becomes steward, and opens the gate; S claims by the fast path; R1 runs
    /// and ends its stewardship while S is half-way; S publishes and never looks. R2 must not sleep on.
    @Test("steward runs while a sender is half-way: the next receiver is still served", arguments: everyFairness)
    func stewardRuns_whenHeadUnpublished_nextReceiverIsServed(fairness: Fairness) async throws {
        let bench = ChannelBench(capacity: 4, fairness: fairness)
        let (first, second) = (bench.receive(), bench.receive())
        #expect(bench.snapshot.waitingReceivers == 2)
        #expect(bench.send(1, .none, run: false).answer == .sent)
        guard let claim = bench.beginSend() else {
            // Strict, or the one allowed bypass is used up: the gate stayed closed, so there is no such race.
            #expect(fairness.bypass <= 1)
            return
        }
        bench.executor.step()
        bench.endSend(claim, 2)
        let served = await bench.executor.run { second.answer != nil }
        #expect(served, "an element is buffered and a receiver sleeps: \(bench.snapshot)")
        #expect(first.answer == .received(1))
        if !served { bench.channel.finish() }
    }

    /// As above, with `finish` in place of the steward: the end must not leave the sleeper behind.
    @Test("finish while a sender is half-way and a receiver sleeps under a steward", arguments: everyFairness)
    func finish_whenHeadUnpublished_everyReceiverEnds(fairness: Fairness) async throws {
        let bench = ChannelBench(capacity: 4, fairness: fairness)
        let tickets = [bench.receive(), bench.receive(), bench.receive()]
        #expect(bench.send(1, .none, run: false).answer == .sent)
        let claim = bench.beginSend()
        bench.channel.finish()
        bench.executor.step()
        if let claim { bench.endSend(claim, 2) }
        let served = await bench.executor.run { tickets.allSatisfy { $0.answer != nil } }
        #expect(served, "\(bench.snapshot)")
        let expected: [Answer] = claim == nil ? [.received(1), .end, .end] : [.received(1), .received(2), .end]
        #expect(tickets.map(\.answer) == expected)
    }

    @Test("send, the slot still in a receiver's hands: spilled, not refused; the bound holds", arguments: everyFairness)
    func send_whenSlotNotYetFree_spills(fairness: Fairness) throws {
        for capacity in [1, 2, 3] {
            let bench = ChannelBench(capacity: capacity, fairness: fairness)
            for element in 0..<capacity { bench.send(element, .none) }
            let claim = try #require(bench.beginReceive())
            #expect(bench.send(100, .none).answer == .sent, "there is room for one")
            #expect(bench.send(101, .none).answer == .returned(101, .full))
            #expect(bench.snapshot.depth == capacity && bench.channel.count == capacity)
            #expect(bench.snapshot.isConsistent)
            #expect(bench.endReceive(claim) == 0)
            #expect(bench.drain() == Array(1..<capacity) + [100])
            #expect(bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("the spill keeps order and promotes waiting senders", arguments: everyFairness)
    func receive_whenElementsAreSpilled_keepsOrder(fairness: Fairness) throws {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        bench.send(0, .none)
        bench.send(1, .none)
        let claim = try #require(bench.beginReceive())
        let tickets = (2..<8).map { bench.send($0) }
        var order: [Int] = []
        for _ in 0..<4 {
            if case .received(let element) = bench.receive(.none).answer { order.append(element) }
            #expect(bench.snapshot.isConsistent)
        }
        #expect(bench.endReceive(claim) == 0)
        order += bench.drain()
        bench.executor.run()
        order += bench.drain()
        #expect(order == Array(1..<8))
        #expect(tickets.allSatisfy { $0.answer == .sent })
        #expect(bench.snapshot.isConsistent && bench.holdsNobody && bench.isGateOpen)
    }

    /// Elements that pass beside the ring take no position; the bound must count them all the same.
    @Test("eventual: the bypass bound holds while elements pass beside the ring", arguments: [1, 2, 8])
    func trySend_whenElementsAreSpilled_bypassBoundHolds(bypass: Int) throws {
        let bench = ChannelBench(capacity: 2, fairness: .eventual(bypass: bypass))
        bench.send(0, .none)
        bench.send(1, .none)
        let claim = try #require(bench.beginReceive())
        #expect(bench.send(2, .none).answer == .sent)
        let (first, second) = (bench.send(-1), bench.send(-2))
        var order: [Int] = []
        for newcomer in 0..<(4 * bypass + 20) {
            if case .received(let element) = bench.receive(.none, run: false).answer { order.append(element) }
            bench.send(1_000 + newcomer, .none, run: false)
        }
        let place = order.firstIndex(of: -2) ?? order.count
        let passed = order[..<place].count { $0 >= 1_000 }
        #expect(passed <= bypass, "\(passed) newcomers passed: \(order)")
        #expect(bench.endReceive(claim) == 0)
        bench.executor.run()
        _ = bench.drain()
        bench.executor.run()
        #expect(first.answer == .sent && second.answer == .sent)
    }

    @Test("eventual: the bypass bound of receivers holds while elements pass beside the ring", arguments: [1, 2, 8])
    func tryReceive_whenElementsAreSpilled_bypassBoundHolds(bypass: Int) throws {
        let bench = ChannelBench(capacity: 1, fairness: .eventual(bypass: bypass))
        bench.send(0, .none)
        let claim = try #require(bench.beginReceive())
        let tickets = (0..<3).map { _ in bench.receive() }
        var passed: [Int] = []
        for element in 1..<(4 * bypass + 20) {
            bench.send(element, .none, run: false)
            if case .received(let element) = bench.receive(.none, run: false).answer { passed.append(element) }
        }
        #expect(bench.endReceive(claim) == 0)
        bench.executor.run()
        bench.channel.finish()
        bench.executor.run()
        var before = passed.count
        if case .received(let second) = tickets[1].answer { before = passed.count { $0 < second } }
        #expect(before <= bypass, "\(before) newcomers passed the second receiver: \(tickets.map(\.answer))")
    }

    @Test(
        "dropOldest, the oldest half-way: it is dropped once it is there, exactly one a send", arguments: everyFairness)
    func send_whenDropOldestAndHeadUnpublished_evictsLater(fairness: Fairness) throws {
        for capacity in [1, 2, 3] {
            let bench = ChannelBench(capacity: capacity, overflow: .dropOldest, fairness: fairness)
            let claim = try #require(bench.beginSend())
            for element in 1..<max(1, capacity) { bench.send(element, .none) }
            #expect(bench.send(100, .none).answer == .sent)
            #expect(bench.snapshot.depth == capacity && bench.snapshot.evicted == 1)
            #expect(bench.snapshot.isConsistent && bench.hookLog.value.isEmpty)
            bench.endSend(claim, 0)
            #expect(bench.receive(.none).answer == .received(capacity > 1 ? 1 : 100))
            #expect(bench.hookLog.value == [Undelivered(element: 0, reason: .evicted)])
            #expect(bench.drain() == (capacity > 1 ? Array(2..<max(2, capacity)) + [100] : []))
            #expect(bench.snapshot.isConsistent && bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("an eviction that was still owed when the channel goes away is reported as one")
    func deinit_whenEvictionIsOwed_hookSaysEvicted() throws {
        let log: Shared<[Undelivered]>
        do {
            let bench = ChannelBench(capacity: 1, overflow: .dropOldest, closesWhenGone: false)
            log = bench.hookLog
            let claim = try #require(bench.beginSend())
            bench.send(1, .none)
            bench.endSend(claim, 0)
        }
        #expect(log.value == [Undelivered(element: 0, reason: .evicted), Undelivered(element: 1, reason: .abandoned)])
    }

    @Test("cancel, a sender half-way: its element goes to the hook with the next operation", arguments: everyFairness)
    func cancel_whenTailUnpublished_elementReachesHook(fairness: Fairness) throws {
        let bench = ChannelBench(capacity: 3, fairness: fairness)
        bench.send(1, .none)
        let claim = try #require(bench.beginSend())
        bench.channel.cancel()
        #expect(bench.hookLog.value == [Undelivered(element: 1, reason: .abandoned)])
        #expect(bench.receive(.none).answer == .end && bench.receive().answer == .end)
        #expect(bench.snapshot.isConsistent && bench.snapshot.depth == 0)
        bench.endSend(claim, 2)
        #expect(bench.receive(.none).answer == .end)
        #expect(bench.hookLog.value.last == Undelivered(element: 2, reason: .abandoned))
        #expect(bench.hookLog.value.count == 2 && bench.snapshot.isConsistent && bench.holdsNobody)
    }

    @Test("finish, a sender half-way: the end comes after its element", arguments: everyFairness)
    func finish_whenTailUnpublished_endComesAfterElement(fairness: Fairness) async throws {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        let claim = try #require(bench.beginSend())
        bench.channel.finish()
        #expect(bench.receive(.none).answer == .empty, "not the end yet")
        let (first, second) = (bench.receive(), bench.receive())
        bench.endSend(claim, 5)
        #expect(await bench.executor.run { first.answer != nil && second.answer != nil })
        #expect(first.answer == .received(5) && second.answer == .end)
    }

    @Test("a receiver that polls can be cancelled and timed out", arguments: everyFairness)
    func cancel_whenReceiverPolls_ends(fairness: Fairness) async throws {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        let claim = try #require(bench.beginSend())
        let (cancelled, timed) = (bench.receive(), bench.receive(.timeout(.seconds(1))))
        cancelled.cancel()
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        bench.endSend(claim, 5)
        #expect(await bench.executor.run { cancelled.answer != nil && timed.answer != nil })
        let answers = [cancelled.answer, timed.answer]
        let received = answers.contains(.received(5))
        #expect(received || bench.drain() == [5], "\(answers)")
        #expect(bench.holdsNobody && bench.isGateOpen)
    }
}
