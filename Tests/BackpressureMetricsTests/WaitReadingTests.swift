// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waits as readings, in the table and in the judgement; meters; what a collection costs and what it keeps.

import Backpressure
import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import BackpressureMetrics

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("metrics: waits", .timeLimit(.minutes(10)))
struct WaitReadingTests {
    /// A source that says what a test puts in.
    private final class Source: MetricSource {
        let values = Mutex<[Reading]>([])
        func readings() -> [Reading] { values.withLock { $0 } }
        func say(_ readings: Reading...) { values.withLock { $0 = readings } }
    }

    private func histogram(_ durations: Duration...) -> WaitHistogram {
        durations.reduce(into: WaitHistogram()) { $0.record($1) }
    }

    @Test("the time for which producers were blocked, by quantile, and the oldest wait")
    func blockTime_isRead() async throws {
        let clock = ManualClock()
        let registry = MetricsRegistry()
        let channel = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
        try registry.add(channel, named: "jobs")
        _ = channel.trySend(1)
        let sender = Task { await channel.send(2).isSent }
        try await settle { channel.snapshot().waitingSenders == 1 }
        clock.advance(by: .seconds(2))
        var sample = try #require(registry.collect().first)
        #expect(sample.value(.oldestWait, .send) == 2 && sample.histogram(.waitTime, .send)?.isEmpty == true)
        _ = channel.tryReceive()
        #expect(await sender.value)
        sample = try #require(registry.collect().first)
        #expect(sample.value(.oldestWait, .send) == 0 && sample.value(.waitTime, .send) == 1)
        #expect(sample.histogram(.waitTime)?.maximum == .seconds(2) && sample.histogram(.queueTime) == nil)
        let rows = MetricsTable([sample]).rows
        #expect(rows.contains(["jobs", "wait_time{side=send,quantile=0.5}", "2"]))
        #expect(rows.contains(["jobs", "wait_time{side=send,quantile=1}", "2"]))
        #expect(!rows.contains { $0[1].hasPrefix("wait_time{side=receive") })
    }

    @Test("every metric has a name of its own, and every reading's metric is in the list")
    func names_areUnique() {
        #expect(Set(Metric.all.map(\.name)).count == Metric.all.count)
        let sources: [any MetricSource] = [
            BoundedChannel<Int, Never>(capacity: 1), RendezvousChannel<Int, Never>(),
            BufferedChannel<Int, Never>(capacity: 1), AsyncSemaphore(permits: 1), Bulkhead("a", limit: 1),
            TokenBucket(rate: .perSecond(1), burst: 1), CreditWindow(capacity: 1), WatermarkGate<Int>(low: 1, high: 2),
            CircuitBreaker(), CircuitBreakerRegistry<Int>(), ConcurrencyLimiter(FixedLimit(1)), StageMeter(),
            PressureMeter(), DemandMeter(),
            PriorityShedder(), Flow.DropMeter(), PartitionedBulkhead("b", limit: 2, shares: ["x": 1]),
            KeyedRateLimiter<Int>(rate: .perSecond(1), burst: 1, maxKeys: 4),
        ]
        for reading in sources.flatMap({ $0.readings() }) {
            #expect(Metric.all.contains(reading.metric), "\(reading.metric.name)")
            #expect((reading.histogram != nil) == (reading.metric.kind == .distribution), "\(reading.metric.name)")
        }
    }

    @Test("producers blocked for more than a second degrade; what ended before the last look is no reason any more")
    func blockTime_firesAndClears() throws {
        let (registry, clock, source) = (MetricsRegistry(), ManualClock(), Source())
        try registry.add(source, named: "jobs")
        let monitor = HealthMonitor(
            registry, rules: HealthRules([.blockTime: HealthRules.standard.rules[.blockTime] ?? []]), clock: clock)
        // What was before the first look is nobody's concern now.
        var waits = histogram(.seconds(50))
        source.say(Reading(.waitTime, waits, .send))
        #expect(monitor.look().status == .healthy)
        waits.record(.seconds(2))
        source.say(Reading(.waitTime, waits, .send), Reading(.waitTime, histogram(.seconds(90)), .receive))
        let report = monitor.look()
        #expect(report.status == .degraded && report.reasons.map(\.signal) == [.blockTime])
        #expect(report.description.hasPrefix("degraded: jobs: blockTime 2.0") && report.reasons[0].primitive == "jobs")
        // Between the marks nothing changes; nobody blocked clears it.
        waits.record(.milliseconds(700))
        source.say(Reading(.waitTime, waits, .send))
        #expect(monitor.look().status == .degraded)
        source.say(Reading(.waitTime, waits, .send))
        #expect(monitor.look().status == .healthy)
        // One that is still blocked counts by its age.
        source.say(Reading(.waitTime, waits, .send), Reading(.oldestWait, 1.5, .send))
        #expect(monitor.look().status == .degraded)
        // Another primitive under this name: nothing of the difference.
        source.say(Reading(.waitTime, histogram(.seconds(9)), .send))
        #expect(monitor.look().status == .healthy)
    }

    @Test("the oldest wait above its target fires at the mark, clears at the lower one; receivers never")
    func oldestWait_firesAndClears() throws {
        let (registry, clock) = (MetricsRegistry(), ManualClock())
        let source = Source()
        try registry.add(source, named: "slots")
        let monitor = HealthMonitor(registry, clock: clock)
        var course: [HealthStatus] = []
        for age in [9.9, 10, 6, 5, 9.9] {
            source.say(Reading(.oldestWait, age), Reading(.oldestWait, 1_000, .receive))
            course.append(monitor.look().status)
        }
        #expect(course == [.healthy, .degraded, .degraded, .healthy, .healthy])
    }

