// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every primitive says how long its tasks waited, to the nanosecond on a manual clock, and how long the oldest has been
// waiting; an operation that does not wait leaves no trace.

import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import Backpressure

@Suite("wait times", .timeLimit(.minutes(10)))
struct WaitTimeTests {
    /// A histogram of one wait of 3 s.
    private func isThreeSeconds(_ waits: WaitHistogram) -> Bool {
        waits.count == 1 && waits.maximum == .seconds(3) && waits.p50 == .seconds(3) && waits.total == .seconds(3)
    }

    @Test("a channel's senders and receivers, and the age of the oldest")
    func channel() async throws {
        let clock = ManualClock()
        let channel = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
        let receiver = Task { try await channel.receive() }
        try await settle { channel.snapshot().waitingReceivers == 1 }
        clock.advance(by: .seconds(3))
        #expect(channel.snapshot().oldestReceiveWait == .seconds(3) && channel.snapshot().oldestSendWait == nil)
        _ = channel.trySend(1)
        #expect(try await receiver.value == 1)
        #expect(isThreeSeconds(channel.snapshot().receiveWaits) && channel.snapshot().sendWaits.isEmpty)

        _ = channel.trySend(2)
        let first = Task { await channel.send(3).isSent }
        try await settle { channel.snapshot().waitingSenders == 1 }
        clock.advance(by: .seconds(2))
        let second = Task { await channel.send(4, timeout: .seconds(5)).isSent }
        try await settle { channel.snapshot().waitingSenders == 2 }
        clock.advance(by: .seconds(1))
        #expect(channel.snapshot().oldestSendWait == .seconds(3))
        _ = channel.tryReceive()
        #expect(await first.value)
        #expect(isThreeSeconds(channel.snapshot().sendWaits) && channel.snapshot().oldestSendWait == .seconds(1))
        // A wait that comes to nothing was one, too.
        clock.advance(by: .seconds(4))
        #expect(await second.value == false)
        let waits = channel.snapshot().sendWaits
        #expect(waits.count == 2 && waits.total == .seconds(8) && waits.maximum == .seconds(5))
    }

