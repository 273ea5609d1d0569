// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How a figure is spread over the seeds of a scenario: the mean hides the seed on which it goes wrong.

/// The values that one figure had, run by run.
public struct Spread: Sendable, CustomStringConvertible {
    /// From the least to the greatest; what is no number is the greatest of all.
    public let sorted: [Double]

    /// The spread of these values; one at least.
    public init(_ values: [Double]) {
        precondition(!values.isEmpty, "no value has no spread")
        sorted = values.map { $0.isNaN ? .infinity : $0 }.sorted()
    }

    /// What this part of the values does not exceed.
    public func quantile(_ part: Double) -> Double {
        sorted[min(Int(Double(sorted.count) * part), sorted.count - 1)]
    }

    /// The least value.
    public var least: Double { sorted[0] }
    /// The greatest value.
    public var greatest: Double { sorted[sorted.count - 1] }
    /// The mean.
    public var mean: Double { sorted.reduce(0, +) / Double(sorted.count) }

    /// How many of the values are less than `bound`.
    public func count(below bound: Double) -> Int { sorted.count { $0 < bound } }
    /// How many of the values are greater than `bound`.
    public func count(above bound: Double) -> Int { sorted.count { $0 > bound } }

    /// Mean, least, median, both of 5 %, and greatest.
    public var description: String {
        let figures = [least, quantile(0.05), quantile(0.5), quantile(0.95), greatest].map(Self.short)
        return "mean \(Self.short(mean)), least/5 %/median/95 %/greatest \(figures.joined(separator: " "))"
    }

    /// Four digits or so, without a library for it.
    private static func short(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        let scale = abs(value) >= 100 ? 10.0 : 1_000.0
        return "\((value * scale).rounded() / scale)"
    }
}
