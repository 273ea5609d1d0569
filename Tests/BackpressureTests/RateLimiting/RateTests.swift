// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Rates as fractions, and the maths of the bucket with integers for time.

import Testing

@testable import Backpressure

@Suite("rate limiting: rates and maths")
struct RateTests {
    @Test("a rate is a fraction in lowest terms, however it was written (8)")
    func rate_isReduced() {
        #expect(Rate.perSecond(700_000_000) == Rate(7, per: .nanoseconds(10)))
        #expect(Rate.perMinute(60) == .perSecond(1) && Rate.perHour(3_600) == .every(.seconds(1)))
        #expect(Rate.perSecond(3).unitsPerNanosecond == 3 && Rate.perSecond(3).unitsPerToken == 1_000_000_000)
        #expect(Rate(0, per: .seconds(1)) == .zero && Rate.zero.isZero && Rate.unlimited.isUnlimited)
        #expect(Rate(1, per: Duration(attoseconds: 1_500_000_000)) == Rate(1, per: .nanoseconds(2)), "rounded up")
        #expect(Rate(Rate.maximumCount, per: .seconds(1)).unitsPerToken > 0)
    }

    @Test("bad rates and bursts stop the program with a text (8)")
    func badParameters_stop() async {
        await #expect(processExitsWith: .failure) { _ = Rate(-1, per: .seconds(1)) }
        await #expect(processExitsWith: .failure) { _ = Rate(1, per: .zero) }
        await #expect(processExitsWith: .failure) { _ = Rate(1, per: .seconds(-1)) }
        await #expect(processExitsWith: .failure) { _ = Rate(.max, per: .seconds(1)) }
        await #expect(processExitsWith: .failure) { _ = TokenBucket(rate: .perSecond(1), burst: 0) }
        await #expect(processExitsWith: .failure) { _ = TokenBucket(rate: .perSecond(1), burst: .max) }
        await #expect(processExitsWith: .failure) { _ = TokenBucket(rate: .perSecond(1), burst: 1).tryAcquire(0) }
        await #expect(processExitsWith: .failure) { TokenBucket(rate: .perSecond(1), burst: 1).refund(-1) }
    }

    struct Step: Sendable {
        var at: Int64
        var count: UInt64
        var allowed: Bool
        var wait: Int64 = 0
    }

    /// 3 per second, burst 2: a token lasts 333,333,333 1/3 ns.
    static let steps: [Step] = [
        Step(at: 0, count: 2, allowed: true),
        Step(at: 0, count: 1, allowed: false, wait: 333_333_334),
        Step(at: 333_333_333, count: 1, allowed: false, wait: 1),
        Step(at: 333_333_334, count: 1, allowed: true),
        Step(at: 333_333_334, count: 1, allowed: false, wait: 333_333_333),
        Step(at: 666_666_667, count: 1, allowed: true),
        Step(at: 600_000_000, count: 1, allowed: false, wait: 400_000_000),
        Step(at: 999_999_999, count: 1, allowed: false, wait: 1),
        Step(at: 1_000_000_000, count: 1, allowed: true),
        Step(at: 1_000_000_000, count: 2, allowed: false, wait: 666_666_667),
        Step(at: .max, count: 2, allowed: true),
        Step(at: .max, count: 1, allowed: false, wait: 0),
        Step(at: -5, count: 1, allowed: false, wait: .max),
    ]

    @Test("three a second, by hand: the thirds of a nanosecond are carried")
    func gcra_table() {
        var bucket = GCRA(rate: .perSecond(3), burst: 2, now: 0)
        for step in Self.steps {
            let instant = bucket.earliest(step.count, debt: 0, behind: 0, now: step.at)
            #expect((instant <= step.at && instant < .max) || step.at == .max ? true : !step.allowed, "\(step)")
            if step.allowed {
                #expect(instant == step.at, "\(step)")
                _ = bucket.take(step.count, at: step.at, now: step.at)
            } else if step.at != .max, step.wait < .max {
                #expect(instant - step.at == step.wait, "\(step)")
            }
        }
    }

