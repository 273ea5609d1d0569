// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Controlled delay: tells a queue that stands from one that a burst has filled. No lock, no task; the time is an argument.
//
// ## Algorithm
// K. Nichols, V. Jacobson, "Controlling Queue Delay", 2012 (RFC 8289), in the form that servers use for requests
// (B. Maurer, "Fail at Scale", 2015, and folly's Codel). A burst is gone within an interval: then the least delay of the
// interval is small, however great the others were. If even the least delay of an interval exceeded `target`, the queue
// stands, and waiting in it is of use to nobody: from then on what has waited for more than twice the target is shed,
// until an interval passes whose least delay is below the target again.
//
// It differs from the RFC in its control law (there the drops come faster and faster, because a sender of packets must be
// slowed down through its losses; here it is enough to shed what is too old).
//
// ## Invariants
// I1  The first interval sheds nothing. An interval begins with the first delay after the last has ended.
// I2  A clock that steps back begins the interval anew; a negative delay counts as none.
// I3  A queue that was empty does not stand. Who sees it empty says so (`emptied`); in a queue of a user's own it shows in
//     the delays: what waited for less time than has passed since the last one left came after that one, and met nobody.
//     Otherwise a consumer that is a little late for every element would, with one element in an interval, pass for a
//     standing queue, and lose all of them.

/// When to shed from a queue: on a delay that stands, never on a burst.
///
/// ```swift
/// let limiter = ConcurrencyLimiter(
///     VegasLimit(), waiterLimit: 200, maximumWait: .seconds(1),
///     shedding: CoDel(target: .milliseconds(5), interval: .milliseconds(100)))
/// ```
///
/// It is a value without lock or clock: give it to a ``ConcurrencyLimiter``, a ``BufferedChannel`` or a ``PriorityChannel``;
/// to a ``CoDelShedder`` for the elements of a ``BoundedChannel``; or ask ``shouldShed(after:now:)`` for every element that you
/// take from a queue of your own.
///
/// - **Source**: Nichols and Jacobson, 2012, in the form of folly.
public struct CoDel: Sendable {
    /// The delay that a queue may have for good.
    public let target: Duration
    /// How long the delay must stand before anything is shed.
    public let interval: Duration

    private let targetNanoseconds: Int64
    private var minimum: WindowedMinimum
    /// When the last one left, where `emptied` is not told.
    private var formerNow: Int64?
    /// Whether the last interval's least delay exceeded the target.
    public private(set) var isOverloaded = false

    /// A discipline that has seen nothing yet.
    ///
    /// - Parameters:
    ///   - target: The delay that a queue may have for good.
    ///   - interval: How long the delay must stand before anything is shed: some round trips, or times of service.
    /// - Precondition: `.zero < target < interval`.
    public init(target: Duration = .milliseconds(5), interval: Duration = .milliseconds(100)) {
        precondition(target > .zero, "a target of \(target) is not positive")
        precondition(target < interval, "a target of \(target) exceeds the interval of \(interval)")
        self.target = target
        self.interval = interval
        targetNanoseconds = target.saturatingNanoseconds
        minimum = WindowedMinimum(interval: interval.saturatingNanoseconds)
    }

    /// Takes note of how long the next one waited, and says whether to shed it.
    ///
    /// Ask for each that is taken out, in order. One that came after the last one had left met an empty queue, or one of
    /// which all else was dropped: it is never shed, however late it is taken.
    ///
    /// - Parameters:
    ///   - delay: How long it waited; what is negative counts as zero.
    ///   - now: The present instant, as the time since any fixed one.
    /// - Returns: Whether it is to be shed.
    public mutating func shouldShed(after delay: Duration, now: Duration) -> Bool {
        let (delay, now) = (delay.saturatingNanosecondsRoundedDown, now.saturatingNanosecondsRoundedDown)
        if let formerNow, max(delay, 0) < now.subtractingSaturating(formerNow) { emptied(now: now) }
        formerNow = now
        return shouldShed(after: delay, now: now)
    }

    mutating func shouldShed(after delay: Int64, now: Int64) -> Bool {
        let delay = max(delay, 0)
        if let least = minimum.add(delay, now: now) { isOverloaded = least > targetNanoseconds }
        return isOverloaded && delay > targetNanoseconds.addingSaturating(targetNanoseconds)
    }

    /// Nobody waits any more: there is no queue that could stand.
    mutating func emptied(now: Int64) {
        _ = minimum.add(0, now: now)
        isOverloaded = false
    }
}
