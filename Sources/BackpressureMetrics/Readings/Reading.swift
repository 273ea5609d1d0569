// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

public import Backpressure

/// One value of one metric at one instant.
public struct Reading: Hashable, Sendable {
    /// What was measured.
    public let metric: Metric
    /// What tells it from the same metric's other readings of this primitive, such as `reason` = `full`; often nothing.
    public let labels: [Label]
    /// The value, in the metric's unit, of a distribution the number of its values; whole numbers are exact up to 2^53.
    public let value: Double
    /// All values of a distribution since the primitive was made; nil for levels and totals.
    public let histogram: WaitHistogram?

    /// A reading of a source of your own.
    ///
    /// - Parameters:
    ///   - metric: What was measured.
    ///   - value: The value, in the metric's unit.
    ///   - labels: What tells it from the metric's other readings of this primitive. Few values, known beforehand.
    public init(_ metric: Metric, _ value: Double, _ labels: Label...) {
        self.metric = metric
        self.labels = labels
        self.value = value
        histogram = nil
    }

    /// A reading of how long something took, by a source of your own.
    ///
    /// - Parameters:
    ///   - metric: What was measured: a distribution.
    ///   - histogram: All durations since the source was made.
    ///   - labels: What tells it from the metric's other readings of this primitive. Few values, known beforehand.
    public init(_ metric: Metric, _ histogram: WaitHistogram, _ labels: Label...) {
        self.metric = metric
        self.labels = labels
        self.histogram = histogram
        value = Double(histogram.count)
    }

    init(_ metric: Metric, _ value: Int, _ labels: Label...) {
        self.metric = metric
        self.labels = labels
        self.value = Double(value)
        histogram = nil
    }

    init(_ metric: Metric, _ value: UInt64, _ labels: Label...) {
        self.metric = metric
        self.labels = labels
        self.value = Double(value)
        histogram = nil
    }

    init(_ metric: Metric, _ isTrue: Bool, _ labels: Label...) {
        self.metric = metric
        self.labels = labels
        value = isTrue ? 1 : 0
        histogram = nil
    }
}

/// A name and a value that tell readings apart.
public struct Label: Hashable, Sendable, CustomStringConvertible {
    /// The name, such as `reason`.
    public let name: String
    /// The value, such as `full`.
    ///
    /// One of a few: each makes another time series.
    public let value: String

    /// A label.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - value: The value, one of a few.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// As `name=value`.
    public var description: String { "\(name)=\(value)" }

    static func reason(_ value: String) -> Label { Label("reason", value) }
    static func side(_ value: String) -> Label { Label("side", value) }
    static func outcome(_ value: String) -> Label { Label("outcome", value) }
    static func kind(_ value: String) -> Label { Label("kind", value) }
    static let send = Label("side", "send")
    static let receive = Label("side", "receive")
}

/// Something that can be read: every primitive of this library is, and a type of your own may be.
public protocol MetricSource: AnyObject, Sendable {
    /// The readings of now, of one instant as far as the primitive's snapshot is.
    ///
    /// Synchronous and short: it is called by whoever collects, under no lock of the registry.
    func readings() -> [Reading]
}

extension Duration {
    /// As a number of seconds.
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
