// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other limiters had, each with the test that shows ours has not.
//
// | row | bug | test |
// |---|---|---|
// | P7, golang/go#37852 | a cancelled head does not wake the next | go37852_cancelledHead... |
// | P8, redisson#7206 | a timeout that races loses what was granted | P8_deadlineAfterGrant... |
// | P9, P13 | a cancel counts or resumes twice | P9_cancelTwice..., RateModelTests |
// | P11, P12 | cancel by way of a task; timers inside the continuation | LimiterWaitingTests (one timer), P9 |
// | tokio#1973 | tokens taken one by one deadlock two callers | tokio1973_weighted... |
// | golang/go#23145, pd#10744, cadence#6030 | an earlier reading rewinds the bucket | go23145_earlierReading... |
// | golang/go#56924, #69419 | a cancelled reservation gives back too little or too much | go56924_... , properties |
// | golang/go#52584 | a request that fails delays the next | go52584_failedRequest... |
// | golang/go#65508 | a booking's tokens come back after it was used | go65508_usedBooking... |
// | bucket4j#51 | negative tokens after a long idle time | bucket4j51_idleForYears... |
// | bucket4j#417 | a negative request mints tokens | bucket4j417_asMuchAsPossible... , RateTests |
// | bucket4j#220, #20 | more than the burst is no error | bucket4j220_moreThanBurst... |
// | resilience4j#824, polaris#3433 | fractions dropped or rounded | RateTests.gcra_carriesRemainder, properties |
// | resilience4j#332 | a cancelled wait keeps its permit | resilience4j332_cancelledWait... |
// | resilience4j#1968, #1283 | waits its whole timeout in vain | LimiterWaitingTests.acquire_whenTooLate... |
// | governor until_ready | all wake and race | governor_oneWake... |
// | concurrency-limits#233, failsafe-go Budget | check, then act | RateModelTests, threads_neverAdmitTooMany |
// | axum#2634 | a limit for each copy | axum2634_oneLimit... |
// | tower window | twice the limit at the edge of a window | RatePropertyTests.slidingWindow_everyWindow |
// | tower budget | a catch-up loop after a long idle time | bucket4j51_idleForYears... (window) |
// | vector#26457 | a permit held by what is idle | tokens are not held; see the semaphore |
// | 3.6 | a deadline overflows | deadlineBeyondTheEnd... |
// | 3.7, governor retain_recent | keyed maps grow | KeyedLimiterTests |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("rate limiting: pitfalls", .timeLimit(.minutes(10)))
struct LimiterPitfallTests {
    @Test("P7, go#37852: a cancelled head lets the next one have what is there, at once")
    func go37852_cancelledHead_servesNext() {
        let bench = bucketBench(tokens: 2)
        let large = bench.acquire(5)
        let small = [bench.acquire(1), bench.acquire(1)]
        #expect(small.allSatisfy { $0.outcome == nil })
        large.cancel()
        bench.executor.run()
        #expect(large.isCancelled && small.allSatisfy { $0.isAcquired } && bench.waiting == 0)
    }

    @Test("P8: a deadline that passes in the same step as the grant takes nothing away")
    func P8_deadlineAfterGrant_isGranted() async throws {
        let bench = bucketBench(tokens: 0)
        let ticket = bench.acquire(1, timeout: .milliseconds(100))
        #expect(try await bench.advance(by: .seconds(1)) { ticket.outcome != nil })
        #expect(ticket.isAcquired && bench.limiter.snapshot().timedOut == 0)
    }

    @Test("P9: cancels before, during and after a wait leave nothing behind")
    func P9_cancelTwice_countsOnce() {
        let bench = bucketBench(tokens: 0)
        for round in 0..<300 {
            let ticket = bench.acquire(1, run: round % 2 == 0)
            if round % 3 == 0 { bench.limiter.refund(1) }
            ticket.cancel()
            ticket.cancel()
            bench.executor.run()
            ticket.cancel()
            #expect(ticket.outcome != nil)
            _ = bench.limiter.drain()
        }
        #expect(bench.waiting == 0 && bench.limiter.snapshot().available == 0)
    }

    @Test("tokio#1973: two weighted requests that need more than half do not block each other")
    func tokio1973_weighted_areServedWhole() async throws {
        let bench = bucketBench(tokens: 4)
        let tickets = [bench.acquire(5), bench.acquire(5)]
        #expect(try await bench.advance(by: .milliseconds(100)) { tickets[0].isAcquired })
        #expect(try await bench.advance(by: .milliseconds(500)) { tickets[1].isAcquired })
    }

