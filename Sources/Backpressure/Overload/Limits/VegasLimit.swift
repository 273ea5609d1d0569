// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limit that keeps a queue of a few calls: TCP Vegas for concurrency.
//
// ## Algorithm
// L. S. Brakmo, L. L. Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", 1995, in the form of
// Netflix's concurrency-limits. With calls that take `baseline` without a queue and `sample` now, of `limit` calls
//     queue = limit (1 - baseline / sample)
// wait. With d the number of decimal digits of the limit less one, at least 1:
//     queue <= d           limit + 6 d     (nothing waits: grow fast)
//     queue < 3 d          limit + d
//     queue > 6 d          limit - d
// It differs from the source in its baseline, which is measured with the limit turned down (`BaselineProbe`) and not
// taken from a sample that may have the queue in it; and in shrinking by half of what is too much, where that is more
// than d, so that a loss of capacity is followed within seconds.
//
// When the limit is half of what was in use while all was well, and calls still take as long, their time may have changed
// and not the load: the baseline is measured at once. What counts is the calls that ran and not the limit, which an idle
// service raises to twice what it uses; at the first burst it would otherwise be probed for nothing, at half of its capacity.

/// A limit that estimates how many calls wait in a queue somewhere, and keeps that number small.
///
/// It follows what calls take compared with what they take without a queue, so it reacts before anything times out. It
/// keeps the shortest queue of the adaptive limits: right where latency counts most.
///
/// - **Baseline**: for five to nine windows now and then the limit is halved, to measure what calls take without a queue. So
///   neither lasting load nor a downstream that became slower for good misleads it for long.
/// - **Source**: Brakmo and Peterson, 1995; the constants are those of Netflix's concurrency-limits.
public struct VegasLimit: ConcurrencyLimit {
    private let range: LimitRange
    private let probeMultiplier: Int
    private var estimate: Double
    private var probe: BaselineProbe
    /// The limit at the last probe, or the most of it that was in use since, for two windows on end, without a queue.
    private var mark: Double
    private var formerInFlight = 0

    /// A limit that starts with `initial`.
    ///
    /// - Parameters:
    ///   - initial: The first limit.
    ///   - minimum: The least limit.
    ///   - maximum: The greatest limit.
    ///   - probeMultiplier: After so many windows times the limit, or up to half as many, the baseline is measured anew.
    /// - Precondition: `1 <= minimum <= initial <= maximum <= 2^30`, `probeMultiplier >= 1`.
    public init(initial: Int = 20, minimum: Int = 1, maximum: Int = 1000, probeMultiplier: Int = 30) {
        self.init(
            initial: initial, minimum: minimum, maximum: maximum, probeMultiplier: probeMultiplier,
            seed: .random(in: .min ... .max))
    }

    init(initial: Int, minimum: Int = 1, maximum: Int = 1000, probeMultiplier: Int = 30, seed: UInt64) {
        precondition(probeMultiplier >= 1, "a probe after \(probeMultiplier) windows")
        range = LimitRange(initial: initial, minimum: minimum, maximum: maximum)
        self.probeMultiplier = probeMultiplier
        estimate = Double(initial)
        mark = estimate
        probe = BaselineProbe(.thorough, seed: seed)
    }

    /// How many calls may run at once.
    public var limit: Int { Int(probe.isActive ? max(estimate / 2, range.minimum) : estimate) }

    /// What calls take without a queue, as far as it is known.
    public var baseline: Duration? { probe.baseline.map { .nanoseconds(Int64($0)) } }

    /// Learns from the calls of one window.
    public mutating func update(_ sample: LimitSample) {
        let digits = Self.decimalDigits(estimate)
        guard let nanoseconds = sample.nanoseconds else {
            if sample.didDrop { estimate = range.clamp(estimate - digits, otherwise: estimate) }
            return
        }
        let isIdle = sample.isIdle(at: Double(limit))
        switch probe.add(
            nanoseconds, isIdle: isIdle, interval: min(probeMultiplier, 1 << 20) * min(Int(estimate), 1 << 20))
        {
        case .probing: return
        case .restored: mark = estimate
        case .lowered:
            estimate = range.clamp((estimate / 2).rounded(.down), otherwise: estimate)
            mark = estimate
        case .none: adjust(nanoseconds, isIdle: isIdle, sample, digits)
        }
    }

    private mutating func adjust(_ nanoseconds: Double, isIdle: Bool, _ sample: LimitSample, _ digits: Double) {
        let queue = (estimate * max(0, 1 - (probe.baseline ?? nanoseconds) / nanoseconds)).rounded(.up)
        let next: Double
        if sample.didDrop || queue > 6 * digits {
            next = estimate - max(digits, ((queue - 6 * digits) / 2).rounded(.down))
        } else if isIdle {
            next = estimate
        } else if queue <= digits {
            next = estimate + 6 * digits
        } else if queue < 3 * digits {
            next = estimate + digits
        } else {
            next = estimate
        }
        estimate = range.clamp(next, otherwise: estimate)
        if queue < 3 * digits, !isIdle {
            mark = max(mark, min(estimate, Double(min(sample.inFlight, formerInFlight))))
        }
        formerInFlight = sample.inFlight
        // So far down, and still a queue: it may not be one.
        if estimate < mark * 0.5, queue >= 3 * digits { probe.hasten() }
    }

    /// The integral decimal logarithm, at least 1.
    static func decimalDigits(_ limit: Double) -> Double {
        var (digits, rest) = (0.0, limit)
        while rest >= 10 { (digits, rest) = (digits + 1, rest / 10) }
        return max(1, digits)
    }
}
