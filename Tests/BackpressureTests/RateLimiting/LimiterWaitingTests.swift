// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting for tokens: order, deadlines, cancellation, live changes (contracts 3, 4, 6, 7).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("rate limiting: waiting", .timeLimit(.minutes(10)))
struct LimiterWaitingTests {
    @Test("waiting tasks are served in order, each at its instant and not before (3, 4)")
    func acquire_inOrder_atItsInstant() async throws {
        let bench = bucketBench(tokens: 1)
        let tickets = [2, 1, 3].map { bench.acquire($0) }
        #expect(tickets.allSatisfy { $0.outcome == nil } && bench.waiting == 3)
        // One token is there; the first needs another, at 100 ms; the next is there at 200 ms, the last at 500 ms.
        for (index, wait) in [100, 100, 300].enumerated() {
            _ = try await bench.advance(by: .milliseconds(wait) - .nanoseconds(1)) { true }
            #expect(tickets[index].outcome == nil, "ticket \(index)")
            #expect(try await bench.advance(by: .nanoseconds(1)) { tickets[index].isAcquired }, "ticket \(index)")
        }
        #expect(bench.waiting == 0 && bench.limiter.snapshot().available == 0)
        #expect(bench.limiter.core.timer.startedTasks == 1, "one timer for whoever is first")
    }

