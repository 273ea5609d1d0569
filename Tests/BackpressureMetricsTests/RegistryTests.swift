// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The registry: what it keeps, what it says, and that its readings add up.

import Backpressure
import BackpressureTestSupport
import Synchronization
import Testing

@testable import BackpressureMetrics

@Suite("metrics: registry", .timeLimit(.minutes(10)))
struct RegistryTests {
    @Test("a primitive that is gone is not kept alive, and is forgotten at the next collection")
    func gone_isForgotten() throws {
        let registry = MetricsRegistry()
        var channel: BoundedChannel<Int, Never>? = BoundedChannel(capacity: 1)
        weak let watched = channel
        try registry.add(try #require(channel), named: "jobs")
        #expect(registry.collect().map(\.name) == ["jobs"])
        channel = nil
        #expect(watched == nil)
        #expect(registry.count == 1)
        #expect(registry.collect().isEmpty)
        #expect(registry.count == 0)
    }

    @Test("a name with its labels is one primitive's; it is free again when that one is gone or removed")
    func names_areTakenOnce() throws {
        let registry = MetricsRegistry()
        var first: AsyncSemaphore? = AsyncSemaphore(permits: 1)
        let second = AsyncSemaphore(permits: 2)
        try registry.add(try #require(first), named: "slots", labels: ["b": "2", "a": "1"])
        let taken = MetricsRegistry.DuplicateName(name: "slots", labels: [Label("a", "1"), Label("b", "2")])
        #expect(throws: taken) { try registry.add(second, named: "slots", labels: ["a": "1", "b": "2"]) }
        let other = try registry.add(second, named: "slots", labels: ["a": "1"])
        first = nil
        try registry.add(second, named: "slots", labels: ["a": "1", "b": "2"])
        #expect(registry.count == 2)
        registry.remove(other)
        registry.remove(other)
        #expect(registry.collect().map(\.labels) == [[Label("a", "1"), Label("b", "2")]])
        try registry.add(second, named: "slots", labels: ["a": "1"])
        #expect(registry.count == 2)
    }

    @Test("every primitive is a source, and says what its snapshot says")
    func everyPrimitive() async throws {
        let registry = MetricsRegistry()
        let channel = BoundedChannel<Int, Never>(capacity: 4, overflow: .dropOldest)
        let meeting = RendezvousChannel<Int, Never>()
        let semaphore = AsyncSemaphore(permits: 3)
        let bulkhead = Bulkhead("db", limit: 2)
        let bucket = TokenBucket(rate: .perSecond(10), burst: 5)
        let window = CreditWindow(capacity: 10)
        let gate = WatermarkGate<Int>(low: 1, high: 2)
        try registry.add(channel, named: "channel")
        try registry.add(meeting, named: "meeting")
        try registry.add(semaphore, named: "semaphore")
        try registry.add(bulkhead, named: "bulkhead")
        try registry.add(bucket, named: "bucket")
        try registry.add(window, named: "window")
        try registry.add(gate, named: "gate")

        for number in 0..<6 { _ = channel.trySend(number) }
        _ = channel.tryReceive()
        _ = meeting.trySend(1)
        guard let permit = semaphore.tryAcquire(2) else {
            Issue.record("no permit")
            return
        }
        _ = bucket.tryAcquire(2)

        let samples = Dictionary(uniqueKeysWithValues: registry.collect().map { ($0.name, $0) })
        #expect(samples.count == 7)
        let first = try #require(samples["channel"])
        #expect(first.value(.sent) == 6 && first.value(.received) == 1 && first.value(.depth) == 3)
        #expect(first.value(.dropped, Label("reason", "evicted")) == 2 && first.value(.depthRatio) == 0.75)
        #expect(samples["meeting"]?.value(.rejected, Label("reason", "full")) == 1)
        #expect(samples["semaphore"]?.value(.inUse) == 2 && samples["semaphore"]?.value(.limit) == 3)
        #expect(samples["bulkhead"]?.value(.limit) == 2)
        #expect(samples["bucket"]?.value(.tokens) == 3)
        #expect(samples["window"]?.value(.credits) == 10)
        #expect(samples["gate"]?.value(.paused) == 0)
        #expect(first.value(.tokens) == nil)
        permit.release()
    }

    @Test("readings of a channel under threads add up at rest, and counters never fall")
    func readings_addUp() async throws {
        let size = LaneSize("metrics.stress", plain: 20_000, sanitizer: 4_000, deep: 1_000_000)
        let registry = MetricsRegistry()
        let channel = BoundedChannel<Int, Never>(capacity: 7, overflow: .dropOldest)
        try registry.add(channel, named: "channel")
        let isOver = Atomic(false)
        let collector = Task.detached {
            var last: [Reading: Double] = [:]
            var fallen = 0
            while !isOver.load(ordering: .acquiring) {
                for reading in registry.collect().flatMap(\.readings) where reading.metric.kind == .counter {
                    let key = Reading(reading.metric, 0, reading.labels.first ?? Label("", ""))
                    if reading.labels.count < 2 {
                        if reading.value < last[key] ?? 0 { fallen += 1 }
                        last[key] = reading.value
                    }
                }
                await Task.yield()
            }
            return fallen
        }
        await withTaskGroup(of: Void.self) { group in
            for sender in 0..<2 {
                group.addTask { for number in 0..<size.count { _ = await channel.send(sender * size.count + number) } }
            }
            group.addTask { for _ in 0..<size.count { _ = channel.tryReceive() } }
        }
        isOver.store(true, ordering: .releasing)
        #expect(await collector.value == 0)
        let sample = try #require(registry.collect().first)
        let sent = try #require(sample.value(.sent))
        let out = (sample.value(.received) ?? 0) + (sample.value(.depth) ?? 0) + (sample.value(.dropped) ?? 0)
        #expect(sent == Double(2 * size.count) && sent == out)
    }

    @Test("a source that blocks delays its collector, and nobody else")
    func blockingSource_delaysOnlyTheCollector() throws {
        final class Blocking: MetricSource {
            let isAsked = Atomic(false)
            let mayAnswer = Mutex<Void>(())
            func readings() -> [Reading] {
                isAsked.store(true, ordering: .releasing)
                return mayAnswer.withLock { _ in [Reading(.depth, 1.0)] }
            }
        }
        let registry = MetricsRegistry()
        let blocking = Blocking()
        let channel = BoundedChannel<Int, Never>(capacity: 1)
        try registry.add(blocking, named: "blocking")
        let isHeld = Atomic(false)
        let seen = Mutex<[Bool]>([])
        // Threads of their own: a test that waits in the pool of tasks may keep others from running.
        Threads.run(2) { thread in
            guard thread == 1 else {
                while !isHeld.load(ordering: .acquiring) {}
                let isAlone = registry.collect().count == 1
                return seen.withLock { $0.append(isAlone) }
            }
            blocking.mayAnswer.withLock { _ in
                isHeld.store(true, ordering: .releasing)
                while !blocking.isAsked.load(ordering: .acquiring) {}
                // The collector stands in the source; the registry and the primitives do not.
                let isAdded = (try? registry.add(channel, named: "channel")) != nil
                let isGoingOn = channel.trySend(1).isSent && registry.count == 2
                seen.withLock { $0 += [isAdded, isGoingOn] }
            }
        }
        #expect(seen.withLock { $0 } == [true, true, true])
        #expect(registry.collect().count == 2)
    }

    @Test("a table has a line for each gauge and for each total that is not zero")
    func table() throws {
        let registry = MetricsRegistry()
        let channel = BoundedChannel<Int, Never>(capacity: 3)
        try registry.add(channel, named: "jobs")
        _ = channel.trySend(1)
        let table = MetricsTable(registry.collect())
        #expect(table.rows.contains(["jobs", "depth_ratio", "0.333"]) && table.rows.contains(["jobs", "sent", "1"]))
        #expect(!table.rows.contains { $0[1] == "received" })
        #expect(MetricsTable(registry.collect(), includingZeros: true).rows.contains(["jobs", "received", "0"]))
        let lines = table.description.split(separator: "\n")
        #expect(lines.count == table.rows.count + 1 && Set(lines.map(\.count)).count == 1)
    }
}
