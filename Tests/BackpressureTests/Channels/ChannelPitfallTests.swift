// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other channels had, each with the test that shows ours has not.
//
// | row | bug | test |
// |---|---|---|
// | P1, P13 | cancel after hand-over resumes or counts twice | P1_cancelAfterGrant... |
// | P2 | a tombstone for every cancel that comes late | P2_lateCancels... |
// | P3 | a cancelled send loses its element | P3_cancelledSend... |
// | P4 | a cancelled send throws although its element is in | P4_cancelAfterTakeOver... |
// | P5 | a cancelled receive drops its element | P5_cancelAfterDelivery... |
// | P6 | one consumer's cancel ends the channel | P6_cancelOfOneReceiver... |
// | P7, golang/go#37852 | a cancelled head does not wake the next | P7_cancelledHead... |
// | P8 | a timeout that races loses what was granted | P8_timeoutAfterGrant... |
// | P9 | an early cancel leaves a wrong count | P9_cancelBeforeStart... |
// | P11 | the cancel comes late, by way of a task | P11_cancel..., WaiterWakeTests |
// | P12 | a timer started inside the continuation | ChannelTimeoutTests (10^5 timed waits, one timer) |
// | P14 | hook not called, called twice | ChannelHookTests, ChannelElementTests.moveOnly... |
// | tokio#8062 | `len` underflows | tokio8062_count..., and every check of the matrix |
// | tokio#8074, #2020, #1997 | empty instead of the end, the end instead of empty | tokio8074_tryReceive... |
// | tokio#8075, #2340 | room freed without a wake | P7, ChannelMatrixTests, tokio8075_timedOutHead... |
// | swift#66541, #75878, #87084 | finish does not reach all receivers | ChannelCloseTests.finish_whenReceiversWait_wakesAll |
// | NIO#2996 | the producer is told twice | NIO2996_oneWakeForOneElement |
// | flume#124 | the last message is lost | flume124_lastMessage... |
// | crossbeam#971, RUSTSEC-2025-0024 | double free as the channel goes | ChannelElementTests (lives and deaths) |
// | futures-rs#2998 | capacity plus producers | ChannelCapacityTests |
// | crossbeam#1146 | large elements overflow the stack | ChannelElementTests.large, crossbeam1146_smallStack |
// | AsyncThrowingChannel | only the first receive after fail throws | ChannelCloseTests.finishThrowing_everyLaterReceiveThrows |
// | 3.3 | resume or user code under the lock | ChannelHookTests, P11 (cancel inside an operation of another) |
// | 3.4 | trySend overtakes | ChannelOrderTests |
// | 3.7, tokio#2637 | memory follows the waiters of the past | P2_lateCancels... |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: pitfalls", .timeLimit(.minutes(10)))
struct ChannelPitfallTests {
    @Test("P1, P13: a cancel between hand-over and wake changes nothing", arguments: everyFairness)
    func P1_cancelAfterGrant_countsOnce(fairness: Fairness) {
        let bench = ChannelBench(capacity: 1, fairness: fairness)
        let receivers = [bench.receive(), bench.receive()]
        bench.send(1, .none, run: false)
        receivers[0].cancel()
        receivers[0].cancel()
        bench.executor.run()
        #expect(receivers[0].answer == .received(1) && receivers[1].answer == nil)
        bench.send(2, .none, run: false)
        bench.executor.run()
        receivers[1].cancel()
        #expect(receivers[1].answer == .received(2))
        #expect(bench.snapshot.receivesCancelled == 0 && bench.snapshot.received == 2 && bench.holdsNobody)
    }

    @Test("P2, 3.7: cancels leave nothing behind, early or late")
    func P2_lateCancels_leaveNoTombstone() {
        let bench = ChannelBench(capacity: 1)
        for round in 0..<500 {
            let ticket = bench.receive(run: round % 2 == 0)
            if round % 3 == 0 { bench.send(round, .none, run: false) }
            ticket.cancel()
            bench.executor.run()
            ticket.cancel()
            _ = bench.drain()
            #expect(ticket.answer != nil)
        }
        #expect(bench.holdsNobody && bench.isGateOpen && bench.snapshot.waitingReceivers == 0)
    }

    @Test("P3: a cancelled send gives its element back")
    func P3_cancelledSend_returnsElement() {
        let bench = ChannelBench(capacity: 1)
        bench.send(0, .none)
        let ticket = bench.send(1)
        ticket.cancel()
        bench.executor.run()
        #expect(ticket.answer == .returned(1, .cancelled) && bench.hookLog.value.isEmpty)
        #expect(bench.drain() == [0] && bench.snapshot.sendsCancelled == 1)
    }

