// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// From readings to the handlers of swift-metrics: what each of them is told at a report.
//
// ## Algorithm
// A report collects, and tells each handler what is new: a gauge its level, a counter the difference to the last report, a
// timer the durations that came since then, as far as a bucket tells them. Handlers are made when a series first appears
// and destroyed when its primitive is gone.
//
// ## Invariants
// B1  A counter was told, in all, the total of its primitive; one that falls is another primitive's and starts anew.
// B2  A gauge that is no longer read of a primitive that lives (another state of a breaker holds) stands at 0.
// B3  The sink is called by the reporting task alone, under no lock: one that blocks delays that task, and reports that
//     others ask for meanwhile are left out instead of queued.
// B4  A report makes at most `mostTimed` records to one timer.

#if SwiftMetrics
    import Backpressure
    public import Metrics
    import Synchronization

    /// Reports the readings of a registry to swift-metrics.
    ///
    /// ```swift
    /// let registry = MetricsRegistry()
    /// let orders = BoundedChannel<Int, Never>(capacity: 64)
    /// try registry.add(orders, named: "orders")
    /// let reporter = SwiftMetricsReporter(registry, factory: factory)
    /// _ = orders.trySend(1)
    /// reporter.report()
    /// ```
    ///
    /// Names are those of ``SeriesNames``. Every series carries `primitive`, the name in the registry, then the labels given
    /// there, then the reading's own, such as `reason` or `side`: few values, all known beforehand. Levels go to gauges, totals
    /// to counters, as differences; a distribution goes to gauges by `quantile` of what came since the last report, to
    /// counters for sum and count, and to a timer. Of ``Metric/depthRatio`` and ``Metric/utilization`` there is a recorder
    /// `prefix_fullness`, too: the levels that the reports found.
    ///
    /// - **Cost**: nothing for the primitives between two reports. A report reads every primitive once and makes one call
    ///   for each series.
    /// - **A slow sink** delays the task that reports, and nobody else: primitives go on, and what they count meanwhile is in
    ///   the next report.
    public final class SwiftMetricsReporter: Sendable {
        /// A timer gets this many records of one report; more are thinned out evenly.
        ///
        /// The counters tell the true number.
        public static let mostTimed: UInt64 = 1_000

        private struct Place: Hashable, Sendable {
            let name: String
            let labels: [Label]
        }

        private struct Series: Hashable, Sendable {
            let place: Place
            let name: String
            let labels: [Label]

            var dimensions: [(String, String)] {
                [("primitive", place.name)] + (place.labels + labels).map { ($0.name, $0.value) }
            }
        }

        private struct Total<Handler: Sendable>: Sendable {
            let handler: Handler
            var told = 0.0

            /// What is new of a total.
            mutating func difference(to value: Double) -> Double {
                defer { told = value }
                return value >= told ? value - told : value
            }
        }

        private struct Books: Sendable {
            var counters: [Series: Total<Counter>] = [:]
            var seconds: [Series: Total<FloatingPointCounter>] = [:]
            var gauges: [Series: Gauge] = [:]
            var recorders: [Series: Recorder] = [:]
            var timers: [Series: Metrics.Timer] = [:]
            var histograms: [Series: WaitHistogram] = [:]
        }

        private let registry: MetricsRegistry
        private let factory: (any MetricsFactory)?
        private let prefix: String
        /// Nil while somebody reports.
        private let books = Mutex<Books?>(Books())

        /// A reporter that has told nothing.
        ///
        /// - Parameters:
        ///   - registry: The primitives; the reporter holds the registry.
        ///   - factory: Where handlers come from; nil for the one that `MetricsSystem` has at the report.
        ///   - prefix: What every name begins with.
        public init(
            _ registry: MetricsRegistry, factory: (any MetricsFactory)? = nil, prefix: String = "backpressure"
        ) {
            self.registry = registry
            self.factory = factory
            self.prefix = prefix
        }

        /// Collects, and tells the sink what is new.
        ///
        /// - Returns: False when another report was under way; then this one did nothing.
        @discardableResult
        public func report() -> Bool {
            let claimed = books.withLock { books in
                defer { books = nil }
                return books
            }
            guard var claimed else { return false }
            tell(&claimed, factory ?? MetricsSystem.factory)
            books.withLock { $0 = claimed }
            return true
        }

        /// Reports again and again until the task is cancelled.
        ///
        /// - Parameters:
        ///   - interval: How long to sleep between two reports.
        ///   - clock: The clock that sleeps.
        public func run(every interval: Duration, clock: some Clock<Duration> = ContinuousClock()) async {
            repeat {
                report()
            } while (try? await clock.sleep(for: interval)) != nil
        }

        // MARK: - Telling

        private func tell(_ books: inout Books, _ factory: any MetricsFactory) {
            var places: Set<Place> = []
            var levels: Set<Series> = []
            for sample in registry.collect() {
                let place = Place(name: sample.name, labels: sample.labels)
                places.insert(place)
                for reading in sample.readings {
                    let names = SeriesNames(reading.metric, prefix: prefix)
                    let series = Series(place: place, name: names.value, labels: reading.labels)
                    switch reading.metric.kind {
                    case .gauge:
                        set(series, reading.value, &books, factory)
                        levels.insert(series)
                        if reading.metric == .depthRatio || reading.metric == .utilization {
                            let fullness = Series(place: place, name: "\(prefix)_fullness", labels: reading.labels)
                            record(fullness, reading.value, &books, factory)
                        }
                    case .counter where reading.metric.unit == .seconds:
                        add(seconds: reading.value, to: series, &books, factory)
                    case .counter:
                        add(reading.value, to: series, &books, factory)
                    case .distribution:
                        guard let histogram = reading.histogram else { continue }
                        levels.formUnion(tell(histogram, series, names, &books, factory))
                    }
                }
            }
            settle(&books, places, levels)
        }

        private func set(_ series: Series, _ value: Double, _ books: inout Books, _ factory: any MetricsFactory) {
            let gauge =
                books.gauges[series]
                ?? Gauge(label: series.name, dimensions: series.dimensions, factory: factory)
            books.gauges[series] = gauge
            gauge.record(value)
        }

        private func record(_ series: Series, _ value: Double, _ books: inout Books, _ factory: any MetricsFactory) {
            let recorder =
                books.recorders[series]
                ?? Recorder(label: series.name, dimensions: series.dimensions, aggregate: true, factory: factory)
            books.recorders[series] = recorder
            recorder.record(value)
        }

        private func add(_ value: Double, to series: Series, _ books: inout Books, _ factory: any MetricsFactory) {
            var total =
                books.counters[series]
                ?? Total(handler: Counter(label: series.name, dimensions: series.dimensions, factory: factory))
            let difference = total.difference(to: value)
            books.counters[series] = total
            total.handler.increment(by: Int64(exactly: difference.rounded()) ?? .max)
        }

        private func add(
            seconds value: Double, to series: Series, _ books: inout Books, _ factory: any MetricsFactory
        ) {
            var total =
                books.seconds[series]
                ?? Total(
                    handler: FloatingPointCounter(
                        label: series.name, dimensions: series.dimensions, factory: factory))
            let difference = total.difference(to: value)
            books.seconds[series] = total
            total.handler.increment(by: difference)
        }

        /// Tells what came of a distribution; the gauges that stand for it.
        private func tell(
            _ histogram: WaitHistogram, _ series: Series, _ names: SeriesNames, _ books: inout Books,
            _ factory: any MetricsFactory
        ) -> [Series] {
            func named(_ name: String?) -> Series? {
                name.map { Series(place: series.place, name: $0, labels: series.labels) }
            }
            if let sum = named(names.sum) { add(seconds: histogram.total.seconds, to: sum, &books, factory) }
            if let count = named(names.count) { add(Double(histogram.count), to: count, &books, factory) }
            let last = books.histograms[series] ?? WaitHistogram()
            books.histograms[series] = histogram
            let recent = histogram.count >= last.count ? histogram.subtracting(last) : histogram
            if let timer = named(names.timer) { time(recent, timer, &books, factory) }
            return recent.quantiles.map { name, value in
                let quantile = Series(
                    place: series.place, name: series.name, labels: series.labels + [Label("quantile", name)])
                set(quantile, value, &books, factory)
                return quantile
            }
        }

        private func time(
            _ recent: WaitHistogram, _ series: Series, _ books: inout Books, _ factory: any MetricsFactory
        ) {
            guard !recent.isEmpty else { return }
            let timer =
                books.timers[series]
                ?? Metrics.Timer(label: series.name, dimensions: series.dimensions, factory: factory)
            books.timers[series] = timer
            let share = min(1, Double(Self.mostTimed) / Double(recent.count))
            // What a bucket has left over goes to the next one, so that the sum is right to one record.
            var due = 0.0
            for bucket in recent.buckets {
                let middle = bucket.lowerBound + (bucket.upperBound - bucket.lowerBound) / 2
                let nanoseconds = Int64(clamping: middle.attoseconds / 1_000_000_000)
                due += Double(bucket.count) * share
                while due >= 0.5, due >= 1 || share == 1 {
                    timer.recordNanoseconds(nanoseconds)
                    due -= 1
                }
            }
        }

        /// Forgets the primitives that are gone, and lowers the gauges that are not read any more.
        private func settle(_ books: inout Books, _ places: Set<Place>, _ levels: Set<Series>) {
            for (series, gauge) in books.gauges where !levels.contains(series) && places.contains(series.place) {
                gauge.record(0)
            }
            func isGone(_ series: Series) -> Bool { !places.contains(series.place) }
            for (series, total) in books.counters where isGone(series) {
                total.handler.destroy()
                books.counters[series] = nil
            }
            for (series, total) in books.seconds where isGone(series) {
                total.handler.destroy()
                books.seconds[series] = nil
            }
            for (series, gauge) in books.gauges where isGone(series) {
                gauge.destroy()
                books.gauges[series] = nil
            }
            for (series, recorder) in books.recorders where isGone(series) {
                recorder.destroy()
                books.recorders[series] = nil
            }
            for (series, timer) in books.timers where isGone(series) {
                timer.destroy()
                books.timers[series] = nil
            }
            for series in books.histograms.keys where isGone(series) { books.histograms[series] = nil }
        }
    }
#endif
