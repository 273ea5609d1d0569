// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Room that is reserved first and filled later.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: reservations", .timeLimit(.minutes(10)))
struct ChannelReservationTests {
    typealias Channel = BoundedChannel<Int, TestFailure>

    /// Starts a reservation of one place that sends `element` once it has it.
    private func reserveAndSend(_ element: Int, _ bench: ChannelBench) -> Ticket {
        let (ticket, channel) = (Ticket(), bench.channel)
        ticket.start(on: bench.executor) {
            do throws(Rejection) {
                let room = try await channel.reserve()
                return Answer(room.send(element))
            } catch { return .rejected(error) }
        }
        bench.executor.run()
        return ticket
    }

    @Test("a cancelled channel has ended, room reserved or not; a finished one has not")
    func close_whileRoomIsReserved() throws {
        for isCancelled in [true, false] {
            let channel = Channel(capacity: 2)
            let room = try channel.tryReserve()
            if isCancelled { channel.cancel() } else { channel.finish() }
            #expect(channel.isFinished == isCancelled)
            switch try channel.tryReceive() {
            case .finished: #expect(isCancelled)
            case .empty: #expect(!isCancelled)
            case .received: Issue.record("an element that nobody sent")
            }
            _ = consume room
            #expect(channel.isFinished)
            guard case .finished = try channel.tryReceive() else {
                Issue.record("not ended although nothing is awaited")
                continue
            }
        }
    }

    @Test("reserved room counts against the bound: nobody else gets it")
    func reserve_takesRoom() throws {
        let bench = ChannelBench(capacity: 2)
        let room = try bench.channel.tryReserve()
        #expect(bench.send(1, .none).answer == .sent)
        #expect(bench.send(2, .none).answer == .returned(2, .full))
        #expect(bench.snapshot.reserved == 1 && bench.channel.count == 1)
        #expect(room.send(3).isSent)
        #expect(bench.snapshot.reserved == 0 && bench.channel.count == 2)
        #expect(bench.receive().answer == .received(1) && bench.receive().answer == .received(3))
    }

    @Test("a reservation never holds back elements behind it")
    func reservation_whenUnfilled_holdsNothingBack() throws {
        let bench = ChannelBench(capacity: 3)
        let room = try bench.channel.tryReserve()
        bench.send(1, .none)
        bench.send(2, .none)
        #expect(bench.receive(.none).answer == .received(1) && bench.receive(.none).answer == .received(2))
        #expect(bench.receive(.none).answer == .empty)
        #expect(room.send(3).isSent && bench.receive(.none).answer == .received(3))
    }

    @Test("a dropped reservation gives its room back and lets the next waiting sender in")
    func reservation_whenDropped_promotesNext() throws {
        let bench = ChannelBench(capacity: 1)
        var room: Reservation<Int, TestFailure>? = try bench.channel.tryReserve()
        let (first, second) = (bench.send(1), bench.send(2))
        #expect(first.answer == nil && second.answer == nil)
        if room.take() != nil {}
        bench.executor.run()
        #expect(first.answer == .sent && second.answer == nil && bench.snapshot.reserved == 0)
        #expect(bench.receive().answer == .received(1))
        bench.executor.run()
        #expect(second.answer == .sent)
    }

    @Test("waiting senders and reservations are served in one order")
    func reserve_waitsInLine() {
        let bench = ChannelBench(capacity: 1)
        bench.send(0, .none)
        let (first, second, third) = (bench.send(1), reserveAndSend(2, bench), bench.send(3))
        var seen: [Answer?] = []
        for _ in 0..<4 {
            seen.append(bench.receive().answer)
            bench.executor.run()
        }
        #expect(seen == [.received(0), .received(1), .received(2), .received(3)])
        #expect(first.answer == .sent && second.answer == .sent && third.answer == .sent && bench.holdsNobody)
    }

    @Test("after finish a reservation can still be filled, and receivers wait for it")
    func finish_whenReserved_endsAfterTheReservation() throws {
        let bench = ChannelBench(capacity: 2)
        let room = try bench.channel.tryReserve()
        bench.channel.finish()
        let waiting = bench.receive()
        #expect(waiting.answer == nil && bench.receive(.none).answer == .empty)
        #expect(throws: Rejection.finished) { _ = try bench.channel.tryReserve() }
        #expect(room.send(7).isSent)
        bench.executor.run()
        #expect(waiting.answer == .received(7) && bench.receive().answer == .end)
    }

    @Test("after finish a dropped reservation brings the end")
    func finish_whenReservationIsDropped_ends() throws {
        let bench = ChannelBench(capacity: 2)
        var room: Reservation<Int, TestFailure>? = try bench.channel.tryReserve()
        bench.channel.finish()
        let waiting = bench.receive()
        #expect(waiting.answer == nil)
        if room.take() != nil {}
        bench.executor.run()
        #expect(waiting.answer == .end && bench.holdsNobody)
    }

