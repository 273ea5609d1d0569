// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Backoff, budget, retry, hedge, deadline.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct BackoffTests {
    @Test func delaysAreWithinTheirBounds() {
        var numbers = SplitMix64(seed: 1)
        for jitter in [Backoff.Jitter.none, .full, .equal, .decorrelated] {
            let backoff = Backoff(base: .milliseconds(10), factor: 3, maximum: .seconds(1), jitter: jitter)
            var previous: Duration?
            for attempt in [Int.min, -1, 0, 1, 2, 3, 4, 5, 6, 100, .max] {
                let delay = backoff.delay(after: attempt, previous: previous, using: &numbers)
                #expect(delay >= .zero && delay <= .seconds(1))
                if jitter == .decorrelated { #expect(delay >= .milliseconds(10)) }
                if jitter == .equal, attempt > 6 { #expect(delay >= .milliseconds(500)) }
                previous = delay
            }
        }
        let plain = Backoff(base: .milliseconds(10), factor: 3, maximum: .seconds(1), jitter: .none)
        #expect((1...6).map { plain.delay(after: $0) } == [10, 30, 90, 270, 810, 1000].map { .milliseconds($0) })
    }

    /// What the server asked for wins, upwards and downwards, and is never cut short.
    @Test func theServersWordWins() {
        var numbers = SplitMix64(seed: 1)
        let backoff = Backoff(base: .milliseconds(10), maximum: .milliseconds(100))
        for _ in 0..<100 {
            let delay = backoff.delay(after: 9, retryAfter: .seconds(7), using: &numbers)
            #expect(delay >= .seconds(7) && delay <= .seconds(7) + .milliseconds(10))
            #expect(backoff.delay(after: 9, retryAfter: .seconds(-7), using: &numbers) <= .milliseconds(10))
        }
        #expect(backoff.delay(after: 1, retryAfter: .nanoseconds(Int64.max)) == .nanoseconds(Int64.max))
    }
}

@Suite struct RetryBudgetTests {
    /// Retries <= ratio * requests + minimum, in every window that ends with a retry, wherever it begins, under every clock.
    @Test func noWindowHasMoreRetriesThanItsBudget() {
        let rounds = LaneSize("budget.random", plain: 60, sanitizer: 20, deep: 5_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            let clock = FaultClock()
            let ratios: [Double] = [0, 0.1, 0.333, 0.6, 1]
            let ratio = ratios.randomElement(using: &numbers) ?? 0
            let minimum = Int.random(in: 0...3, using: &numbers)
            let budget = RetryBudget(ratio: ratio, minimumPerSecond: minimum, window: .seconds(10), clock: clock)
            var (events, latest): ([(time: Int64, isRetry: Bool)], Int64) = ([], 0)
            for _ in 0..<400 {
                let steps: [Int64] = [0, 1, 100_000_000, 190_000_001, 1_000_000_000, 9_700_000_000, -3_000_000_000]
                clock.reading += steps.randomElement(using: &numbers) ?? 0
                latest = max(latest, clock.reading)
                if Bool.random(using: &numbers) {
                    budget.beginRequest()
                    events.append((latest, false))
                } else if budget.tryBeginRetry() {
                    events.append((latest, true))
                    let window = events.filter { $0.time > latest - 10_000_000_000 }
                    let retries = window.count(where: \.isRetry)
                    let requests = window.count - retries
                    let allowed: Double = Double(requests) * ratio + Double(10 * minimum)
                    #expect(Double(retries) <= allowed + 1e-9, "seed \(seed)")
                }
            }
        }
    }

    /// Pitfall: a minimum that is spent at the end of one slot and again at the start of another, so that a window has it twice.
    @Test func noWindowHasItsMinimumTwice() {
        let clock = FaultClock()
        for start in stride(from: Int64(0), to: 10_000_000_000, by: 333_333_333) {
            clock.reading = start
            let budget = RetryBudget(ratio: 0, minimumPerSecond: 1, window: .seconds(10), clock: clock)
            #expect((0..<20).count { _ in budget.tryBeginRetry() } == 10)
            clock.reading = start + 9_999_999_999
            #expect(!budget.tryBeginRetry(), "from \(start)")
            // A slot later it is there again.
            clock.reading = start + 10_200_000_000
            #expect((0..<20).count { _ in budget.tryBeginRetry() } == 10, "from \(start)")
        }
    }

    /// Pitfall: a ratio of 0.6 that is rounded up to 1.
    @Test func theRatioIsNotRoundedUp() {
        let budget = RetryBudget(ratio: 0.6, minimumPerSecond: 0, clock: ManualClock())
        for _ in 0..<10 { budget.beginRequest() }
        #expect((0..<10).count { _ in budget.tryBeginRetry() } == 6)
        #expect(budget.snapshot().refused == 4 && budget.snapshot().retries == 6)
    }

    @Test func retriesThatRunAtOnceAreBounded() {
        let budget = RetryBudget(
            ratio: 1_000, concurrentShare: 0.2, concurrentMinimum: 2, clock: ManualClock())
        for _ in 0..<20 { budget.beginRequest() }
        #expect((0..<10).count { _ in budget.tryBeginRetry() } == 4)
        budget.endRetry()
        #expect(budget.tryBeginRetry())
        for _ in 0..<20 { budget.endRequest() }
        for _ in 0..<3 { budget.endRetry() }
        #expect(budget.tryBeginRetry() && !budget.tryBeginRetry())
    }

    /// gRFC A6: no retry while half of the tokens or fewer are left; failures cost one, answers earn a part of one.
    @Test func failuresCostTokens() {
        let budget = RetryBudget(
            ratio: 1_000, tokens: RetryTokens(maximum: 10, ratio: 0.5), clock: ManualClock())
        budget.beginRequest()
        for _ in 0..<4 { budget.record(isAnswered: false) }
        #expect(budget.snapshot().tokens == 6 && budget.tryBeginRetry())
        budget.record(isAnswered: false)
        #expect(budget.snapshot().tokens == 5 && !budget.tryBeginRetry())
        budget.record(isAnswered: true)
        #expect(budget.snapshot().tokens == 5.5 && budget.tryBeginRetry())
        for _ in 0..<100 { budget.record(isAnswered: false) }
        #expect(budget.snapshot().tokens == 0)
        for _ in 0..<100 { budget.record(isAnswered: true) }
        #expect(budget.snapshot().tokens == 10 && budget.snapshot().refused == 1)
        #expect(RetryBudget(clock: ManualClock()).snapshot().tokens == nil)
    }

    /// Pitfall: the budget is summed and then taken from, in two steps.
    @Test func theBudgetHoldsUnderRealConcurrency() async {
        let budget = RetryBudget(ratio: 0.5, minimumPerSecond: 0, clock: ManualClock())
        for _ in 0..<1_000 { budget.beginRequest() }
        let taken = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 { group.addTask { (0..<500).count { _ in budget.tryBeginRetry() } } }
            return await group.reduce(0, +)
        }
        #expect(taken == 500)
    }
}

