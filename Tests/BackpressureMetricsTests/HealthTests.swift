// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Each signal fires and clears, on a manual clock; nothing flaps at an edge; reasons name the primitive.

import Backpressure
import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import BackpressureMetrics

@Suite("metrics: health", .timeLimit(.minutes(10)))
struct HealthTests {
    /// A source that says what a test puts in.
    private final class Source: MetricSource {
        let values = Mutex<[Reading]>([])
        func readings() -> [Reading] { values.withLock { $0 } }
        func say(_ readings: Reading...) { values.withLock { $0 = readings } }
    }

    private struct Bench {
        let registry = MetricsRegistry()
        let clock = ManualClock()
        let source = Source()
        let monitor: HealthMonitor

        init(_ rules: HealthRules = .standard) throws {
            monitor = HealthMonitor(registry, rules: rules, clock: clock)
            try registry.add(source, named: "it", labels: ["zone": "a"])
        }
    }

    @Test("fullness degrades at its threshold, and clears only at the lower one")
    func fullness_hasHysteresis() throws {
        let bench = try Bench()
        var course: [HealthStatus] = []
        for ratio in [0.84, 0.85, 0.84, 0.86, 0.71, 0.7, 0.84] {
            bench.source.say(Reading(.depthRatio, ratio))
            course.append(bench.monitor.look().status)
        }
        #expect(course == [.healthy, .degraded, .degraded, .degraded, .degraded, .healthy, .healthy])
    }

    @Test("a reason names the primitive, the value and the threshold")
    func reasons_nameThePrimitive() throws {
        let bench = try Bench()
        bench.source.say(Reading(.utilization, 0.9))
        let report = bench.monitor.look()
        #expect(report.reasons.map(\.primitive) == ["it"] && report.reasons.map(\.signal) == [.fullness])
        #expect(report.description == "degraded: it [zone=a]: fullness 0.9, threshold 0.85, degraded")
        #expect(report.isReady)
    }

    @Test("overloaded only after the minimum duration; a fall in between starts it anew")
    func minimumDuration_isKept() throws {
        let bench = try Bench()
        bench.source.say(Reading(.depthRatio, 1.0))
        #expect(bench.monitor.look().status == .degraded)
        bench.clock.advance(by: .seconds(9))
        #expect(bench.monitor.look().status == .degraded)
        bench.source.say(Reading(.depthRatio, 0.97))
        #expect(bench.monitor.look().status == .degraded)
        bench.source.say(Reading(.depthRatio, 1.0))
        #expect(bench.monitor.look().status == .degraded)
        bench.clock.advance(by: .seconds(10))
        let report = bench.monitor.look()
        #expect(report.status == .overloaded && !report.isReady && report.reasons.count == 2)
        bench.source.say(Reading(.depthRatio, 0.85))
        #expect(bench.monitor.look().status == .overloaded)
        bench.clock.advance(by: .seconds(10))
        #expect(bench.monitor.look().status == .degraded)
    }

    @Test("the sixth pressure event of a minute fires; a minute later nothing is left of them")
    func pressureEvents_areCountedByTheMinute() throws {
        let bench = try Bench(HealthRules([.pressureEvents: HealthRules.standard.rules[.pressureEvents] ?? []]))
        for event in 1...6 {
            bench.source.say(Reading(.depth, 0.0), Reading(.pauses, Double(event)))
            bench.clock.advance(by: .seconds(5))
            // What a primitive did before the first look is nobody's rate.
            #expect(bench.monitor.look().status == .healthy)
        }
        bench.source.say(Reading(.pauses, 7.0))
        #expect(bench.monitor.look().status == .degraded)
        bench.clock.advance(by: .seconds(61))
        #expect(bench.monitor.look().status == .healthy)
    }

    @Test("fullness that comes and goes counts as pressure, too")
    func pressureEvents_byFullness() throws {
        let fullness = HealthRule(fires: 0.5, clears: 0.5, minimumDuration: .seconds(1_000))
        let bench = try Bench(
            HealthRules([.fullness: [fullness], .pressureEvents: [HealthRule(fires: 3, clears: 0)]]))
        var course: [HealthStatus] = []
        for ratio in [1.0, 1.0, 0.0, 1.0, 0.0, 1.0] {
            bench.source.say(Reading(.depthRatio, ratio))
            course.append(bench.monitor.look().status)
        }
        #expect(course == [.healthy, .healthy, .healthy, .healthy, .healthy, .degraded])
    }

