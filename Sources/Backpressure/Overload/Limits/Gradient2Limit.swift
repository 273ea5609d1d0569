// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limit that tolerates some queue: it follows the ratio of what calls take without one to what they take now.
//
// ## Algorithm
// Netflix's concurrency-limits, "Gradient2". Of each window
//     gradient = tolerance * long / sample, held to 0.5 ... 1
//     limit    = limit * gradient + queue, of which a part `smoothing` is taken at once
// where `long` is a long average of what calls took. It differs from the source in three things, each for a reason
// found in use: a drop shrinks the limit (there it is not looked at); the long average is put right by measuring with
// the limit turned down (`BaselineProbe`; there it follows a standing queue up, and the limit with it); and the least
// limit is 1 by default.

/// A limit that lets calls take up to so many times what they take without a queue.
///
/// It is slower to shrink than ``VegasLimit``, keeps more in flight and so bears bursts and scattering times better, at the
/// price of some queueing: in the long run calls take up to about twice the time.
///
/// - **Baseline**: for five windows now and then the limit is halved, to measure what calls take without a queue.
/// - **Source**: Netflix's concurrency-limits; the constants are its defaults, but for the least limit.
public struct Gradient2Limit: ConcurrencyLimit {
    private let range: LimitRange
    private let queue: Double
    private let tolerance: Double
    private let smoothing: Double
    private let probeInterval: Int
    private var estimate: Double
    private var probe: BaselineProbe
    /// The limit at the last probe, or the greatest since.
    private var mark: Double

    /// A limit that starts with `initial`.
    ///
    /// - Parameters:
    ///   - initial: The first limit.
    ///   - minimum: The least limit.
    ///   - maximum: The greatest limit.
    ///   - queueSize: How many calls may queue in any case, which is also what the limit grows by.
    ///   - tolerance: How many times what they take without a queue calls may take before the limit shrinks.
    ///   - smoothing: How much of a change is made at once.
    ///   - probeInterval: After so many windows, or up to half as many, the baseline is measured anew.
    /// - Precondition: `1 <= minimum <= initial <= maximum <= 2^30`, `queueSize >= 1`, `tolerance >= 1` and finite,
    ///   `0 < smoothing <= 1`, `probeInterval >= 1`.
    public init(
        initial: Int = 20, minimum: Int = 1, maximum: Int = 200, queueSize: Int = 4, tolerance: Double = 1.5,
        smoothing: Double = 0.2, probeInterval: Int = 600
    ) {
        self.init(
            initial: initial, minimum: minimum, maximum: maximum, queueSize: queueSize, tolerance: tolerance,
            smoothing: smoothing, probeInterval: probeInterval, seed: .random(in: .min ... .max))
    }

    init(
        initial: Int, minimum: Int = 1, maximum: Int = 200, queueSize: Int = 4, tolerance: Double = 1.5,
        smoothing: Double = 0.2, probeInterval: Int = 600, seed: UInt64
    ) {
        precondition(queueSize >= 1 && queueSize <= maximum, "a queue of \(queueSize)")
        precondition(tolerance >= 1 && tolerance.isFinite, "a tolerance of \(tolerance) is below 1 or no number")
        precondition(smoothing > 0 && smoothing <= 1, "a smoothing of \(smoothing) does not lie between 0 and 1")
        precondition(probeInterval >= 1, "a probe after \(probeInterval) windows")
        range = LimitRange(initial: initial, minimum: minimum, maximum: maximum)
        queue = Double(queueSize)
        self.tolerance = tolerance
        self.smoothing = smoothing
        self.probeInterval = probeInterval
        estimate = Double(initial)
        mark = estimate
        probe = BaselineProbe(.quick, seed: seed)
    }

    /// How many calls may run at once.
    public var limit: Int { Int(probe.isActive ? max(estimate / 2, range.minimum) : estimate) }

    /// What calls take without a queue, as far as it is known.
    public var baseline: Duration? { probe.baseline.map { .nanoseconds(Int64($0)) } }

    /// Learns from the calls of one window.
    public mutating func update(_ sample: LimitSample) {
        guard let nanoseconds = sample.nanoseconds else {
            if sample.didDrop { estimate = range.clamp(estimate * 0.9, otherwise: estimate) }
            return
        }
        let isIdle = sample.isIdle(at: Double(limit))
        switch probe.add(nanoseconds, isIdle: isIdle, interval: probeInterval) {
        case .probing: return
        case .restored: mark = estimate
        case .lowered:
            estimate = range.clamp(estimate / 2, otherwise: estimate)
            mark = estimate
        case .none:
            if sample.didDrop {
                estimate = range.clamp(estimate * 0.9, otherwise: estimate)
            } else {
                let gradient = min(max(tolerance * (probe.baseline ?? nanoseconds) / nanoseconds, 0.5), 1)
                let next = estimate * gradient + queue
                if isIdle, next > estimate { return }
                estimate = range.clamp(estimate * (1 - smoothing) + next * smoothing, otherwise: estimate)
                mark = max(mark, estimate)
                // So far down, and calls still take as long: it may not be a queue.
                if estimate < mark * 0.5, gradient < 1 { probe.hasten() }
            }
        }
    }
}
