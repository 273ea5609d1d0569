// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A count per window: the facade of a `SlidingSchedule`.

/// At most so many tokens in any window of a length, wherever the window lies.
///
/// A ``TokenBucket`` of the same rate lets through up to twice as many in its worst window: a whole burst, and what
/// comes in meanwhile. This one never does, as partners with a hard quota demand.
///
/// ```swift
/// let quota = SlidingWindowLimiter(limit: 1_000, window: .seconds(60))
/// if quota.tryAcquire().isAllowed { print("go") }
/// ```
///
/// The window is kept as `slices` counts, and a token counts until the whole slice in which it was taken has left the
/// window. So the limit holds in every window, without exception; the price is that tokens come back up to one slice
/// late: constant demand gets at least `limit` tokens in any window · (slices + 1) / slices. For the common properties
/// of limiters see ``RateLimiter``; a debt is what one request may have beyond the limit.
///
/// - **Cost**: a lock, and O(slices) when the window is full; 8 bytes a slice, whatever the limit.
public final class SlidingWindowLimiter: RateLimiter {
    let core: LimiterCore<SlidingSchedule>

    /// An empty window.
    ///
    /// - Parameters:
    ///   - limit: The most tokens in any window; at least 1.
    ///   - window: The window's length, from 1 ns to 292 years.
    ///   - slices: How finely the window is kept, 1 to 65,536.
    ///   - maxWaiters: How many tasks may wait; more are rejected as ``Rejection/full``.
    ///   - clock: The clock of window and deadlines; tests pass a manual one.
    ///   - observer: Is told what happens, on the task that made it happen, outside all locks.
    public init(
        limit: Int,
        window: Duration,
        slices: Int = 32,
        maxWaiters: Int = .max,
        clock: some Clock<Duration> = ContinuousClock(),
        observer: (@Sendable (RateEvent) -> Void)? = nil
    ) {
        core = LimiterCore(
            schedule: SlidingSchedule(limit: limit, window: window, slices: slices), timeSource: TimeSource(clock),
            maxWaiters: maxWaiters, observer: observer)
    }

    /// Changes the limit; what was taken in the window stays counted.
    ///
    /// - Parameter limit: The most tokens in any window; at least 1.
    public func setLimit(_ limit: Int) {
        core.change { schedule, now in schedule.setLimit(limit) }
    }

    /// The most tokens in any window.
    public var limit: Int { Int(core.read { $0.limit }) }

    /// Takes `count` tokens now, or none.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    public func tryAcquire(_ count: Int, allowingDebt debt: Int) -> RateDecision {
        core.tryAcquire(count, debt: debt, now: core.present())
    }

    /// Takes as many tokens as there are now, up to `count`; 0 while tasks wait.
    public func tryAcquire(upTo count: Int) -> Int { core.take(upTo: count) }

    /// What ``tryAcquire(_:allowingDebt:)`` would answer now; it takes nothing.
    public func peek(_ count: Int, allowingDebt debt: Int) -> RateDecision { core.peek(count, debt: debt) }

    /// Books `count` tokens for the earliest instant at which they are there, behind everybody who waits.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - longest: The longest delay that is worth it; nil for any.
    /// - Returns: The booking, whose instant is promised.
    /// - Throws: ``RateLimitError/exceedsLimit(_:)`` or ``RateLimitError/tooLate(retryAfter:)``; nothing is booked.
    public func reserve(_ count: Int, within longest: Duration?) throws(RateLimitError) -> RateReservation {
        try core.reserve(count, debt: 0, within: longest)
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
        try await core.acquire(count, debt: debt, limit: timeout.map { .timeout($0) } ?? .none)
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
        try await core.acquire(count, debt: debt, limit: core.waitLimit(until: deadline))
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
