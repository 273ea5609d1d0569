// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contracts of a priority channel, one test each.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("priority channel", .timeLimit(.minutes(10)))
struct PriorityChannelTests {
    private func lanes(_ capacities: Int...) -> [PriorityLane] { capacities.map { PriorityLane(capacity: $0) } }

    private func drain(_ channel: PriorityChannel<Int, Never>, atMost limit: Int = .max) -> [Int] {
        var elements: [Int] = []
        while elements.count < limit, let element = channel.tryReceive().take() { elements.append(element) }
        return elements
    }

    @Test("important lanes first, and the order of arrival within a lane")
    func strict_servesTheImportantFirst() {
        let channel = PriorityChannel<Int, Never>(capacity: 9, lanes: lanes(9, 9, 9))
        for number in 0..<9 { _ = channel.trySend(number, lane: 2 - number % 3) }
        #expect(drain(channel) == [2, 5, 8, 1, 4, 7, 0, 3, 6])
    }

    @Test("bulk is never starved: a lane is passed over no more often than aging says", arguments: [1, 2, 7, 64])
    func strict_agesWhatWaits(aging: Int) {
        let channel = PriorityChannel<Int, Never>(capacity: 8, lanes: lanes(4, 4), order: .strict(aging: aging))
        for number in 0..<3 { _ = channel.trySend(1_000 + number, lane: 1) }
        _ = channel.trySend(0, lane: 0)
        var gaps: [Int] = []
        var gap = 0
        for _ in 0..<(3 * (aging + 1)) {
            _ = channel.trySend(0, lane: 0)
            guard let element = channel.tryReceive().take() else { break }
            if element >= 1_000 {
                gaps.append(gap)
                gap = 0
            } else {
                gap += 1
            }
        }
        #expect(gaps == [aging, aging, aging])
        #expect(channel.snapshot().lanes[1].longestPassedOver == UInt64(aging))
    }

    @Test("critical traffic is never held up by bulk beyond the aging share")
    func strict_criticalGetsItsShare() {
        let channel = PriorityChannel<Int, Never>(capacity: 20, lanes: lanes(10, 10), order: .strict(aging: 9))
        var critical = 0
        for _ in 0..<1_000 {
            for lane in 0..<2 { while channel.trySend(lane, lane: lane).isSent {} }
            if channel.tryReceive().take() == 0 { critical += 1 }
        }
        #expect(critical == 900)
    }

    @Test("weights are shares")
    func weighted_isShared() {
        let channel = PriorityChannel<Int, Never>(
            capacity: 30, lanes: [8, 4, 1].map { PriorityLane(capacity: 10, weight: $0) }, order: .weighted(),
            overflow: .reject)
        var served = [0, 0, 0]
        for _ in 0..<1_300 {
            for lane in 0..<3 { while channel.trySend(lane, lane: lane).isSent {} }
            if let lane = channel.tryReceive().take() { served[lane] += 1 }
        }
        #expect(abs(served[0] - 800) <= 3 && abs(served[1] - 400) <= 3 && abs(served[2] - 100) <= 3)
    }

    @Test("when full the lowest lane pays first, its newest element; and nobody below: the arriving one")
    func full_theLowestPays() {
        let hook = Shared<[Undelivered]>([])
        let channel = PriorityChannel<Int, Never>(
            capacity: 4, lanes: lanes(4, 4, 4),
            onUndelivered: { element, reason in
                let record = Undelivered(element: element, reason: reason)
                hook.update { $0.append(record) }
            })
        for number in [20, 21] { _ = channel.trySend(number, lane: 2) }
        for number in [10, 11] { _ = channel.trySend(number, lane: 1) }
        #expect(channel.trySend(0, lane: 0).isSent)
        guard case .dropped = channel.trySend(22, lane: 2) else { return #expect(Bool(false), "22 got in") }
        #expect(channel.trySend(12, lane: 1).isSent)
        #expect(channel.trySend(1, lane: 0).isSent)
        #expect(
            hook.value == [
                Undelivered(element: 21, reason: .evicted), Undelivered(element: 22, reason: .full),
                Undelivered(element: 20, reason: .evicted), Undelivered(element: 12, reason: .evicted),
            ])
        #expect(drain(channel) == [0, 1, 10, 11])
        let snapshot = channel.snapshot()
        #expect(snapshot.isConsistent && snapshot.lanes.map(\.evicted) == [0, 1, 2])
    }

    @Test("a lane has a bound of its own, which nobody below can pay for")
    func laneBound_isItsOwn() {
        let channel = PriorityChannel<Int, Never>(
            capacity: 10, lanes: lanes(2, 10), overflow: .dropLowest(otherwise: .reject))
        for number in 0..<5 { _ = channel.trySend(number, lane: 1) }
        #expect(channel.trySend(10, lane: 0).isSent && channel.trySend(11, lane: 0).isSent)
        #expect(channel.trySend(12, lane: 0).reason == .full)
        #expect(channel.snapshot().evicted == 0)
    }

