// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article RateLimiting.md, in its order.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of RateLimiting.md", .timeLimit(.minutes(10)))
struct RateLimitingArticleExamples {
    @Test("a request and a wait")
    func overview() async throws {
        let clock = ManualClock()
        let limiter = TokenBucket(rate: .perSecond(100), burst: 20, clock: clock)

        switch limiter.tryAcquire() {
        case .allowed:
            print("go")
        case .denied(let retryAfter):
            print("429, Retry-After: \(retryAfter)")
        case .exceedsLimit(let most):
            print("never more than \(most) at once")
        }

        try await limiter.acquire()  // waits for a token
        try await limiter.acquire(5, timeout: .milliseconds(200))  // throws at once if they come later than that

        #expect(limiter.snapshot().available == 13)
    }

    @Test("worked numbers")
    func workedNumbers() {
        let clock = ManualClock()
        let limiter = TokenBucket(rate: .perSecond(10), burst: 3, clock: clock)
        _ = limiter.tryAcquire(2)
        print(limiter.tryAcquire(2))  // denied(retryAfter: 0.1 seconds)
        clock.advance(by: .milliseconds(100))
        print(limiter.tryAcquire(2))  // allowed

        #expect(limiter.snapshot().available == 0)
        clock.advance(by: .milliseconds(50))
        #expect(limiter.tryAcquire() == .denied(retryAfter: .milliseconds(50)))
        clock.advance(by: .milliseconds(50))
        #expect(limiter.tryAcquire().isAllowed)
        clock.advance(by: .milliseconds(700))
        #expect(limiter.tryAcquire(3).isAllowed && limiter.snapshot().available == 0)
    }

    @Test("costs, debts, bookings, changes")
    func corrections() async throws {
        func measuredCost() -> Int { 6 }

        let limiter = TokenBucket(rate: .perSecond(1), burst: 7, clock: ManualClock())
        try await limiter.acquire(4)  // a guess
        let cost = measuredCost()
        if cost > 4 { limiter.penalize(cost - 4) } else { limiter.refund(4 - cost) }

        print(limiter.tryAcquire(8, allowingDebt: 10))  // allowed
        print(limiter.snapshot().available)  // -7

        #expect(limiter.snapshot().available == -7)
        limiter.refund(6)

        let reservation = try limiter.reserve(2, within: .seconds(5))
        print("at once or in \(reservation.delay)")
        reservation.cancel()  // gives back what no later booking stands on

        #expect(reservation.delay == .seconds(3) && limiter.snapshot().available == -1)

        limiter.setRate(.perSecond(500), burst: 50)

        #expect(limiter.snapshot().available == -1)
    }

    @Test("several limits, many keys")
    func compositions() async throws {
        let quota = CompositeLimiter(
            CompositeLimiter.Limit(rate: .perSecond(10), burst: 10),
            CompositeLimiter.Limit(rate: .perMinute(100), burst: 30)
        )
        try await quota.acquire()

        let tenants = KeyedRateLimiter<String>(rate: .perSecond(5), burst: 10, maxKeys: 100_000)
        print(tenants.tryAcquire(for: "alpha").isAllowed)  // true
        try await tenants.limiter(for: "alpha").acquire(2)

        #expect(tenants.snapshot().keys == 1)
        #expect(quota.limits.count == 2)
    }
}
