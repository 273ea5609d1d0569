// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Close from either side, by hand and by ends that go (contract 6).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: close and ends", .timeLimit(.minutes(10)))
struct ChannelCloseTests {
    @Test("finish wakes every waiting receiver, each gets the end (6; swift#66541)")
    func finish_whenReceiversWait_wakesAll() {
        let bench = ChannelBench(capacity: 1)
        let tickets = (0..<100).map { _ in bench.receive() }
        bench.channel.finish()
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == .end } && bench.holdsNobody)
    }

    @Test("an error given to finish reaches every later receive, of every kind (6)")
    func finishThrowing_everyLaterReceiveThrows() async throws {
        let bench = ChannelBench(capacity: 2)
        let channel = bench.channel
        bench.send(1, .none)
        channel.finish(throwing: TestFailure(number: 3))
        channel.finish()
        channel.finish(throwing: TestFailure(number: 4))
        #expect(bench.receive().answer == .received(1))
        for _ in 0..<3 {
            #expect(bench.receive().answer == .failed(TestFailure(number: 3)))
            #expect(bench.receive(.none).answer == .failed(TestFailure(number: 3)))
            #expect(bench.receive(.timeout(.zero)).answer == .failed(TestFailure(number: 3)))
            var iterator = channel.makeAsyncIterator()
            await #expect(throws: TestFailure(number: 3)) { _ = try await iterator.next() }
        }
        #expect(bench.send(2).answer == .returned(2, .finished))
    }

    @Test("finish after cancel and cancel after cancel change nothing (6)")
    func close_whenClosed_isIdempotent() {
        let bench = ChannelBench(capacity: 2)
        bench.send(1, .none)
        bench.channel.cancel()
        bench.channel.cancel()
        bench.channel.finish(throwing: TestFailure())
        #expect(bench.receive(.none).answer == .end)
        #expect(bench.send(2, .none).answer == .returned(2, .abandoned))
        #expect(bench.hookLog.value == [Undelivered(element: 1, reason: .abandoned)])
    }

    @Test("the last sender goes while receivers are parked: they get the end (6)")
    func lastSenderGoes_whenReceiversWait_theyEnd() {
        let bench = ChannelBench(capacity: 2)
        var ends = [bench.channel.makeSender(), bench.channel.makeSender()]
        let tickets = (0..<3).map { _ in bench.receive() }
        ends.removeLast()
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == nil } && bench.channel.senderCount == 1)
        ends.removeLast()
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == .end } && bench.channel.isClosed && bench.channel.senderCount == 0)
    }

    @Test("the last receiver goes while senders are parked: their elements come back (2, 6)")
    func lastReceiverGoes_whenSendersWait_elementsComeBack() {
        let bench = ChannelBench(capacity: 1)
        var ends = [bench.channel.makeReceiver(), bench.channel.makeReceiver()]
        bench.send(0, .none)
        let tickets = (1...3).map { bench.send($0) }
        ends.removeLast()
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == nil } && bench.channel.receiverCount == 1)
        ends.removeLast()
        bench.executor.run()
        #expect(tickets.map(\.answer) == (1...3).map { .returned($0, .abandoned) })
        #expect(bench.hookLog.value == [Undelivered(element: 0, reason: .abandoned)])
    }

    @Test("the last sender goes with elements buffered: they are still received (6)")
    func lastSenderGoes_whenElementsAreBuffered_theyDrain() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        do {
            let sender = channel.makeSender()
            #expect(sender.trySend(1).isSent)
            #expect(await sender.send(2).isSent)
            #expect(await sender.send(3, timeout: .seconds(1)).isSent)
        }
        var seen: [Int] = []
        for await element in channel { seen.append(element) }
        #expect(seen == [1, 2, 3])
    }

    @Test("both doors at once: the shared handle works beside ends, and after they close it (6)")
    func sharedHandle_besideEnds() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        let receiver = channel.makeReceiver()
        do {
            let sender = channel.makeSender()
            #expect(channel.trySend(1).isSent && sender.trySend(2).isSent)
        }
        #expect(channel.trySend(3).reason == .finished)
        #expect(try await receiver.receive() == 1)
        #expect(try await channel.receive() == 2)
        #expect(try await receiver.receive(timeout: .zero) == nil)
        // An end made after the close closes nothing again, and does not reopen.
        _ = channel.makeSender()
        #expect(channel.isClosed && channel.trySend(4).reason == .finished)
    }

    @Test("the close that counts says so, on every kind of channel; isFinished waits for the last element (6)")
    func finish_saysWhetherItClosed() throws {
        let channel = BoundedChannel<Int, TestFailure>(capacity: 2)
        let room = try channel.tryReserve()
        #expect(channel.trySend(1).isSent)
        #expect(!channel.isFinished && channel.finish())
        #expect(!channel.finish() && !channel.finish(throwing: TestFailure(number: 1)))
        guard case .received(1) = try channel.tryReceive() else {
            Issue.record("the element is not there")
            return
        }
        #expect(channel.isClosed && !channel.isFinished)  // the room may still be filled
        #expect(room.send(2).isSent && !channel.isFinished)
        channel.cancel()
        #expect(channel.isFinished && !channel.finish())

        let buffered = BufferedChannel<Int, Never>(capacity: 2)
        #expect(buffered.trySend(1).isSent && buffered.finish() && !buffered.finish() && !buffered.isFinished)
        _ = buffered.tryReceive()
        #expect(buffered.isFinished)

        let lanes = PriorityChannel<Int, Never>(capacity: 2, lanes: [PriorityLane(capacity: 2)])
        #expect(lanes.trySend(1, lane: 0).isSent && lanes.finish() && !lanes.finish() && !lanes.isFinished)
        lanes.cancel()
        #expect(lanes.isFinished)

        let meeting = RendezvousChannel<Int, TestFailure>()
        #expect(meeting.finish(throwing: TestFailure(number: 2)) && !meeting.finish())
        meeting.cancel()
        #expect(!meeting.finish())
    }

    /// A temporary end is alive for as long as the call on it.
    @Test("a parked receive on a temporary end is not cancelled by the end's own going (6)")
    func receive_onTemporaryEnd_isNotCancelled() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 1)
        let task = Task { try? await channel.makeReceiver().receive() }
        try await settle { channel.snapshot().waitingReceivers == 1 || channel.isClosed }
        #expect(!channel.isClosed)
        #expect(channel.trySend(5).isSent)
        #expect(await task.value == 5)
        try await settle { channel.isClosed }
    }

    @Test("a parked send on a temporary end is not finished by the end's own going (6)")
    func send_onTemporaryEnd_isNotFinished() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 1)
        _ = channel.trySend(0)
        let task = Task { await channel.makeSender().send(1).isSent }
        try await settle { channel.snapshot().waitingSenders == 1 || channel.isClosed }
        #expect(!channel.isClosed)
        #expect(channel.tryReceive().take() == 0)
        #expect(await task.value)
        try await settle { channel.isClosed }
        #expect(channel.tryReceive().take() == 1)
    }

    @Test("a loop over a receiver keeps its end, and leaving the loop lets go of it (6)")
    func forAwait_overReceiver_closesWhenLeft() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        for element in 1...3 { _ = channel.trySend(element) }
        let task = Task {
            var seen: [Int] = []
            for await element in channel.makeReceiver() {
                seen.append(element)
                if element == 4 { break }
            }
            return seen
        }
        try await settle { channel.snapshot().waitingReceivers == 1 || channel.isClosed }
        #expect(!channel.isClosed)
        _ = channel.trySend(4)
        #expect(await task.value == [1, 2, 3, 4])
        #expect(channel.isClosed && channel.trySend(5).reason == .abandoned)
    }

    @Test("a parked task holds the storage and not an end: nobody hangs when all else is gone (6)")
    func everyHandleGone_whenTasksParked_ends() async throws {
        let answers = Shared<[Rejection?]>([])
        let tasks: [Task<Void, Never>]
        do {
            let channel = BoundedChannel<Int, Never>(capacity: 1)
            let end = channel.makeReceiver()
            _ = channel.trySend(0)
            tasks = (1...3).map { element in
                Task { [channel] in
                    let reason = await channel.send(element).reason
                    answers.update { $0.append(reason) }
                }
            }
            try await settle { channel.snapshot().waitingSenders == 3 }
            withExtendedLifetime(end) {}
        }
        for task in tasks { await task.value }
        #expect(answers.value == [.abandoned, .abandoned, .abandoned])
    }

    @Test("deinit hands what is in to the hook, in order and once")
    func deinit_whenElementsAreBuffered_hookGetsThem() {
        for capacity in [1, 2, 3, 8] {
            let log = Shared<[Int]>([])
            do {
                let channel = BoundedChannel<Int, Never>(capacity: capacity) { element, reason in
                    log.update { $0.append(reason == .abandoned ? element : -1) }
                }
                for element in 0..<(2 * capacity) {
                    _ = channel.trySend(element)
                    if element < capacity { _ = channel.tryReceive() }
                }
            }
            #expect(log.value == Array(capacity..<(2 * capacity)))
        }
    }
}
