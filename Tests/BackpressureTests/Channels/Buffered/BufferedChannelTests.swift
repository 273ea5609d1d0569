// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contracts of a buffered channel, one test each: cost, overflow, expiry.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

private typealias Hook = @Sendable (_ element: consuming sending Int, _ reason: Rejection) -> Void

private func log(_ shared: Shared<[Undelivered]>) -> Hook {
    { element, reason in
        let record = Undelivered(element: element, reason: reason)
        shared.update { $0.append(record) }
    }
}

extension AsyncSequence {
    fileprivate func all() async throws -> [Element] {
        var all: [Element] = []
        for try await element in self { all.append(element) }
        return all
    }
}

@Suite("buffered channel", .timeLimit(.minutes(10)))
struct BufferedChannelTests {
    // MARK: Cost

    @Test("the bound is on the sum of the costs, and on the number")
    func capacity_isOfCosts() {
        let channel = BufferedChannel<Int, Never>(capacity: 10, maxElements: 3, cost: { $0 })
        #expect(channel.trySend(6).isSent && channel.trySend(4).isSent)
        #expect(channel.cost == 10 && channel.count == 2)
        #expect(channel.trySend(1).reason == .full)
        // What costs nothing still counts as an element.
        #expect(channel.trySend(0).isSent)
        #expect(channel.trySend(0).reason == .full)
        #expect(channel.tryReceive().take() == 6)
        #expect(channel.trySend(6).isSent)
        #expect(channel.snapshot().isConsistent)
    }

    @Test("more than the capacity comes back at once, under every policy", arguments: [0, 1, 2, 3, 4, 5])
    func cost_aboveCapacity_exceedsLimit(policy: Int) async {
        let policies: [BufferedOverflowPolicy<Int>] = [
            .suspend, .suspend(for: .seconds(1)), .reject, .dropNewest, .dropOldest, .conflate { $0 + $1 },
        ]
        let channel = BufferedChannel<Int, Never>(capacity: 10, cost: { $0 }, overflow: policies[policy])
        #expect(channel.trySend(11).reason == .exceedsLimit)
        let answer = await channel.send(.max)
        #expect(answer.reason == .exceedsLimit && answer.take() == .max)
        #expect(channel.count == 0 && channel.snapshot().exceeded == 2)
    }

