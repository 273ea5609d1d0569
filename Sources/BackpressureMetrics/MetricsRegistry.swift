// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The primitives that are watched, by name. Nothing is added to what they do: they are asked when somebody collects.
//
// ## Invariants
// R1  A source is held weakly: the registry keeps nothing alive, and forgets who is gone at the next collection.
// R2  No source is asked, and nothing of a user's is called, under the registry's lock: a source or a sink that blocks
//     delays the one who collects, and nobody else.

public import Backpressure
import Synchronization

/// Primitives by name, to be read all at once.
///
/// ```swift
/// let registry = MetricsRegistry()
/// let orders = BoundedChannel<Int, Never>(capacity: 64)
/// try registry.add(orders, named: "orders", labels: ["shop": "north"])
/// for sample in registry.collect() {
///     for reading in sample.readings { print(sample.name, reading.metric.name, reading.value) }
/// }
/// ```
///
/// - **Cost**: nothing until somebody collects; a collection takes one snapshot of each primitive, and no lock of the
///   registry meanwhile.
/// - **Lifetime**: the registry holds primitives weakly. One that is gone is forgotten at the next collection.
/// - **Concurrency**: everything may be called from anywhere at any time.
public final class MetricsRegistry: Sendable {
    /// A primitive's place in the registry.
    public struct Registration: Hashable, Sendable {
        fileprivate let identifier: UInt64
    }

    /// A name is taken.
    public struct DuplicateName: Error, Hashable, Sendable, CustomStringConvertible {
        /// The name.
        public let name: String
        /// The labels.
        public let labels: [Label]

        /// The name and the labels that are taken.
        public var description: String { "the name \(name) \(labels) is taken" }
    }

    private struct Entry: Sendable {
        let identifier: UInt64
        let name: String
        let labels: [Label]
        let read: @Sendable () -> [Reading]?
        let isThere: @Sendable () -> Bool
    }

    private struct State: Sendable {
        var entries: [Entry] = []
        var places: [Key: UInt64] = [:]
        var next: UInt64 = 0
    }

    private struct Key: Hashable, Sendable {
        let name: String
        let labels: [Label]
    }

    private let state = Mutex(State())

    /// An empty registry.
    public init() {}

    /// How many primitives are registered; those that are gone count until the next collection.
    public var count: Int { state.withLock { $0.entries.count } }

    /// Adds a primitive, to be read at each collection from now on.
    ///
    /// - Parameters:
    ///   - source: The primitive; held weakly.
    ///   - name: Its name among time series.
    ///   - labels: What tells it from others of this name. Fixed, and few values.
    /// - Returns: Its place, to be removed by hand. It need not be: a primitive that is gone leaves by itself.
    /// - Throws: ``DuplicateName`` when a living primitive has the name with the same labels.
    @discardableResult
    public func add(
        _ source: some MetricSource, named name: String, labels: [String: String] = [:]
    ) throws(DuplicateName) -> Registration {
        let labels = labels.sorted { $0.key < $1.key }.map { Label($0.key, $0.value) }
        let key = Key(name: name, labels: labels)
        let read: @Sendable () -> [Reading]? = { [weak source] in source?.readings() }
        let isThere: @Sendable () -> Bool = { [weak source] in source != nil }
        let identifier = state.withLock { state -> UInt64? in
            if let taken = state.places[key] {
                guard let place = state.entries.firstIndex(where: { $0.identifier == taken }) else { return nil }
                guard !state.entries[place].isThere() else { return nil }
                state.entries.remove(at: place)
            }
            state.next += 1
            state.places[key] = state.next
            state.entries.append(
                Entry(identifier: state.next, name: name, labels: labels, read: read, isThere: isThere))
            return state.next
        }
        guard let identifier else { throw DuplicateName(name: name, labels: labels) }
        return Registration(identifier: identifier)
    }

    /// Forgets a primitive; nothing if it is forgotten already.
    ///
    /// - Parameter registration: What ``add(_:named:labels:)`` returned.
    public func remove(_ registration: Registration) { forget([registration.identifier]) }

    /// Reads every primitive, in the order in which they were added; those that are gone are forgotten.
    ///
    /// Each primitive's readings are of one instant, and different primitives' of different ones. Linear in their number.
    ///
    /// - Returns: A sample for each primitive that is there.
    public func collect() -> [MetricSample] {
        var samples: [MetricSample] = []
        var gone: Set<UInt64> = []
        for entry in state.withLock({ $0.entries }) {
            if let readings = entry.read() {
                samples.append(MetricSample(name: entry.name, labels: entry.labels, readings: readings))
            } else {
                gone.insert(entry.identifier)
            }
        }
        if !gone.isEmpty { forget(gone) }
        return samples
    }

    private func forget(_ identifiers: Set<UInt64>) {
        state.withLock { state in
            for entry in state.entries where identifiers.contains(entry.identifier) {
                let key = Key(name: entry.name, labels: entry.labels)
                if state.places[key] == entry.identifier { state.places[key] = nil }
            }
            state.entries.removeAll { identifiers.contains($0.identifier) }
        }
    }
}

/// The readings of one primitive at one instant, under its name.
public struct MetricSample: Hashable, Sendable {
    /// The primitive's name.
    public let name: String
    /// The primitive's labels, by name.
    public let labels: [Label]
    /// What it said.
    public let readings: [Reading]

    /// The sum of a metric's readings with these labels among theirs; nil if there is none.
    ///
    /// - Parameters:
    ///   - metric: The metric.
    ///   - labels: What the readings must carry; without any, all of the metric's.
    /// - Returns: The sum.
    public func value(_ metric: Metric, _ labels: Label...) -> Double? {
        let values = readings.filter { reading in
            reading.metric == metric && labels.allSatisfy { reading.labels.contains($0) }
        }
        return values.isEmpty ? nil : values.reduce(0) { $0 + $1.value }
    }
    /// The merged histogram of a metric's readings with these labels among theirs; nil if there is none.
    ///
    /// - Parameters:
    ///   - metric: The metric, a distribution.
    ///   - labels: What the readings must carry; without any, all of the metric's.
    /// - Returns: All durations since the primitive was made.
    public func histogram(_ metric: Metric, _ labels: Label...) -> WaitHistogram? {
        let histograms = readings.filter { reading in
            reading.metric == metric && labels.allSatisfy { reading.labels.contains($0) }
        }.compactMap(\.histogram)
        return histograms.isEmpty ? nil : histograms.reduce(into: WaitHistogram()) { $0.merge($1) }
    }
}

extension WaitHistogram {
    /// The quantiles that are shown, in seconds, under the names that time series have for them; none of nothing.
    var quantiles: [(name: String, value: Double)] {
        [("0.5", 50.0), ("0.95", 95), ("0.99", 99), ("1", 100)].compactMap { name, percent in
            percentile(percent).map { (name, $0.seconds) }
        }
    }
}
