// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a metric is called among time series: the names that stay the same, whoever stores them.
//
// name     level         prefix_NAME, with its unit where that is seconds
//          total         prefix_NAME_total, with its unit before it where that is seconds
//          distribution  prefix_NAME_seconds with a `quantile`, of what came since the last report;
//                        prefix_NAME_seconds_sum and _count, totals; prefix_NAME_timer, single values

/// The names of time series of a ``Metric``.
public struct SeriesNames: Hashable, Sendable {
    /// Of a level, a total, or the quantiles of a distribution.
    public let value: String
    /// Of a distribution: the total of the durations, in seconds.
    public let sum: String?
    /// Of a distribution: how many there were.
    public let count: String?
    /// Of a distribution: the durations one by one.
    public let timer: String?

    /// The names of a metric's series.
    ///
    /// - Parameters:
    ///   - metric: The metric.
    ///   - prefix: What every name begins with.
    public init(_ metric: Metric, prefix: String = "backpressure") {
        let name = "\(prefix)_\(metric.name)"
        let unit = metric.unit == .seconds ? "_seconds" : ""
        let isDistribution = metric.kind == .distribution
        value = name + unit + (metric.kind == .counter ? "_total" : "")
        sum = isDistribution ? name + unit + "_sum" : nil
        count = isDistribution ? name + unit + "_count" : nil
        timer = isDistribution ? name + "_timer" : nil
    }

    /// Every name of this metric.
    public var all: [String] { [value, sum, count, timer].compactMap { $0 } }
}