    @Test("a large element that waits is not passed by small ones, and goes in once there is room enough")
    func largeHead_isNotStarved() {
        let bench = BufferBench(
            BufferPlan(
                capacity: 10, maxElements: 10, lanes: [BufferPlan.Lane(bound: 10)],
                policy: BufferPolicy(action: .suspend)))
        for element in 1...5 { bench.send(element, cost: 2) }
        let large = bench.send(6, cost: 9)
        let small = bench.send(7, cost: 1)
        #expect(bench.send(8, cost: 1, .none).answer == .returned(8, .full))
        for element in 1...4 { #expect(bench.receive().answer == .received(element)) }
        #expect(large.answer == nil && small.answer == nil)
        #expect(bench.receive().answer == .received(5))
        #expect(large.answer == .sent && small.answer == .sent)
        #expect(bench.drain() == [6, 7])
        #expect(bench.isAtRest)
    }

    @Test("cancelling a large head lets the next one in")
    func cancelledHead_promotesTheNext() {
        let bench = BufferBench(
            BufferPlan(
                capacity: 4, maxElements: 4, lanes: [BufferPlan.Lane(bound: 4)], policy: BufferPolicy(action: .suspend))
        )
        bench.send(1, cost: 3)
        let large = bench.send(2, cost: 4)
        let small = bench.send(3, cost: 1)
        large.cancel()
        bench.executor.run()
        #expect(large.answer == .returned(2, .cancelled))
        #expect(small.answer == .sent)
    }

    @Test("cost and class are asked once for each send, and not under the lock")
    func cost_isComputedOutside() async {
        let calls = Shared(0)
        let box = Shared<BufferedChannel<Int, Never>?>(nil)
        let channel = BufferedChannel<Int, Never>(
            capacity: 4,
            cost: { element in
                calls.update { $0 += 1 }
                return (box.value?.count ?? 0) < 100 ? element : 1
            })
        box.update { $0 = channel }
        _ = await channel.send(2)
        _ = channel.trySend(1)
        #expect(calls.value == 2 && channel.cost == 3)
        box.update { $0 = nil }
    }

    // MARK: Overflow

    @Test("dropOldest evicts as many as it takes, each to the hook once")
    func dropOldest_evictsUntilItFits() {
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(
            capacity: 10, cost: { $0 }, overflow: .dropOldest, onUndelivered: log(hook))
        for element in [3, 2, 4, 1] { #expect(channel.trySend(element).isSent) }
        #expect(channel.trySend(6).isSent)
        #expect(hook.value == [3, 2, 4].map { Undelivered(element: $0, reason: .evicted) })
        #expect(channel.tryReceive().take() == 1 && channel.tryReceive().take() == 6)
        #expect(channel.snapshot().isConsistent)
    }

    @Test("dropNewest and reject say what became of the arriving element")
    func dropNewest_andReject() async {
        let hook = Shared<[Undelivered]>([])
        let dropping = BufferedChannel<Int, Never>(capacity: 1, overflow: .dropNewest, onUndelivered: log(hook))
        _ = await dropping.send(1)
        guard case .dropped = await dropping.send(2) else { return #expect(Bool(false), "it was not dropped") }
        #expect(hook.value == [Undelivered(element: 2, reason: .full)] && dropping.snapshot().droppedNewest == 1)
        let rejecting = BufferedChannel<Int, Never>(capacity: 1, overflow: .reject)
        _ = await rejecting.send(1)
        let answer = await rejecting.send(2)
        #expect(answer.reason == .full && rejecting.snapshot().refused == 1)
    }

    @Test("conflate merges into the newest, outside the lock: the function may use the channel")
    func conflate_mergesOutsideTheLock() {
        let box = Shared<BufferedChannel<[Int], Never>?>(nil)
        let channel = BufferedChannel<[Int], Never>(
            capacity: 2, overflow: .conflate { queued, arriving in queued + arriving + [-(box.value?.count ?? 0)] })
        box.update { $0 = channel }
        for element in 1...4 { #expect(channel.trySend([element]).isSent) }
        #expect(channel.tryReceive().take() == [1])
        #expect(channel.tryReceive().take() == [2, 3, -2, 4, -2])
        let snapshot = channel.snapshot()
        #expect(snapshot.conflated == 2 && snapshot.isConsistent)
        box.update { $0 = nil }
    }

    @Test("a merge that was overtaken is done again, and nothing is lost or counted twice")
    func conflate_isRepeatedWhenOvertaken() {
        let box = Shared<BufferedChannel<Int, Never>?>(nil)
        let calls = Shared(0)
        let channel = BufferedChannel<Int, Never>(
            capacity: 1,
            overflow: .conflate { queued, arriving in
                // The first time, a receiver takes the queued element in the middle of it.
                if calls.update({
                    $0 += 1; return $0
                }) == 1 {
                    #expect(box.value?.tryReceive().take() == 1)
                }
                return queued + arriving
            })
        box.update { $0 = channel }
        _ = channel.trySend(1)
        #expect(channel.trySend(10).isSent)
        #expect(channel.tryReceive().take() == 10)
        let snapshot = channel.snapshot()
        #expect(snapshot.conflated == 0 && snapshot.received == 2 && snapshot.isConsistent)
        box.update { $0 = nil }
    }

    @Test("conflate keeps every number, whoever sends and receives meanwhile")
    func conflate_fromThreads() {
        let size = LaneSize("buffer.conflate", plain: 4_000, sanitizer: 800, deep: 1_000_000)
        let channel = BufferedChannel<Int, Never>(capacity: 2, overflow: .conflate { $0 + $1 })
        let sum = Shared(0)
        let senders = Shared(3)
        Threads.run(4) { thread in
            if thread < 3 {
                for _ in 0..<size.count { _ = channel.trySend(1) }
                senders.update { $0 -= 1 }
            } else {
                while true {
                    let isOver = senders.value == 0
                    guard let number = channel.tryReceive().take() else {
                        if isOver { return }
                        continue
                    }
                    sum.update { $0 += number }
                }
            }
        }
        let snapshot = channel.snapshot()
        #expect(sum.value == 3 * size.count)
        #expect(snapshot.sent == UInt64(3 * size.count) && snapshot.isConsistent)
    }

    @Test("the least important class pays, its newest element first, or the arriving one")
    func dropLowest_byClass() {
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(
            capacity: 4, overflow: .dropLowest(classes: 3, classOf: { $0 / 100 }), onUndelivered: log(hook))
        for element in [200, 1, 201, 100] { #expect(channel.trySend(element).isSent) }
        #expect(channel.trySend(2).isSent)
        #expect(channel.trySend(101).isSent)
        guard case .dropped = channel.trySend(102) else { return #expect(Bool(false), "it was not dropped") }
        #expect(channel.trySend(3).isSent)
        #expect(
            hook.value == [
                Undelivered(element: 201, reason: .evicted), Undelivered(element: 200, reason: .evicted),
                Undelivered(element: 102, reason: .full), Undelivered(element: 101, reason: .evicted),
            ])
        // In order of arrival, whatever the class.
        var rest: [Int] = []
        while let element = channel.tryReceive().take() { rest.append(element) }
        #expect(rest == [1, 100, 2, 3])
        #expect(channel.snapshot().isConsistent)
    }

    @Test("dropLowest evicts nothing if that would not be enough")
    func dropLowest_isAllOrNothing() {
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(
            capacity: 10, cost: { $0 % 100 },
            overflow: .dropLowest(classes: 2, otherwise: .reject, classOf: { $0 / 100 }),
            onUndelivered: log(hook))
        _ = channel.trySend(7)
        _ = channel.trySend(103)
        #expect(channel.trySend(4).reason == .full && hook.value.isEmpty)
        #expect(channel.trySend(3).isSent && hook.value.map(\.element) == [103])
    }

    @Test("suspend(for:) waits, and then drops; a timeout of the call that ends first brings the element back")
    func suspendForAWhile_thenDrops() async throws {
        let clock = ManualClock()
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(
            capacity: 1, overflow: .suspend(for: .seconds(5)), clock: clock, onUndelivered: log(hook))
        _ = await channel.send(1)
        let dropped = Task { await channel.send(2) }
        try await settle { channel.snapshot().waitingSenders == 1 }
        let returned = Task { await channel.send(3, timeout: .seconds(2)) }
        try await settle { channel.snapshot().waitingSenders == 2 }
        try await settle { clock.nextDeadline?.offset == .seconds(2) }
        clock.advance(by: .seconds(2))
        #expect(await returned.value.reason == .timedOut)
        try await settle { clock.nextDeadline?.offset == .seconds(5) }
        clock.advance(by: .seconds(3))
        guard case .dropped = await dropped.value else { return #expect(Bool(false), "it was not dropped") }
        #expect(hook.value == [Undelivered(element: 2, reason: .timedOut)])
        #expect(channel.snapshot().droppedNewest == 1 && channel.snapshot().sendsTimedOut == 1)
    }

    // MARK: Expiry

    @Test("an expired element never reaches a receiver, goes to the hook once, and is counted")
    func expired_goesToTheHook() {
        let clock = ManualClock()
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(capacity: 8, clock: clock, onUndelivered: log(hook))
        _ = channel.trySend(1, ttl: .seconds(1))
        _ = channel.trySend(2)
        _ = channel.trySend(3, expiresAt: ManualClock.Instant(offset: .seconds(2)))
        _ = channel.trySend(4, ttl: .seconds(10))
        // Set, not waited for: the receive itself must see it, whether or not the timer rang.
        clock.set(to: ManualClock.Instant(offset: .seconds(2)))
        #expect(channel.tryReceive().take() == 2)
        #expect(channel.tryReceive().take() == 4)
        #expect(Set(hook.value) == Set([1, 3].map { Undelivered(element: $0, reason: .expired) }))
        #expect(hook.value.count == 2)
        let snapshot = channel.snapshot()
        #expect(snapshot.expired == 2 && snapshot.isConsistent)
    }

    @Test("the timer frees the room of what expired: a sender that waits goes in, with no other operation")
    func expiry_freesRoomInTime() async throws {
        let clock = ManualClock()
        let channel = BufferedChannel<Int, Never>(capacity: 1, ttl: .seconds(3), clock: clock)
        _ = await channel.send(1)
        let waiting = Task { await channel.send(2, ttl: .seconds(60)) }
        try await settle { channel.snapshot().waitingSenders == 1 }
        try await settle { clock.nextDeadline?.offset == .seconds(3) }
        clock.advance(by: .seconds(3))
        #expect(await waiting.value.isSent)
        #expect(channel.snapshot().expired == 1 && channel.count == 1)
        #expect(channel.tryReceive().take() == 2)
    }

    @Test("room of what has expired is had by a send that does not wait, before any policy is asked")
    func expired_makesRoomFirst() {
        let clock = ManualClock()
        let channel = BufferedChannel<Int, Never>(capacity: 1, overflow: .reject, clock: clock)
        _ = channel.trySend(1, ttl: .seconds(1))
        #expect(channel.trySend(2).reason == .full)
        clock.set(to: ManualClock.Instant(offset: .seconds(1)))
        #expect(channel.trySend(2).isSent)
    }

    @Test("an element that expires before it is taken over comes back to its sender")
    func expired_beforeTakenOver_comesBack() async throws {
        let clock = ManualClock()
        let channel = BufferedChannel<Int, Never>(capacity: 1, clock: clock)
        let now = channel.trySend(1, ttl: .zero)
        #expect(now.reason == .expired && now.take() == 1)
        let past = channel.trySend(2, expiresAt: ManualClock.Instant(offset: .seconds(-5)))
        #expect(past.reason == .expired)
        _ = await channel.send(3)
        let waiting = Task { await channel.send(4, ttl: .seconds(2), timeout: .seconds(9)) }
        try await settle { clock.nextDeadline?.offset == .seconds(2) }
        clock.advance(by: .seconds(2))
        let answer = await waiting.value
        #expect(answer.reason == .expired && answer.take() == 4)
        let snapshot = channel.snapshot()
        #expect(snapshot.sendsExpired == 3 && snapshot.expired == 0 && snapshot.isConsistent)
    }

    @Test("a million years is no overflow, and an element that lives for ever arms no timer")
    func ttl_isSaturating() {
        let clock = ManualClock()
        let channel = BufferedChannel<Int, Never>(capacity: 2, clock: clock)
        _ = channel.trySend(1, ttl: .seconds(Int64.max))
        _ = channel.trySend(2)
        #expect(channel.door.core.timer.startedTasks == 0)
        clock.set(to: ManualClock.Instant(offset: .seconds(1 << 40)))
        #expect(channel.tryReceive().take() == 1)
    }

    // MARK: What every channel promises

    @Test("loops, ends and errors are those of every channel")
    func verbs_areThoseOfEveryChannel() async throws {
        let channel = BufferedChannel<Int, TestFailure>(capacity: 4)
        let ended = Task { try? await channel.untilFinished() }
        for number in 1...4 { try await channel.sendOrThrow(number) }
        channel.finish(throwing: TestFailure())
        await ended.value
        let answer = await channel.send(5)
        #expect(answer.reason == .finished && channel.isClosed)
        var seen: [Int] = []
        await #expect(throws: TestFailure()) {
            for try await number in channel { seen.append(number) }
        }
        #expect(seen == [1, 2, 3, 4])
        await #expect(throws: ReceiveError<TestFailure>.failed(TestFailure())) { _ = try await channel.receive() }
        await #expect(throws: Never.self) { try await channel.untilFinished() }
    }

    @Test("a receive ends by its timeout, by cancellation, and loses nothing")
    func receive_canEnd() async throws {
        let clock = ManualClock()
        let channel = BufferedChannel<Int, Never>(capacity: 1, clock: clock)
        let timed = Task { try await channel.receive(timeout: .seconds(1)) }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(1))
        await #expect(throws: ReceiveError<Never>.rejected(.timedOut)) { try await timed.value }
        let cancelled = Task { try await channel.receive(deadline: ManualClock.Instant(offset: .seconds(99))) }
        try await settle { channel.snapshot().waitingReceivers == 1 }
        cancelled.cancel()
        await #expect(throws: ReceiveError<Never>.rejected(.cancelled)) { try await cancelled.value }
        _ = channel.trySend(1)
        #expect(try await channel.receive() == 1)
        let watching = Task { try await channel.untilFinished() }
        watching.cancel()
        await #expect(throws: Rejection.cancelled) { try await watching.value }
    }

    @Test("cancel hands what is in to the hook, in order, and wakes everybody")
    func cancel_dropsToTheHook() async throws {
        let hook = Shared<[Undelivered]>([])
        let channel = BufferedChannel<Int, Never>(capacity: 3, onUndelivered: log(hook))
        for number in 1...3 { _ = await channel.send(number) }
        let waiting = Task { await channel.send(4) }
        try await settle { channel.snapshot().waitingSenders == 1 }
        channel.cancel()
        channel.cancel()
        #expect(await waiting.value.reason == .abandoned)
        #expect(hook.value == (1...3).map { Undelivered(element: $0, reason: .abandoned) })
        #expect(try await channel.receive() == nil)
        #expect(channel.snapshot().abandoned == 3 && channel.snapshot().isConsistent)
    }

    @Test("elements that cannot be copied live and die once, wherever they end")
    func moveOnly_livesOnce() async throws {
        let count = LifeCount()
        let clock = ManualClock()
        do {
            let channel = BufferedChannel<MoveOnly, Never>(
                capacity: 3, overflow: .dropOldest, clock: clock, onUndelivered: { element, _ in _ = element.number })
            for number in 0..<5 { _ = await channel.send(MoveOnly(number, count)) }
            _ = channel.trySend(MoveOnly(5, count), ttl: .seconds(1))
            #expect(count.alive == 3)
            clock.set(to: ManualClock.Instant(offset: .seconds(1)))
            if let element = try await channel.receive() {
                let number = element.number
                #expect(number == 3)
            } else {
                Issue.record("nothing was received")
            }
            #expect(channel.snapshot().expired == 1)
        }
        #expect(count.made == 6 && count.alive == 0)
    }

    @Test("classes, large and padded elements come out as they went in; nothing leaks")
    func elementKinds_survive() {
        let count = LifeCount()
        let classes = BufferedChannel<Counted, Never>(capacity: 2, overflow: .dropOldest)
        for number in 0..<10 { _ = classes.trySend(Counted(number, count)) }
        #expect(count.alive == 2 && classes.tryReceive().take()?.number == 8)
        classes.cancel()
        #expect(count.alive == 0)
        let large = BufferedChannel<Large, Never>(capacity: 2, overflow: .dropOldest)
        for number in 0..<5 { _ = large.trySend(Large(number)) }
        #expect(large.tryReceive().take() == Large(3) && large.tryReceive().take() == Large(4))
        let padded = BufferedChannel<Padded, Never>(capacity: 2, overflow: .conflate { _, new in new })
        for number in 0..<5 { _ = padded.trySend(Padded(number)) }
        #expect(padded.tryReceive().take() == Padded(0) && padded.tryReceive().take() == Padded(4))
        let isolated = BufferedChannel<NotSendable, Never>(capacity: 1)
        _ = isolated.trySend(NotSendable(7))
        #expect(isolated.tryReceive().take()?.number == 7)
        let empty = BufferedChannel<Void, Never>(capacity: 2)
        _ = empty.trySend(())
        #expect(empty.count == 1 && empty.tryReceive().take() != nil)
    }

    @Test("what is left in a channel that goes away goes to the hook")
    func deinit_drainsToTheHook() {
        let hook = Shared<[Undelivered]>([])
        do {
            let channel = BufferedChannel<Int, Never>(capacity: 3, onUndelivered: log(hook))
            _ = channel.trySend(1)
            _ = channel.trySend(2, ttl: .seconds(1_000))
        }
        #expect(hook.value == [1, 2].map { Undelivered(element: $0, reason: .abandoned) })
    }

    @Test("the hook may use the channel")
    func hook_isReentrant() {
        let box = Shared<BufferedChannel<Int, Never>?>(nil)
        let channel = BufferedChannel<Int, Never>(
            capacity: 1, overflow: .dropOldest,
            onUndelivered: { element, _ in
                if element < 3 { _ = box.value?.trySend(element + 2) }
            })
        box.update { $0 = channel }
        _ = channel.trySend(1)
        _ = channel.trySend(2)  // drops 1, which sends 3, which drops 2, which sends 4, which drops 3
        #expect(channel.tryReceive().take() == 4)
        #expect(channel.snapshot().isConsistent)
        box.update { $0 = nil }
    }

    @Test("a huge bound costs what is used of it")
    func hugeBound_isLazy() {
        let channel = BufferedChannel<Int, Never>(capacity: 1 << 40, maxElements: 1 << 28, cost: { $0 })
        #expect(channel.trySend(1 << 40).isSent && channel.trySend(1).reason == .full)
        #expect(channel.tryReceive().take() == 1 << 40)
    }

    @Test("a task that never waits yields now and then")
    func longLoops_yield() async {
        let channel = BufferedChannel<Int, Never>(capacity: 4)
        let executor = StepExecutor()
        let others = Shared(0)
        let done = Shared(false)
        let loop = Task(executorPreference: executor) {
            for number in 0..<70_000 {
                _ = await channel.send(number)
                _ = try? await channel.receive()
            }
            done.update { $0 = true }
        }
        // One step after the other: the loop comes back as a ready job each time it yields.
        for _ in 0..<64 where !done.value {
            if executor.step() { others.update { $0 += 1 } }
        }
        await loop.value
        #expect(done.value && others.value >= 4)
    }
}
