// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A client that keeps back what would be rejected anyway.
//
// The probabilities are in `ThrottleRule`. What is counted depends on the rule: that of the SRE book compares what was wanted
// with what was accepted, so a call that is kept back counts as wanted; Envoy's looks at the success of the calls that were
// made, in which those that were kept back would be failures of its own making.
//
// ## Invariants
// I1  0 <= probability < 1: now and then a call gets through, or a service that is well again would never be noticed.
// I2  A call that is kept back is never an accept; it is a request only if the rule says so.

/// Rejects at the client what an overloaded service would reject, in proportion.
///
/// ```swift
/// let throttle = AdaptiveThrottle()
/// if throttle.shouldSend() {
///     let isAccepted = await send(7)
///     throttle.record(isAccepted: isAccepted)
/// }
/// ```
///
/// ``ThrottleRule`` says how much is kept back.
///
/// - **Source**: "Handling Overload", Google SRE book; the other rule is that of Envoy's admission control.
public final class AdaptiveThrottle: Sendable {
    private struct Tally: RollingCount {
        var requests = 0
        var accepts = 0

        static func += (left: inout Tally, right: Tally) {
            left.requests += right.requests
            left.accepts += right.accepts
        }

        static func -= (left: inout Tally, right: Tally) {
            left.requests -= right.requests
            left.accepts -= right.accepts
        }
    }

    /// How much is kept back.
    public let rule: ThrottleRule
    private let timeSource: TimeSource
    private let window: Duration
    private let state: LockedState<RollingCounts<Tally>>

    /// A throttle that has seen nothing yet, and so keeps nothing back.
    ///
    /// - Parameters:
    ///   - multiplier: The service gets about so many times what it accepts: 2 wastes some of its work on rejections and reacts
    ///     quickly, 1.1 spares it.
    ///   - window: Over which time calls count.
    ///   - clock: The clock of the window; tests pass a manual one.
    /// - Precondition: `multiplier >= 1` and finite, `window > .zero`.
    public convenience init(
        multiplier: Double = 2, window: Duration = .seconds(120), clock: some Clock<Duration> = ContinuousClock()
    ) {
        self.init(rule: .multiple(multiplier), window: window, clock: clock)
    }

    /// A throttle that has seen nothing yet, and so keeps nothing back.
    ///
    /// - Parameters:
    ///   - rule: How much is kept back.
    ///   - window: Over which time calls count.
    ///   - clock: The clock of the window; tests pass a manual one.
    /// - Precondition: `window > .zero`.
    public init(
        rule: ThrottleRule, window: Duration = .seconds(30), clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(window > .zero, "a window of \(window) is not positive")
        timeSource = TimeSource(clock)
        self.rule = rule
        self.window = window
        state = LockedState(RollingCounts(window: window.saturatingNanoseconds, buckets: 12))
    }

    /// Whether to send a call.
    ///
    /// A call that is sent must be followed by ``record(isAccepted:)``.
    ///
    /// - Returns: False to reject it here.
    public func shouldSend() -> Bool { shouldSend(chance: .random(in: 0..<1)) }

    func shouldSend(chance: Double) -> Bool {
        let now = timeSource.now()
        return state.withLock { counts in
            counts.advance(to: now)
            let isSent = chance >= probability(counts.total)
            if rule.countsWhatIsWanted { counts.add(Tally(requests: 1, accepts: 0), at: now) }
            return isSent
        }
    }

    /// How the service took a call that was sent.
    ///
    /// - Parameter isAccepted: False when it rejected it for load; any other answer counts as accepted.
    public func record(isAccepted: Bool) {
        let now = timeSource.now()
        let tally = Tally(requests: rule.countsWhatIsWanted ? 0 : 1, accepts: isAccepted ? 1 : 0)
        state.withLock { $0.add(tally, at: now) }
    }

    /// The probability with which a call is kept back at this moment.
    public var rejectionProbability: Double {
        let now = timeSource.now()
        return state.withLock { counts in
            counts.advance(to: now)
            return probability(counts.total)
        }
    }

    private func probability(_ tally: Tally) -> Double {
        rule.probability(requests: tally.requests, accepts: tally.accepts, window: window)
    }
}
