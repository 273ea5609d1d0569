// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Several limits as one: the facade of a `CompositeSchedule`.

/// Several limits at once, such as 10 per second and 100 per minute: tokens are taken from all of them or from none.
///
/// ```swift
/// let limiter = CompositeLimiter(
///     CompositeLimiter.Limit(rate: .perSecond(10), burst: 10),
///     CompositeLimiter.Limit(rate: .perMinute(100), burst: 30)
/// )
/// try await limiter.acquire(5)
/// ```
///
/// Each limit is a ``TokenBucket`` of its own and holds its bound exactly. A request that one of them denies takes
/// nothing from the others; what it is told to wait is the longest of their waits. For the common properties of limiters
/// see ``RateLimiter``.
///
/// - **Cost**: a lock, and O(number of limits).
public final class CompositeLimiter: RateLimiter {
    /// One of the limits.
    public struct Limit: Hashable, Sendable {
        /// How fast its bucket fills.
        public let rate: Rate
        /// The most tokens that its bucket holds.
        public let burst: Int

        /// A limit of `rate`, with up to `burst` tokens at once.
        public init(rate: Rate, burst: Int) {
            self.rate = rate
            self.burst = burst
        }
    }

    let core: LimiterCore<CompositeSchedule>

    /// A limiter that holds all of `limits`, each full at first.
    ///
    /// - Parameters:
    ///   - limits: One limit or more. The smallest burst is the most that one request gets.
    ///   - maxWaiters: How many tasks may wait; more are rejected as ``Rejection/full``.
    ///   - clock: The clock of rates and deadlines; tests pass a manual one.
    ///   - observer: Is told what happens, on the task that made it happen, outside all locks.
    /// - Precondition: There is a limit, and each is one that ``TokenBucket`` accepts.
    public init(
        _ limits: Limit...,
        maxWaiters: Int = .max,
        clock: some Clock<Duration> = ContinuousClock(),
        observer: (@Sendable (RateEvent) -> Void)? = nil
    ) {
        let timeSource = TimeSource(clock)
        core = LimiterCore(
            schedule: CompositeSchedule(limits, now: timeSource.now()), timeSource: timeSource,
            maxWaiters: maxWaiters, observer: observer)
    }

    /// Changes all limits, each in its place; the tokens of each are kept as ``TokenBucket/setRate(_:burst:)`` says.
    ///
    /// - Parameter limits: As many limits as there are.
    /// - Precondition: There are as many as before.
    public func setLimits(_ limits: Limit...) {
        core.change { schedule, now in schedule.change(limits, now: now) }
    }

    /// The present limits.
    public var limits: [Limit] {
        core.read { $0.parts.map { Limit(rate: $0.rate, burst: Int($0.burst)) } }
    }

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
