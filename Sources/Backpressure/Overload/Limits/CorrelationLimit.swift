// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limit that looks at what its own changes did: it shrinks when more calls at once only made them slower.
//
// ## Algorithm
// That of failsafe-go's adaptive limiter (J. Halterman). What calls take is smoothed (the middle one of five windows, then
// an average of five) and compared with an average of ten such values. As with Vegas, of `limit` calls
//     queue = limit (1 - long / short)
// wait. That average follows a queue that lasts, so it alone would let the limit creep up for ever. Hence two correlations
// over the last windows: of the calls that ran at once with the throughput (by Little's law calls / time), and with the
// time that they took. With d the number of decimal digits of the limit less one, at least 1, the first that holds decides:
//     queue > 6 d                                                              limit - d
//     all of the limit is in use, and throughput falls as more run             limit - d
//     the same, throughput hardly follows (< 0.3), and time does (> 0.5)       limit - d
//     the same, throughput varies by less than a fifth, and time follows       limit - d
//     queue < 3 d                                                              limit + d
// and never more than `headroom` times the calls that ran, where it shrinks by d.
//
// It differs from the source in three things: a drop shrinks it by d (there it is not looked at); it does not grow while
// less than half of it is in use; and a window is the limiter's, with the mean of its calls and not their 90th percentile.
//
// It takes no probes: no moment at half of the limit. The price is its pace, a step of d per window: from ten times too much
// it comes down in minutes.

/// A limit that follows how throughput and time change with the number of calls that run.
///
/// Where ``VegasLimit`` and ``Gradient2Limit`` halve the limit now and then to measure, this one watches its own small steps: when
/// more calls at once made them slower and not more, it takes a step back. Right where a moment at half of the capacity is not to be
/// had, and the first limit is about right; from far above it takes minutes to come down, as each window is one step.
///
/// ```swift
/// let limiter = ConcurrencyLimiter(CorrelationLimit(initial: 20, maximum: 500))
/// ```
///
/// - **Source**: the adaptive limiter of failsafe-go; the constants are its defaults.
public struct CorrelationLimit: ConcurrencyLimit {
    private let range: LimitRange
    private let headroom: Double
    private var estimate: Double
    private var median = MedianFilter(size: 5)
    private var short = MovingAverage(window: 5)
    private var long: MovingAverage
    private var throughputs: CorrelationWindow
    private var times: CorrelationWindow

    /// A limit that starts with `initial`.
    ///
    /// - Parameters:
    ///   - initial: The first limit.
    ///   - minimum: The least limit.
    ///   - maximum: The greatest limit.
    ///   - headroom: The limit is at most so many times the calls that ran at once.
    ///   - baselineWindow: Over so many windows the time is averaged that calls are compared with.
    ///   - correlationWindow: Over so many windows the correlations are taken; they are silent for the first ten.
    /// - Precondition: `1 <= minimum <= initial <= maximum <= 2^30`, `headroom >= 1` and finite, `baselineWindow >= 1`,
    ///   `10 <= correlationWindow <= 10_000`.
    public init(
        initial: Int = 20, minimum: Int = 1, maximum: Int = 200, headroom: Double = 5, baselineWindow: Int = 10,
        correlationWindow: Int = 50
    ) {
        precondition(headroom >= 1 && headroom.isFinite, "a headroom of \(headroom) is below 1 or no number")
        precondition(baselineWindow >= 1, "an average over \(baselineWindow) windows")
        precondition((10...10_000).contains(correlationWindow), "a correlation over \(correlationWindow) windows")
        range = LimitRange(initial: initial, minimum: minimum, maximum: maximum)
        self.headroom = headroom
        estimate = Double(initial)
        long = MovingAverage(window: baselineWindow)
        throughputs = CorrelationWindow(size: correlationWindow, warmup: 10)
        times = CorrelationWindow(size: correlationWindow, warmup: 10)
    }

    /// How many calls may run at once.
    public var limit: Int { Int(estimate) }

    /// Learns from the calls of one window.
    public mutating func update(_ sample: LimitSample) {
        let step = VegasLimit.decimalDigits(estimate)
        guard let nanoseconds = sample.nanoseconds else {
            if sample.didDrop { estimate = range.clamp(estimate - step, otherwise: estimate) }
            return
        }
        let time = short.add(median.add(nanoseconds))
        let baseline = long.add(time)
        let running = Double(max(sample.inFlight, 1))
        throughputs.add(running, running / time)
        times.add(running, time)
        let queue = (estimate * (1 - baseline / time)).rounded(.up)
        var next = estimate
        if sample.didDrop || queue > 6 * step || (sample.inFlight >= limit && isCongested) {
            next -= step
        } else if queue < 3 * step, !sample.isIdle(at: estimate) {
            next += step
        }
        if next > running * headroom { next = estimate - step }
        estimate = range.clamp(next, otherwise: estimate)
    }

    /// Whether more calls at once made them slower, and not more of them.
    private var isCongested: Bool {
        if throughputs.correlation < 0 { return true }
        return times.correlation > 0.5 && (throughputs.correlation < 0.3 || throughputs.variation < 0.2)
    }
}
