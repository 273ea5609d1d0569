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
        #expect(table.contains("orders{shop=north}  depth_ratio            0.047"))
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