    @Test("go#23145, pd#10744, cadence#6030: a later call with an earlier time earns nothing twice")
    func go23145_earlierReading_earnsNothing() {
        let clock = FaultClock()
        for limiter in [
            TokenBucket(rate: tenPerSecond, burst: 1, clock: clock),
            CompositeLimiter(.init(rate: tenPerSecond, burst: 1), clock: clock),
        ] as [any RateLimiter] {
            var admitted = 0
            for reading: Int64 in [0, 100_000_000, 50_000_000, 100_000_000, 0, 199_999_999, 60_000_000, 199_999_999] {
                clock.reading = reading
                if limiter.tryAcquire().isAllowed { admitted += 1 }
            }
            #expect(admitted == 2, "\(limiter)")
            clock.reading = 200_000_000
            #expect(limiter.tryAcquire().isAllowed)
            clock.reading = 0
        }
    }

    @Test("go#56924, #69419: bookings cancelled from the last to the first come back whole, to the last fraction")
    func go56924_cancelledReservations_comeBack() throws {
        for rate in [Rate.perSecond(30), .perSecond(60), .perSecond(999_983), .perSecond(700_000_000)] {
            let limiter = TokenBucket(rate: rate, burst: 7, clock: FaultClock())
            let before = limiter.core.state.withLock { $0.schedule.tat }
            #expect(limiter.drain() == 7)
            let made = try [3, 1, 5, 7].map { try limiter.reserve($0) }
            #expect(made.reversed().map { $0.cancel() } == [7, 5, 1, 3])
            #expect(limiter.snapshot().available == 0)
            limiter.refund(7)
            limiter.core.state.withLock { #expect($0.schedule.tat == before) }
        }
    }

    @Test("go#56924: of an earlier booking comes back what no later one stands on")
    func go56924_earlierReservation_givesBackTheRest() throws {
        let limiter = TokenBucket(rate: tenPerSecond, burst: 20, clock: FaultClock())
        #expect(limiter.tryAcquire(15).isAllowed)
        let early = try limiter.reserve(10)
        let late = try limiter.reserve(2)
        #expect(early.delay == .milliseconds(500) && late.delay == .milliseconds(700))
        #expect(early.cancel() == 8 && early.cancel() == 0)
        #expect(limiter.snapshot().available == 1, "5 - 2 - 2")
        #expect(late.cancel() == 2)
    }

    @Test("go#52584: a request that is refused delays nobody")
    func go52584_failedRequest_costsNothing() throws {
        let limiter = TokenBucket(rate: tenPerSecond, burst: 5, initialTokens: 0, clock: FaultClock())
        for _ in 0..<10 {
            #expect(throws: RateLimitError.exceedsLimit(5)) { try limiter.reserve(6) }
            #expect(throws: RateLimitError.tooLate(retryAfter: .milliseconds(500))) {
                try limiter.reserve(5, within: .milliseconds(499))
            }
            #expect(limiter.tryAcquire(6) == .exceedsLimit(5) && !limiter.tryAcquire(1).isAllowed)
        }
        let made = try limiter.reserve(1)
        #expect(made.delay == .milliseconds(100))
    }

    @Test("go#65508: a booking whose instant has come gives nothing back")
    func go65508_usedBooking_staysUsed() throws {
        let clock = FaultClock()
        let limiter = TokenBucket(rate: tenPerSecond, burst: 1, initialTokens: 0, clock: clock)
        let made = try limiter.reserve()
        clock.reading = 100_000_000
        #expect(made.cancel() == 0 && limiter.snapshot().available == 0)
        clock.reading = 0
        #expect(made.cancel() == 0, "also when the clock steps back")
        // One that is due at once is used at once.
        clock.reading = 200_000_000
        let used = try limiter.reserve()
        #expect(used.cancel() == 0 && !limiter.tryAcquire().isAllowed)
    }

    @Test("bucket4j#51: idle for years, a bucket is full and no more", arguments: hardRates.map(\.rate))
    func bucket4j51_idleForYears_isFull(_ rate: Rate) {
        let clock = FaultClock()
        let limiters: [any RateLimiter] = [
            TokenBucket(rate: rate, burst: 64, clock: clock),
            CompositeLimiter(.init(rate: rate, burst: 64), clock: clock),
            SlidingWindowLimiter(limit: 64, window: .nanoseconds(64 * rate.interval), clock: clock),
        ]
        for limiter in limiters {
            clock.reading = 0
            #expect(limiter.drain() == 64)
            for years in [1, 30, 100, 292] as [Int64] {
                clock.reading = years == 292 ? .max : years * 365 * 86_400_000_000_000
                #expect(limiter.snapshot().available == 64 && limiter.drain() == 64)
                #expect(!limiter.tryAcquire().isAllowed)
            }
        }
    }

