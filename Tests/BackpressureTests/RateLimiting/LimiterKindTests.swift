// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What each kind of limiter adds, and the verbs on all of them.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("rate limiting: kinds", .timeLimit(.minutes(10)))
struct LimiterKindTests {
    @Test("a pacer spaces evenly, saves up nothing but its slack, and charges a request of n for n intervals")
    func pacer() async throws {
        let bench = LimiterBench { Pacer(rate: tenPerSecond, clock: $0) }
        bench.clock.advance(by: .seconds(60))
        #expect(bench.limiter.tryAcquire(3).isAllowed)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .milliseconds(300)))
        #expect(bench.limiter.peek(50) == .denied(retryAfter: .milliseconds(300)), "the size does not matter before")
        let tickets = [bench.acquire(2), bench.acquire(1)]
        #expect(try await bench.advance(by: .milliseconds(300)) { tickets[0].isAcquired })
        #expect(tickets[1].outcome == nil)
        #expect(try await bench.advance(by: .milliseconds(200)) { tickets[1].isAcquired })
        bench.limiter.setRate(.perSecond(100), slack: 2)
        #expect(bench.limiter.slack == 2 && bench.limiter.rate == .perSecond(100))
        bench.clock.advance(by: .seconds(1))
        #expect((0..<4).map { _ in bench.limiter.tryAcquire().isAllowed } == [true, true, true, false])
        #expect(bench.limiter.tryAcquire(.max, allowingDebt: .max).isAllowed == true)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .nanoseconds(Int64.max)), "no debt wraps around")
    }

    @Test("a composite takes from all limits or from none")
    func composite() async throws {
        let bench = LimiterBench {
            CompositeLimiter(
                .init(rate: .perSecond(10), burst: 10), .init(rate: .perMinute(60), burst: 12), clock: $0)
        }
        #expect(bench.limiter.tryAcquire(10).isAllowed)
        // The first lacks one token, the second has two: nothing is taken from the second.
        #expect(bench.limiter.tryAcquire(1) == .denied(retryAfter: .milliseconds(100)))
        bench.clock.advance(by: .milliseconds(200))
        #expect(bench.limiter.tryAcquire(2).isAllowed)
        #expect(bench.limiter.tryAcquire(1) == .denied(retryAfter: .milliseconds(800)), "the second now holds it up")
        #expect(bench.limiter.tryAcquire(11) == .exceedsLimit(10))
        let ticket = bench.acquire(2)
        #expect(try await bench.advance(by: .milliseconds(1_800)) { ticket.isAcquired })
        bench.limiter.setLimits(.init(rate: .perSecond(10), burst: 10), .init(rate: .perSecond(10), burst: 12))
        #expect(bench.limiter.limits[1].rate == .perSecond(10))
        #expect(bench.limiter.tryAcquire(1) == .denied(retryAfter: .milliseconds(100)))
    }

    @Test("a window counts a token until its whole slice has left")
    func slidingWindow() async throws {
        let bench = LimiterBench { SlidingWindowLimiter(limit: 10, window: .seconds(10), slices: 10, clock: $0) }
        bench.clock.advance(by: .milliseconds(500))
        #expect(bench.limiter.tryAcquire(8).isAllowed && bench.limiter.tryAcquire(upTo: 5) == 2)
        #expect(bench.limiter.tryAcquire() == .denied(retryAfter: .milliseconds(10_500)))
        let tickets = [bench.acquire(10), bench.acquire(1)]
        #expect(try await bench.advance(by: .milliseconds(10_500)) { tickets[0].isAcquired })
        #expect(tickets[1].outcome == nil)
        bench.limiter.setLimit(11)
        bench.executor.run()
        #expect(tickets[1].isAcquired && bench.limiter.limit == 11)
        bench.limiter.refund(3)
        #expect(bench.limiter.snapshot().available == 3)
        bench.limiter.penalize(5)
        #expect(bench.limiter.snapshot().available == -2 && bench.limiter.peek(1) == .denied(retryAfter: .seconds(11)))
    }

