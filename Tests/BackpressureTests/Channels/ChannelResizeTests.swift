// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A capacity that changes while the channel is in use: the bound, who is woken, and that nothing is dropped.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: resize", .timeLimit(.minutes(10)))
struct ChannelResizeTests {
    @Test("below the maximum the bound is exact, in every lap (1)")
    func everyCapacity_belowMaximum_isExact() {
        for (capacity, maximum) in [(1, 2), (1, 3), (2, 3), (5, 8), (7, 64), (63, 64), (1, 64)] {
            let channel = BoundedChannel<Int, Never>(capacity: capacity, maximumCapacity: maximum)
            #expect(channel.capacity == capacity && channel.maximumCapacity == maximum)
            var (next, expected, mistakes) = (0, 0, 0)
            for round in 0..<200 {
                while channel.trySend(next).isSent { next += 1 }
                if channel.count != capacity || next - expected != capacity { mistakes += 1 }
                for _ in 0...(round % capacity) {
                    if channel.tryReceive().take() != expected { mistakes += 1 }
                    expected += 1
                }
            }
            #expect(mistakes == 0, "capacity \(capacity) of \(maximum)")
        }
    }

    @Test("a batch stops at the bound, below the maximum, too (1)")
    func batch_belowMaximum_stopsAtTheBound() {
        let channel = BoundedChannel<Int, Never>(capacity: 3, maximumCapacity: 16)
        let result = channel.trySend(contentsOf: 0..<10)
        #expect(result.accepted == 3 && result.rejection == .full && channel.count == 3)
        channel.resize(capacity: 5)
        #expect(channel.trySend(contentsOf: 3..<10).accepted == 2 && channel.count == 5)
    }

