// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Samples as a table for a terminal: one line for each reading that is not nothing.
///
/// ```swift
/// print(MetricsTable(registry.collect()))
/// ```
public struct MetricsTable: Hashable, Sendable, CustomStringConvertible {
    /// The lines, without the heading: primitive, metric with its labels, value.
    public let rows: [[String]]

    /// A table of these samples.
    ///
    /// - Parameters:
    ///   - samples: What ``MetricsRegistry/collect()`` returned.
    ///   - includingZeros: Whether totals of 0 get a line, too.
    public init(_ samples: [MetricSample], includingZeros: Bool = false) {
        rows = samples.flatMap { sample in
            sample.readings
                .filter { includingZeros || $0.metric.kind == .gauge || $0.value != 0 }
                .flatMap { reading in
                    Self.values(of: reading).map { labels, value in
                        [
                            Self.named(sample.name, sample.labels),
                            Self.named(reading.metric.name, reading.labels + labels), Self.number(value),
                        ]
                    }
                }
        }
    }

    /// The table, its columns aligned.
    public var description: String {
        let lines = [["primitive", "metric", "value"]] + rows
        let widths = (0..<3).map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            let name = line[0] + String(repeating: " ", count: widths[0] - line[0].count)
            let metric = line[1] + String(repeating: " ", count: widths[1] - line[1].count)
            return name + "  " + metric + "  " + String(repeating: " ", count: widths[2] - line[2].count) + line[2]
        }.joined(separator: "\n")
    }

    /// A level or a total is itself; of a distribution there are the quantiles, in its unit.
    private static func values(of reading: Reading) -> [([Label], Double)] {
        guard let histogram = reading.histogram else { return [([], reading.value)] }
        return histogram.quantiles.map { ([Label("quantile", $0.name)], $0.value) }
    }

    private static func named(_ name: String, _ labels: [Label]) -> String {
        labels.isEmpty ? name : "\(name){\(labels.map(\.description).joined(separator: ","))}"
    }

    /// Whole numbers as such, others with three digits.
    private static func number(_ value: Double) -> String {
        guard value.isFinite, value.magnitude < 0x1p53 else { return "\(value)" }
        if value == value.rounded() { return "\(Int(value))" }
        let thousandths = Int((value * 1_000).rounded())
        let rest = "\(1_000 + thousandths.magnitude % 1_000)".dropFirst()
        return "\(thousandths < 0 ? "-" : "")\(thousandths.magnitude / 1_000).\(rest)"
    }
}