    @Test("a subscriber that asks for nothing is a concern after half a minute, until it asks")
    func idleSubscriber_firesAndClears() throws {
        let (registry, clock, meter) = (MetricsRegistry(), ManualClock(), DemandMeter())
        try registry.add(meter, named: "feed")
        let monitor = HealthMonitor(registry, clock: clock)
        let subscriber = TestSubscriber<Int>()
        Flow.range(0..<100).metered(by: meter).subscribe(subscriber)
        #expect(monitor.look().status == .healthy)
        clock.advance(by: .seconds(29))
        #expect(monitor.look().status == .healthy)
        clock.advance(by: .seconds(1))
        #expect(monitor.look().description.hasPrefix("degraded: feed: idleSubscribers 1.0"))
        subscriber.request(.unbounded)
        #expect(meter.snapshot().delivered == 100 && meter.snapshot().subscribers == 0)
        // Clearing takes the minimum duration, too.
        #expect(monitor.look().status == .degraded)
        clock.advance(by: .seconds(30))
        #expect(monitor.look().status == .healthy)
    }

    @Test("demand: asked for, delivered, outstanding, cancelled")
    func demand_isCounted() {
        let meter = DemandMeter()
        let subscriber = TestSubscriber<Int>()
        let publisher = TestPublisher<Int>()
        publisher.metered(by: meter).subscribe(subscriber)
        #expect(meter.snapshot().subscribers == 1 && meter.snapshot().idle == 1)
        subscriber.request(5)
        publisher.send(1)
        publisher.send(2)
        var now = meter.snapshot()
        #expect(now.outstanding == 3 && now.requested == 5 && now.delivered == 2 && now.idle == 0)
        subscriber.request(.unbounded)
        publisher.send(3)
        now = meter.snapshot()
        #expect(now.outstanding == .unbounded && now.delivered == 3)
        subscriber.cancel()
        now = meter.snapshot()
        #expect(now.subscribers == 0 && now.outstanding == 0 && now.requested == .unbounded)
    }

    @Test("time under pressure, recovery and signal latency, at the edges of a channel's watermarks")
    func pressure_isMeasured() {
        let clock = ManualClock()
        let meter = PressureMeter(clock: clock)
        let channel = BoundedChannel<Int, Never>(
            capacity: 4, watermarks: Watermarks(low: 1, high: 3) { meter.note($0) }, clock: clock)
        for number in 0..<3 { _ = channel.trySend(number) }
        #expect(meter.snapshot().isPaused && meter.snapshot().pauses == 1)
        clock.advance(by: .milliseconds(40))
        meter.noteProducerStopped()
        meter.noteProducerStopped()
        clock.advance(by: .milliseconds(60))
        #expect(meter.snapshot().pressureTime == .milliseconds(100) && meter.snapshot().recoveryTimes.isEmpty)
        while channel.tryReceive().take() != nil {}
        clock.advance(by: .seconds(5))
        meter.note(.resume)
        meter.noteProducerStopped()
        let now = meter.snapshot()
        #expect(!now.isPaused && now.pressureTime == .milliseconds(100))
        #expect(now.recoveryTimes.count == 1 && now.recoveryTimes.maximum == .milliseconds(100))
        #expect(now.signalLatencies.count == 1 && now.signalLatencies.maximum == .milliseconds(40))
        #expect(meter.readings().first { $0.metric == .pressureTime }?.value == 0.1)
    }

    @Test("what was shed is told by priority")
    func shed_byPriority() {
        let shedder = PriorityShedder(levels: 3)
        for _ in 0..<1_000 { _ = shedder.admit(level: 2) }
        shedder.update(load: 1_000)
        for _ in 0..<7 { _ = shedder.admit(level: 2) }
        let shed = shedder.readings().map(\.value)
        #expect(shed.count == 3 && shed[2] == 7 && shed[0] == 0 && shedder.shed == 7)
    }

    @Test("collecting 10,000 primitives is linear, and keeps none alive")
    func collection_isLinear() throws {
        let registry = MetricsRegistry()
        func nanoseconds(_ count: Int, _ primitives: inout [BoundedChannel<Int, Never>]) throws -> Double {
            while primitives.count < count {
                let channel = BoundedChannel<Int, Never>(capacity: 2)
                try registry.add(channel, named: "channel", labels: ["number": "\(primitives.count)"])
                primitives.append(channel)
            }
            var best = Double.infinity
            for _ in 0..<3 {
                let start = threadNanoseconds()
                #expect(registry.collect().count == count)
                best = min(best, threadNanoseconds() - start)
            }
            return best / Double(count)
        }
        // What this thread has run, so that it does not matter who else uses the machine.
        func threadNanoseconds() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
        }
        var primitives: [BoundedChannel<Int, Never>] = []
        let (few, many) = (try nanoseconds(1_000, &primitives), try nanoseconds(10_000, &primitives))
        print("collecting: \(Int(few)) ns a primitive of 1,000, \(Int(many)) ns of 10,000")
        // Ten times as many, and each costs about what it did: quadratic work would make it ten times.
        #expect(many < 4 * few)
        weak let watched = primitives.last
        primitives = []
        #expect(watched == nil && registry.collect().isEmpty && registry.count == 0)
    }
}
