// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// After how long a call is worth a second one: what most of the recent calls did not take.
//
// ## Algorithm
// J. Dean, L. A. Barroso, "The Tail at Scale", 2013: the second call is made once the first has taken longer than 95 in 100
// do. That time changes with the load, so it is read from the calls themselves: two histograms, one of the window that runs and
// one of the window before it, change places when the window ends, as in tower's hedge. Differs from that in reading both
// together, so that nothing is forgotten at once, and in what a call counts as that lost.
//
// A first call that was overtaken by its second is given up, and nobody knows what it would have taken: but not less than it
// had. It counts as that. Were it left out, only quick calls would count, the delay would shrink to what 95 in 100 of the quick ones
// take, and so on, until every call is made twice.
//
// ## Invariants
// I1  The delay lies within the bounds, or is nil because too few calls are known.
// I2  A clock that steps back begins the window anew: it neither ends it nor makes it last for ever.
//
// ## Cost
// One lock per call that is recorded. The percentile is computed anew after each 64th, or when the window ends.

/// A delay for `hedge` that follows what calls take.
///
/// ```swift
/// let delay = HedgeDelay(percentile: 95, bounds: .milliseconds(5) ... .seconds(1))
/// let answer = try await hedge(after: delay, budget: budget) {
///     try await ask()
/// }
/// ```
///
/// One for all calls of a kind: keep it as long as their client. Until it knows enough calls there are no second ones.
///
/// - **Cost**: two histograms of some kilobytes, and a lock for a moment per call.
/// - **Source**: Dean and Barroso, "The Tail at Scale", 2013; tower's hedge.
public final class HedgeDelay: Sendable {
    private struct State: Sendable {
        var present = WaitHistogram()
        var former = WaitHistogram()
        var start: Int64?
        var sinceComputed = 0
        var delay: Duration?
    }

    /// After so many calls the percentile is computed anew.
    private static let interval = 64

    /// Which of 100 calls, from the quickest, takes as long as the delay.
    public let percentile: Double
    /// The least and the greatest delay.
    public let bounds: ClosedRange<Duration>
    let timeSource: TimeSource
    private let minimumCalls: UInt64
    private let window: Int64
    private let state = LockedState(State())

    /// A delay that knows no call yet.
    ///
    /// - Parameters:
    ///   - percentile: So many of 100 calls take no longer than the delay; the others are made twice, if the budget allows.
    ///   - minimumCalls: With fewer calls known there is no delay, and so no second call.
    ///   - window: How long calls count: between once and twice this time.
    ///   - bounds: The least and the greatest delay.
    ///   - clock: The clock of the calls, the window and the delay; tests pass a manual one.
    /// - Precondition: `0 < percentile < 100`, `minimumCalls >= 1`, `window > .zero`, `bounds.lowerBound >= .zero`.
    public init(
        percentile: Double = 95, minimumCalls: Int = 100, window: Duration = .seconds(30),
        bounds: ClosedRange<Duration> = .zero ... .seconds(60), clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(percentile > 0 && percentile < 100, "a percentile of \(percentile) is not between 0 and 100")
        precondition(minimumCalls >= 1, "a percentile of \(minimumCalls) calls")
        precondition(window > .zero, "a window of \(window) is not positive")
        precondition(bounds.lowerBound >= .zero, "a delay of \(bounds.lowerBound)")
        self.percentile = percentile
        self.bounds = bounds
        self.minimumCalls = UInt64(minimumCalls)
        self.window = window.saturatingNanoseconds
        timeSource = TimeSource(clock)
    }

    /// After how long a second call is made at this moment; nil while too few calls are known.
    public var current: Duration? {
        let now = timeSource.now()
        return state.withLock { state in
            advance(&state, to: now)
            return state.delay
        }
    }

    /// Takes note of how long a call took.
    ///
    /// `hedge` does it for the calls that it makes. Record those that you make without it, if they are of the same kind.
    ///
    /// - Parameter duration: How long it took; what is negative, because a clock stepped back, counts as zero.
    public func record(_ duration: Duration) {
        let now = timeSource.now()
        state.withLock { state in
            advance(&state, to: now)
            state.present.record(duration)
            state.sinceComputed += 1
            let isFirst = state.delay == nil && state.present.count + state.former.count >= minimumCalls
            if isFirst || state.sinceComputed >= Self.interval { compute(&state) }
        }
    }

    private func advance(_ state: inout State, to now: Int64) {
        guard let start = state.start, now >= start else {
            state.start = now
            return
        }
        let passed = now.subtractingSaturating(start)
        guard passed >= window else { return }
        // After two windows without a call nothing is known any more.
        state.former = passed.subtractingSaturating(window) >= window ? WaitHistogram() : state.present
        state.present = WaitHistogram()
        state.start = now
        compute(&state)
    }

    private func compute(_ state: inout State) {
        state.sinceComputed = 0
        var all = state.present
        all.merge(state.former)
        state.delay =
            all.count >= minimumCalls
            ? all.percentile(percentile).map { min(max($0, bounds.lowerBound), bounds.upperBound) } : nil
    }
}
