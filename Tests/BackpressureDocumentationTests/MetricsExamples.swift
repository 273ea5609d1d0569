// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the documentation of BackpressureMetrics, pages and comments.

import Backpressure
import BackpressureMetrics
import BackpressureTestKit
import Testing

@Suite("Examples of BackpressureMetrics", .timeLimit(.minutes(10)))
struct MetricsExamples {
    @Test("a registry, a table, a look")
    func registry() throws {
        let registry = MetricsRegistry()
        let orders = BoundedChannel<Int, Never>(capacity: 64)
        try registry.add(orders, named: "orders", labels: ["shop": "north"])
        for sample in registry.collect() {
            for reading in sample.readings { print(sample.name, reading.metric.name, reading.value) }
        }
        for number in 1...3 { _ = orders.trySend(number) }

        print(MetricsTable(registry.collect()))

        let monitor = HealthMonitor(registry)
        let report = monitor.look()
        print(report.isReady, report)  // true healthy

        let table = MetricsTable(registry.collect()).description
        #expect(table.contains("orders{shop=north}  depth_ratio                0.047"))
        #expect(report.isReady && report.description == "healthy")
    }

    @Test("edges")
    func edges() async throws {
        let registry = MetricsRegistry()
        let clock = ManualClock()
        let jobs = BoundedChannel<Int, Never>(capacity: 10)
        try registry.add(jobs, named: "jobs")
        let always = HealthRule(fires: 1, clears: 0.5, status: .overloaded)
        let monitor = HealthMonitor(registry, rules: HealthRules([.fullness: [always]]), clock: clock)
        let stopped = BoundedChannel<String, Never>(capacity: 4)
        func stopTakingWork(_ why: String) { _ = stopped.trySend(why) }

        let watch = Task {
            for await report in monitor.changes(every: .seconds(1)) {
                if !report.isReady { stopTakingWork(report.description) }
            }
        }
        await clock.sleepers(atLeast: 1)
        for number in 0..<10 { _ = jobs.trySend(number) }
        clock.advance(by: .seconds(1))
        let why = try await stopped.receive()
        watch.cancel()
        await watch.value
        #expect(why == "overloaded: jobs: fullness 1.0, threshold 1.0, overloaded")
    }
}

@Suite("Examples of meters and shutdown", .timeLimit(.minutes(10)))
struct MetersExamples {
    @Test("a meter of pressure")
    func pressure() {
        let meter = PressureMeter()
        let marks = Watermarks(low: 1, high: 3) { edge in
            meter.note(edge)
            if edge == .pause { meter.noteProducerStopped() }
        }
        let channel = BoundedChannel<Int, Never>(capacity: 4, watermarks: marks)
        for number in 0..<3 { _ = channel.trySend(number) }
        while channel.tryReceive().take() != nil {}
        print(meter.snapshot().pauses, meter.snapshot().recoveryTimes.count)  // 1 1
        #expect(meter.snapshot().pauses == 1 && meter.snapshot().recoveryTimes.count == 1)
    }

    @Test("a meter of demand")
    func demand() async throws {
        let meter = DemandMeter()
        let numbers = Flow.sequence([1, 2, 3]).metered(by: meter)
        for try await number in numbers.values(prefetch: 2) { print(number) }
        print(meter.snapshot().delivered, meter.snapshot().subscribers)  // 3 0
        #expect(meter.snapshot().delivered == 3 && meter.snapshot().subscribers == 0)
    }

    @Test("a drain")
    func drain() async {
        let orders = BoundedChannel<Int, Never>(capacity: 8)
        let slots = AsyncSemaphore(permits: 2)
        let drain = Drain()
            .stage("orders", orders)
            .stage("slots", slots)
        let report = await drain.run(timeout: .seconds(5))
        print(report)  // drained: orders 0 left, slots 0 left
        #expect(report.description == "drained: orders 0 left, slots 0 left" && report.isComplete)
    }

    @Test("a stage of one's own")
    func ownStage() async {
        final class Batcher: Drainable {
            private let slots = AsyncSemaphore(permits: 4)

            func closeIntake() { slots.close() }
            func untilDrained() async throws(Rejection) { try await slots.untilDrained() }
            func giveUp() -> Int { slots.inUse }
        }
        #expect(await Drain().stage("batches", Batcher()).run(timeout: .seconds(5)).isComplete)
    }

    @Test("percentiles of the time that producers were blocked")
    func blockTime() throws {
        let registry = MetricsRegistry()
        let orders = BoundedChannel<Int, Never>(capacity: 64)
        try registry.add(orders, named: "orders")

        for sample in registry.collect() {
            if let blocked = sample.histogram(.waitTime, Label("side", "send")), let p99 = blocked.p99 {
                print("\(sample.name): \(blocked.count) sends waited, p99 \(p99)")
            }
        }
        #expect(registry.collect().first?.histogram(.waitTime)?.isEmpty == true)
    }

    @Test("a rule of one's own")
    func rule() throws {
        let registry = MetricsRegistry()
        let slots = AsyncSemaphore(permits: 1)
        try registry.add(slots, named: "slots")

        var rules = HealthRules.standard
        rules.rules[.oldestWait] = [
            HealthRule(fires: 2, clears: 1),
            HealthRule(fires: 5, clears: 1, minimumDuration: .seconds(10), status: .overloaded),
        ]
        let monitor = HealthMonitor(registry, rules: rules)
        #expect(monitor.look().isReady)
    }
}
