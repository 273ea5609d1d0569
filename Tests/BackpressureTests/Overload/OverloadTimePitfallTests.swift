// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs of time and of amounts given back that other limiters had, asked of overload control: whose clock steps back, what a
// cancelled retry is worth, how many timers sleep. The table of all rows is in OverloadPitfallTests.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("overload control: pitfalls of time", .timeLimit(.minutes(10)))
struct OverloadTimePitfallTests {
    private struct Broken: Error {}

    @Test(
        "golang/go#23145: an earlier reading neither forgets what a throttle and a breaker have seen, nor counts it twice"
    )
    func go23145_earlierReading_keepsTheWindow() throws {
        let clock = FaultClock()
        let throttle = AdaptiveThrottle(multiplier: 2, window: .seconds(120), clock: clock)
        var rules = BreakerRules()
        rules.window = .time(.seconds(10))
        rules.minimumCalls = 20
        let breaker = CircuitBreaker(rules: rules, clock: clock)
        clock.reading = 1_000_000_000_000
        for _ in 0..<10 {
            #expect(throttle.shouldSend(chance: 0.999))
            try breaker.begin().fail()
        }
        let probability = throttle.rejectionProbability
        for reading: Int64 in [999_999_999_999, 0, -1, .min, 1_000_000_000_000] {
            clock.reading = reading
            #expect(throttle.rejectionProbability == probability && breaker.snapshot().failures == 10, "at \(reading)")
        }
        // What was noted at an earlier reading lasts as long as what was noted last, and no longer.
        clock.reading = 0
        for _ in 0..<5 { try breaker.begin().fail() }
        clock.reading = 1_000_000_000_000 + 5_000_000_000
        #expect(breaker.snapshot().failures == 15)
        clock.reading += 6_000_000_000
        #expect(breaker.snapshot().failures == 0)
    }

    @Test("golang/go#23145: an earlier reading makes no wait longer than it may be, and no deadline pass early")
    func go23145_earlierReading_keepsDeadlines() async {
        let clock = FaultClock()
        clock.reading = 1_000_000_000
        await CallDeadline.with(.seconds(1), clock: clock) {
            for (reading, isOver) in [(2_000_000_000, true), (0, false), (1_999_999_999, false)] as [(Int64, Bool)] {
                clock.reading = reading
                #expect(CallDeadline.current?.isOver == isOver)
            }
            // A deadline within can only be earlier, also when it is made at an earlier reading.
            clock.reading = -5_000_000_000
            await CallDeadline.with(.seconds(100), clock: clock) {
                clock.reading = 2_000_000_000
                #expect(CallDeadline.current?.isOver == true && CallDeadline.current?.remaining == .zero)
            }
        }
    }

