// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if SwiftMetrics
    import Backpressure
    import BackpressureTestKit
    import BackpressureTestSupport
    import Metrics
    import MetricsTestKit
    import Synchronization
    import Testing

    @testable import BackpressureMetrics

    @Suite("metrics: swift-metrics", .timeLimit(.minutes(10)))
    struct SwiftMetricsTests {
        private final class Source: MetricSource {
            let values = Mutex<[Reading]>([])
            func readings() -> [Reading] { values.withLock { $0 } }
            func say(_ readings: Reading...) { values.withLock { $0 = readings } }
        }

        @Test("totals are told as differences, levels as they are")
        func countersAndGauges() throws {
            let (registry, factory) = (MetricsRegistry(), TestMetrics())
            let channel = BoundedChannel<Int, Never>(capacity: 4, overflow: .dropOldest)
            try registry.add(channel, named: "orders", labels: ["shop": "north"])
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            for number in 0..<6 { _ = channel.trySend(number) }
            #expect(reporter.report())
            _ = channel.trySend(6)
            #expect(reporter.report() && reporter.report())
            let place = [("primitive", "orders"), ("shop", "north")]
            let sent = try factory.expectCounter("backpressure_sent_total", place)
            #expect(sent.values == [6, 1, 0])
            let dropped = try factory.expectCounter("backpressure_dropped_total", place + [("reason", "evicted")])
            #expect(dropped.totalValue == 3)
            #expect(try factory.expectGauge("backpressure_depth", place).lastValue == 4)
            #expect(try factory.expectGauge("backpressure_depth_ratio", place).lastValue == 1)
            #expect(try factory.expectRecorder("backpressure_fullness", place).values == [1, 1, 1])
        }

        @Test("a distribution: quantiles of the interval, sum and count in all, a timer that is thinned out")
        func distributions() throws {
            let (registry, factory, source) = (MetricsRegistry(), TestMetrics(), Source())
            try registry.add(source, named: "jobs")
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            var waits = WaitHistogram()
            waits.record(.seconds(8), count: 3)
            source.say(Reading(.waitTime, waits, .send))
            reporter.report()
            waits.record(.seconds(1))
            source.say(Reading(.waitTime, waits, .send))
            reporter.report()
            let place = [("primitive", "jobs"), ("side", "send")]
            let median = try factory.expectGauge("backpressure_wait_time_seconds", place + [("quantile", "0.5")])
            #expect(median.values.count == 2 && median.values[0] == 8 && abs(median.values[1] - 1) <= 0.02)
            #expect(try factory.expectCounter("backpressure_wait_time_seconds_count", place).values == [3, 1])
            #expect(try factory.expectCounter("backpressure_wait_time_seconds_sum", place).totalValue == 25)
            let timer = try factory.expectTimer("backpressure_wait_time_timer", place)
            #expect(timer.values.count == 4)
            #expect(timer.values.prefix(3).allSatisfy { abs(Double($0) - 8e9) < 0.02 * 8e9 })
            // Nothing waited since: the quantile is that of nothing.
            reporter.report()
            #expect(median.lastValue == 0 && timer.values.count == 4)
            waits.record(.milliseconds(3), count: 1_000_000)
            waits.record(.milliseconds(300), count: 1_000_000)
            source.say(Reading(.waitTime, waits, .send))
            reporter.report()
            let few = timer.values.dropFirst(4)
            #expect((999...1_001).contains(few.count) && (499...501).contains(few.count { $0 < 100_000_000 }))
        }

        @Test("another primitive under a name starts anew; a gauge that is not read any more stands at 0")
        func restartsAndStates() throws {
            let (registry, factory, source) = (MetricsRegistry(), TestMetrics(), Source())
            try registry.add(source, named: "it")
            let reporter = SwiftMetricsReporter(registry, factory: factory, prefix: "bp")
            source.say(Reading(.sent, 10.0), Reading(.state, 1.0, Label("state", "closed")))
            reporter.report()
            source.say(Reading(.sent, 4.0), Reading(.state, 1.0, Label("state", "open")))
            reporter.report()
            #expect(try factory.expectCounter("bp_sent_total", [("primitive", "it")]).totalValue == 14)
            let closed = try factory.expectGauge("bp_state", [("primitive", "it"), ("state", "closed")])
            let open = try factory.expectGauge("bp_state", [("primitive", "it"), ("state", "open")])
            #expect(closed.lastValue == 0 && open.lastValue == 1)
        }

        @Test("the handlers of a primitive that is gone are destroyed")
        func gone_isDestroyed() throws {
            let (registry, factory) = (MetricsRegistry(), TestMetrics())
            var channel: BoundedChannel<Int, Never>? = BoundedChannel(capacity: 4)
            try registry.add(try #require(channel), named: "orders")
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            reporter.report()
            #expect(!factory.counters.isEmpty && !factory.recorders.isEmpty)
            channel = nil
            reporter.report()
            #expect(factory.counters.isEmpty && factory.recorders.isEmpty && factory.timers.isEmpty)
        }

        @Test("every series has a name that is documented, and few labels")
        func names_areDocumented() throws {
            let (registry, factory) = (MetricsRegistry(), TestMetrics())
            let channel = BoundedChannel<Int, Never>(capacity: 4)
            let (breaker, bucket) = (CircuitBreaker(), TokenBucket(rate: .perSecond(1), burst: 1))
            try registry.add(channel, named: "orders")
            try registry.add(breaker, named: "backend")
            try registry.add(bucket, named: "quota")
            SwiftMetricsReporter(registry, factory: factory).report()
            let known = Set(Metric.all.flatMap { SeriesNames($0).all } + ["backpressure_fullness"])
            let labels = factory.counters.map(\.label) + factory.recorders.map(\.label)
            #expect(labels.count > 40 && Set(labels).isSubset(of: known))
            #expect(factory.counters.allSatisfy { $0.dimensions.count <= 3 })
        }

        @Test("it reports at its interval, on its clock, until it is cancelled")
        func run_repeats() async throws {
            let (registry, factory, clock) = (MetricsRegistry(), TestMetrics(), ManualClock())
            let semaphore = AsyncSemaphore(permits: 2)
            try registry.add(semaphore, named: "slots")
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            let task = Task { await reporter.run(every: .seconds(10), clock: clock) }
            for _ in 0..<2 {
                await clock.sleepers(atLeast: 1)
                clock.advance(by: .seconds(10))
            }
            await clock.sleepers(atLeast: 1)
            task.cancel()
            await task.value
            #expect(try factory.expectGauge("backpressure_limit", [("primitive", "slots")]).values == [2, 2, 2])
        }

        /// A sink whose counters wait for a lock that the test holds.
        private final class BlockingFactory: MetricsFactory {
            final class Handler: CounterHandler {
                let factory: BlockingFactory
                init(_ factory: BlockingFactory) { self.factory = factory }
                func increment(by: Int64) {
                    factory.isAsked.store(true, ordering: .releasing)
                    factory.mayAnswer.withLock { _ in }
                }
                func reset() {}
            }
            let isAsked = Atomic(false)
            let mayAnswer = Mutex<Void>(())
            let others = TestMetrics()
            func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler { Handler(self) }
            func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
                others.makeRecorder(label: label, dimensions: dimensions, aggregate: aggregate)
            }
            func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
                others.makeTimer(label: label, dimensions: dimensions)
            }
            func destroyCounter(_ handler: any CounterHandler) {}
            func destroyRecorder(_ handler: any RecorderHandler) {}
            func destroyTimer(_ handler: any TimerHandler) {}
        }

        @Test("a sink that blocks delays its reporter, and nobody else")
        func blockingSink_delaysOnlyTheReporter() throws {
            let (registry, factory) = (MetricsRegistry(), BlockingFactory())
            let channel = BoundedChannel<Int, Never>(capacity: 2)
            let semaphore = AsyncSemaphore(permits: 1)
            try registry.add(channel, named: "orders")
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            let isHeld = Atomic(false)
            let seen = Mutex<[Bool]>([])
            // Threads of their own: a test that waits in the pool of tasks may keep others from running.
            Threads.run(2) { thread in
                guard thread == 1 else {
                    while !isHeld.load(ordering: .acquiring) {}
                    let isTold = reporter.report()
                    return seen.withLock { $0.append(isTold) }
                }
                factory.mayAnswer.withLock { _ in
                    isHeld.store(true, ordering: .releasing)
                    while !factory.isAsked.load(ordering: .acquiring) {}
                    // The reporter stands in the sink. Everything else goes on, and a second report is left out.
                    let isGoingOn = channel.trySend(1).isSent && channel.tryReceive().take() == 1
                    let isAdded = (try? registry.add(semaphore, named: "slots")) != nil
                    let isRead = registry.collect().count == 2
                    let isLeftOut = !reporter.report()
                    seen.withLock { $0 += [isGoingOn, isAdded, isRead, isLeftOut] }
                }
            }
            #expect(seen.withLock { $0 } == [true, true, true, true, true] && reporter.report())
        }
    }
#endif
