// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rendezvous: who waits for whom, and what becomes of the element in every end of a wait.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("rendezvous", .timeLimit(.minutes(10)))
struct RendezvousChannelTests {
    private let executor = StepExecutor()
    private let clock = ManualClock()
    private let channel: RendezvousChannel<Int, TestFailure>

    init() { channel = RendezvousChannel(clock: clock) }

    private func send(_ element: Int, timeout: Duration? = nil) -> Ticket {
        let (ticket, channel) = (Ticket(), channel)
        ticket.start(on: executor) {
            if let timeout { return Answer(await channel.send(element, timeout: timeout)) }
            return Answer(await channel.send(element))
        }
        executor.run()
        return ticket
    }

    private func receive(timeout: Duration? = nil) -> Ticket {
        let (ticket, channel) = (Ticket(), channel)
        ticket.start(on: executor) {
            do throws(ReceiveError<TestFailure>) {
                let element =
                    if let timeout { try await channel.receive(timeout: timeout) } else { try await channel.receive() }
                return element.map(Answer.received) ?? .end
            } catch {
                return Answer(error)
            }
        }
        executor.run()
        return ticket
    }

    private var holdsNobody: Bool {
        channel.core.withState { state, _ in
            state.senders.isEmpty && state.receivers.isEmpty && state.deadlines.isEmpty
        }
    }

    @Test("a send returns only once a receiver has the element (capacity 0)")
    func send_waitsForReceiver() {
        let sender = send(1)
        #expect(sender.answer == nil && channel.snapshot().waitingSenders == 1)
        let receiver = receive()
        executor.run()
        #expect(sender.answer == .sent && receiver.answer == .received(1))
        #expect(channel.snapshot().handedOver == 1 && holdsNobody)
    }