    @Test("golang/go#56924, #65508: a retry that is cancelled before it began gives back its place, and mints none")
    func go56924_cancelledRetry_mintsNothing() async throws {
        let clock = ManualClock()
        let budget = RetryBudget(
            ratio: 1, minimumPerSecond: 0, concurrentShare: 0, concurrentMinimum: 2, clock: clock)
        for _ in 0..<3 {
            let task = Task {
                try await retry(budget: budget, backoff: Backoff(base: .seconds(1)), clock: clock) {
                    throw Broken()
                }
            }
            await clock.sleepers(atLeast: 1)
            #expect(budget.snapshot().runningRetries == 1)
            task.cancel()
            await #expect(throws: Broken.self) { try await task.value }
        }
        // Each counts as the retry that it was allowed to be; none runs.
        let snapshot = budget.snapshot()
        #expect(
            snapshot.retries == 3 && snapshot.requests == 3 && snapshot.running == 0 && snapshot.runningRetries == 0)
        #expect(!budget.tryBeginRetry(), "three requests have paid for three retries")
    }

    @Test("bucket4j#417, resilience4j releasePermission: an end without a beginning mints no retry")
    func bucket4j417_endWithoutBeginning_mintsNothing() {
        let budget = RetryBudget(
            ratio: 1, minimumPerSecond: 10, concurrentShare: 0, concurrentMinimum: 2,
            tokens: RetryTokens(maximum: 4, ratio: 1), clock: ManualClock())
        for _ in 0..<100 {
            budget.endRetry()
            budget.endRequest()
            budget.record(isAnswered: true)
        }
        #expect(
            budget.snapshot().running == 0 && budget.snapshot().runningRetries == 0 && budget.snapshot().tokens == 4)
        #expect(budget.tryBeginRetry() && budget.tryBeginRetry() && !budget.tryBeginRetry())
        // Two of the four are enough to stop.
        budget.endRetry()
        for _ in 0..<2 { budget.record(isAnswered: false) }
        #expect(!budget.tryBeginRetry())
    }

    @Test("resilience4j#824, polaris#3433: no thousandth of a ratio is dropped, above one neither")
    func resilience4j824_thousandths() {
        for permille in [1, 290, 570, 999, 1_001, 1_003, 1_019, 2_003, 4_093, 65_537, 999_999] {
            let ratio = Double(permille) / 1_000
            let budget = RetryBudget(ratio: ratio, minimumPerSecond: 0, clock: ManualClock())
            for _ in 0..<1_000 { budget.beginRequest() }
            var retries = 0
            while budget.tryBeginRetry() { retries += 1 }
            #expect(retries == permille, "a ratio of \(ratio)")
        }
        // And what ten answers earn is a token, after any number of them.
        let budget = RetryBudget(
            ratio: 1_000, minimumPerSecond: 0, tokens: RetryTokens(maximum: 1_000, ratio: 0.1), clock: ManualClock())
        for _ in 0..<900 { budget.record(isAnswered: false) }
        for round in 1...500 {
            for _ in 0..<11 { budget.record(isAnswered: true) }
            budget.record(isAnswered: false)
            #expect(budget.snapshot().tokens == 100 + Double(round) / 10, "after \(round)")
        }
    }

    @Test("one timer per limiter, not one for each that waits")
    func oneTimer_forAllWhoWait() async throws {
        let bench = ConcurrencyLimiterBench(FixedLimit(1), waiterLimit: 1_000)
        let holder = bench.call()
        let waiting = (0..<500).map { bench.call(timeout: .milliseconds(100 + $0)) }
        #expect(waiting.allSatisfy(\.waits) && bench.limiter.core.timer.startedTasks == 1)
        await bench.clock.sleepers(atLeast: 1)
        #expect(bench.clock.sleeperCount == 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { waiting.allSatisfy { $0.rejection == .timedOut } })
        #expect(bench.limiter.core.timer.startedTasks == 1 && bench.snapshot.waiting == 0)
        bench.settle(holder)
        #expect(bench.snapshot.inFlight == 0)
    }

    @Test("axum#2634: throttle, shedder and hedge delay are shared by all who hold them")
    func axum2634_sharedBooks() {
        let clock = ManualClock()
        let throttles = Array(repeating: AdaptiveThrottle(clock: clock), count: 2)
        for _ in 0..<50 { _ = throttles[0].shouldSend(chance: 0.999) }
        #expect(throttles[1].rejectionProbability == throttles[0].rejectionProbability)
        #expect(throttles[1].rejectionProbability > 0.9)
        let shedders = Array(repeating: PriorityShedder(levels: 2), count: 2)
        for _ in 0..<50 { _ = shedders[0].admit(level: 1) }
        shedders[1].update(load: 4)
        #expect(shedders[0].threshold < 2 && shedders[0].admit(level: 1) != nil && shedders[1].shed == 1)
        let delays = Array(repeating: HedgeDelay(minimumCalls: 3, clock: clock), count: 2)
        for _ in 0..<3 { delays[0].record(.milliseconds(40)) }
        #expect(delays[1].current != nil)
    }
}
