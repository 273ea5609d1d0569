// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Batches, sends by force, and waiting for the end.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: batches and force", .timeLimit(.minutes(10)))
struct ChannelBatchTests {
    typealias Channel = BoundedChannel<Int, TestFailure>

    @Test("a batch never overshoots the bound, and says how far it came", arguments: 1...9)
    func trySendContents_neverOvershoots(capacity: Int) {
        let channel = Channel(capacity: capacity)
        // Start somewhere in the lap, so that runs cross its end.
        for shift in 0..<capacity {
            let result = channel.trySend(contentsOf: 0..<20)
            #expect(result.accepted == capacity && result.sent == capacity && result.rejection == .full)
            #expect(channel.count == capacity)
            var buffer: [Int] = []
            #expect(channel.receiveReady(into: &buffer, upTo: .max) == capacity)
            #expect(buffer == Array(0..<capacity))
            _ = (channel.trySend(shift), channel.receiveReady(into: &buffer, upTo: 1))
        }
    }

    @Test("policies hold inside a batch")
    func trySendContents_followsThePolicy() {
        let (newest, oldest) = (
            Channel(capacity: 2, overflow: .dropNewest), Channel(capacity: 2, overflow: .dropOldest)
        )
        let first = newest.trySend(contentsOf: 0..<5)
        #expect(first.accepted == 5 && first.dropped == 3 && first.sent == 2 && first.rejection == nil)
        let second = oldest.trySend(contentsOf: 0..<5)
        #expect(second.accepted == 5 && second.dropped == 0)
        var buffer: [Int] = []
        _ = oldest.receiveReady(into: &buffer, upTo: 9)
        #expect(buffer == [3, 4])
    }

    @Test("a batch larger than the capacity goes through piece by piece, in order")
    func sendContents_largerThanCapacity() async throws {
        let channel = Channel(capacity: 7)
        let sender = Task {
            let result = await channel.send(contentsOf: 0..<1000)
            channel.finish()
            return result
        }
        var buffer: [Int] = []
        var sizes: Set<Int> = []
        while true {
            let count = try await channel.receive(into: &buffer, upTo: 5)
            if count == 0 { break }
            sizes.insert(count)
        }
        let result = await sender.value
        #expect(buffer == Array(0..<1000) && sizes.allSatisfy { $0 <= 5 })
        #expect(result.sent == 1000 && result.rejection == nil)
    }

    @Test("cancelled in the middle: what was accepted stays sent")
    func sendContents_whenCancelled_saysHowFar() {
        let bench = ChannelBench(capacity: 3)
        let (ticket, channel) = (Ticket(), bench.channel)
        ticket.start(on: bench.executor) {
            let result = await channel.send(contentsOf: 0..<10)
            return .returned(result.sent, result.rejection ?? .full)
        }
        bench.executor.run()
        #expect(bench.receive().answer == .received(0))
        bench.executor.run()
        ticket.cancel()
        bench.executor.run()
        #expect(ticket.answer == .returned(4, .cancelled) && channel.count == 3 && bench.holdsNobody)
    }

    @Test("an empty batch is sent at once, even when the channel is full or closed")
    func sendContents_whenEmpty() async {
        let channel = Channel(capacity: 1)
        channel.finish()
        let result = await channel.send(contentsOf: [])
        #expect(result.accepted == 0 && result.rejection == nil)
    }

    @Test("a batch receive takes what waiting senders hold, too, and lets them go on")
    func receiveInto_promotesSenders() {
        let bench = ChannelBench(capacity: 2)
        let tickets = (0..<6).map { bench.send($0) }
        var buffer: [Int] = []
        #expect(bench.channel.receiveReady(into: &buffer, upTo: 4) >= 2)
        bench.executor.run()
        _ = bench.channel.receiveReady(into: &buffer, upTo: .max)
        bench.executor.run()
        _ = bench.channel.receiveReady(into: &buffer, upTo: .max)
        bench.executor.run()
        #expect(buffer == Array(0..<6) && tickets.allSatisfy { $0.answer == .sent } && bench.holdsNobody)
    }

