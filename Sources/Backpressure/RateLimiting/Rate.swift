// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A rate as a fraction in lowest terms. Nothing is rounded: time is counted in units so fine that both a nanosecond and
// a token are whole numbers of them.
//
// ## Units
// n tokens per p nanoseconds, in lowest terms: one unit is 1/n nanosecond, a nanosecond is n units, a token p units.
// 700,000,000 per second is 7 tokens per 10 ns: a token lasts 10 units of 1/7 ns. A period rounded to whole nanoseconds
// would be 1 or 2 ns, that is 43 % too fast or 28 % too slow.

/// How many tokens per time a limiter admits: exact, as a fraction.
///
/// ```swift
/// let quota = Rate(100, per: .seconds(60))
/// let same = Rate.perMinute(100)
/// let spaced = Rate.every(.milliseconds(600))
/// print(quota == same, quota == spaced)  // true true
/// ```
///
/// Equal fractions are equal rates, however they were written.
public struct Rate: Hashable, Sendable {
    /// Units of one nanosecond; 0 for a rate of zero.
    let unitsPerNanosecond: UInt64
    /// Units of one token; 0 without a limit.
    let unitsPerToken: UInt64

    /// The greatest count of a rate.
    public static let maximumCount = 1 << 48

    private init(unitsPerNanosecond: UInt64, unitsPerToken: UInt64) {
        self.unitsPerNanosecond = unitsPerNanosecond
        self.unitsPerToken = unitsPerToken
    }

    /// `count` tokens in every `period`, spread evenly.
    ///
    /// A period that is no whole number of nanoseconds is rounded up to the next one, so that no rate is faster than
    /// asked: write 2 per 3 ns, not 1 per 1.5 ns.
    ///
    /// - Parameters:
    ///   - count: The tokens; 0 makes ``zero``.
    ///   - period: The time in which so many tokens become available, from 1 ns to 292 years.
    /// - Precondition: `0 <= count <= maximumCount`, and `period` is positive and at most 292 years.
    public init(_ count: Int, per period: Duration) {
        precondition(count >= 0, "a rate of \(count) tokens is negative")
        precondition(count <= Self.maximumCount, "a rate of \(count) tokens exceeds \(Self.maximumCount)")
        precondition(period > .zero, "a rate per \(period) has no positive period")
        let nanoseconds = period.saturatingNanoseconds
        precondition(nanoseconds < .max, "a period of \(period) exceeds 292 years")
        guard count > 0 else {
            self = .zero
            return
        }
        let divisor = Self.greatestCommonDivisor(UInt64(count), UInt64(nanoseconds))
        self.init(unitsPerNanosecond: UInt64(count) / divisor, unitsPerToken: UInt64(nanoseconds) / divisor)
    }

    /// `count` tokens per second.
    public static func perSecond(_ count: Int) -> Rate { Rate(count, per: .seconds(1)) }

    /// `count` tokens per minute.
    public static func perMinute(_ count: Int) -> Rate { Rate(count, per: .seconds(60)) }

    /// `count` tokens per hour.
    public static func perHour(_ count: Int) -> Rate { Rate(count, per: .seconds(3_600)) }

    /// One token every `interval`.
    public static func every(_ interval: Duration) -> Rate { Rate(1, per: interval) }

    /// Nothing ever becomes available again: a limiter of this rate admits what it holds, once.
    public static let zero = Rate(unitsPerNanosecond: 0, unitsPerToken: 1)

    /// No limit: a limiter of this rate admits everything.
    public static let unlimited = Rate(unitsPerNanosecond: 1, unitsPerToken: 0)

    /// Whether this is ``zero``.
    public var isZero: Bool { unitsPerNanosecond == 0 }

    /// Whether this is ``unlimited``.
    public var isUnlimited: Bool { unitsPerToken == 0 }

    private static func greatestCommonDivisor(_ first: UInt64, _ second: UInt64) -> UInt64 {
        var (first, second) = (first, second)
        while second != 0 { (first, second) = (second, first % second) }
        return first
    }
}

extension Rate: CustomStringConvertible {
    /// The fraction, for a log line.
    public var description: String {
        if isZero { return "0 tokens" }
        if isUnlimited { return "unlimited" }
        return "\(unitsPerNanosecond) tokens per \(unitsPerToken) ns"
    }
}
