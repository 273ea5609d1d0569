// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the documentation comments of rate limiting.

import Backpressure
import Testing

@Suite("Examples of documentation comments: rate limiting", .timeLimit(.minutes(10)))
struct RateLimitingSymbolExamples {
    @Test("Rate")
    func rate() {
        let quota = Rate(100, per: .seconds(60))
        let same = Rate.perMinute(100)
        let spaced = Rate.every(.milliseconds(600))
        print(quota == same, quota == spaced)  // true true

        #expect(quota == same && quota == spaced)
    }

    @Test("RateLimiter")
    func rateLimiter() async throws {
        func download(_ names: [String], limiter: some RateLimiter) async throws {
            for name in names {
                try await limiter.acquire()
                print("getting \(name)")
            }
        }

        let limiter = TokenBucket(rate: .perSecond(1), burst: 3)
        try await download(["a", "b"], limiter: limiter)
        #expect(limiter.drain() == 1)
    }

    @Test("TokenBucket")
    func tokenBucket() {
        let limiter = TokenBucket(rate: .perSecond(100), burst: 20)
        switch limiter.tryAcquire() {
        case .allowed: print("go")
        case .denied(let retryAfter): print("try again in \(retryAfter)")
        case .exceedsLimit(let most): print("never more than \(most) at once")
        }

        #expect(limiter.burst == 20)
    }

    @Test("RateReservation")
    func reservation() async throws {
        let limiter = TokenBucket(rate: .perSecond(10), burst: 10)
        let reservation = try limiter.reserve(5)
        try await reservation.wait()

        #expect(reservation.delay == .zero)
    }

    @Test("Pacer")
    func pacer() async throws {
        let pacer = Pacer(rate: .perSecond(50))
        for message in ["a", "b", "c"] {
            try await pacer.acquire()
            print(message)  // 20 ms apart
        }

        #expect(pacer.snapshot().granted <= 2)
    }

    @Test("SlidingWindowLimiter")
    func slidingWindow() {
        let quota = SlidingWindowLimiter(limit: 1_000, window: .seconds(60))
        if quota.tryAcquire().isAllowed { print("go") }

        #expect(quota.snapshot().available == 999)
    }

    @Test("CompositeLimiter")
    func composite() async throws {
        let limiter = CompositeLimiter(
            CompositeLimiter.Limit(rate: .perSecond(10), burst: 10),
            CompositeLimiter.Limit(rate: .perMinute(100), burst: 30)
        )
        try await limiter.acquire(5)

        #expect(limiter.limits.count == 2)
    }

    @Test("KeyedRateLimiter")
    func keyed() async throws {
        let limiter = KeyedRateLimiter<String>(rate: .perSecond(5), burst: 10, maxKeys: 100_000)
        if limiter.tryAcquire(for: "tenant 7").isAllowed { print("go") }

        let tenant = limiter.limiter(for: "tenant 7")
        try await tenant.acquire(2)

        #expect(tenant.drain() == 7)
    }
}
