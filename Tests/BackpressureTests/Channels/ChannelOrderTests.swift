// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Who comes first: elements of one sender, tasks that wait, and newcomers (contract 5).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: order and fairness", .timeLimit(.minutes(10)))
struct ChannelOrderTests {
    @Test("waiting senders are served in registration order (5)", arguments: ChannelConfiguration.fairnesses)
    func receive_whenManySendersWait_servesInRegistrationOrder(fairness: Fairness) {
        for capacity in [1, 2, 3, 7] {
            let bench = ChannelBench(capacity: capacity, fairness: fairness)
            let tickets = (0..<50).map { bench.send($0) }
            #expect(bench.snapshot.waitingSenders == 50 - capacity)
            var received: [Answer] = []
            for index in 0..<50 {
                if let answer = bench.receive(.none).answer { received.append(answer) }
                let served = tickets.prefix { $0.answer == .sent }.count
                #expect(served == min(50, capacity + index + 1))
                #expect(tickets.dropFirst(served).allSatisfy { $0.answer == nil })
            }
            #expect(received == (0..<50).map { .received($0) })
        }
    }

    @Test("waiting receivers are served in registration order (5)", arguments: ChannelConfiguration.fairnesses)
    func send_whenManyReceiversWait_servesInRegistrationOrder(fairness: Fairness) {
        let bench = ChannelBench(capacity: 3, fairness: fairness)
        let tickets = (0..<50).map { _ in bench.receive() }
        for element in 0..<50 { #expect(bench.send(element, .none).answer == .sent) }
        #expect(tickets.map(\.answer) == (0..<50).map { .received($0) })
    }

    @Test("a receiver ahead of the senders it has woken takes the lock for every other element at most")
    func receive_whenStewardIsLate_takesTheLockForTwo() {
        let bench = ChannelBench(capacity: 1, fairness: .eventual(bypass: 64))
        let core = bench.channel.core
        for element in 0..<41 { bench.send(element) }
        let before = core.state.withLock { $0.lockedOperations }
        for expected in 0..<40 {
            // What a receive does that would wait, on a thread of its own: no other task runs meanwhile.
            if bench.receive(.none, run: false).answer == .received(expected) { continue }
            var element = -1
            let outcome = withUnsafeMutableBytes(of: &element) { memory in
                memory.baseAddress.map { core.receive(into: $0, times: nil).0 }
            }
            #expect(outcome == .done && element == expected)
        }
        let locked = core.state.withLock { $0.lockedOperations } - before
        #expect(locked >= 15 && locked <= 21, "\(locked) of 40 receives took the lock")
        bench.executor.run()
        #expect(bench.drain() == [40] && bench.holdsNobody && bench.isGateOpen)
    }

    /// Two senders wait behind a full ring, the first is served and never runs, and the ring is emptied.
    private func benchWithStuckSender(capacity: Int) -> ChannelBench {
        let bench = ChannelBench(capacity: capacity, fairness: .eventual(bypass: 64))
        for element in 0..<capacity { bench.send(element, .none) }
        bench.send(100)
        bench.send(101)
        for element in Array(0..<capacity) + [100] {
            #expect(bench.receive(.none, run: false).answer == .received(element))
        }
        #expect(bench.executor.readyCount == 1)
        return bench
    }

    @Test("who would wait for a steward yields once, and a stuck one holds nobody up", arguments: [4, 9])
    func receive_whenStewardIsStuck_yieldsOnceAndPassesIt(capacity: Int) {
        let bench = benchWithStuckSender(capacity: capacity)
        let receiver = bench.receive(run: false)
        bench.executor.step(at: 1)
        #expect(receiver.answer == nil && bench.snapshot.waitingReceivers == 0 && bench.executor.readyCount == 2)
        // The yield, and the way back from it.
        for _ in 0..<2 { bench.executor.step(at: 1) }
        #expect(receiver.answer == .received(101))
        bench.executor.run()
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    @Test("a steward that runs meanwhile has served the next of its side, and brings its own")
    func receive_whenStewardRuns_getsWhatItBrought() {
        let bench = benchWithStuckSender(capacity: 4)
        let receiver = bench.receive(run: false)
        bench.executor.step(at: 1)
        bench.executor.step(at: 0)
        #expect(bench.send(102, .none, run: false).answer == .sent)
        bench.executor.run()
        #expect(receiver.answer == .received(101) && bench.drain() == [102])
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    @Test("a timeout of zero does not yield to a steward, and few places do not")
    func receive_whenItMayNotWaitOrManyWait_servesAtOnce() {
        for (capacity, patience) in [(4, Patience.timeout(.zero)), (1, .forever), (3, .forever)] {
            let bench = benchWithStuckSender(capacity: capacity)
            let receiver = bench.receive(patience, run: false)
            bench.executor.step(at: 1)
            #expect(receiver.answer == .received(101), "capacity \(capacity), \(patience)")
        }
    }

    @Test("a sender gives a receiver on its way a turn, and passes it if it is stuck")
    func send_whenStewardIsStuck_yieldsOnceAndPassesIt() {
        let bench = ChannelBench(capacity: 4, fairness: .eventual(bypass: 64))
        let waiting = [bench.receive(), bench.receive()]
        for element in 0..<5 { #expect(bench.send(element, .none, run: false).answer == .sent) }
        let sender = bench.send(5, run: false)
        #expect(bench.executor.readyCount == 2)
        bench.executor.step(at: 1)
        #expect(sender.answer == nil && bench.snapshot.waitingSenders == 0)
        for _ in 0..<2 { bench.executor.step(at: 1) }
        #expect(sender.answer == .sent)
        bench.executor.run()
        #expect(waiting.map(\.answer) == [.received(0), .received(1)] && bench.drain() == [2, 3, 4, 5])
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    @Test("order of waiters holds in any schedule of their tasks (5)", arguments: ChannelConfiguration.fairnesses)
    func sendsAndReceives_whenTasksRunInAnyOrder_elementsKeepRegistrationOrder(fairness: Fairness) {
        let size = LaneSize("channel.order.schedules \(fairness.bypass)", plain: 150, sanitizer: 30, deep: 20_000)
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed)
            let bench = ChannelBench(capacity: 1 + Int(seed % 3), fairness: fairness)
            let senders = (0..<12).map { bench.send($0) }
            var received: [Int] = []
            while received.count < 12 {
                switch bench.receive(.none, run: false).answer {
                case .received(let element): received.append(element)
                default: break
                }
                for _ in 0..<random.next(upperBound: UInt64(4)) where bench.executor.readyCount > 0 {
                    bench.executor.step(at: Int(random.next(upperBound: UInt64(bench.executor.readyCount))))
                }
            }
            bench.executor.run()
            #expect(received == Array(0..<12), "seed \(seed)")
            #expect(senders.allSatisfy { $0.answer == .sent } && bench.holdsNobody && bench.isGateOpen)
        }
    }

    @Test("fifo: a newcomer never passes a waiting sender (5)")
    func trySend_whenFifoAndRoomWasJustFreed_doesNotPass() {
        for capacity in [1, 2, 3] {
            let bench = ChannelBench(capacity: capacity, fairness: .fifo)
            for element in 0..<capacity { bench.send(element, .none) }
            let waiting = (0..<3).map { bench.send(100 + $0) }
            // The room that each receive frees belongs to the waiter, whether or not its task has run.
            for index in 0..<3 {
                #expect(
                    bench.receive(.none, run: false).answer
                        == (index < capacity ? .received(index) : .received(100 + index - capacity)))
                #expect(bench.send(999, .none, run: false).answer == .returned(999, .full))
            }
            bench.executor.run()
            #expect(waiting.allSatisfy { $0.answer == .sent })
            #expect(!bench.drain().contains(999))
        }
    }

    @Test("fifo: a newcomer never passes a waiting receiver (5)")
    func tryReceive_whenFifoAndReceiversWait_doesNotPass() {
        let bench = ChannelBench(capacity: 2, fairness: .fifo)
        let waiting = (0..<3).map { _ in bench.receive() }
        for element in 0..<3 {
            #expect(bench.send(element, .none, run: false).answer == .sent)
            #expect(bench.receive(.none, run: false).answer == .empty)
        }
        bench.executor.run()
        #expect(waiting.map(\.answer) == [.received(0), .received(1), .received(2)])
    }

    /// The steward's task is never run: newcomers alternate with receives and pass the first waiter as often as they
    /// can.
    @Test("eventual: at most B newcomers pass a waiting sender (5)", arguments: [0, 1, 2, 5, 64, 1024])
    func trySend_whenStewardSleeps_passesAtMostBypassTimes(bypass: Int) {
        for capacity in [1, 2, 3, 4, 8] {
            let bench = ChannelBench(capacity: capacity, fairness: .eventual(bypass: bypass))
            for element in 0..<capacity { bench.send(element, .none) }
            let waiting = (0..<3).map { bench.send(-1 - $0) }
            var passed = 0
            var order: [Int] = []
            for newcomer in 0..<(3 * (bypass + capacity) + 20) {
                if case .received(let element) = bench.receive(.none, run: false).answer { order.append(element) }
                if bench.send(1_000 + newcomer, .none, run: false).answer == .sent { passed += 1 }
            }
            let second = order.firstIndex(of: -2) ?? order.count
            let passedSecond = order[..<second].count { $0 >= 1_000 }
            #expect(passedSecond <= bypass, "capacity \(capacity): \(passedSecond) newcomers passed the second waiter")
            #expect(passed > 0 || bypass == 0 || capacity == 0)
            bench.executor.run()
            #expect(waiting.allSatisfy { $0.answer == .sent })
            order += bench.drain()
            #expect(order.filter { $0 < 0 } == [-1, -2, -3])
            #expect(order.filter { $0 >= 1_000 } == order.filter { $0 >= 1_000 }.sorted())
        }
    }

    @Test("eventual: at most B newcomers pass a waiting receiver (5)", arguments: [0, 1, 2, 5, 64, 1024])
    func tryReceive_whenStewardSleeps_passesAtMostBypassTimes(bypass: Int) {
        for capacity in [1, 2, 3, 8] {
            let bench = ChannelBench(capacity: capacity, fairness: .eventual(bypass: bypass))
            let waiting = (0..<3).map { _ in bench.receive() }
            var next = 0
            var passed: [Int] = []
            while next < 3 * bypass + 20 {
                if bench.send(next, .none, run: false).answer == .sent { next += 1 }
                if case .received(let element) = bench.receive(.none, run: false).answer { passed.append(element) }
            }
            bench.executor.run()
            #expect(waiting[0].answer == .received(0))
            guard case .received(let second) = waiting[1].answer else {
                Issue.record("capacity \(capacity): the second receiver was not served")
                continue
            }
            let before = passed.count { $0 < second }
            #expect(before <= bypass, "capacity \(capacity): \(before) newcomers passed the second waiter")
            #expect(waiting[2].answer != nil)
        }
    }

    @Test("per-sender order holds with real tasks (5)", arguments: ChannelConfiguration.fairnesses)
    func manySenders_everySendersElementsInOrder(fairness: Fairness) async {
        let size = LaneSize("channel.order.tasks \(fairness.bypass)", plain: 2_000, sanitizer: 300, deep: 200_000)
        for capacity in [1, 3, 8] {
            let channel = BoundedChannel<(Int, Int), Never>(capacity: capacity, fairness: fairness)
            let seen = await withTaskGroup(of: Void.self, returning: [Int: Int].self) { group in
                for sender in 0..<4 {
                    group.addTask { for number in 0..<size.count { _ = await channel.send((sender, number)) } }
                }
                let reader = Task {
                    var last: [Int: Int] = [:]
                    var disorder = 0
                    for await (sender, number) in channel {
                        if number != last[sender, default: -1] + 1 { disorder += 1 }
                        last[sender] = number
                    }
                    #expect(disorder == 0)
                    return last
                }
                await group.waitForAll()
                channel.finish()
                return await reader.value
            }
            #expect(seen == [0: size.count - 1, 1: size.count - 1, 2: size.count - 1, 3: size.count - 1])
        }
    }
}
