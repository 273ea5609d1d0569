// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What an adaptive limit is: a number that follows from what calls took. Time and tasks are somebody else's.

/// How many calls may run at once, as a function of how earlier calls went.
///
/// The algorithms are values without locks, tasks or clocks: ``ConcurrencyLimiter`` feeds them with samples and obeys
/// their ``limit``. The library has ``FixedLimit``, ``AIMDLimit``, ``VegasLimit``, ``Gradient2Limit`` and ``CorrelationLimit``; a
/// type of your own works as well.
///
/// ```swift
/// struct HalfOnTrouble: ConcurrencyLimit {
///     var limit = 64
///
///     mutating func update(_ sample: LimitSample) {
///         limit = sample.didDrop ? max(1, limit / 2) : min(64, limit + 1)
///     }
/// }
/// ```
public protocol ConcurrencyLimit: Sendable {
    /// How many calls may run at once; 1 or more.
    var limit: Int { get }

    /// Learns from the calls of one window.
    ///
    /// It is called outside all locks, never twice at once for one limiter.
    mutating func update(_ sample: LimitSample)
}

/// What the calls of one window of time told.
public struct LimitSample: Hashable, Sendable {
    /// How long the calls took on average, those that were dropped aside; zero when all of them were.
    public let roundTrip: Duration
    /// The most calls that ran at once.
    public let inFlight: Int
    /// Whether one of them was dropped: it ran into a timeout, or was turned away further down.
    public let didDrop: Bool

    /// A sample.
    ///
    /// - Parameters:
    ///   - roundTrip: How long the calls took on average. A sample that is not positive teaches nothing, but for a drop.
    ///   - inFlight: The most calls that ran at once.
    ///   - didDrop: Whether one of them was dropped.
    public init(roundTrip: Duration, inFlight: Int, didDrop: Bool = false) {
        self.roundTrip = roundTrip
        self.inFlight = inFlight
        self.didDrop = didDrop
    }

    /// The average in nanoseconds; nil when it is not positive, as after a step of the clock.
    var nanoseconds: Double? {
        let nanoseconds = roundTrip.saturatingNanoseconds
        return nanoseconds > 0 ? Double(nanoseconds) : nil
    }

    /// Whether the calls filled so little of the limit that they say nothing about a greater one.
    func isIdle(at limit: Double) -> Bool { Double(inFlight) * 2 < limit }
}

/// The bounds of a limit, and the way into them.
struct LimitRange: Hashable, Sendable {
    let minimum: Double
    let maximum: Double

    init(initial: Int, minimum: Int, maximum: Int) {
        precondition(minimum >= 1, "a limit of \(minimum) calls admits none")
        precondition(minimum <= maximum, "no limit is at least \(minimum) and at most \(maximum)")
        precondition(maximum <= 1 << 30, "a limit of \(maximum) calls exceeds 2^30")
        precondition(minimum <= initial && initial <= maximum, "the first limit is not in \(minimum)...\(maximum)")
        self.minimum = Double(minimum)
        self.maximum = Double(maximum)
    }

    /// `value` held to the bounds; what is no number leaves the limit as it was.
    func clamp(_ value: Double, otherwise former: Double) -> Double {
        value.isNaN ? former : min(max(value, minimum), maximum)
    }
}

/// The same limit whatever happens.
public struct FixedLimit: ConcurrencyLimit {
    /// How many calls may run at once.
    public let limit: Int

    /// A limit that stays.
    ///
    /// - Parameter limit: How many calls may run at once.
    /// - Precondition: `1 <= limit <= 2^30`.
    public init(_ limit: Int) {
        _ = LimitRange(initial: limit, minimum: 1, maximum: limit)
        self.limit = limit
    }

    /// Learns nothing.
    public func update(_ sample: LimitSample) {}
}
