// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long to wait before the next try. Pure arithmetic in nanoseconds; chance is an argument.
//
// ## Algorithm
// Exponential backoff with the jitters of M. Brooker, "Exponential Backoff and Jitter", 2015. Without jitter all who
// failed together come back together, again and again.
//     none           d = min(maximum, base * factor^(n - 1))
//     full           0 ... d
//     equal          d / 2 ... d
//     decorrelated   base ... 3 times the last delay, held to maximum
//
// ## Invariants
// I1  A delay is 0 ... maximum, whatever the attempt; nothing overflows, and no power is computed that is not needed.
// I2  With a server's word, the delay is never shorter than the server asked for.

/// How long to wait before a try.
public struct Backoff: Hashable, Sendable {
    /// How delays are spread, so that those who failed together do not come back together.
    public enum Jitter: Hashable, Sendable {
        /// Not at all.
        case none
        /// Anything from nothing to the whole delay: the best spread.
        case full
        /// From half of the delay to the whole.
        case equal
        /// From the first delay to three times the last one.
        case decorrelated
    }

    /// The delay before the second try.
    public let base: Duration
    /// What each further delay is multiplied with.
    public let factor: Double
    /// The longest delay.
    public let maximum: Duration
    /// How delays are spread.
    public let jitter: Jitter

    /// Delays that grow.
    ///
    /// - Parameters:
    ///   - base: The delay before the second try.
    ///   - factor: What each further delay is multiplied with; 1 for delays that stay the same.
    ///   - maximum: The longest delay.
    ///   - jitter: How delays are spread.
    /// - Precondition: `.zero < base <= maximum`; `factor >= 1` and finite.
    public init(
        base: Duration = .milliseconds(100), factor: Double = 2, maximum: Duration = .seconds(20),
        jitter: Jitter = .full
    ) {
        precondition(base > .zero, "a delay of \(base) is not positive")
        precondition(base <= maximum, "a delay of \(base) exceeds the longest of \(maximum)")
        precondition(factor >= 1 && factor.isFinite, "a factor of \(factor) is below 1 or no number")
        self.base = base
        self.factor = factor
        self.maximum = maximum
        self.jitter = jitter
    }

    /// The delay before the next try.
    ///
    /// - Parameters:
    ///   - attempt: How many tries there were; what is below 1 counts as 1.
    ///   - previous: The delay before the last try, which decorrelated jitter follows.
    ///   - retryAfter: What the server asked for. It wins: the delay is that, and up to the first delay more, because others
    ///     were told the same.
    ///   - generator: Where chance comes from.
    /// - Returns: The delay.
    public func delay(
        after attempt: Int, previous: Duration? = nil, retryAfter: Duration? = nil,
        using generator: inout some RandomNumberGenerator
    ) -> Duration {
        let first = base.saturatingNanoseconds
        if let retryAfter {
            let spread = jitter == .none ? 0 : Int64.random(in: 0...first, using: &generator)
            let asked = max(retryAfter.saturatingNanoseconds, 0)
            return .nanoseconds(asked.addingSaturating(spread))
        }
        let longest = maximum.saturatingNanoseconds
        let whole = Self.grown(first, factor, max(attempt, 1) - 1, longest)
        switch jitter {
        case .none: return .nanoseconds(whole)
        case .full: return .nanoseconds(Int64.random(in: 0...whole, using: &generator))
        case .equal: return .nanoseconds(Int64.random(in: (whole / 2)...whole, using: &generator))
        case .decorrelated:
            let last = max(previous?.saturatingNanoseconds ?? first, first)
            let most = last > longest / 3 ? longest : last * 3
            return .nanoseconds(Int64.random(in: first...max(first, most), using: &generator))
        }
    }

    /// The delay before the next try, with the system's chance.
    ///
    /// - Parameters:
    ///   - attempt: How many tries there were.
    ///   - previous: The delay before the last try.
    ///   - retryAfter: What the server asked for.
    /// - Returns: The delay.
    public func delay(after attempt: Int, previous: Duration? = nil, retryAfter: Duration? = nil) -> Duration {
        var generator = SystemChance()
        return delay(after: attempt, previous: previous, retryAfter: retryAfter, using: &generator)
    }

    /// `first` times the power of the factor, held to `longest`.
    private static func grown(_ first: Int64, _ factor: Double, _ power: Int, _ longest: Int64) -> Int64 {
        guard factor > 1 else { return first }
        var delay = Double(first)
        for _ in 0..<power {
            delay *= factor
            if delay >= Double(longest) { return longest }
        }
        return Int64(delay)
    }
}
