// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Additive increase, multiplicative decrease: the oldest of the adaptive limits.
//
// ## Algorithm
// D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks",
// 1989. A window with a drop, or whose calls took longer than a timeout, multiplies the limit by `backoff`; any other
// adds 1, if the calls filled half of the limit at least.

/// A limit that grows by one while all goes well, and shrinks by a tenth when calls are dropped or too slow.
///
/// It needs a sign of trouble to react to, and oscillates around the point where trouble starts: right where calls have
/// timeouts, or are turned away further down. Otherwise prefer ``VegasLimit`` or ``Gradient2Limit``, which notice a queue
/// before it does harm.
///
/// - **Source**: Chiu and Jain, 1989; the defaults are those of Netflix's concurrency-limits, with a minimum of 1.
public struct AIMDLimit: ConcurrencyLimit {
    private let range: LimitRange
    private let backoff: Double
    private let timeout: Double
    private var estimate: Double

    /// A limit that starts with `initial`.
    ///
    /// - Parameters:
    ///   - initial: The first limit.
    ///   - minimum: The least limit.
    ///   - maximum: The greatest limit.
    ///   - backoff: What the limit is multiplied with when something was dropped.
    ///   - timeout: Calls that take longer, on average over a window, count as dropped.
    /// - Precondition: `1 <= minimum <= initial <= maximum <= 2^30`, `0 < backoff < 1`, `timeout > .zero`.
    public init(
        initial: Int = 20, minimum: Int = 1, maximum: Int = 200, backoff: Double = 0.9, timeout: Duration = .seconds(5)
    ) {
        precondition(backoff > 0 && backoff < 1, "a backoff of \(backoff) does not lie between 0 and 1")
        precondition(timeout > .zero, "a timeout of \(timeout) is not positive")
        range = LimitRange(initial: initial, minimum: minimum, maximum: maximum)
        self.backoff = backoff
        self.timeout = Double(timeout.saturatingNanoseconds)
        estimate = Double(initial)
    }

    /// How many calls may run at once.
    public var limit: Int { Int(estimate) }

    /// Learns from the calls of one window.
    public mutating func update(_ sample: LimitSample) {
        if sample.didDrop || sample.nanoseconds ?? 0 > timeout {
            estimate = range.clamp((estimate * backoff).rounded(.down), otherwise: estimate)
        } else if sample.nanoseconds != nil, !sample.isIdle(at: estimate) {
            estimate = range.clamp(estimate + 1, otherwise: estimate)
        }
    }
}
