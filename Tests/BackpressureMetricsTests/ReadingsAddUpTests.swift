// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Readings of primitives that many tasks fight over, at every quiet point: nothing is counted twice, nothing is missing,
// and each wait is in a histogram once.
//
// A round is a crowd of tasks that use one primitive in every way, some of them cancelled on the way, and that counts what
// it got; the quiet point is where all of them have ended. The primitive lives on from round to round, and in the last
// one it is closed under the crowd. Times pass on a manual clock that a ticker drives, so that waits end by deadlines too.

import Backpressure
import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import BackpressureMetrics

/// What a crowd got, by outcome.
private final class Tally: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    func add(_ outcome: String, _ count: Int = 1) { counts.withLock { $0[outcome, default: 0] += count } }
    subscript(_ outcomes: String...) -> Double {
        counts.withLock { counts in Double(outcomes.reduce(0) { $0 + (counts[$1] ?? 0) }) }
    }
    /// The sum of all outcomes that begin so.
    func all(_ prefix: String) -> Double {
        counts.withLock { counts in Double(counts.reduce(0) { $0 + ($1.key.hasPrefix(prefix) ? $1.value : 0) }) }
    }
}

@Suite("metrics: readings add up", .timeLimit(.minutes(10)))
struct ReadingsAddUpTests {
    private static let rounds = 4
    private static let workers = 4

    /// Runs `body` in several tasks, each so often, on a clock that goes on until all of them have ended.
    private func crowd(
        _ name: String, _ clock: ManualClock, close: @escaping @Sendable () -> Void,
        verify: (_ round: Int) async throws -> Void,
        body: @escaping @Sendable (_ worker: Int, _ step: Int, _ isLast: Bool) async -> Void
    ) async throws {
        let size = LaneSize("metrics.add.\(name)", plain: 600, sanitizer: 200, deep: 40_000)
        for round in 0..<Self.rounds {
            let isOver = Atomic(false)
            let isLast = round == Self.rounds - 1
            let ticker = Task.detached {
                while !isOver.load(ordering: .acquiring) {
                    clock.advance(by: .milliseconds(1))
                    await Task.yield()
                }
            }
            await withTaskGroup(of: Void.self) { group in
                for worker in 0..<Self.workers {
                    group.addTask {
                        for step in 0..<size.count {
                            if isLast, worker == 0, step == size.count / 2 { close() }
                            await body(worker, step, isLast)
                        }
                    }
                }
            }
            isOver.store(true, ordering: .releasing)
            await ticker.value
            try await verify(round)
        }
    }

    /// Runs `body` in a task that is cancelled at once or a moment later.
    private func cancelled(_ body: @escaping @Sendable () async -> Void) async {
        let task = Task { await body() }
        await Task.yield()
        task.cancel()
        await task.value
    }

    /// Each wait of a side is in its histogram, none is left.
    private func expectWaits(_ sample: MetricSample, _ labels: [Label], _ source: SourceLocation = #_sourceLocation) {
        for label in labels {
            let waits = sample.value(.waits, label) ?? -1
            let recorded = sample.histogram(.waitTime, label)
            #expect(waits == Double(recorded?.count ?? 0), "\(label): \(waits) waits", sourceLocation: source)
            #expect(sample.value(.waiting, label) == 0, "\(label)", sourceLocation: source)
            #expect(sample.value(.oldestWait, label) == 0, "\(label)", sourceLocation: source)
            let held = recorded?.buckets.reduce(0) { $0 + $1.count }
            #expect(held == recorded?.count, "\(label): buckets do not add up", sourceLocation: source)
        }
    }