    @Test("what does not wait is not measured, and makes nothing")
    func fastPath_leavesNoTrace() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        let semaphore = AsyncSemaphore(permits: 1)
        for number in 0..<100 {
            _ = await channel.send(number)
            _ = try await channel.receive()
            try await semaphore.withPermits {}
        }
        #expect(channel.snapshot().sendWaits.isEmpty && channel.snapshot().receiveWaits.isEmpty)
        #expect(semaphore.snapshot().waits.isEmpty && semaphore.snapshot().oldestWait == nil)
    }

    @Test("a select waits in the queue of each of its cases: its age is known, and its wait is in all of them")
    func select_countsInEveryQueue() async throws {
        let clock = ManualClock()
        let channel = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
        let full = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
        let meeting = RendezvousChannel<Int, Never>(clock: clock)
        _ = full.trySend(1)
        clock.advance(by: .seconds(60))
        let task = Task {
            try await Select<Int?>(
                .receive(from: channel) { $0 }, .send(2, to: full) { _ in nil }, .receive(from: meeting) { $0 }
            ).first()
        }
        try await settle { channel.snapshot().waitingReceivers + full.snapshot().waitingSenders == 2 }
        clock.advance(by: .seconds(3))
        #expect(channel.snapshot().oldestReceiveWait == .seconds(3) && full.snapshot().oldestSendWait == .seconds(3))
        try await settle { meeting.snapshot().waitingReceivers == 1 }
        _ = channel.trySend(1)
        #expect(try await task.value == 1)
        #expect(isThreeSeconds(channel.snapshot().receiveWaits) && channel.snapshot().receivesParked == 1)
        #expect(isThreeSeconds(full.snapshot().sendWaits) && full.snapshot().sendsParked == 1)
        #expect(meeting.snapshot().receiveWaits.count == 1)
        #expect(channel.snapshot().sendWaits.isEmpty && full.snapshot().receiveWaits.isEmpty)
    }

    @Test("a select that was cancelled or ran out of time has waited, one that found a case ready has not")
    func select_outcomes() async throws {
        let clock = ManualClock()
        let channel = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
        let select = { Task { try await Select<Int?>(.receive(from: channel) { $0 }).first(timeout: .seconds(3)) } }
        let late = select()
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(3))
        await #expect(throws: Rejection.timedOut) { try await late.value }
        #expect(isThreeSeconds(channel.snapshot().receiveWaits))
        let cancelled = select()
        try await settle { channel.snapshot().waitingReceivers == 1 }
        cancelled.cancel()
        await #expect(throws: Rejection.cancelled) { try await cancelled.value }
        #expect(channel.snapshot().receiveWaits.count == 2)
        _ = channel.trySend(1)
        #expect(try await select().value == 1 && channel.snapshot().receiveWaits.count == 2)
    }

    @Test("a rendezvous", arguments: [true, false])
    func rendezvous(isSender: Bool) async throws {
        let clock = ManualClock()
        let channel = RendezvousChannel<Int, Never>(clock: clock)
        let task = Task { if isSender { _ = await channel.send(1) } else { _ = try? await channel.receive() } }
        try await settle { channel.snapshot().waitingSenders + channel.snapshot().waitingReceivers == 1 }
        // The look before the sleep is over once the waiter is parked; it is not when the task still spins.
        clock.advance(by: .seconds(3))
        #expect((isSender ? channel.snapshot().oldestSendWait : channel.snapshot().oldestReceiveWait) == .seconds(3))
        if isSender { _ = channel.tryReceive() } else { _ = channel.trySend(1) }
        await task.value
        let (sends, receives) = (channel.snapshot().sendWaits, channel.snapshot().receiveWaits)
        #expect((isSender ? receives : sends).isEmpty)
        #expect((isSender ? sends : receives).isEmpty || isThreeSeconds(isSender ? sends : receives))
    }

    @Test("a buffered channel and a priority channel")
    func buffers() async throws {
        let clock = ManualClock()
        let buffered = BufferedChannel<Int, Never>(capacity: 1, clock: clock)
        let lanes = PriorityChannel<Int, Never>(
            capacity: 1, lanes: [PriorityLane(capacity: 1)], overflow: .suspend, clock: clock)
        let receiver = Task { try await buffered.receive() }
        _ = lanes.trySend(1, lane: 0)
        let sender = Task { await lanes.send(2, lane: 0).isSent }
        try await settle { buffered.snapshot().waitingReceivers == 1 && lanes.snapshot().waitingSenders == 1 }
        clock.advance(by: .seconds(3))
        #expect(buffered.snapshot().oldestReceiveWait == .seconds(3) && lanes.snapshot().oldestSendWait == .seconds(3))
        _ = buffered.trySend(1)
        _ = lanes.tryReceive()
        _ = try await receiver.value
        #expect(await sender.value)
        #expect(isThreeSeconds(buffered.snapshot().receiveWaits) && buffered.snapshot().sendWaits.isEmpty)
        #expect(isThreeSeconds(lanes.snapshot().sendWaits) && lanes.snapshot().receiveWaits.isEmpty)
    }

    @Test("permits, strict and called", arguments: [Fairness.fifo, .eventual(bypass: 4)])
    func semaphore(fairness: Fairness) async throws {
        let clock = ManualClock()
        let semaphore = AsyncSemaphore(permits: 1, fairness: fairness, clock: clock)
        let permit = try await semaphore.acquire()
        let task = Task { try await semaphore.withPermits {} }
        try await settle { semaphore.waiting == 1 }
        clock.advance(by: .seconds(3))
        #expect(semaphore.snapshot().oldestWait == .seconds(3))
        permit.release()
        try await task.value
        #expect(isThreeSeconds(semaphore.snapshot().waits) && semaphore.snapshot().oldestWait == nil)
    }

    @Test("tokens, of one limiter and of a keyed one")
    func tokens() async throws {
        let clock = ManualClock()
        let bucket = TokenBucket(rate: Rate(1, per: .seconds(3)), burst: 1, clock: clock)
        let keyed = KeyedRateLimiter<String>(rate: Rate(1, per: .seconds(3)), burst: 1, maxKeys: 8, clock: clock)
        #expect(bucket.tryAcquire(1).isAllowed && keyed.limiter(for: "a").tryAcquire(1).isAllowed)
        let one = Task { try await bucket.acquire(1) }
        let other = Task { try await keyed.limiter(for: "a").acquire(1) }
        try await settle { bucket.snapshot().waiting == 1 && keyed.snapshot().waiting == 1 }
        #expect(bucket.snapshot().oldestWait == .zero)
        await clock.sleepers(atLeast: 2)
        clock.advance(by: .seconds(3))
        try await one.value
        try await other.value
        #expect(isThreeSeconds(bucket.snapshot().waits) && isThreeSeconds(keyed.snapshot().waits))
    }

    @Test("calls of a limiter and of a bulkhead, and credits")
    func places() async throws {
        let clock = ManualClock()
        let limiter = ConcurrencyLimiter(FixedLimit(1), waiterLimit: 1, clock: clock)
        let window = CreditWindow(capacity: 1, clock: clock)
        guard let permit = limiter.tryAcquire(), let grant = window.grant(atLeast: 1) else {
            Issue.record("nothing to hold")
            return
        }
        let call = Task { try await limiter.run { 1 } }
        let want = Task { try await window.nextGrant(atLeast: 1).giveBack() }
        try await settle { limiter.snapshot().waiting == 1 && window.snapshot().waiting == 1 }
        clock.advance(by: .seconds(3))
        #expect(limiter.snapshot().oldestWait == .seconds(3) && window.snapshot().oldestWait == .seconds(3))
        permit.succeed()
        grant.giveBack()
        _ = try await call.value
        _ = try await want.value
        #expect(isThreeSeconds(limiter.snapshot().waits) && isThreeSeconds(window.snapshot().waits))
    }

    @Test("an observer hears of what suspends, with its place and its end, and of nothing else")
    func observer() async throws {
        let heard = Mutex<[String]>([])
        let observer = WaitObserver { wait in
            heard.withLock { $0.append("\(wait.kind) \(wait.position) \(wait.name ?? "-")") }
            return { outcome in heard.withLock { $0.append("\(outcome.rawValue)") } }
        }
        let semaphore = AsyncSemaphore(permits: 1, name: "slots")
        try await WaitObserver.$current.withValue(observer) {
            let permit = try await semaphore.acquire()
            #expect(heard.withLock { $0.isEmpty })
            let task = Task { try await semaphore.withPermits {} }
            try await settle { heard.withLock { $0.count == 1 } }
            task.cancel()
            _ = await task.result
            permit.release()
        }
        #expect(heard.withLock { $0 } == ["acquire 1 slots", "cancelled"])
    }
}
