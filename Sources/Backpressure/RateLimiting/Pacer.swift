// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The leaky bucket as a meter: the facade of a `BucketCore` that saves up nothing.
//
// A request of n is let through at the moment at which a single one would be, and then costs n intervals: it may go
// n - 1 tokens into debt.

/// Lets requests through one by one, evenly spaced.
///
/// Between two requests lies at least the interval of the rate; after a request of n tokens, n intervals. An idle pacer
/// saves up nothing, so there is no burst; with `slack` it saves up so many intervals, for callers that are now and then
/// late.
///
/// ```swift
/// let pacer = Pacer(rate: .perSecond(50))
/// for message in ["a", "b", "c"] {
///     try await pacer.acquire()
///     print(message)  // 20 ms apart
/// }
/// ```
///
/// A request may be of any size. For the common properties of limiters see ``RateLimiter``; the cost is that of a
/// ``TokenBucket``.
public final class Pacer: RateLimiter {
    let core: BucketCore
    private let line: BucketLine

    /// A pacer that lets the first request through at once.
    ///
    /// - Parameters:
    ///   - rate: How many tokens per time go through.
    ///   - slack: How many intervals a pause saves up, 0 or more.
    ///   - maxWaiters: How many tasks may wait; more are rejected as ``Rejection/full``.
    ///   - clock: The clock of rate and deadlines; tests pass a manual one.
    ///   - observer: Is told what happens, on the task that made it happen, outside all locks.
    /// - Precondition: `slack >= 0`, and slack is saved up within 292 years.
    public init(
        rate: Rate,
        slack: Int = 0,
        maxWaiters: Int = .max,
        clock: some Clock<Duration> = ContinuousClock(),
        observer: (@Sendable (RateEvent) -> Void)? = nil
    ) {
        precondition(slack >= 0 && slack < .max, "a slack of \(slack) intervals")
        let timeSource = TimeSource(clock)
        let schedule = GCRA(rate: rate, burst: slack + 1, now: timeSource.now())
        core = BucketCore(schedule: schedule, timeSource: timeSource, maxWaiters: maxWaiters, observer: observer)
        line = core.line
    }

    /// How far a request of `count` overdraws the pacer.
    private static func overdraft(_ count: Int, _ debt: Int) -> Int {
        precondition(debt >= 0, "a debt of \(debt) tokens is negative")
        return debt.addingReportingOverflow(max(count, 1) - 1).overflow ? .max : debt + max(count, 1) - 1
    }

    /// Changes the rate, and the slack if given.
    ///
    /// What is left of the current interval is kept as a part of an interval, and so is a debt; tasks that wait are
    /// judged by the new rate. Reservations keep their promised instants, and can no longer be given back.
    ///
    /// - Parameters:
    ///   - rate: The new rate.
    ///   - slack: The new slack; nil to leave it.
    public func setRate(_ rate: Rate, slack: Int? = nil) {
        core.change { schedule, now in
            schedule.change(rate: rate, burst: slack.map { $0 + 1 } ?? Int(schedule.burst), now: now)
        }
    }

    /// The present rate.
    public var rate: Rate { core.read { $0.rate } }

    /// How many intervals a pause saves up.
    public var slack: Int { Int(core.read { $0.burst }) - 1 }

    /// Takes `count` tokens now, or none.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    public func tryAcquire(_ count: Int, allowingDebt debt: Int) -> RateDecision {
        core.tryAcquireFast(count, debt: Self.overdraft(count, debt), line)
    }

    /// Takes as many tokens as there are now, up to `count`; 0 while tasks wait.
    public func tryAcquire(upTo count: Int) -> Int { core.take(upTo: count) }

    /// What ``tryAcquire(_:allowingDebt:)`` would answer now; it takes nothing.
    public func peek(_ count: Int, allowingDebt debt: Int) -> RateDecision {
        core.peek(count, debt: Self.overdraft(count, debt))
    }

    /// Books `count` tokens for the earliest instant at which they are there, behind everybody who waits.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - longest: The longest delay that is worth it; nil for any.
    /// - Returns: The booking, whose instant is promised.
    /// - Throws: ``RateLimitError/exceedsLimit(_:)`` or ``RateLimitError/tooLate(retryAfter:)``; nothing is booked.
    public func reserve(_ count: Int, within longest: Duration?) throws(RateLimitError) -> RateReservation {
        try core.reserve(count, debt: Self.overdraft(count, 0), within: longest)
    }

    /// Takes `count` tokens, waiting for them in order.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    ///   - timeout: The longest wait; nil for any. With zero or less it never waits.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    public nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, timeout: Duration?
    ) async throws(RateLimitError) {
        if core.takeFast(count, debt: Self.overdraft(count, debt)) { return }
        try await core.acquire(count, debt: Self.overdraft(count, debt), limit: timeout.map { .timeout($0) } ?? .none)
    }

    /// Takes `count` tokens, waiting for them in order, no longer than until `deadline`.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    ///   - deadline: An instant of the limiter's clock.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    /// - Precondition: `deadline` is an instant of the type of the limiter's clock.
    public nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, deadline: some InstantProtocol<Duration>
    ) async throws(RateLimitError) {
        try await core.acquire(count, debt: Self.overdraft(count, debt), limit: core.waitLimit(until: deadline))
    }

    /// Gives `count` tokens back that were taken and not used; a full limiter stays full.
    public func refund(_ count: Int) { core.refund(count) }

    /// Takes `count` tokens whether they are there or not.
    public func penalize(_ count: Int) { core.penalize(count) }

    /// Takes all tokens that are there, and says how many there were.
    @discardableResult
    public func drain() -> Int { core.take(upTo: .max) }

    /// Suspends the calling task for `duration` on the limiter's clock.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` when the task is cancelled first.
    public nonisolated(nonsending) func sleep(for duration: Duration) async throws { try await core.sleep(duration) }

    /// The readings of this instant.
    ///
    /// - Returns: Tokens, waiting tasks and counts, all of one instant.
    public func snapshot() -> RateLimiterSnapshot { core.snapshot() }
}
