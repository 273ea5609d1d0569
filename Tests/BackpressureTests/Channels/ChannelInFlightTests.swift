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

@Suite("a fast-path operation half-way", .timeLimit(.minutes(1)))
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

    /// R1 and R2 sleep; a send grants R1, who becomes steward, and opens the gate; S claims by the fast path; R1 runs
    /// and hands its stewardship on while S is half-way; S publishes and never looks. R2 must not sleep on.
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
}