    @Test("a window's bookings never hold too many, and come back whole")
    func slidingWindow_reservations() throws {
        let clock = FaultClock()
        let limiter = SlidingWindowLimiter(limit: 4, window: .nanoseconds(8), slices: 4, clock: clock)
        let made = try (0..<5).map { _ in try limiter.reserve(2) }
        #expect(made.map(\.delay) == [0, 0, 10, 10, 20].map { .nanoseconds($0) })
        #expect(!limiter.tryAcquire().isAllowed)
        #expect(throws: RateLimitError.tooLate(retryAfter: .nanoseconds(20))) {
            try limiter.reserve(1, within: .nanoseconds(19))
        }
        #expect(made[3].cancel() == 0 && made[0].cancel() == 0, "nothing can be taken there any more")
        #expect(made[4].cancel() == 2 && made[4].cancel() == 0)
        clock.reading = 10
        #expect(made[2].remaining == .zero && made[4].remaining == .nanoseconds(10))
        #expect(throws: RateLimitError.exceedsLimit(4)) { try limiter.reserve(5) }
    }

    @Test("reservations: promised instants, in order with those who wait, given back while nothing stands on them")
    func reservations() async throws {
        let bench = bucketBench(tokens: 1)
        let limiter = bench.limiter
        let waiting = [bench.acquire(2), bench.acquire(1)]
        #expect(throws: RateLimitError.tooLate(retryAfter: .milliseconds(400))) {
            try limiter.reserve(2, within: .milliseconds(399))
        }
        let reservation = try limiter.reserve(2, within: .milliseconds(400))
        #expect(reservation.delay == .milliseconds(400) && reservation.count == 2)
        let behind = bench.acquire(1)
        // The one before the reservation leaves; its tokens are stood on, the instants stay.
        waiting[0].cancel()
        bench.executor.run()
        #expect(waiting[0].isCancelled && reservation.remaining == .milliseconds(400))
        #expect(try await bench.advance(by: .milliseconds(200)) { waiting[1].isAcquired })
        _ = try await bench.advance(by: .milliseconds(200)) { true }
        #expect(reservation.remaining == .zero && reservation.cancel() == 0, "its time has come")
        #expect(behind.outcome == nil)
        #expect(try await bench.advance(by: .milliseconds(100)) { behind.isAcquired })
        #expect(bench.waiting == 0)
    }

    @Test("a reservation waits for its instant on the limiter's clock, and is cancelled with its task")
    func reservation_wait() async throws {
        let clock = ManualClock()
        let limiter = TokenBucket(rate: tenPerSecond, burst: 5, initialTokens: 0, clock: clock)
        let kept = try limiter.reserve(1)
        let waiting = Task { try await kept.wait() }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .milliseconds(100))
        try await waiting.value
        let dropped = try limiter.reserve(3)
        let cancelled = Task { try await dropped.wait() }
        await clock.sleepers(atLeast: 1)
        cancelled.cancel()
        _ = await cancelled.result
        #expect(limiter.snapshot().available == 0, "all three are back")
        #expect(dropped.cancel() == 0)
    }

    /// One of each kind, with room for five tokens, ten a second.
    static func everyKind(_ clock: ManualClock) -> [any RateLimiter] {
        [
            TokenBucket(rate: tenPerSecond, burst: 5, clock: clock),
            Pacer(rate: tenPerSecond, slack: 4, clock: clock),
            SlidingWindowLimiter(limit: 5, window: .milliseconds(500), clock: clock),
            CompositeLimiter(
                .init(rate: tenPerSecond, burst: 5), .init(rate: .perSecond(1_000), burst: 5), clock: clock),
            KeyedRateLimiter<String>(rate: tenPerSecond, burst: 5, maxKeys: 4, clock: clock).limiter(for: "key"),
        ]
    }

    @Test("every verb, on every kind", arguments: 0..<5)
    func everyVerb(_ kind: Int) async throws {
        let clock = ManualClock()
        let limiter = Self.everyKind(clock)[kind]
        #expect(limiter.snapshot().available == 5)
        #expect(limiter.tryAcquire().isAllowed && limiter.tryAcquire(2).isAllowed)
        try await limiter.acquire()
        #expect(limiter.peek().isAllowed && limiter.drain() == 1 && limiter.drain() == 0)
        #expect(limiter.tryAcquire(upTo: 3) == 0 && !limiter.tryAcquire().isAllowed && !limiter.peek().isAllowed)
        limiter.refund(2)
        #expect(limiter.tryAcquire(upTo: 3) == 2)
        await #expect(throws: RateLimitError.self) { try await limiter.acquire(timeout: .milliseconds(1)) }
        await #expect(throws: RateLimitError.self) { try await limiter.acquire(deadline: clock.now) }
        #expect(throws: RateLimitError.self) { try limiter.reserve(1, within: .zero) }
        let made = try limiter.reserve()
        #expect(made.delay > .zero && made.cancel() == 1)
        let waiting = Task { try await limiter.acquire() }
        try await settle { limiter.snapshot().waiting == 1 && clock.sleeperCount == 1 }
        clock.advance(by: .seconds(1))
        try await waiting.value
        try await settle { clock.sleeperCount == 0 }
        #expect(limiter.snapshot().granted == 1 && limiter.snapshot().parked == 1)
        _ = limiter.drain()
        let cancelled = Task { try await limiter.acquire(timeout: .seconds(60)) }
        try await settle { limiter.snapshot().waiting == 1 }
        cancelled.cancel()
        await #expect(throws: RateLimitError.rejected(.cancelled)) { try await cancelled.value }
        #expect(limiter.snapshot().available == 0 && limiter.snapshot().waiting == 0)
        #expect(limiter.tryAcquire(3, allowingDebt: 3).isAllowed)
        try await limiter.acquire(1, allowingDebt: 4)
        limiter.penalize(1)
        #expect(limiter.snapshot().available == -5 && !limiter.tryAcquire(1, allowingDebt: 5).isAllowed)
        limiter.refund(50)
        #expect(limiter.snapshot().available == 5)
        // The timer of the wait that was cancelled may still sleep.
        let others = clock.sleeperCount
        let sleeping = Task { try await limiter.sleep(for: .seconds(1)) }
        await clock.sleepers(atLeast: others + 1)
        clock.advance(by: .seconds(2))
        try await sleeping.value
    }
}
