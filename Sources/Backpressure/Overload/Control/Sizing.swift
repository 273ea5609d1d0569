// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How large a buffer, how long a timeout, how many at once: rules of thumb, with what they assume.

/// First numbers for capacities, limits and timeouts, from what was measured.
///
/// They are where to start, not where to stop: each says what it assumes.
public enum Sizing {
    /// A capacity that takes a burst in: twice the greatest burst.
    ///
    /// Assumes that the consumer is faster than the producer on average, and that bursts do not follow each other before the buffer
    /// has drained. A greater buffer only adds waiting.
    ///
    /// - Parameter peakBurst: The most elements that arrived beyond what the consumer took meanwhile.
    /// - Returns: The capacity, at least 1.
    public static func capacity(peakBurst: Int) -> Int {
        let (twice, overflow) = max(peakBurst, 0).multipliedReportingOverflow(by: 2)
        return overflow ? .max : max(twice, 1)
    }

    /// A timeout that hits what hangs and not what is slow: three times the 99th percentile.
    ///
    /// Assumes that the percentile was taken without overload; and at most as long as the caller waits, if that is known.
    ///
    /// - Parameters:
    ///   - p99: What 99 in 100 calls do not take longer than.
    ///   - patience: How long the caller waits; nil if unknown.
    /// - Returns: The timeout; at least a millisecond.
    public static func timeout(p99: Duration, patience: Duration? = nil) -> Duration {
        let nanoseconds = max(p99.saturatingNanoseconds, 0)
        let thrice = nanoseconds > Int64.max / 3 ? Int64.max : nanoseconds * 3
        let timeout = max(Duration.nanoseconds(thrice), .milliseconds(1))
        return patience.map { min(timeout, max($0, .milliseconds(1))) } ?? timeout
    }

    /// How many calls run at once on average: Little's law, rounded up.
    ///
    /// Holds for any distribution, in the long run, while nothing is lost or piles up (J. D. C. Little, 1961).
    ///
    /// - Parameters:
    ///   - rate: Calls per second.
    ///   - time: How long a call takes on average.
    /// - Returns: The calls at once; 1 or more.
    /// - Precondition: `rate` is finite and not negative.
    public static func concurrency(rate: Double, time: Duration) -> Int {
        precondition(rate.isFinite && rate >= 0, "a rate of \(rate) is negative or no number")
        let calls = rate * Double(max(time.saturatingNanoseconds, 0)) / 1e9
        return max(1, Int(min(calls.rounded(.up), 1e15)))
    }

    /// How long what is queued now still takes.
    ///
    /// Assumes that the pace stays as it is, and order is first in, first out.
    ///
    /// - Parameters:
    ///   - depth: Elements in the queue.
    ///   - rate: Elements per second that leave it.
    /// - Returns: The delay; nil when nothing leaves it.
    /// - Precondition: `rate` is no NaN.
    public static func delay(depth: Int, rate: Double) -> Duration? {
        precondition(!rate.isNaN, "a rate that is no number")
        guard depth > 0 else { return .zero }
        guard rate > 0 else { return nil }
        return .nanoseconds(Int64(min(Double(depth) / rate * 1e9, 9e18)))
    }
}