    @Test("after cancel the reservation's element comes back, and receivers had their end at once")
    func cancel_whenReserved_returnsElement() throws {
        let bench = ChannelBench(capacity: 2)
        let room = try bench.channel.tryReserve()
        let waiting = bench.receive()
        bench.channel.cancel()
        bench.executor.run()
        #expect(waiting.answer == .end)
        #expect(Answer(room.send(7)) == .returned(7, .abandoned) && bench.snapshot.reserved == 0)
    }

    @Test("a waiting reservation is ended by cancel, timeout, finish and abandon, and leaves no room behind")
    func reserve_whenItWaits_canBeEnded() throws {
        for event in 0..<4 {
            let bench = ChannelBench(capacity: 1)
            bench.send(0, .none)
            let (ticket, channel) = (Ticket(), bench.channel)
            ticket.start(on: bench.executor) {
                do throws(Rejection) {
                    _ = try await channel.reserve(timeout: .seconds(1))
                    return .sent
                } catch { return .rejected(error) }
            }
            bench.executor.run()
            #expect(ticket.answer == nil && bench.snapshot.waitingSenders == 1)
            switch event {
            case 0: ticket.cancel()
            case 1: channel.finish()
            case 2: channel.cancel()
            default: #expect(channel.tryReceiveElement() == 0)
            }
            bench.executor.run()
            let expected: [Answer] = [.rejected(.cancelled), .rejected(.finished), .rejected(.abandoned), .sent]
            #expect(ticket.answer == expected[event] && bench.snapshot.reserved == 0 && bench.holdsNobody)
        }
    }

    @Test("a timeout of zero never waits")
    func reserve_withZeroTimeout_neverWaits() async {
        let channel = Channel(capacity: 1)
        _ = channel.trySend(0)
        await #expect(throws: Rejection.timedOut) { _ = try await channel.reserve(timeout: .zero) }
    }

    @Test("a batch is collected by the first in the queue, and filled and given back one by one")
    func reserveCount_isCollectedByTheHead() {
        let bench = ChannelBench(capacity: 3)
        for element in 0..<3 { bench.send(element, .none) }
        let (ticket, channel) = (Ticket(), bench.channel)
        ticket.start(on: bench.executor) {
            do throws(Rejection) {
                var batch = try await channel.reserve(count: 2)
                batch.send(10)
                guard let place = batch.next() else { return .dropped }
                place.send(11)
                return batch.count == 0 ? .sent : .dropped
            } catch { return .rejected(error) }
        }
        bench.executor.run()
        let small = bench.send(20)
        #expect(bench.receive().answer == .received(0))
        bench.executor.run()
        #expect(ticket.answer == nil && small.answer == nil, "one place is not two, and nobody passes the head")
        #expect(bench.receive().answer == .received(1))
        bench.executor.run()
        #expect(ticket.answer == .sent)
        let rest = (0..<4).map { _ in bench.receive().answer }
        bench.executor.run()
        #expect(rest == [.received(2), .received(10), .received(11), .received(20)] && small.answer == .sent)
    }

    @Test("more than the capacity is refused at once; fewer than one is a precondition")
    func reserveCount_beyondCapacity_isRefused() async {
        let channel = Channel(capacity: 3)
        await #expect(throws: Rejection.exceedsLimit) { _ = try await channel.reserve(count: 4) }
        await #expect(processExitsWith: .failure) {
            _ = try await BoundedChannel<Int, TestFailure>(capacity: 3).reserve(count: 0)
        }
    }

    @Test("what is left of a batch is given back when it is dropped")
    func reservedBatch_whenDropped_givesBack() async throws {
        let channel = Channel(capacity: 3)
        do {
            var batch = try await channel.reserve(count: 3)
            batch.send(1)
            #expect(channel.snapshot().reserved == 2)
        }
        #expect(channel.snapshot().reserved == 0 && channel.count == 1)
        #expect(channel.trySend(2).isSent && channel.trySend(3).isSent)
    }

    @Test("dropOldest never evicts for a reservation, and refuses when all the room is reserved")
    func dropOldest_whenAllIsReserved_refuses() throws {
        let bench = ChannelBench(capacity: 1, overflow: .dropOldest)
        let room = try bench.channel.tryReserve()
        #expect(bench.send(1, .none).answer == .returned(1, .full))
        #expect(room.send(2).isSent)
        #expect(throws: Rejection.full) { _ = try bench.channel.tryReserve() }
        #expect(bench.send(3, .none).answer == .sent)
        #expect(bench.hookLog.value == [Undelivered(element: 2, reason: .evicted)])
    }

    @Test("a reservation keeps the channel alive, and the last reference destroys what was sent")
    func reservation_outlivesItsChannel() throws {
        weak var weakly: Channel?
        func reserve() throws -> Reservation<Int, TestFailure> {
            let channel = Channel(capacity: 1)
            weakly = channel
            return try channel.tryReserve()
        }
        let room = try reserve()
        #expect(weakly != nil)
        #expect(room.send(1).isSent)
        #expect(weakly == nil)
    }
}

extension BoundedChannel where Element == Int {
    fileprivate func tryReceiveElement() -> Int? {
        if case .received(let element)? = try? tryReceive() { element } else { nil }
    }
}
