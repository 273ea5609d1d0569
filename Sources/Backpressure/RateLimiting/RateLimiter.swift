// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The protocol that limiters share, and that whoever needs one takes.

/// Something that admits so many tokens per time.
///
/// Code that is to be limited takes `some RateLimiter` and leaves it to its user which kind it is: ``TokenBucket``,
/// ``Pacer``, ``SlidingWindowLimiter``, ``CompositeLimiter``, or one key of a ``KeyedRateLimiter``.
///
/// ```swift
/// func download(_ names: [String], limiter: some RateLimiter) async throws {
///     for name in names {
///         try await limiter.acquire()
///         print("getting \(name)")
///     }
/// }
/// ```
///
/// - **Order**: tasks that wait are served in the order in which they began to wait, and no newcomer passes them: while
///   one waits, ``tryAcquire(_:)`` is denied. A large request at the head is not starved by small ones behind it.
/// - **Cancellation**: ends that task's wait and takes no tokens; whoever waits behind it moves up. A task that was
///   granted its tokens first has them, and returns normally.
/// - **Deadlines**: a request whose tokens would come too late is refused before it waits.
/// - **Debt**: a request may be allowed to take more than there is; the debt is paid by everybody's waiting.
/// - **Time**: on the clock that the limiter was made with. A clock that steps back earns nothing twice; one that jumps
///   ahead and back is taken at its furthest reading.
///
/// A count of tokens is 1 or more, a debt 0 or more: anything else is a programming error and stops the program.
public protocol RateLimiter: Sendable {
    /// Takes `count` tokens now, or none.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    func tryAcquire(_ count: Int, allowingDebt debt: Int) -> RateDecision

    /// Takes as many tokens as there are now, up to `count`.
    ///
    /// - Parameter count: The most tokens to take; at least 1.
    /// - Returns: How many were taken, 0 or more; 0 while tasks wait.
    func tryAcquire(upTo count: Int) -> Int

    /// What ``tryAcquire(_:allowingDebt:)`` would answer now.
    ///
    /// It takes nothing.
    func peek(_ count: Int, allowingDebt debt: Int) -> RateDecision

    /// Books `count` tokens for the earliest instant at which they are there, behind everybody who waits.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - longest: The longest delay that is worth it; nil for any.
    /// - Returns: The booking, whose instant is promised.
    /// - Throws: ``RateLimitError/exceedsLimit(_:)``, or ``RateLimitError/tooLate(retryAfter:)``: then nothing is
    ///   booked.
    func reserve(_ count: Int, within longest: Duration?) throws(RateLimitError) -> RateReservation

    /// Takes `count` tokens, waiting for them in order.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    ///   - timeout: The longest wait; nil for any. With zero or less it never waits.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, timeout: Duration?
    ) async throws(RateLimitError)

    /// Takes `count` tokens, waiting for them in order, no longer than until `deadline`.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
    ///   - deadline: An instant of the limiter's clock.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    /// - Precondition: `deadline` is an instant of the type of the limiter's clock.
    nonisolated(nonsending) func acquire(
        _ count: Int, allowingDebt debt: Int, deadline: some InstantProtocol<Duration>
    ) async throws(RateLimitError)

    /// Gives `count` tokens back that were taken and not used; a full limiter stays full.
    ///
    /// Tasks that wait are served the sooner.
    func refund(_ count: Int)

    /// Takes `count` tokens whether they are there or not: what was learnt to have cost more than was paid.
    ///
    /// Tasks that wait are served the later.
    func penalize(_ count: Int)

    /// Takes all tokens that are there.
    ///
    /// - Returns: How many there were.
    @discardableResult
    func drain() -> Int

    /// Suspends the calling task for `duration` on the limiter's clock.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    nonisolated(nonsending) func sleep(for duration: Duration) async throws

    /// The readings of this instant.
    func snapshot() -> RateLimiterSnapshot
}

// MARK: - Shorter forms

extension RateLimiter {
    /// Takes `count` tokens now, or none.
    ///
    /// - Parameter count: The tokens; at least 1.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    @inlinable @inline(__always)
    public func tryAcquire(_ count: Int = 1) -> RateDecision { tryAcquire(count, allowingDebt: 0) }

    /// What ``tryAcquire(_:)`` would answer now.
    @inlinable public func peek(_ count: Int = 1) -> RateDecision { peek(count, allowingDebt: 0) }

    /// Books `count` tokens for the earliest instant at which they are there; see ``reserve(_:within:)``.
    @inlinable public func reserve(_ count: Int = 1) throws(RateLimitError) -> RateReservation {
        try reserve(count, within: nil)
    }

    /// Takes `count` tokens, waiting for them in order; see ``acquire(_:allowingDebt:timeout:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(_ count: Int = 1) async throws(RateLimitError) {
        try await acquire(count, allowingDebt: 0, timeout: nil)
    }

    /// Takes `count` tokens, waiting for them in order; see ``acquire(_:allowingDebt:timeout:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, allowingDebt debt: Int
    ) async throws(RateLimitError) {
        try await acquire(count, allowingDebt: debt, timeout: nil)
    }

    /// Takes `count` tokens, waiting no longer than `timeout`; see ``acquire(_:allowingDebt:timeout:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, timeout: Duration
    ) async throws(RateLimitError) {
        try await acquire(count, allowingDebt: 0, timeout: timeout)
    }

    /// Takes `count` tokens, waiting no longer than until `deadline`; see ``acquire(_:allowingDebt:deadline:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, deadline: some InstantProtocol<Duration>
    ) async throws(RateLimitError) {
        try await acquire(count, allowingDebt: 0, deadline: deadline)
    }

    /// Takes `count` tokens, and then waits a random time of up to `jitter` more.
    ///
    /// It spreads tasks that would act at the same instant. The tokens are taken before the random wait, so a
    /// cancellation then only shortens it.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - jitter: The longest extra wait; zero or more.
    /// - Throws: ``RateLimitError``; then no tokens were taken.
    public nonisolated(nonsending) func acquire(_ count: Int = 1, jitter: Duration) async throws(RateLimitError) {
        precondition(jitter >= .zero, "a jitter of \(jitter) is negative")
        try await acquire(count)
        let extra = Int64.random(in: 0...jitter.saturatingNanosecondsRoundedDown)
        try? await sleep(for: .nanoseconds(extra))
    }
}
