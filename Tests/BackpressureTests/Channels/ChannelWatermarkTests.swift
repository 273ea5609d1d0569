// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Watermarks: senders sleep through the draining, and edges are told in order.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: watermarks", .timeLimit(.minutes(10)))
struct ChannelWatermarkTests {
    private let edges = Shared<[PressureEdge]>([])

    private func marks(_ low: Int, _ high: Int) -> Watermarks {
        let edges = edges
        return Watermarks(low: low, high: high) { edge in edges.update { $0.append(edge) } }
    }

    @Test("once the high mark is reached, senders wait until the depth has fallen to the low one, and then go together")
    func send_whenPaused_waitsForLow() {
        for fairness in [Fairness.fifo, .default] {
            edges.update { $0 = [] }
            let bench = ChannelBench(capacity: 4, watermarks: marks(1, 4), fairness: fairness)
            for element in 0..<4 { #expect(bench.send(element).answer == .sent) }
            #expect(bench.snapshot.isPaused && edges.value == [.pause])
            let tickets = (4..<6).map { bench.send($0) }
            for element in 0..<2 { #expect(bench.receive().answer == .received(element)) }
            bench.executor.run()
            #expect(tickets.allSatisfy { $0.answer == nil }, "two have room, and wait")
            #expect(bench.receive().answer == .received(2))
            bench.executor.run()
            #expect(tickets.allSatisfy { $0.answer == .sent } && edges.value == [.pause, .resume])
            #expect(bench.drain() == [3, 4, 5] && bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("what does not wait has the room between the high mark and the capacity")
    func trySend_whenPaused_hasHeadroom() throws {
        let bench = ChannelBench(capacity: 4, watermarks: marks(0, 2))
        for element in 0..<4 { #expect(bench.send(element, .none).answer == .sent) }
        #expect(bench.send(4, .none).answer == .returned(4, .full) && edges.value == [.pause])
        #expect(bench.receive(.none).answer == .received(0))
        let room = try bench.channel.tryReserve()
        #expect(room.send(5).isSent)
        let waiting = bench.send(6)
        #expect(waiting.answer == nil)
        #expect(bench.receive(.none).answer == .received(1))
        #expect(bench.send(7, .none).answer == .returned(7, .full), "nobody passes who waits")
        #expect(bench.drain() == [2, 3, 5, 6], "the third one received makes room for who waits")
        bench.executor.run()
        #expect(waiting.answer == .sent && edges.value == [.pause, .resume])
    }

    @Test("between the marks nothing changes; edges alternate")
    func edges_alternate() {
        let bench = ChannelBench(capacity: 8, watermarks: marks(2, 6))
        for round in 0..<50 {
            while bench.channel.count < 6 { bench.send(round, .none) }
            #expect(edges.value.last == .pause && edges.value.count == 2 * round + 1)
            while bench.channel.count > 3 { bench.receive(.none) }
            bench.send(0, .none)
            #expect(edges.value.last == .pause && bench.snapshot.isPaused)
            while bench.channel.count > 2 { bench.receive(.none) }
            #expect(edges.value.last == .resume && !bench.snapshot.isPaused && bench.isGateOpen)
        }
    }

    @Test("a hook that uses the channel is told in turn, never inside itself")
    func hook_thatUsesTheChannel_isNotReentered() {
        final class Box: Sendable {
            let channel = Shared<BoundedChannel<Int, Never>?>(nil)
            let depth = Shared(0)
            let log = Shared<[PressureEdge]>([])
        }
        let box = Box()
        let marks = Watermarks(low: 0, high: 2) { edge in
            #expect(
                box.depth.update {
                    $0 += 1; return $0
                } == 1)
            box.log.update { $0.append(edge) }
            if edge == .pause { while box.channel.value?.tryReceive().take() != nil {} }
            box.depth.update { $0 -= 1 }
        }
        let channel = BoundedChannel<Int, Never>(capacity: 2, watermarks: marks)
        box.channel.update { $0 = channel }
        for number in 0..<10 { #expect(channel.trySend(number).isSent) }
        #expect(box.log.value == Array(repeating: [PressureEdge.pause, .resume], count: 5).flatMap { $0 })
        box.channel.update { $0 = nil }
    }

    @Test("reservations count as the level does, and wait as senders do")
    func reserve_countsTowardsTheMarks() async throws {
        let bench = ChannelBench(capacity: 3, watermarks: marks(0, 2))
        var first: Reservation<Int, TestFailure>? = try bench.channel.tryReserve()
        #expect(edges.value.isEmpty)
        bench.send(1, .none)
        #expect(edges.value == [.pause])
        await #expect(throws: Rejection.timedOut) { _ = try await bench.channel.reserve(timeout: .zero) }
        #expect(bench.receive(.none).answer == .received(1) && edges.value == [.pause])
        if first.take() != nil {}
        #expect(edges.value == [.pause, .resume])
    }

    @Test("finish, cancel, cancellation and timeouts end waits in a pause, and what drains resumes")
    func close_whenPaused() async {
        for event in 0..<4 {
            edges.update { $0 = [] }
            let bench = ChannelBench(capacity: 2, watermarks: marks(0, 2))
            for element in 0..<2 { bench.send(element, .none) }
            #expect(bench.receive(.none).answer == .received(0))
            let waiting = bench.send(2, event == 3 ? .timeout(.seconds(1)) : .forever)
            #expect(waiting.answer == nil && edges.value == [.pause])
            switch event {
            case 0: bench.channel.finish()
            case 1: bench.channel.cancel()
            case 2: waiting.cancel()
            default:
                await bench.clock.sleepers(atLeast: 1)
                bench.clock.advance(by: .seconds(1))
            }
            #expect(await bench.executor.run { waiting.answer != nil })
            let reasons: [Rejection] = [.finished, .abandoned, .cancelled, .timedOut]
            #expect(waiting.answer == .returned(2, reasons[event]))
            #expect(bench.drain() == (event == 1 ? [] : [1]) && edges.value == [.pause, .resume])
            #expect(bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("a capacity below a mark stands in for it")
    func resize_belowTheMarks() {
        let bench = ChannelBench(capacity: 8, watermarks: marks(4, 8))
        bench.channel.resize(capacity: 2)
        for element in 0..<2 { bench.send(element, .none) }
        #expect(edges.value == [.pause] && bench.send(2, .none).answer == .returned(2, .full))
        #expect(bench.receive(.none).answer == .received(0) && edges.value == [.pause, .resume])
        bench.channel.resize(capacity: 8)
        for element in 0..<6 { bench.send(element, .none) }
        #expect(edges.value.count == 2)
        bench.channel.resize(capacity: 1)
        #expect(edges.value.last == .pause)
    }

    @Test("while not paused, only the send that reaches the high mark, or finds the limit, takes the lock")
    func cost_betweenTheMarks() {
        let channel = BoundedChannel<Int, Never>(capacity: 64, watermarks: Watermarks(low: 1, high: 64))
        let before = channel.core.state.withLock { $0.lockedOperations }
        for element in 0..<6_300 {
            #expect(channel.trySend(element).isSent)
            #expect(channel.tryReceive().take() == element)
        }
        let locked = channel.core.state.withLock { $0.lockedOperations } - before
        #expect(locked >= 95 && locked <= 105, "\(locked)")
    }

    @Test("marks that make no sense (8)")
    func marks_outOfRange_areRefused() async {
        await #expect(processExitsWith: .failure) { _ = Watermarks(low: 2, high: 2) }
        await #expect(processExitsWith: .failure) { _ = Watermarks(low: -1, high: 2) }
        await #expect(processExitsWith: .failure) {
            _ = BoundedChannel<Int, Never>(capacity: 2, watermarks: Watermarks(low: 1, high: 3))
        }
    }
}