    @Test("both sides are served in the order in which they began to wait")
    func waiters_areServedInOrder() {
        let senders = (0..<5).map { send($0) }
        let first = (0..<5).map { _ in receive() }
        executor.run()
        #expect(first.map(\.answer) == (0..<5).map { .received($0) })
        #expect(senders.allSatisfy { $0.answer == .sent })
        let receivers = (0..<5).map { _ in receive() }
        for element in 5..<10 { #expect(channel.trySend(element).isSent) }
        executor.run()
        #expect(receivers.map(\.answer) == (5..<10).map { .received($0) } && holdsNobody)
    }

    @Test("trySend succeeds only if a receiver waits, tryReceive only if a sender does")
    func tryVerbs_meetWaitersOnly() throws {
        #expect(Answer(channel.trySend(1)) == .returned(1, .full))
        #expect(try channel.tryReceive().take() == nil)
        let receiver = receive()
        #expect(channel.trySend(2).isSent)
        #expect(channel.trySend(3).reason == .full)
        executor.run()
        #expect(receiver.answer == .received(2))
        let sender = send(4)
        #expect(try channel.tryReceive().take() == 4)
        executor.run()
        #expect(sender.answer == .sent && channel.snapshot().refused == 2)
    }

    @Test("a cancelled wait ends alone; a sender has its element back, the next in line is served")
    func cancel_endsThatWaitAlone() {
        let senders = (0..<3).map { send($0) }
        senders[0].cancel()
        executor.run()
        #expect(senders[0].answer == .returned(0, .cancelled))
        let receivers = (0..<4).map { _ in receive() }
        executor.run()
        #expect(receivers.map(\.answer) == [.received(1), .received(2), nil, nil])
        receivers[2].cancel()
        executor.run()
        #expect(receivers[2].answer == .rejected(.cancelled))
        #expect(channel.trySend(9).isSent)
        executor.run()
        #expect(receivers[3].answer == .received(9) && holdsNobody)
        #expect(channel.snapshot().sendsCancelled == 1 && channel.snapshot().receivesCancelled == 1)
    }

    @Test("what was handed over before the cancel stays handed over, on both sides")
    func cancelAfterMeeting_changesNothing() throws {
        let receiver = receive()
        #expect(channel.trySend(1).isSent)
        receiver.cancel()
        executor.run()
        #expect(receiver.answer == .received(1))
        let sender = send(2)
        #expect(try channel.tryReceive().take() == 2)
        sender.cancel()
        executor.run()
        #expect(sender.answer == .sent && holdsNobody)
    }

    @Test("timeouts of both sides on the channel's clock; zero never waits")
    func timeouts_endWaits() async {
        #expect(await channel.send(1, timeout: .zero).reason == .timedOut)
        await #expect(throws: ReceiveError<TestFailure>.rejected(.timedOut)) {
            _ = try await channel.receive(deadline: clock.now)
        }
        let sender = send(2, timeout: .seconds(10))
        let patient = send(3)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(10))
        #expect(await executor.run { sender.answer == .returned(2, .timedOut) })
        #expect(patient.answer == nil)
        let receiver = receive()
        executor.run()
        #expect(receiver.answer == .received(3) && patient.answer == .sent)
        let late = receive(timeout: .seconds(5))
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        #expect(await executor.run { late.answer == .rejected(.timedOut) })
        #expect(channel.snapshot().sendsTimedOut == 2 && channel.snapshot().receivesTimedOut == 2 && holdsNobody)
    }

    @Test("close wakes everybody, gives elements back, and is idempotent", arguments: [false, true])
    func close_wakesEverybody(byConsumers: Bool) throws {
        let senders = (0..<3).map { send($0) }
        let watcher = Ticket()
        let channel = channel
        watcher.start(on: executor) {
            do throws(Rejection) { try await channel.untilFinished() } catch { return .rejected(error) }
            return .end
        }
        executor.run()
        #expect(!channel.isClosed && watcher.answer == nil)
        for _ in 0..<2 { if byConsumers { channel.cancel() } else { channel.finish() } }
        executor.run()
        let reason = byConsumers ? Rejection.abandoned : .finished
        #expect(senders.map(\.answer) == (0..<3).map { .returned($0, reason) })
        #expect(channel.isClosed && watcher.answer == .end && channel.trySend(7).reason == reason)
        #expect(receive().answer == .end && holdsNobody)
        guard case .finished = try channel.tryReceive() else { Issue.record("not finished"); return }
    }

    @Test("an error given to finish reaches receivers that wait and all later ones")
    func finishThrowing_reachesEveryReceiver() {
        let waiting = [receive(), receive()]
        channel.finish(throwing: TestFailure())
        channel.cancel()
        executor.run()
        #expect(waiting.allSatisfy { $0.answer == .failed(TestFailure()) })
        #expect(receive().answer == .failed(TestFailure()))
        #expect(throws: TestFailure()) { _ = try channel.tryReceive() }
    }

    @Test("ends close the channel when the last of their kind goes")
    func ends_closeTheChannel() async throws {
        let channel = RendezvousChannel<Int, Never>()
        let receiver = channel.makeReceiver()
        do {
            let sender = channel.makeSender()
            for index in 0..<2 { Task { for number in 0..<10 { _ = await sender.send(index * 10 + number) } } }
        }
        var sum = 0
        for await number in receiver { sum += number }
        #expect(sum == 190 && channel.isClosed && channel.senderCount == 0)
    }

    @Test("elements that cannot be copied pass, and come back")
    func moveOnlyElements() async throws {
        struct Parcel: ~Copyable { let weight: Int }
        func weight(_ parcel: consuming Parcel?) -> Int {
            guard let parcel else { return 0 }
            return parcel.weight
        }
        let channel = RendezvousChannel<Parcel, Never>()
        let back = weight(channel.trySend(Parcel(weight: 1)).take())
        #expect(back == 1)
        async let isSent = channel.send(Parcel(weight: 2)).isSent
        let received = weight(try await channel.receive())
        #expect(received == 2)
        #expect(await isSent)
    }

    @Test("storm: tasks, timeouts and cancels; nothing lost, nothing twice, nobody left")
    func storm_losesNothing() async {
        let size = LaneSize("rendezvous.storm", plain: 40_000, sanitizer: 4_000, deep: 1_000_000)
        let clock = ManualClock()
        let channel = RendezvousChannel<Int, Never>(clock: clock)
        let share = size.count / 4
        let (sent, received) = await withTaskGroup(of: (Bool, Int, Int).self) { group in
            for producer in 0..<4 {
                group.addTask {
                    var (sum, count) = (0, 0)
                    for index in 0..<share {
                        let element = producer * share + index
                        if index % 16 == 5 { clock.advance(by: .seconds(1)) }
                        let isSent: Bool
                        switch index % 8 {
                        case 0: isSent = channel.trySend(element).isSent
                        case 1: isSent = await channel.send(element, timeout: .seconds(1)).isSent
                        case 2:
                            let task = Task { await channel.send(element).isSent }
                            task.cancel()
                            isSent = await task.value
                        default: isSent = await channel.send(element).isSent
                        }
                        if isSent { (sum, count) = (sum &+ element, count + 1) }
                    }
                    return (true, sum, count)
                }
            }
            for consumer in 0..<4 {
                group.addTask {
                    var (sum, count) = (0, 0)
                    var turn = consumer
                    while true {
                        turn += 1
                        var element: Int?
                        if turn % 4 == 0 {
                            do { element = try await channel.receive(timeout: .seconds(1)) } catch { continue }
                        } else {
                            element = try? await channel.receive()
                        }
                        guard let element else { return (false, sum, count) }
                        (sum, count) = (sum &+ element, count + 1)
                    }
                }
            }
            var (sent, received) = ((0, 0), (0, 0))
            var producers = 0
            for await (isProducer, sum, count) in group {
                if isProducer {
                    sent = (sent.0 &+ sum, sent.1 + count)
                    producers += 1
                    if producers == 4 { channel.finish() }
                } else {
                    received = (received.0 &+ sum, received.1 + count)
                }
            }
            return (sent, received)
        }
        #expect(sent == received && sent.1 > 0)
        let snapshot = channel.snapshot()
        #expect(snapshot.handedOver == UInt64(sent.1))
        #expect(snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0)
    }
}