    @Test("drops and refusals since the last look, as a share of what was offered; cancels are none")
    func dropRate_isOfTheLastInterval() throws {
        let bench = try Bench(HealthRules([.dropRate: HealthRules.standard.rules[.dropRate] ?? []]))
        func say(sent: Double, full: Double, cancelled: Double, evicted: Double) {
            bench.source.say(
                Reading(.sent, sent), Reading(.rejected, full, Label("reason", "full")),
                Reading(.rejected, cancelled, Label("reason", "cancelled")),
                Reading(.dropped, evicted, Label("reason", "evicted")))
        }
        say(sent: 1_000, full: 500, cancelled: 0, evicted: 500)
        #expect(bench.monitor.look().status == .healthy)
        say(sent: 2_000, full: 500, cancelled: 900, evicted: 500)
        #expect(bench.monitor.look().status == .healthy)
        say(sent: 2_998, full: 502, cancelled: 900, evicted: 500)
        let report = bench.monitor.look()
        #expect(report.status == .degraded && report.reasons.first?.value == 0.002)
        say(sent: 3_998, full: 502, cancelled: 900, evicted: 600)
        #expect(bench.monitor.look().status == .overloaded)
        say(sent: 4_998, full: 502, cancelled: 900, evicted: 600)
        #expect(bench.monitor.look().status == .healthy)
        // Another primitive under the same name: its totals are smaller, and no rate comes of the difference.
        say(sent: 10, full: 0, cancelled: 0, evicted: 0)
        #expect(bench.monitor.look().status == .healthy)
    }

    @Test("an open breaker degrades while it rejects, and one that flaps longer")
    func breaker() throws {
        let bench = try Bench()
        func say(_ state: String, _ transitions: Double) {
            bench.source.say(Reading(.state, 1.0, Label("state", state)), Reading(.transitions, transitions))
        }
        say("closed", 0)
        #expect(bench.monitor.look().status == .healthy)
        say("open", 1)
        #expect(bench.monitor.look().reasons.map(\.signal) == [.breakerOpen])
        say("closed", 4)
        #expect(bench.monitor.look().status == .healthy)
        say("closed", 6)
        #expect(bench.monitor.look().reasons.map(\.signal) == [.breakerChanges])
        bench.clock.advance(by: .seconds(61))
        #expect(bench.monitor.look().status == .healthy)
    }

    @Test("a real breaker's state is what the rules look for")
    func breaker_ofTheCore() throws {
        let registry = MetricsRegistry()
        let breaker = CircuitBreaker()
        try registry.add(breaker, named: "backend")
        let monitor = HealthMonitor(registry)
        #expect(monitor.look().status == .healthy)
        breaker.transition(to: .forcedOpen)
        #expect(monitor.look().reasons.map(\.signal) == [.breakerOpen])
    }

    @Test("what is gone is judged no more")
    func gone_isNoReason() throws {
        let registry = MetricsRegistry()
        var channel: BoundedChannel<Int, Never>? = BoundedChannel(capacity: 1)
        try registry.add(try #require(channel), named: "jobs")
        _ = channel?.trySend(1)
        let monitor = HealthMonitor(registry, clock: ManualClock())
        #expect(monitor.look().status == .degraded)
        channel = nil
        #expect(monitor.look() == HealthReport([]))
    }

    @Test("changes tell edges only, and end with their task")
    func changes_tellEdges() async throws {
        let bench = try Bench()
        let statuses = BoundedChannel<HealthStatus, Never>(capacity: 8)
        let task = Task { [monitor = bench.monitor] in
            for await report in monitor.changes(every: .seconds(1)) { _ = await statuses.send(report.status) }
            statuses.finish()
        }
        #expect(try await statuses.receive() == .healthy)
        for ratio in [0.5, 0.9, 0.95, 0.1] {
            await bench.clock.sleepers(atLeast: 1)
            bench.source.say(Reading(.depthRatio, ratio))
            bench.clock.advance(by: .seconds(1))
        }
        #expect(try await statuses.receive() == .degraded)
        #expect(try await statuses.receive() == .healthy)
        await bench.clock.sleepers(atLeast: 1)
        task.cancel()
        await task.value
        #expect(try await statuses.receive() == nil)
    }
}