    @Test("10^9 tokens later no fraction of a nanosecond is lost (governor rounds 1 s / 3 to whole nanoseconds)")
    func gcra_carriesRemainder() {
        var bucket = GCRA(rate: .perSecond(700_000_000), burst: 2_000_000_000, now: 0)
        _ = bucket.take(2_000_000_000, at: 0, now: 0)
        #expect(bucket.earliest(1_400_000_000, debt: 0, behind: 0, now: 0) == 2_000_000_000)
        _ = bucket.take(1_400_000_000, at: 2_000_000_000, now: 2_000_000_000)
        #expect(bucket.earliest(1, debt: 0, behind: 0, now: 2_000_000_000) == 2_000_000_002)
    }

    @Test("rates of 1e-9 and 1e9 a second, zero and without a limit")
    func gcra_extremes() {
        var slow = GCRA(rate: .every(.seconds(1_000_000_000)), burst: 9, now: 0)
        _ = slow.take(9, at: 0, now: 0)
        #expect(slow.earliest(1, debt: 0, behind: 0, now: 0) == 1_000_000_000_000_000_000)
        #expect(slow.earliest(9, debt: 0, behind: 0, now: 0) == 9_000_000_000_000_000_000)
        #expect(slow.earliest(9, debt: 0, behind: 9, now: 0) == .max, "beyond the end of time is never")
        let fast = TokenBucket(rate: .perSecond(1_000_000_000), burst: 3, clock: FaultClock())
        #expect(fast.tryAcquire(3).isAllowed && fast.tryAcquire().retryAfter == .nanoseconds(1))
        let once = TokenBucket(rate: .zero, burst: 3, clock: FaultClock())
        #expect(once.tryAcquire(2).isAllowed && once.tryAcquire(2).retryAfter == .nanoseconds(Int64.max))
        #expect(once.tryAcquire().isAllowed && !once.tryAcquire().isAllowed)
        let clock = FaultClock()
        let open = TokenBucket(rate: .unlimited, burst: 1, clock: clock)
        for reading: Int64 in [0, 5, 3, .max, 0] {
            clock.reading = reading
            #expect(open.tryAcquire().isAllowed)
        }
        #expect(open.snapshot().available == .max)
    }

    @Test("a change of rate keeps whole tokens exactly, a part of one rounded down, and a debt")
    func gcra_change() {
        for (tokens, burst, expected) in [(4, 10, 4), (4, 3, 3), (0, 10, 0), (10, 2, 2)] {
            var bucket = GCRA(rate: .perSecond(3), burst: 10, initialTokens: tokens, now: 7)
            bucket.change(rate: .perSecond(700_000_000), burst: burst, now: 7)
            #expect(bucket.available(now: 7) == expected, "\(tokens) tokens, burst \(burst)")
        }
        var bucket = GCRA(rate: .perSecond(1), burst: 10, initialTokens: 0, now: 0)
        // Half a token, and then a tenth of the time for the rest.
        bucket.change(rate: .perSecond(10), burst: 10, now: 500_000_000)
        #expect(bucket.earliest(1, debt: 0, behind: 0, now: 500_000_000) == 550_000_000)
        bucket.penalize(4, now: 500_000_000)
        bucket.change(rate: .perSecond(1), burst: 10, now: 500_000_000)
        #expect(bucket.available(now: 500_000_000) == -4)
        #expect(bucket.earliest(1, debt: 0, behind: 0, now: 500_000_000) == 5_000_000_000)
        bucket.change(rate: .unlimited, burst: 1, now: 500_000_000)
        bucket.change(rate: .perSecond(1), burst: 6, now: 500_000_000)
        #expect(bucket.available(now: 500_000_000) == 6, "what had no limit starts full")
    }

    @Test("what is beyond 112 bits is never, and nothing wraps around")
    func gcra_saturates() {
        var bucket = GCRA(rate: Rate(Rate.maximumCount - 1, per: .seconds(1_000_000_007)), burst: 1_000, now: .max)
        for _ in 0..<3 { bucket.penalize(.max, now: .max) }
        #expect(bucket.tat == GCRA.maximum)
        #expect(bucket.earliest(1, debt: 0, behind: 0, now: 0) == .max)
        #expect(bucket.earliest(1, debt: .max, behind: .max, now: .max) == .max)
        bucket.refund(.max, now: .max)
        #expect(bucket.available(now: .max) <= 1_000)
    }
}