    @Test("a newcomer never passes a waiting task, even when there is a token for it (3, 5)")
    func tryAcquire_whileOneWaits_isDenied() async throws {
        let bench = bucketBench(tokens: 1)
        let large = bench.acquire(5)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .milliseconds(500)), "behind four more, and itself")
        #expect(bench.limiter.peek(1) == .denied(retryAfter: .milliseconds(500)))
        #expect(bench.limiter.tryAcquire(upTo: 9) == 0 && bench.limiter.drain() == 0)
        #expect(bench.limiter.snapshot().available == -4)
        #expect(try await bench.advance(by: .milliseconds(400)) { large.isAcquired })
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .milliseconds(100)))
    }

    @Test("a request whose tokens would come too late is refused before it waits (4)")
    func acquire_whenTooLate_isRefusedAtOnce() async {
        let bench = bucketBench(tokens: 0)
        let ahead = bench.acquire(2)
        let late = bench.acquire(1, timeout: .milliseconds(300) - .nanoseconds(1))
        #expect(late.outcome == .failed(.tooLate(retryAfter: .milliseconds(300))))
        let justInTime = bench.acquire(1, timeout: .milliseconds(300))
        #expect(justInTime.outcome == nil && ahead.outcome == nil)
        #expect(bench.acquire(6).outcome == .failed(.exceedsLimit(5)))
        for timeout in [Duration.zero, .seconds(-1), .seconds(Int64.min)] {
            #expect(bench.acquire(1, timeout: timeout).outcome == .failed(.tooLate(retryAfter: .milliseconds(400))))
        }
        #expect(bench.waiting == 2 && bench.limiter.snapshot().refused == 4)
        ahead.cancel()
        justInTime.cancel()
        bench.executor.run()
    }

    @Test("a deadline is an instant of the limiter's clock; what need not wait succeeds after it (4, 7)")
    func acquire_deadline() async throws {
        let bench = bucketBench(tokens: 1)
        let (limiter, clock) = (bench.limiter, bench.clock)
        try await limiter.acquire(deadline: clock.now)
        await #expect(throws: RateLimitError.tooLate(retryAfter: .milliseconds(100))) {
            try await limiter.acquire(deadline: clock.now.advanced(by: .milliseconds(99)))
        }
        let task = Task { try await limiter.acquire(deadline: clock.now.advanced(by: .milliseconds(100))) }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .milliseconds(100))
        try await task.value
    }

    @Test("a wait that grows longer meanwhile ends at its deadline, and the next one is judged (4)")
    func acquire_whenDelayedMeanwhile_timesOut() async throws {
        let bench = bucketBench(tokens: 0)
        let first = bench.acquire(1, timeout: .milliseconds(150))
        let second = bench.acquire(1)
        bench.limiter.penalize(10)
        #expect(
            try await bench.advance(by: .milliseconds(150)) { first.outcome == .failed(.rejected(.timedOut)) })
        #expect(second.outcome == nil && bench.limiter.snapshot().timedOut == 1)
        #expect(try await bench.advance(by: .milliseconds(950)) { second.isAcquired })
    }

    @Test("cancelling takes no tokens, and whoever is behind moves up (4)")
    func cancel_movesTheNextUp() async throws {
        let bench = bucketBench(tokens: 0)
        let tickets = (0..<3).map { _ in bench.acquire(2) }
        try await settle { bench.clock.sleeperCount == 1 }
        bench.clock.advance(by: .milliseconds(100))
        tickets[0].cancel()
        bench.executor.run()
        #expect(tickets[0].isCancelled && tickets[1].outcome == nil)
        // The token that came in meanwhile is the next one's.
        #expect(try await bench.advance(by: .milliseconds(100)) { tickets[1].isAcquired })
        tickets[2].cancel()
        bench.executor.run()
        #expect(tickets[2].isCancelled && bench.waiting == 0)
        #expect(bench.limiter.snapshot().available == 0 && bench.limiter.snapshot().cancelled == 2)
    }

    @Test("a cancelled task that need not wait succeeds; one granted first keeps its tokens (2, 7)")
    func cancel_afterGrant_isGranted() async throws {
        let bench = bucketBench(tokens: 1)
        let quick = bench.acquire(1, run: false)
        quick.cancel()
        bench.executor.run()
        #expect(quick.isAcquired)
        let granted = bench.acquire(1)
        bench.limiter.refund(1)
        granted.cancel()
        bench.executor.run()
        #expect(granted.isAcquired && bench.limiter.snapshot().available == 0)
    }

    @Test("refund serves the waiting, penalty delays them; a full bucket stays full")
    func refund_servesWaiting() {
        let bench = bucketBench(tokens: 0)
        let tickets = [bench.acquire(2), bench.acquire(1)]
        bench.limiter.refund(2)
        bench.executor.run()
        #expect(tickets[0].isAcquired && tickets[1].outcome == nil)
        bench.limiter.refund(100)
        bench.executor.run()
        #expect(
            tickets[1].isAcquired && bench.limiter.snapshot().available == 4, "full, and one of it for the waiting task"
        )
        bench.limiter.penalize(6)
        #expect(bench.limiter.snapshot().available == -2)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .milliseconds(300)))
    }

    @Test("a live change of the rate judges the waiting anew, faster or slower")
    func setRate_whileOneWaits() async throws {
        let bench = bucketBench(tokens: 0)
        let first = bench.acquire(2)
        bench.limiter.setRate(.perSecond(1), burst: 3)
        #expect(bench.limiter.rate == .perSecond(1) && bench.limiter.burst == 3)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .seconds(3)))
        _ = try await bench.advance(by: .milliseconds(1_999)) { true }
        #expect(first.outcome == nil)
        bench.limiter.setRate(.perSecond(1_000))
        #expect(try await bench.advance(by: .milliseconds(1)) { first.isAcquired })
        // A task that wants more than the new burst is not served before it grows again.
        let large = bench.acquire(3)
        bench.limiter.setRate(.perSecond(1_000), burst: 2)
        bench.clock.advance(by: .seconds(10))
        bench.executor.run()
        #expect(large.outcome == nil)
        bench.limiter.setRate(.perSecond(1_000), burst: 3)
        #expect(try await bench.advance(by: .milliseconds(1)) { large.isAcquired })
    }

    @Test("without a rate a task waits until there is one; the unlimited serve all")
    func setRate_fromZero() {
        let bench = bucketBench(rate: .zero, burst: 2, tokens: 0)
        let tickets = [bench.acquire(1), bench.acquire(2), bench.acquire(2)]
        #expect(bench.acquire(1, timeout: .seconds(1 << 40)).outcome == nil, "no deadline that long is ever too soon")
        bench.limiter.setRate(.unlimited)
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.isAcquired } && bench.waiting == 0)
    }

    @Test("no more tasks wait than may")
    func acquire_whenTooManyWait_isRejected() {
        let bench = bucketBench(tokens: 0, maxWaiters: 2)
        let tickets = (0..<3).map { _ in bench.acquire(1) }
        #expect(tickets[2].outcome == .failed(.rejected(.full)) && bench.waiting == 2)
        for ticket in tickets { ticket.cancel() }
        bench.executor.run()
    }

    @Test("debt: a request may overdraw by so much, and everybody waits it out")
    func acquire_allowingDebt() async throws {
        let bench = bucketBench(tokens: 1)
        #expect(bench.limiter.tryAcquire(4, allowingDebt: 2) == .denied(retryAfter: .milliseconds(100)))
        #expect(bench.limiter.tryAcquire(4, allowingDebt: 3) == .allowed)
        #expect(bench.limiter.snapshot().available == -3)
        #expect(bench.limiter.tryAcquire(9, allowingDebt: 3) == .exceedsLimit(5))
        let ticket = bench.acquire(7, debt: 2)
        #expect(try await bench.advance(by: .milliseconds(800)) { ticket.isAcquired })
        #expect(bench.limiter.snapshot().available == -2)
        #expect(bench.limiter.tryAcquire(1, allowingDebt: .max).isAllowed, "a debt without a bound")
    }

    @Test("jitter waits a random time of at most so much more")
    func acquire_jitter() async throws {
        let bench = bucketBench(tokens: 1)
        let (limiter, clock) = (bench.limiter, bench.clock)
        try await limiter.acquire(jitter: .zero)
        limiter.refund(1)
        let task = Task { try await limiter.acquire(jitter: .seconds(1)) }
        // With one chance in 10^9 there is nothing to wait for.
        try await settle { clock.sleeperCount == 1 || limiter.snapshot().available == 0 }
        #expect(clock.nextDeadline.map { $0.offset <= .seconds(1) } ?? true)
        try await settle { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(1))
        try await task.value
    }

    @Test("an observer is told of all that happens, and may use the limiter")
    func observer_isTold() async throws {
        let clock = ManualClock()
        let log = Shared<[RateEvent]>([])
        let limiter = TokenBucket(rate: tenPerSecond, burst: 2, clock: clock) { event in log.update { $0.append(event) }
        }
        _ = limiter.tryAcquire(2)
        _ = limiter.tryAcquire()
        let waiting = Task { try await limiter.acquire() }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .milliseconds(100))
        try await waiting.value
        let cancelled = Task { try await limiter.acquire(2) }
        try await settle { limiter.snapshot().waiting == 1 }
        cancelled.cancel()
        _ = await cancelled.result
        #expect(
            log.value == [.allowed(2), .denied(1), .parked(1), .granted(1), .parked(2), .abandoned(2)])
    }

    @Test("many waiting tasks: cancelling them from the back is flat, none is left")
    func cancel_ofMany() {
        let size = LaneSize("rate.waiters", plain: 5_000, sanitizer: 1_000, deep: 100_000)
        let bench = bucketBench(tokens: 0)
        let tickets = (0..<size.count).map { _ in bench.acquire(1, run: false) }
        bench.executor.run()
        #expect(bench.waiting == size.count && bench.limiter.core.timer.startedTasks == 1)
        for ticket in tickets.reversed() { ticket.cancel() }
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.isCancelled } && bench.waiting == 0)
        bench.limiter.core.state.withLock { state in
            #expect(state.queued == 0)
            #expect(state.deadlines.isEmpty)
        }
        #expect(bench.limiter.snapshot().available == 0, "not a token was lost")
    }

    @Test("a limiter that goes away takes its timer with it")
    func deinit_cancelsTimer() async throws {
        let clock = ManualClock()
        weak var gone: TokenBucket?
        do {
            let limiter = TokenBucket(rate: .perHour(1), burst: 1, initialTokens: 0, clock: clock)
            gone = limiter
            let task = Task { try? await limiter.acquire() }
            await clock.sleepers(atLeast: 1)
            task.cancel()
            _ = await task.value
        }
        try await settle { clock.sleeperCount == 0 }
        try await settle { gone == nil }
    }
}