    @Test("P4: a send whose element was taken over has been sent, cancelled or not", arguments: everyFairness)
    func P4_cancelAfterTakeOver_isSent(fairness: Fairness) {
        let bench = ChannelBench(capacity: 1, fairness: fairness)
        bench.send(0, .none)
        let tickets = [bench.send(1), bench.send(2)]
        #expect(bench.receive(.none, run: false).answer == .received(0))
        tickets[0].cancel()
        bench.executor.run()
        #expect(tickets[0].answer == .sent && tickets[1].answer == nil)
        #expect(bench.drain() == [1, 2])
        bench.executor.run()
        #expect(tickets[1].answer == .sent && bench.snapshot.sendsCancelled == 0)
    }

    @Test("P5: an element that was delivered is returned, cancelled or not", arguments: everyFairness)
    func P5_cancelAfterDelivery_returnsElement(fairness: Fairness) async {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        let channel = bench.channel
        let seen = Shared<[Int?]>([])
        let task = Task(executorPreference: bench.executor) {
            var iterator = channel.makeAsyncIterator()
            let element = try? await iterator.next()
            seen.update { $0.append(element) }
        }
        bench.executor.run()
        bench.send(1, .none, run: false)
        task.cancel()
        bench.executor.run()
        #expect(seen.value == [1])
    }

    @Test("P6: a cancelled receiver leaves the others and the buffer alone")
    func P6_cancelOfOneReceiver_leavesTheChannel() {
        let bench = ChannelBench(capacity: 2)
        let tickets = (0..<3).map { _ in bench.receive() }
        tickets[1].cancel()
        bench.executor.run()
        #expect(tickets.map(\.answer) == [nil, .rejected(.cancelled), nil] && !bench.channel.isClosed)
        for element in 0..<4 { bench.send(element, .none) }
        #expect(tickets.map(\.answer) == [.received(0), .rejected(.cancelled), .received(1)])
        #expect(bench.drain() == [2, 3])
    }

    @Test("P7, golang/go#37852: when the head leaves, the next is served", arguments: everyFairness)
    func P7_cancelledHead_nextIsServed(fairness: Fairness) {
        let bench = ChannelBench(capacity: 1, fairness: fairness)
        bench.send(0, .none)
        let senders = (1...3).map { bench.send($0) }
        senders[0].cancel()
        bench.executor.run()
        #expect(bench.receive(.none).answer == .received(0))
        #expect(senders.map(\.answer) == [.returned(1, .cancelled), .sent, nil])
        #expect(bench.receive(.none).answer == .received(2))
        #expect(senders[2].answer == .sent && bench.drain() == [3])
        let receivers = (0..<3).map { _ in bench.receive() }
        receivers[0].cancel()
        bench.send(9, .none)
        #expect(receivers.map(\.answer) == [.rejected(.cancelled), .received(9), nil])
        bench.channel.finish()
    }

    @Test("P7: the served head is cancelled before it runs: the next is served all the same", arguments: everyFairness)
    func P7_cancelledSteward_nextIsServed(fairness: Fairness) {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        for element in 0..<2 { bench.send(element, .none) }
        let senders = (2..<6).map { bench.send($0) }
        #expect(bench.receive(.none, run: false).answer == .received(0))
        senders[0].cancel()
        senders[1].cancel()
        #expect(bench.receive(.none, run: false).answer == .received(1))
        bench.executor.run()
        #expect(senders.map(\.answer) == [.sent, .returned(3, .cancelled), .sent, nil])
        #expect(bench.snapshot.isConsistent)
    }