    @Test("growing serves the waiting senders that fit now, in their order")
    func grow_servesWaiters() {
        for fairness in [Fairness.fifo, .default] {
            let bench = ChannelBench(capacity: 1, maximumCapacity: 3, fairness: fairness)
            bench.send(0, .none)
            let tickets = (1...3).map { bench.send($0) }
            bench.channel.resize(capacity: 3)
            bench.executor.run()
            #expect(tickets.map(\.answer) == [.sent, .sent, nil] && bench.channel.count == 3)
            #expect(bench.receive().answer == .received(0))
            bench.executor.run()
            #expect(tickets[2].answer == .sent && bench.drain() == [1, 2, 3] && bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("shrinking drops nothing, and lets nobody in until what is in fits (1, 2)")
    func shrink_dropsNothing() {
        let bench = ChannelBench(capacity: 4)
        for element in 0..<4 { bench.send(element, .none) }
        bench.channel.resize(capacity: 2)
        #expect(bench.channel.capacity == 2 && bench.channel.count == 4 && bench.snapshot.depth == 4)
        #expect(bench.send(9, .none).answer == .returned(9, .full))
        let waiting = bench.send(4)
        #expect(bench.receive().answer == .received(0) && bench.receive().answer == .received(1))
        bench.executor.run()
        #expect(waiting.answer == nil && bench.snapshot.depth == 2)
        #expect(bench.receive().answer == .received(2))
        bench.executor.run()
        #expect(waiting.answer == .sent && bench.drain() == [3, 4] && bench.hookLog.value.isEmpty)
    }

    @Test("after a shrink and a growth the whole of the capacity is there again")
    func shrinkAndGrow_restoresCapacity() {
        let channel = BoundedChannel<Int, Never>(capacity: 8)
        for capacity in [1, 8, 3, 7, 2, 8] {
            channel.resize(capacity: capacity)
            var sent = 0
            while channel.trySend(sent).isSent { sent += 1 }
            #expect(sent == capacity && channel.snapshot().capacity == capacity)
            for expected in 0..<sent { #expect(channel.tryReceive().take() == expected) }
        }
    }

    @Test("reserved room counts: a shrink below it leaves it valid and admits nobody")
    func shrink_whenReserved_keepsReservations() throws {
        let bench = ChannelBench(capacity: 3)
        let first = try bench.channel.tryReserve()
        let second = try bench.channel.tryReserve()
        bench.channel.resize(capacity: 1)
        #expect(bench.send(1, .none).answer == .returned(1, .full))
        #expect(first.send(2).isSent)
        #expect(second.send(3).isSent)
        #expect(bench.drain() == [2, 3] && bench.snapshot.isConsistent)
    }

    @Test("a reservation of more than there is any more is refused, and those behind it go on")
    func shrink_whenReservationIsTooLarge_refusesIt() {
        let bench = ChannelBench(capacity: 4)
        for element in 0..<2 { bench.send(element, .none) }
        let (ticket, channel) = (Ticket(), bench.channel)
        ticket.start(on: bench.executor) {
            do throws(Rejection) {
                _ = try await channel.reserve(count: 3)
                return .sent
            } catch { return .rejected(error) }
        }
        bench.executor.run()
        let behind = bench.send(2)
        #expect(ticket.answer == nil && behind.answer == nil)
        channel.resize(capacity: 2)
        bench.executor.run()
        #expect(ticket.answer == .rejected(.exceedsLimit) && behind.answer == nil)
        #expect(bench.receive().answer == .received(0))
        bench.executor.run()
        #expect(behind.answer == .sent && bench.drain() == [1, 2] && bench.holdsNobody)
    }

    @Test("under dropOldest the first send after a shrink brings the depth down to it")
    func shrink_whenDropOldest_nextSendEvicts() {
        let bench = ChannelBench(capacity: 4, overflow: .dropOldest)
        for element in 0..<4 { bench.send(element, .none) }
        bench.channel.resize(capacity: 2)
        #expect(bench.channel.count == 4 && bench.hookLog.value.isEmpty)
        #expect(bench.send(4, .none).answer == .sent && bench.channel.count == 2)
        #expect(bench.hookLog.value == (0..<3).map { Undelivered(element: $0, reason: .evicted) })
        #expect(bench.drain() == [3, 4])
    }

    @Test("forceSend after a shrink gives the last evicted element back, the others to the hook")
    func shrink_thenForceSend_evictsDownToTheBound() {
        let bench = ChannelBench(capacity: 4)
        for element in 0..<4 { bench.send(element, .none) }
        bench.channel.resize(capacity: 2)
        if case .evicted(let element) = bench.channel.forceSend(4) {
            #expect(element == 2)
        } else {
            Issue.record("nothing was evicted")
        }
        #expect(bench.hookLog.value == (0..<2).map { Undelivered(element: $0, reason: .evicted) })
        #expect(bench.drain() == [3, 4] && bench.snapshot.evicted == 3 && bench.snapshot.isConsistent)
    }

    @Test("a closed channel can be resized; the end stays exact after a shrink")
    func resize_whenClosed() {
        let bench = ChannelBench(capacity: 3)
        for element in 0..<2 { bench.send(element, .none) }
        bench.channel.resize(capacity: 1)
        bench.channel.finish()
        bench.channel.resize(capacity: 2)
        #expect(bench.drain() == [0, 1] && bench.receive(.none).answer == .end)
    }

    @Test("a send whose limit is moved on does not close the gate")
    func belowMaximum_refreshesWithoutGate() {
        let channel = BoundedChannel<Int, Never>(capacity: 4, maximumCapacity: 8)
        let before = channel.core.state.withLock { $0.lockedOperations }
        for element in 0..<400 {
            #expect(channel.trySend(element).isSent)
            #expect(channel.tryReceive().take() == element)
        }
        let locked = channel.core.state.withLock { $0.lockedOperations } - before
        #expect(locked >= 90 && locked <= 110, "one send in four looks at the head: \(locked)")
    }

    @Test("no capacity, one below 1, or one above the maximum (8)")
    func resize_outOfRange_isRefused() async {
        await #expect(processExitsWith: .failure) { BoundedChannel<Int, Never>(capacity: 2).resize(capacity: 3) }
        await #expect(processExitsWith: .failure) { BoundedChannel<Int, Never>(capacity: 2).resize(capacity: 0) }
        await #expect(processExitsWith: .failure) { _ = BoundedChannel<Int, Never>(capacity: 2, maximumCapacity: 1) }
    }
}
