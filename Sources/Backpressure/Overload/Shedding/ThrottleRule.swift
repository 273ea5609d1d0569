// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// With what probability a call is kept back: pure maths of two counts.
//
// ## Algorithm
// multiple     "Handling Overload", Google SRE book, 2016. Of the calls that were wanted and those that were accepted
//                  p = max(0, (wanted - k * accepted) / (wanted + 1))
//              so that the service gets about k times what it accepts, and notices by it when it can do more.
// successRate  Envoy, "Admission control". Of the calls that were made and those that succeeded
//                  p = ((made - succeeded / threshold) / (made + 1)) ^ (1 / aggression)
//              held to a greatest value, and 0 while fewer calls are made per second than it is worth.
//
// ## Invariants
// I1  0 <= p < 1 for all counts, and 0 for none.

/// How much an ``AdaptiveThrottle`` keeps back.
///
/// ```swift
/// let gentle = AdaptiveThrottle(rule: .successRate(threshold: 0.9, aggression: 2, minimumRate: 10))
/// if gentle.shouldSend() { gentle.record(isAccepted: true) }
/// ```
public struct ThrottleRule: Hashable, Sendable {
    private enum Kind: Hashable, Sendable {
        case multiple(Double)
        case successRate(threshold: Double, exponent: Double, most: Double, minimumRate: Double)
    }

    private let kind: Kind

    /// The service gets about `multiplier` times what it accepts.
    ///
    /// Right where a rejection says "overloaded", and nothing else: what is wanted is compared with what is accepted, with
    /// the calls that are kept back here among the wanted ones.
    ///
    /// - Parameter multiplier: 2 wastes some of the service's work on rejections and reacts quickly, 1.1 spares it.
    /// - Returns: The rule.
    /// - Precondition: `multiplier >= 1` and finite.
    /// - **Source**: "Handling Overload", Google SRE book.
    public static func multiple(_ multiplier: Double) -> ThrottleRule {
        precondition(multiplier >= 1 && multiplier.isFinite, "a multiplier of \(multiplier) is below 1 or no number")
        return ThrottleRule(kind: .multiple(multiplier))
    }

    /// Keeps back the more, the further the share of calls that succeed falls below `threshold`.
    ///
    /// Right where a service has failures at all times, and only more of them than usual mean overload. Calls that are kept
    /// back are not counted: they say nothing about the service.
    ///
    /// - Parameters:
    ///   - threshold: The share of calls that succeed when all is well; at this share or above nothing is kept back.
    ///   - aggression: 1 keeps back in proportion to what is missing; greater values keep back more, and sooner.
    ///   - maximum: The greatest probability: the rest gets through, and shows when the service is well again.
    ///   - minimumRate: With fewer calls per second than this, on average over the window, nothing is kept back: a few
    ///     failures of a few calls mean nothing.
    /// - Returns: The rule.
    /// - Precondition: `0 < threshold <= 1`, `aggression >= 1` and finite, `0 <= maximum < 1`, `minimumRate >= 0` and finite.
    /// - **Source**: Envoy's admission control filter; the defaults are its own.
    public static func successRate(
        threshold: Double = 0.95, aggression: Double = 1, maximum: Double = 0.8, minimumRate: Double = 0
    ) -> ThrottleRule {
        precondition(threshold > 0 && threshold <= 1, "a threshold of \(threshold) does not lie between 0 and 1")
        precondition(aggression >= 1 && aggression.isFinite, "an aggression of \(aggression) is below 1 or no number")
        precondition(maximum >= 0 && maximum < 1, "a probability of \(maximum) is below 0, or lets nothing through")
        precondition(minimumRate >= 0 && minimumRate.isFinite, "a rate of \(minimumRate) calls per second")
        return ThrottleRule(
            kind: .successRate(
                threshold: threshold, exponent: 1 / aggression, most: maximum, minimumRate: minimumRate))
    }

    /// Whether a call that is kept back is a request all the same.
    var countsWhatIsWanted: Bool {
        switch kind {
        case .multiple: true
        case .successRate: false
        }
    }

    func probability(requests: Int, accepts: Int, window: Duration) -> Double {
        let (requests, accepts) = (Double(max(requests, 0)), Double(max(accepts, 0)))
        switch kind {
        case .multiple(let multiplier): return max(0, (requests - multiplier * accepts) / (requests + 1))
        case .successRate(let threshold, let exponent, let most, let minimumRate):
            let seconds = Double(window.saturatingNanoseconds) / 1e9
            let missing = (requests - accepts / threshold) / (requests + 1)
            guard missing > 0, requests >= minimumRate * seconds else { return 0 }
            return min(PlatformMath.power(missing, exponent), most)
        }
    }
}