    @Test("P8: a deadline that passes after the grant takes nothing back", arguments: everyFairness)
    func P8_timeoutAfterGrant_keepsGrant(fairness: Fairness) async {
        let bench = ChannelBench(capacity: 1, fairness: fairness)
        let receiver = bench.receive(.timeout(.seconds(1)))
        await bench.clock.sleepers(atLeast: 1)
        bench.send(1, .none, run: false)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { receiver.answer != nil })
        #expect(receiver.answer == .received(1) && bench.snapshot.receivesTimedOut == 0)
    }

    @Test("P9: a task cancelled before it starts: waits not at all, or succeeds if it need not wait")
    func P9_cancelBeforeStart_keepsCounts() {
        let bench = ChannelBench(capacity: 1)
        let (first, second) = (bench.send(1, run: false), bench.send(2, run: false))
        first.cancel()
        second.cancel()
        bench.executor.run()
        #expect(first.answer == .sent, "an operation that need not wait succeeds (7)")
        #expect(second.answer == .returned(2, .cancelled))
        let receivers = [bench.receive(run: false), bench.receive(run: false)]
        for receiver in receivers { receiver.cancel() }
        bench.executor.run()
        #expect(receivers.map(\.answer) == [.received(1), .rejected(.cancelled)])
        #expect(bench.holdsNobody && bench.isGateOpen && bench.snapshot.isConsistent)
    }

    @Test("P11: a cancel takes effect before `cancel()` returns")
    func P11_cancel_isSynchronous() {
        let bench = ChannelBench(capacity: 1)
        let receiver = bench.receive()
        receiver.cancel()
        #expect(bench.snapshot.waitingReceivers == 0 && bench.snapshot.receivesCancelled == 1)
        #expect(bench.send(1, .none, run: false).answer == .sent && bench.channel.count == 1)
        bench.executor.run()
        #expect(receiver.answer == .rejected(.cancelled) && bench.drain() == [1])
    }

    @Test("tokio#8062: count never leaves 0...N, with waiters and elements of every kind", arguments: everyFairness)
    func tokio8062_count_neverUnderflows(fairness: Fairness) {
        let bench = ChannelBench(capacity: 2, fairness: fairness)
        for step in 0..<60 {
            if step % 7 < 4 { bench.send(step, run: step % 2 == 0) } else { bench.receive(run: step % 3 == 0) }
            let (count, snapshot) = (bench.channel.count, bench.snapshot)
            #expect((0...2).contains(count) && snapshot.isConsistent && snapshot.depth == count)
        }
        bench.channel.cancel()
        bench.executor.run()
        #expect(bench.channel.count == 0 && bench.snapshot.isConsistent)
    }

    @Test("tokio#8074, #2020: `.finished` only when nothing will come, `.empty` only while something may")
    func tokio8074_tryReceive_tellsEmptyFromEnd() {
        let bench = ChannelBench(capacity: 2)
        #expect(bench.receive(.none).answer == .empty)
        bench.send(1, .none)
        bench.channel.finish()
        #expect(bench.receive(.none).answer == .received(1))
        #expect(bench.receive(.none).answer == .end)
        #expect(bench.receive(.timeout(.zero)).answer == .end)
    }

    @Test("tokio#8075: a head that times out makes way for the next")
    func tokio8075_timedOutHead_makesWay() async {
        let bench = ChannelBench(capacity: 1)
        bench.send(0, .none)
        let timed = bench.send(1, .timeout(.seconds(1)))
        let next = bench.send(2)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { timed.answer == .returned(1, .timedOut) })
        #expect(bench.receive(.none).answer == .received(0))
        #expect(next.answer == .sent)
    }

    @Test("NIO#2996: one element wakes one receiver, once")
    func NIO2996_oneWakeForOneElement() {
        let bench = ChannelBench(capacity: 4)
        let tickets = (0..<5).map { _ in bench.receive() }
        for element in 0..<5 {
            bench.send(element, .none)
            #expect(tickets.count { $0.answer != nil } == element + 1)
        }
    }

    @Test("flume#124: the last message before the end is never lost", arguments: everyFairness)
    func flume124_lastMessageBeforeTheEnd(fairness: Fairness) async {
        let size = LaneSize("channel.lastMessage \(fairness.bypass)", plain: 400, sanitizer: 80, deep: 100_000)
        for _ in 0..<size.count {
            let channel = BoundedChannel<Int, Never>(capacity: 1, fairness: fairness)
            let sender = Task {
                for number in 0..<3 { _ = await channel.send(number) }
                channel.finish()
            }
            var seen: [Int] = []
            for await element in channel { seen.append(element) }
            await sender.value
            guard seen == [0, 1, 2] else {
                Issue.record("received \(seen)")
                return
            }
        }
    }

    @Test("crossbeam#1146: 4 KiB elements on a small stack")
    func crossbeam1146_smallStack() {
        let channel = BoundedChannel<Large, Never>(capacity: 300)
        Threads.run(1, stackSize: Lane.current == .sanitizer ? 1 << 20 : 256 << 10) { _ in
            for number in 0..<300 { precondition(channel.trySend(Large(number)).isSent) }
            for number in 0..<300 { precondition(channel.tryReceive().take() == Large(number)) }
        }
        #expect(channel.count == 0)
    }
}
