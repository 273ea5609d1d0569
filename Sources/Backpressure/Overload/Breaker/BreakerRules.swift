// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The settings of a circuit breaker, and the words for its states.

/// The state of a circuit breaker.
public enum BreakerState: String, Hashable, Sendable {
    /// Calls go through, and their failures are counted.
    case closed
    /// Calls are rejected until a delay is over.
    case open
    /// A few calls go through to see whether the dependency is well again.
    case halfOpen
    /// Calls are rejected until somebody says otherwise.
    case forcedOpen
    /// Calls go through, and nothing is counted.
    case disabled
    /// Calls go through and are counted, and the breaker never opens.
    case metricsOnly
}

/// How a call that a circuit breaker let through ended.
public enum BreakerOutcome: Hashable, Sendable {
    /// The dependency did what was asked.
    case success
    /// The dependency failed; it may have said when to come again.
    case failure(retryAfter: Duration? = nil)
    /// It says nothing about the dependency, as a cancelled call or a caller's mistake.
    case ignored
}

/// Why a circuit breaker changed its state.
public enum BreakerCause: Hashable, Sendable {
    /// This part of the calls of the window failed.
    case failureRate(Double)
    /// This part of the calls of the window was slow.
    case slowCallRate(Double)
    /// The dependency exerted backpressure for too long.
    case sustainedBackpressure
    /// It had been open for its delay, and a call came.
    case delayPassed
    /// The calls that were let through half-open went well.
    case recovered
    /// It was half-open for too long without a verdict.
    case noVerdict
    /// Somebody said so.
    case manual
}

/// When a circuit breaker opens, and how it closes again.
public struct BreakerRules: Sendable {
    /// Over which calls the rates are taken.
    public enum Window: Hashable, Sendable {
        /// The last so many calls.
        case calls(Int)
        /// The calls of the last so much time.
        case time(Duration)
    }

    /// How long the breaker stays open.
    public enum OpenDelay: Hashable, Sendable {
        /// Always the same.
        case constant(Duration)
        /// The longer, the more often in a row it opened.
        case backoff(Backoff)
    }

    /// Over which calls the rates are taken.
    public var window = Window.calls(100)
    /// It opens when at least this part of the calls failed.
    public var failureRate = 0.5
    /// It opens when at least this part of the calls was slow.
    public var slowCallRate = 1.0
    /// Calls that take this long or longer are slow.
    public var slowCallDuration = Duration.seconds(60)
    /// With fewer calls in the window it does not open.
    public var minimumCalls = 100
    /// How many calls go through while it is half-open, in all.
    public var halfOpenCalls = 10
    /// After so long half-open without a verdict it opens again; nil for no bound.
    public var halfOpenWait: Duration? = .seconds(60)
    /// How long it stays open; what a failure said about when to come again is obeyed, if it is longer.
    public var openDelay = OpenDelay.constant(.seconds(60))
    /// It opens when backpressure is reported for so long without a break; nil to leave backpressure alone.
    public var sustainedBackpressure: Duration?

    /// The rules that most breakers of the field have by default.
    public init() {}

    func check() {
        switch window {
        case .calls(let count): precondition((1...1_000_000).contains(count), "a window of \(count) calls")
        case .time(let duration): precondition(duration > .zero, "a window of \(duration) is not positive")
        }
        precondition(failureRate > 0 && failureRate <= 1, "a failure rate of \(failureRate) is not in 0 ..< 1")
        precondition(slowCallRate > 0 && slowCallRate <= 1, "a slow call rate of \(slowCallRate) is not in 0 ..< 1")
        precondition(slowCallDuration > .zero, "slow calls of \(slowCallDuration)")
        precondition(minimumCalls >= 1, "a rate of \(minimumCalls) calls")
        precondition((1...1_000_000).contains(halfOpenCalls), "\(halfOpenCalls) calls cannot show anything")
        precondition(halfOpenWait.map { $0 > .zero } ?? true, "a half-open wait that is not positive")
        precondition(sustainedBackpressure.map { $0 >= .zero } ?? true, "a negative time of backpressure")
        if case .constant(let delay) = openDelay { precondition(delay > .zero, "a delay of \(delay)") }
    }
}