    @Test("no allocation is needed for a batch: the buffer keeps its memory")
    func receiveInto_reusesTheBuffer() async throws {
        let channel = Channel(capacity: 64)
        var buffer: [Int] = []
        buffer.reserveCapacity(64)
        let address = buffer.withUnsafeBufferPointer { $0.baseAddress }
        for _ in 0..<10 {
            _ = channel.trySend(contentsOf: 0..<64)
            #expect(try await channel.receive(into: &buffer, upTo: 64) == 64)
            buffer.removeAll(keepingCapacity: true)
        }
        #expect(buffer.withUnsafeBufferPointer { $0.baseAddress } == address)
    }

    @Test("size or time: a full batch does not linger, a partial one comes when the time is up")
    func receiveLinger_bySizeOrTime() async throws {
        let clock = ManualClock()
        let channel = Channel(capacity: 8, clock: clock)
        _ = channel.trySend(contentsOf: 0..<5)
        #expect(try await channel.receive(upTo: 3, linger: .seconds(1)) == [0, 1, 2])
        let batch = Task { try await channel.receive(upTo: 3, linger: .seconds(1)) }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(1))
        #expect(try await batch.value == [3, 4])
    }

    @Test("the end, an error and a cancellation end a batch that has begun, and are found again")
    func receiveLinger_keepsTheEndForLater() async throws {
        let clock = ManualClock()
        let channel = Channel(capacity: 8, clock: clock)
        _ = channel.trySend(1)
        let batch = Task { try await channel.receive(upTo: 3, linger: .seconds(1)) }
        await clock.sleepers(atLeast: 1)
        channel.finish(throwing: TestFailure())
        #expect(try await batch.value == [1])
        await #expect(throws: ReceiveError.failed(TestFailure())) {
            try await channel.receive(upTo: 3, linger: .seconds(1))
        }
    }

    // MARK: Force

    @Test("a forced send into a full channel gives the oldest element back")
    func forceSend_whenFull_evicts() {
        let channel = Channel(capacity: 2)
        var evicted: [Int] = []
        for element in 0..<5 {
            if case .evicted(let old) = channel.forceSend(element) { evicted.append(old) }
        }
        #expect(evicted == [0, 1, 2])
        let snapshot = channel.snapshot()
        #expect(snapshot.sent == 5 && snapshot.evicted == 3 && snapshot.depth == 2 && snapshot.received == 0)
    }

    @Test("a forced send passes waiting senders and leaves them waiting")
    func forceSend_whenSendersWait_passesThem() {
        let bench = ChannelBench(capacity: 1)
        bench.send(0, .none)
        let waiting = bench.send(1)
        guard case .evicted(0) = bench.channel.forceSend(2) else {
            Issue.record("the oldest did not come back")
            return
        }
        bench.executor.run()
        #expect(waiting.answer == nil && bench.channel.count == 1)
        #expect(bench.receive().answer == .received(2))
        bench.executor.run()
        #expect(waiting.answer == .sent && bench.receive().answer == .received(1))
    }

    @Test("a forced send never takes reserved room, and is refused by a closed channel")
    func forceSend_whenItCannot_returnsTheElement() throws {
        let channel = Channel(capacity: 1)
        let room = try channel.tryReserve()
        guard case .returned(let full) = channel.forceSend(1) else {
            Issue.record("reserved room was taken")
            return
        }
        #expect(full.reason == .full && full.element == 1)
        #expect(room.send(2).isSent)
        channel.finish()
        guard case .returned(let finished) = channel.forceSend(3) else {
            Issue.record("a closed channel accepted")
            return
        }
        #expect(finished.reason == .finished && channel.count == 1)
    }

    // MARK: The end

    @Test("untilFinished wakes all who wait, from either side's close, and at once when it is over")
    func untilFinished_wakesAll() {
        for byCancel in [false, true] {
            let bench = ChannelBench(capacity: 1)
            bench.send(0, .none)
            let channel = bench.channel
            let tickets = (0..<3).map { _ in Ticket() }
            for ticket in tickets {
                ticket.start(on: bench.executor) {
                    do throws(Rejection) {
                        try await channel.untilFinished()
                        return .end
                    } catch { return .rejected(error) }
                }
            }
            bench.executor.run()
            tickets[1].cancel()
            bench.executor.run()
            #expect(tickets.map(\.answer) == [nil, .rejected(.cancelled), nil])
            if byCancel { channel.cancel() } else { channel.finish() }
            bench.executor.run()
            #expect(tickets.map(\.answer) == [.end, .rejected(.cancelled), .end])
        }
    }
}