    @Test("bucket4j#417: as much as possible of a bucket in debt is nothing, and mints nothing")
    func bucket4j417_asMuchAsPossible_inDebt() {
        let limiter = TokenBucket(rate: tenPerSecond, burst: 5, clock: FaultClock())
        limiter.penalize(12)
        #expect(limiter.snapshot().available == -7)
        #expect(limiter.tryAcquire(upTo: 50) == 0 && limiter.drain() == 0 && limiter.snapshot().available == -7)
    }

    @Test("bucket4j#220, #20: more than the burst is an error and never a wait")
    func bucket4j220_moreThanBurst_isAnError() async {
        let limiter = TokenBucket(rate: tenPerSecond, burst: 3, clock: FaultClock())
        #expect(limiter.tryAcquire(4) == .exceedsLimit(3) && limiter.peek(4) == .exceedsLimit(3))
        #expect(limiter.tryAcquire(4).retryAfter == nil)
        await #expect(throws: RateLimitError.exceedsLimit(3)) { try await limiter.acquire(4) }
        await #expect(throws: RateLimitError.exceedsLimit(3)) { try await limiter.acquire(.max) }
        #expect(limiter.snapshot().available == 3)
    }

    @Test("resilience4j#332: a wait that is cancelled has taken nothing")
    func resilience4j332_cancelledWait_tookNothing() {
        let bench = bucketBench(tokens: 0)
        for _ in 0..<100 {
            let ticket = bench.acquire(5)
            ticket.cancel()
            bench.executor.run()
            #expect(ticket.isCancelled)
        }
        #expect(bench.limiter.snapshot().available == 0 && bench.limiter.tryAcquire().retryAfter == .milliseconds(100))
    }

    @Test("governor's until_ready: one token wakes one task")
    func governor_oneWake_forOneToken() async throws {
        let bench = bucketBench(tokens: 0)
        let tickets = (0..<50).map { _ in bench.acquire() }
        #expect(try await bench.advance(by: .milliseconds(100)) { tickets[0].isAcquired })
        #expect(tickets.dropFirst().allSatisfy { $0.outcome == nil })
        #expect(bench.limiter.snapshot().granted == 1 && bench.executor.readyCount == 0)
        for ticket in tickets { ticket.cancel() }
        bench.executor.run()
    }

    @Test("axum#2634: whoever holds the limiter shares its limit")
    func axum2634_oneLimit_forAll() {
        let limiter = TokenBucket(rate: .zero, burst: 100)
        let copies = (0..<10).map { _ in limiter }
        #expect(copies.map { $0.tryAcquire(10).isAllowed } == Array(repeating: true, count: 10))
        #expect(!limiter.tryAcquire().isAllowed)
        let keyed = KeyedRateLimiter<Int>(rate: .zero, burst: 2, maxKeys: 2, clock: FaultClock())
        #expect(keyed.limiter(for: 1).tryAcquire().isAllowed && keyed.tryAcquire(for: 1).isAllowed)
        #expect(!keyed.limiter(for: 1).tryAcquire().isAllowed)
    }

    @Test("3.6: deadlines beyond the end of time never pass and trap nothing")
    func deadlineBeyondTheEnd_isNever() {
        let bench = bucketBench(rate: .perHour(1), tokens: 0)
        let huge: [Duration] = [.seconds(Int64.max), Duration(attoseconds: .max), .seconds(300 * 365 * 86_400)]
        let tickets = huge.map { bench.acquire(1, timeout: $0) }
        #expect(tickets.allSatisfy { $0.outcome == nil } && bench.waiting == 3)
        bench.limiter.refund(3)
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.isAcquired })
    }

    @Test("check, then act: threads together never get more than there is")
    func threads_neverAdmitTooMany() {
        let size = LaneSize("rate.threads.requests", plain: 100_000, sanitizer: 10_000, deep: 5_000_000)
        let threads = 4
        let limiter = TokenBucket(rate: .zero, burst: size.count)
        let keyed = KeyedRateLimiter<Int>(rate: .zero, burst: size.count / 2, maxKeys: 1_000, shards: 2)
        let (admitted, keyedAdmitted) = (Shared(0), Shared(0))
        Threads.run(threads) { me in
            var (mine, keys) = (0, 0)
            for turn in 0..<(size.count / 2) {
                if limiter.tryAcquire().isAllowed { mine += 1 }
                if turn % 1_000 == 0 { limiter.penalize(1); mine += 1 }
                if keyed.tryAcquire(for: turn & 1).isAllowed { keys += 1 }
            }
            admitted.update { $0 += mine }
            keyedAdmitted.update { $0 += keys }
        }
        let left = limiter.snapshot().available
        #expect(admitted.value == size.count - left && left <= 0, "\(admitted.value) and \(left) left")
        #expect(keyedAdmitted.value == size.count / 2 * 2)
    }
}