@Suite struct RetryTests {
    private struct Failure: Error {}

    /// The clock runs by itself: whoever sleeps is woken.
    private func running<Result: Sendable>(
        _ clock: ManualClock, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let task = Task { try await body() }
        let driver = Task {
            while !Task.isCancelled {
                await clock.sleepers(atLeast: 1)
                if let next = clock.nextDeadline { clock.advance(to: next) }
            }
        }
        defer { driver.cancel() }
        return try await task.value
    }

    @Test func triesUntilItSucceeds() async throws {
        let clock = ManualClock()
        let tries = Shared(0)
        let backoff = Backoff(base: .seconds(1), jitter: .none)
        let value = try await running(clock) {
            try await retry(attempts: 5, backoff: backoff, clock: clock) {
                if tries.update({
                    $0 += 1; return $0
                }) < 4 {
                    throw Failure()
                }
                return 7
            }
        }
        #expect(value == 7 && tries.value == 4)
        #expect(clock.now.offset == .seconds(7))
    }

    @Test func tokensBoundTheRetriesOfAnOutage() async throws {
        let clock = ManualClock()
        let budget = RetryBudget(ratio: 1_000, tokens: RetryTokens(maximum: 10, ratio: 0.1), clock: clock)
        let tries = Shared(0)
        try await running(clock) {
            for _ in 0..<50 {
                _ = try? await retry(attempts: 4, budget: budget, clock: clock) {
                    tries.update { $0 += 1 }
                    throw Failure()
                }
            }
        }
        // Four failures of the first request leave six of ten tokens, the next one five: from there on nothing is retried.
        #expect(tries.value == 50 + 3 && budget.snapshot().runningRetries == 0)
    }