    @Test("who waits for room in its own lane holds up nobody else; important senders come in first")
    func waitingSenders_comeInByLane() {
        let bench = BufferBench(
            BufferPlan(
                capacity: 3, maxElements: 3, lanes: [3, 1, 3].map { BufferPlan.Lane(bound: $0) }, order: .strict,
                aging: 100, policy: BufferPolicy(action: .suspend)))
        bench.send(10, lane: 1)
        let blocked = bench.send(11, lane: 1)
        #expect(bench.send(20, lane: 2).answer == .sent)
        #expect(bench.send(21, lane: 2).answer == .sent)
        let bulk = bench.send(22, lane: 2)
        let critical = bench.send(0, lane: 0)
        #expect(blocked.answer == nil && bulk.answer == nil && critical.answer == nil)
        #expect(bench.receive().answer == .received(10))
        // One place: the important one has it, though it came last.
        #expect(critical.answer == .sent && blocked.answer == nil && bulk.answer == nil)
        #expect(bench.receive().answer == .received(0))
        #expect(blocked.answer == .sent && bulk.answer == nil)
        #expect(bench.drain() == [11, 20, 21, 22])
        #expect(bulk.answer == nil)
        bench.executor.run()
        #expect(bulk.answer == .sent && bench.isAtRest)
    }

    @Test("a sender of bulk that waits is let in after so many of others, too")
    func waitingSenders_age() {
        let bench = BufferBench(
            BufferPlan(
                capacity: 1, maxElements: 1, lanes: [1, 1].map { BufferPlan.Lane(bound: $0) }, order: .strict, aging: 3,
                policy: BufferPolicy(action: .suspend)))
        bench.send(0, lane: 0)
        let bulk = bench.send(100, lane: 1)
        for number in 1...6 { bench.send(number, lane: 0) }
        var order: [Int] = []
        while case .received(let element) = bench.receive(.none).answer { order.append(element) }
        bench.executor.run()
        #expect(order == [0, 1, 2, 3, 100, 4, 5, 6])
        #expect(bulk.answer == .sent)
    }

    @Test("an element's deadline holds in every lane")
    func deadline_ofElements() async throws {
        let clock = ManualClock()
        let hook = Shared<[Undelivered]>([])
        let channel = PriorityChannel<Int, Never>(
            capacity: 2, lanes: lanes(2, 2), overflow: .suspend, ttl: .seconds(5), clock: clock,
            onUndelivered: { element, reason in
                let record = Undelivered(element: element, reason: reason)
                hook.update { $0.append(record) }
            })
        _ = channel.trySend(1, lane: 1)
        _ = channel.trySend(0, lane: 0, ttl: .seconds(9))
        let waiting = Task { await channel.send(2, lane: 1, ttl: .seconds(60)) }
        try await settle { clock.nextDeadline?.offset == .seconds(5) && channel.snapshot().waitingSenders == 1 }
        clock.advance(by: .seconds(5))
        #expect(await waiting.value.isSent)
        #expect(hook.value == [Undelivered(element: 1, reason: .expired)])
        #expect(drain(channel) == [0, 2])
        let snapshot = channel.snapshot()
        #expect(snapshot.expired == 1 && snapshot.lanes[1].expired == 1 && snapshot.isConsistent)
    }

    @Test("loops, ends, timeouts and errors are those of every channel")
    func verbs_areThoseOfEveryChannel() async throws {
        let channel = PriorityChannel<Int, TestFailure>(capacity: 4, lanes: lanes(4, 4), overflow: .suspend)
        let ended = Task { try? await channel.untilFinished() }
        try await channel.sendOrThrow(1, lane: 1)
        let timed = await channel.send(2, lane: 0, timeout: .seconds(1))
        #expect(timed.isSent && channel.count == 2 && channel.laneCount == 2 && channel.capacity == 4)
        let until = await channel.send(3, lane: 0, deadline: ContinuousClock.now + .seconds(60))
        let expiring = await channel.send(4, lane: 0, expiresAt: ContinuousClock.now + .seconds(60))
        #expect(until.isSent && expiring.isSent)
        #expect(channel.trySend(5, lane: 0).reason == .full)
        channel.finish(throwing: TestFailure())
        await ended.value
        #expect(channel.trySend(6, lane: 0).reason == .finished && channel.isClosed)
        var seen: [Int] = []
        await #expect(throws: TestFailure()) {
            for try await number in channel { seen.append(number) }
        }
        #expect(seen == [2, 3, 4, 1])
    }

    @Test("elements that cannot be copied are evicted, expire and end, each once")
    func moveOnly_livesOnce() async throws {
        let count = LifeCount()
        do {
            let channel = PriorityChannel<MoveOnly, Never>(capacity: 2, lanes: lanes(2, 2))
            for number in 0..<2 { _ = channel.trySend(MoveOnly(number, count), lane: 1) }
            for number in 2..<5 { _ = await channel.send(MoveOnly(number, count), lane: 0) }
            #expect(count.made == 5 && count.alive == 2)
            if let element = try await channel.receive() {
                let number = element.number
                #expect(number == 2)
            } else {
                Issue.record("nothing was received")
            }
        }
        #expect(count.alive == 0)
    }

    @Test("64 lanes are served, the last as well as the first")
    func manyLanes() {
        let channel = PriorityChannel<Int, Never>(
            capacity: 64, lanes: (0..<64).map { _ in PriorityLane(capacity: 1) }, order: .strict(aging: 1_000))
        for lane in (0..<64).reversed() { #expect(channel.trySend(lane, lane: lane).isSent) }
        #expect(drain(channel) == Array(0..<64))
    }
}