    @Test("a channel: sent = received + in + returned + dropped, and every wait is in a histogram")
    func channel() async throws {
        for overflow in [OverflowPolicy.suspend, .dropOldest, .dropNewest] {
            let (clock, registry, tally) = (ManualClock(), MetricsRegistry(), Tally())
            let channel = BoundedChannel<Int, Never>(capacity: 3, overflow: overflow, clock: clock) { _, reason in
                tally.add("hook \(reason)")
            }
            let other = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
            try registry.add(channel, named: "channel")
            @Sendable func note(_ result: consuming SendResult<Int>) {
                switch consume result {
                case .sent: tally.add("sent")
                case .dropped: tally.add("dropped")
                case .returned(let rejected): tally.add("returned \(rejected.reason)")
                }
            }
            @Sendable func receive(_ timeout: Duration) async {
                do throws(ReceiveError<Never>) {
                    if try await channel.receive(timeout: timeout) != nil { tally.add("received") }
                } catch { tally.add("receive failed") }
            }
            try await crowd(
                "channel.\(overflow)", clock, close: { channel.finish() },
                verify: { _ in
                    let sample = try #require(registry.collect().first)
                    let sent = try #require(sample.value(.sent))
                    let received = try #require(sample.value(.received))
                    let depth = try #require(sample.value(.depth))
                    let dropped = try #require(sample.value(.dropped))
                    let offered = tally["sent", "dropped"] + tally.all("returned")
                    #expect(offered == received + depth + tally.all("returned") + dropped, "\(overflow)")
                    #expect(sent == tally["sent"] && received == tally["received"], "\(overflow)")
                    #expect(dropped == tally.all("hook"), "\(overflow): each drop goes to the hook once")
                    let late = sample.value(.rejected, .reason("timed_out"), .send)
                    #expect(late == tally["returned \(Rejection.timedOut)"])
                    #expect(
                        sample.value(.rejected, .reason("cancelled"), .send) == tally["returned \(Rejection.cancelled)"]
                    )
                    #expect(sample.value(.rejected, .reason("full")) == tally["returned \(Rejection.full)"])
                    expectWaits(sample, [.send, .receive])
                },
                body: { worker, step, _ in
                    switch (worker * 3 + step) % 9 {
                    case 0: note(channel.trySend(step))
                    case 1, 2: note(await channel.send(step, timeout: .milliseconds(3)))
                    case 3:
                        await cancelled { note(await channel.send(step, timeout: .milliseconds(50))) }
                    case 4, 5: await receive(.milliseconds(3))
                    case 6:
                        let received: Int? = try? await Select<Int?>(
                            .receive(from: other) { _ in nil }, .receive(from: channel) { $0 }
                        ).first(timeout: .milliseconds(2))
                        if received != nil { tally.add("received") }
                    case 7:
                        // What a select does not choose stays with its caller, and its time is that of its first case.
                        try? await Select<Void>(
                            .receive(from: other) { _ in }, .send(step, to: channel) { note($0) }
                        ).first(timeout: .milliseconds(2))
                    default:
                        if channel.tryReceive().take() != nil { tally.add("received") }
                    }
                })
        }
    }

    @Test("a semaphore: every acquisition is admitted or rejected for a reason, and every wait is in the histogram")
    func semaphore() async throws {
        for fairness in [Fairness.fifo, .eventual(bypass: 8)] {
            let (clock, registry, tally) = (ManualClock(), MetricsRegistry(), Tally())
            let semaphore = AsyncSemaphore(permits: 2, fairness: fairness, waiterLimit: 2, clock: clock)
            try registry.add(semaphore, named: "semaphore")
            @Sendable func use(_ count: Int, _ timeout: Duration) async {
                do throws(AcquireError) {
                    let permit = try await semaphore.acquire(count, timeout: timeout)
                    tally.add("admitted")
                    await Task.yield()
                    permit.release()
                } catch { tally.add("\(error.reason)") }
            }
            try await crowd(
                "semaphore.\(fairness)", clock, close: { semaphore.close() },
                verify: { _ in
                    let sample = try #require(registry.collect().first)
                    func rejected(_ reason: String) -> Double? { sample.value(.rejected, .reason(reason)) }
                    #expect(sample.value(.admitted) == tally["admitted"] && sample.value(.inUse) == 0)
                    #expect(
                        rejected("would_wait") == tally["would wait"] && rejected("full") == tally["\(Rejection.full)"])
                    #expect(rejected("timed_out") == tally["\(Rejection.timedOut)"])
                    #expect(rejected("cancelled") == tally["\(Rejection.cancelled)"])
                    #expect(rejected("exceeds_limit") == tally["\(Rejection.exceedsLimit)"])
                    let (waits, recorded) = (sample.value(.waits), sample.histogram(.waitTime))
                    #expect(waits == Double(recorded?.count ?? 0) && sample.value(.waiting) == 0)
                },
                body: { worker, step, _ in
                    switch (worker * 5 + step) % 6 {
                    case 0:
                        if let permit = semaphore.tryAcquire() {
                            tally.add("admitted")
                            permit.release()
                        } else {
                            tally.add("would wait")
                        }
                    case 1: await use(2, .milliseconds(2))
                    case 2: await cancelled { await use(1, .milliseconds(50)) }
                    case 3 where step % 5 == 0: await use(3, .milliseconds(1))
                    default: await use(1, .milliseconds(3))
                    }
                })
        }
    }

    @Test("a concurrency limiter: admitted = settled, and every wait is in the histogram")
    func concurrencyLimiter() async throws {
        let (clock, registry, tally) = (ManualClock(), MetricsRegistry(), Tally())
        let limiter = ConcurrencyLimiter(
            FixedLimit(2), waiterLimit: 2, maximumWait: .milliseconds(4),
            shedding: CoDel(target: .milliseconds(1), interval: .milliseconds(8)), clock: clock)
        try registry.add(limiter, named: "limiter")
        @Sendable func call(_ step: Int) async {
            do throws(AcquireError) {
                let permit = try await limiter.acquire()
                tally.add("admitted")
                await Task.yield()
                switch step % 3 {
                case 0: permit.succeed()
                case 1: permit.ignore()
                default: permit.drop()
                }
            } catch {
                tally.add("rejected \(error.reason)")
            }
        }
        try await crowd(
            "limiter", clock, close: { limiter.close() },
            verify: { _ in
                let sample = try #require(registry.collect().first)
                #expect(sample.value(.admitted) == tally["admitted"] && sample.value(.inUse) == 0)
                #expect(sample.value(.settled) == tally["admitted"])
                let closed = tally["rejected closed"]
                #expect(sample.value(.rejected) == tally.all("rejected") - closed + tally["refused"])
                let (waits, recorded) = (sample.value(.waits), sample.histogram(.waitTime))
                #expect(waits == Double(recorded?.count ?? 0) && sample.value(.waiting) == 0)
            },
            body: { worker, step, isLast in
                switch (worker + step) % 5 {
                // A closed limiter and a full one look alike to it, and only one of the two counts.
                case 0 where !isLast:
                    if let permit = limiter.tryAcquire() {
                        tally.add("admitted")
                        permit.succeed()
                    } else {
                        tally.add("refused")
                    }
                case 1: await cancelled { await call(step) }
                default: await call(step)
                }
            })
    }

    @Test("a rate limiter: every wait is in the histogram, whatever it came to")
    func rateLimiter() async throws {
        let (clock, registry, tally) = (ManualClock(), MetricsRegistry(), Tally())
        let bucket = TokenBucket(rate: Rate(1_000, per: .seconds(1)), burst: 2, clock: clock)
        try registry.add(bucket, named: "bucket")
        @Sendable func take(_ count: Int, _ timeout: Duration) async {
            do throws(RateLimitError) {
                try await bucket.acquire(count, timeout: timeout)
                tally.add("taken")
            } catch { tally.add("failed") }
        }
        try await crowd(
            "bucket", clock, close: {},
            verify: { _ in
                let sample = try #require(registry.collect().first)
                let (waits, recorded) = (sample.value(.waits), sample.histogram(.waitTime))
                #expect(waits == Double(recorded?.count ?? 0) && sample.value(.waiting) == 0)
                #expect((waits ?? 0) > 0 && tally["taken"] > 0)
            },
            body: { worker, step, _ in
                switch (worker + step) % 4 {
                case 0: _ = bucket.tryAcquire()
                case 1: await cancelled { await take(1, .milliseconds(50)) }
                default: await take(1 + step % 2, .milliseconds(5))
                }
            })
    }

    @Test(
        "a priority channel: sent = received + in + returned + dropped over all lanes, and every wait is in a histogram"
    )
    func priorityChannel() async throws {
        for overflow in [PriorityOverflowPolicy.suspend, .dropLowest(), .reject] {
            let (clock, registry, tally) = (ManualClock(), MetricsRegistry(), Tally())
            let channel = PriorityChannel<Int, Never>(
                capacity: 4, lanes: [PriorityLane(capacity: 2), PriorityLane(capacity: 3), PriorityLane(capacity: 4)],
                overflow: overflow, clock: clock
            ) { _, reason in tally.add("hook \(reason)") }
            try registry.add(channel, named: "lanes")
            @Sendable func note(_ result: consuming SendResult<Int>) {
                switch consume result {
                case .sent: tally.add("sent")
                case .dropped: tally.add("dropped")
                case .returned(let rejected): tally.add("returned \(rejected.reason)")
                }
            }
            try await crowd(
                "lanes", clock, close: { channel.finish() },
                verify: { _ in
                    // A look drops what has expired by now; then no timer has anything to do.
                    if channel.tryReceive().take() != nil { tally.add("received") }
                    let sample = try #require(registry.collect().first)
                    let received = try #require(sample.value(.received))
                    let depth = try #require(sample.value(.depth))
                    let dropped = try #require(sample.value(.dropped))
                    let offered = tally["sent", "dropped"] + tally.all("returned")
                    #expect(offered == received + depth + tally.all("returned") + dropped)
                    #expect(sample.value(.sent) == tally["sent"] && received == tally["received"])
                    // A timer that has dropped something may still be on its way to the hook.
                    try await settle { dropped == tally.all("hook") }
                    #expect(sample.value(.laneDepth) == depth)
                    expectWaits(sample, [.send, .receive])
                },
                body: { worker, step, _ in
                    let lane = (worker + step) % 3
                    switch (worker * 3 + step) % 7 {
                    case 0: note(channel.trySend(step, lane: lane))
                    case 1: note(await channel.send(step, lane: lane, timeout: .milliseconds(3)))
                    case 2: note(await channel.send(step, lane: lane, ttl: .milliseconds(2), timeout: .milliseconds(3)))
                    case 3: await cancelled { note(await channel.send(step, lane: lane, timeout: .milliseconds(50))) }
                    case 4:
                        if channel.tryReceive().take() != nil { tally.add("received") }
                    default:
                        do throws(ReceiveError<Never>) {
                            if try await channel.receive(timeout: .milliseconds(3)) != nil { tally.add("received") }
                        } catch { tally.add("receive failed") }
                    }
                })
        }
    }
}