    @Test func stopsAtItsBounds() async throws {
        let clock = ManualClock()
        let backoff = Backoff(base: .seconds(1), jitter: .none)
        func count(
            attempts: Int = 10, budget: RetryBudget? = nil, timeout: Duration? = nil, error: any Error = Failure(),
            isRetryable: Bool = true
        ) async throws -> Int {
            let tries = Shared(0)
            await #expect(throws: (any Error).self) {
                try await running(clock) {
                    try await retry(
                        attempts: attempts, budget: budget, backoff: backoff, timeout: timeout, clock: clock,
                        isRetryable: { _ in isRetryable }
                    ) {
                        tries.update { $0 += 1 }
                        throw error
                    }
                }
            }
            return tries.value
        }
        #expect(try await count(attempts: 3) == 3)
        #expect(try await count(isRetryable: false) == 1)
        #expect(try await count(error: CancellationError()) == 1)
        #expect(try await count(error: Rejection.cancelled) == 1)
        #expect(try await count(timeout: .seconds(4)) == 3, "1 + 2 s fit, 4 more do not")
        #expect(try await count(error: Rejection.breakerOpen(retryAfter: .seconds(60))) == 10)
        let budget = RetryBudget(ratio: 0, minimumPerSecond: 0, clock: clock)
        #expect(try await count(budget: budget) == 1)
        #expect(budget.snapshot().running == 0 && budget.snapshot().runningRetries == 0)
        let few = RetryBudget(ratio: 1, minimumPerSecond: 0, window: .seconds(1_000), clock: clock)
        #expect(try await count(budget: few) == 2)
    }

    @Test func doesNotSleepPastTheDeadlineOfTheCall() async throws {
        let clock = ManualClock()
        let tries = Shared(0)
        await #expect(throws: Failure.self) {
            try await running(clock) {
                try await CallDeadline.with(.seconds(2), clock: clock) {
                    try await retry(attempts: 9, backoff: Backoff(base: .seconds(1), jitter: .none), clock: clock) {
                        tries.update { $0 += 1 }
                        throw Failure()
                    }
                }
            }
        }
        #expect(tries.value == 2)
    }

    @Test func aDeadlineInsideAnotherCanOnlyBeEarlier() async throws {
        let clock = ManualClock()
        #expect(CallDeadline.current == nil)
        try await CallDeadline.with(.seconds(2), clock: clock) {
            await CallDeadline.with(.seconds(9), clock: clock) {
                #expect(CallDeadline.current?.remaining == .seconds(2))
            }
            await CallDeadline.with(.seconds(1), clock: clock) {
                #expect(CallDeadline.current?.remaining == .seconds(1))
            }
            try CallDeadline.check()
            clock.advance(by: .seconds(2))
            #expect(throws: Rejection.expired) { try CallDeadline.check() }
            #expect(CallDeadline.current?.remaining == .zero)
        }
        await CallDeadline.with(.nanoseconds(Int64.max), clock: clock) {
            #expect(CallDeadline.current?.isOver == false)
        }
    }

    @Test func theFirstAnswerWins() async throws {
        let clock = ManualClock()
        let budget = RetryBudget(ratio: 1, minimumPerSecond: 0, clock: clock)
        let calls = Shared(0)
        let task = Task {
            try await hedge(after: .seconds(1), budget: budget, clock: clock) {
                let call = calls.update {
                    $0 += 1
                    return $0
                }
                // The first one hangs, until it is cancelled.
                if call == 1 { try await clock.sleep(for: .seconds(1_000)) }
                return call
            }
        }
        await clock.sleepers(atLeast: 2)
        clock.advance(by: .seconds(1))
        #expect(try await task.value == 2 && calls.value == 2)
        let snapshot = budget.snapshot()
        #expect(snapshot.retries == 1 && snapshot.running == 0 && snapshot.runningRetries == 0)
        #expect(clock.sleeperCount == 0)
    }

    @Test func aHedgeNeedsABudgetAndAnErrorEndsIt() async throws {
        let clock = ManualClock()
        let budget = RetryBudget(ratio: 0, minimumPerSecond: 0, clock: clock)
        let calls = Shared(0)
        let value = try await running(clock) {
            try await hedge(after: .seconds(1), budget: budget, clock: clock) {
                let call = calls.update {
                    $0 += 1; return $0
                }
                try await clock.sleep(for: .seconds(5))
                return call
            }
        }
        #expect(value == 1 && calls.value == 1)
        await #expect(throws: Failure.self) {
            try await running(clock) {
                try await hedge(after: .seconds(1), clock: clock) { throw Failure() }
            }
        }
    }
}
