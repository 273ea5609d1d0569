// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the verbs of a rate limiter answer.

/// The answer to a request for tokens that does not wait.
public enum RateDecision: Hashable, Sendable {
    /// The tokens were taken.
    case allowed
    /// Nothing was taken.
    ///
    /// The same request is allowed once this much time has passed, and not a nanosecond earlier, if nobody else takes
    /// or gives back tokens. `Duration.nanoseconds(Int64.max)`, 292 years, means never.
    case denied(retryAfter: Duration)
    /// The limiter never holds that many tokens: `limit` is the most that one request can get.
    case exceedsLimit(Int)

    /// Whether the tokens were taken.
    @inlinable public var isAllowed: Bool {
        if case .allowed = self { true } else { false }
    }

    /// How long to wait before the next try; nil when the tokens were taken, or never can be.
    public var retryAfter: Duration? {
        if case .denied(let duration) = self { duration } else { nil }
    }
}

/// Why tokens were not acquired; none were taken, or those that were taken are given back.
public enum RateLimitError: Error, Hashable, Sendable {
    /// The limiter never holds that many tokens: `limit` is the most that one request can get.
    case exceedsLimit(Int)
    /// The tokens would come after the deadline, so the task did not wait for them; they come after `retryAfter`.
    case tooLate(retryAfter: Duration)
    /// The wait ended first: ``Rejection/cancelled``, ``Rejection/timedOut``, or ``Rejection/full`` when as many tasks
    /// wait as may.
    case rejected(Rejection)
}

/// Something that a rate limiter did, for an observer.
public enum RateEvent: Hashable, Sendable {
    /// So many tokens were taken at once.
    case allowed(Int)
    /// A request for so many tokens was turned away at once, also because its deadline could not be met.
    case denied(Int)
    /// A task began to wait for so many tokens.
    case parked(Int)
    /// A task got so many tokens after a wait.
    case granted(Int)
    /// A task that waited for so many tokens was cancelled or ran out of time.
    case abandoned(Int)
}

/// The readings of a rate limiter at one instant.
public struct RateLimiterSnapshot: Hashable, Sendable {
    /// Whole tokens that can be taken at once; negative while the limiter is in debt.
    public let available: Int
    /// The most tokens that one request can get.
    public let limit: Int
    /// Tasks waiting for tokens now.
    public let waiting: Int
    /// Requests that had to wait, so far.
    public let parked: UInt64
    /// Waits that ended with the tokens, so far.
    public let granted: UInt64
    /// Waits whose task was cancelled, so far.
    public let cancelled: UInt64
    /// Waits that ran out of time, so far.
    public let timedOut: UInt64
    /// Requests refused before they waited: too late, or too many waiting.
    public let refused: UInt64
    /// How long the task that came first has been waiting; nil when none waits, and of a ``KeyedRateLimiter``.
    public let oldestWait: Duration?
    /// How long tasks waited whose wait is over, however it ended, until they ran again.
    public let waits: WaitHistogram
}
