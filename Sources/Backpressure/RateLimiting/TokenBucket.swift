// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The token bucket: the facade of `BucketCore`.

/// A bucket that fills at a rate up to a burst, and is emptied by requests.
///
/// A request for n tokens is allowed while the bucket holds n. An idle bucket saves up to `burst` tokens, so that many
/// may be taken at once; in the long run no more than the rate goes through. In every window of length t, however it
/// lies, no more than burst + rate · t tokens are taken; the rate is exact, its remainder is carried and never rounded.
///
/// ```swift
/// let limiter = TokenBucket(rate: .perSecond(100), burst: 20)
/// switch limiter.tryAcquire() {
/// case .allowed: print("go")
/// case .denied(let retryAfter): print("try again in \(retryAfter)")
/// case .exceedsLimit(let most): print("never more than \(most) at once")
/// }
/// ```
///
/// The algorithm is the generic cell rate algorithm (ITU-T I.371): one number says when the bucket will be full again.
/// There is no timer and no refill task, and an idle bucket costs nothing. For the common properties of limiters see
/// ``RateLimiter``.
///
/// - **Cost**: an admission is one reading of the clock and one compare-exchange, without lock or allocation. So is a
///   denial. While tasks wait, every operation takes a lock.
public final class TokenBucket: RateLimiter {
    let core: BucketCore
    private let line: BucketLine

    /// A bucket that is full, or holds `initialTokens`.
    ///
    /// - Parameters:
    ///   - rate: How fast it fills.
    ///   - burst: The most tokens that it holds, and that one request gets; at least 1.
    ///   - initialTokens: What it holds at first, 0 to `burst`; nil for all.
    ///   - maxWaiters: How many tasks may wait; more are rejected as ``Rejection/full``.
    ///   - clock: The clock of rate and deadlines; tests pass a manual one.
    ///   - observer: Is told what happens, on the task that made it happen, outside all locks; it costs each operation
    ///     a call.
    /// - Precondition: `burst >= 1`, and the bucket fills within 292 years unless the rate is ``Rate/zero``.
    public init(
        rate: Rate,
        burst: Int,
        initialTokens: Int? = nil,
        maxWaiters: Int = .max,
        clock: some Clock<Duration> = ContinuousClock(),
        observer: (@Sendable (RateEvent) -> Void)? = nil
    ) {
        let timeSource = TimeSource(clock)
        let schedule = GCRA(rate: rate, burst: burst, initialTokens: initialTokens, now: timeSource.now())
        core = BucketCore(schedule: schedule, timeSource: timeSource, maxWaiters: maxWaiters, observer: observer)
        line = core.line
    }

    /// Takes `count` tokens now, or none.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the bucket may be overdrawn after it; at least 0.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    public func tryAcquire(_ count: Int, allowingDebt debt: Int) -> RateDecision {
        core.tryAcquireFast(count, debt: debt, line)
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
    ///   - debt: By how many tokens the bucket may be overdrawn after it; at least 0.
    ///   - timeout: The longest wait; nil for any. With zero or less it never waits.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    public nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, timeout: Duration?
    ) async throws(RateLimitError) {
        if core.takeFast(count, debt: debt) { return }
        try await core.acquire(count, debt: debt, limit: timeout.map { .timeout($0) } ?? .none)
    }

    /// Takes `count` tokens, waiting for them in order, no longer than until `deadline`.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the bucket may be overdrawn after it; at least 0.
    ///   - deadline: An instant of the limiter's clock.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    /// - Precondition: `deadline` is an instant of the type of the limiter's clock.
    public nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, deadline: some InstantProtocol<Duration>
    ) async throws(RateLimitError) {
        let limit = core.waitLimit(until: deadline)
        if core.takeFast(count, debt: debt) { return }
        try await core.acquire(count, debt: debt, limit: limit)
    }

    /// Gives `count` tokens back that were taken and not used; a full bucket stays full.
    public func refund(_ count: Int) { core.refund(count) }

    /// Takes `count` tokens whether they are there or not.
    public func penalize(_ count: Int) { core.penalize(count) }

    /// Takes all tokens that are there, and says how many there were.
    @discardableResult
    public func drain() -> Int { core.take(upTo: .max) }

    /// Changes rate and burst.
    ///
    /// The tokens that the bucket holds stay, up to the new burst, and so does a debt; tasks that wait are judged by
    /// the new rate. A part of a token is kept to within a billionth or so, never rounded up. Reservations keep their
    /// promised instants, and can no longer be given back.
    ///
    /// - Parameters:
    ///   - rate: The new rate.
    ///   - burst: The new burst; nil to leave it.
    /// - Precondition: As for ``init(rate:burst:initialTokens:maxWaiters:clock:observer:)``.
    public func setRate(_ rate: Rate, burst: Int? = nil) {
        core.change { schedule, now in
            schedule.change(rate: rate, burst: burst ?? Int(schedule.burst), now: now)
        }
    }

    /// The present rate.
    public var rate: Rate { core.read { $0.rate } }

    /// The most tokens that the bucket holds.
    public var burst: Int { Int(core.read { $0.burst }) }

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
