// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A drain closes stage after stage, waits for what is in, gives up at the deadline, and counts what was left.

import Backpressure
import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import BackpressureMetrics

@Suite("metrics: drain", .timeLimit(.minutes(10)))
struct DrainTests {
    @Test("a stage is closed once those before it are empty, so that nothing is lost between them")
    func stages_areClosedInOrder() async throws {
        let clock = ManualClock()
        let first = BoundedChannel<Int, Never>(capacity: 4, clock: clock)
        let second = BoundedChannel<Int, Never>(capacity: 4, clock: clock)
        for number in 1...3 { _ = first.trySend(number) }
        let drain = Drain().stage("first", first).stage("second", second)
        let run = Task { await drain.run(timeout: .seconds(10), clock: clock) }
        // It sleeps until the deadline and nothing else: no stage is looked at now and then.
        await clock.sleepers(atLeast: 1)
        #expect(first.isClosed && !second.isClosed && clock.nextDeadline == clock.now.advanced(by: .seconds(10)))
        clock.advance(by: .seconds(1))
        while let number = first.tryReceive().take() { #expect(second.trySend(number).isSent) }
        // The last receive is the event; no time has to pass.
        try await second.untilFinished()
        #expect(second.count == 3)
        clock.advance(by: .seconds(2))
        while second.tryReceive().take() != nil {}
        let report = await run.value
        #expect(report.isComplete && report.description == "drained: first 0 left, second 0 left")
        #expect(report.stages.map(\.duration) == [.seconds(1), .seconds(2)])
    }

    @Test("at the deadline what is left is given up, to the hook, and counted by stage")
    func deadline_givesUp() async throws {
        let clock = ManualClock()
        let undelivered = Mutex(0)
        let stuck = BoundedChannel<Int, Never>(capacity: 4, clock: clock) { _, reason in
            if reason == .abandoned { undelivered.withLock { $0 += 1 } }
        }
        let buffered = BufferedChannel<Int, Never>(capacity: 4, clock: clock)
        let slots = AsyncSemaphore(permits: 3, clock: clock)
        for number in 0..<3 { _ = stuck.trySend(number) }
        _ = buffered.trySend(1)
        let permit = try await slots.acquire(2)
        let drain = Drain().stage("stuck", stuck).stage("buffered", buffered).stage("slots", slots)
        let run = Task { await drain.run(timeout: .seconds(3), clock: clock) }
        for step in [2, 1] {
            await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(step))
        }
        let report = await run.value
        #expect(report.description == "given up: stuck 3 left, buffered 1 left, slots 2 left" && report.left == 6)
        #expect(undelivered.withLock { $0 } == 3 && slots.isClosed && !report.isComplete)
        permit.release()
    }

    @Test("a cancelled drain gives up at once; a pool's jobs that were not begun are what was left of it")
    func cancelled_givesUp() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        _ = channel.trySend(1)
        let run = Task { await Drain().stage("channel", channel).run() }
        try await settle { channel.isClosed }
        run.cancel()
        #expect(await run.value.left == 1)
        let pool = WorkerPool(workers: 1, queueLimit: 4)
        let report = await Drain().stage("pool", pool).run(timeout: .seconds(60))
        #expect(report.isComplete && pool.snapshot().isShutDown)
    }

    @Test("permits and calls that end are the event, and so is an element that expires")
    func events_endTheWait() async throws {
        let clock = ManualClock()
        let slots = AsyncSemaphore(permits: 2, clock: clock)
        let calls = ConcurrencyLimiter(FixedLimit(2), clock: clock)
        let lanes = PriorityChannel<Int, Never>(
            capacity: 2, lanes: [PriorityLane(capacity: 2)], ttl: .seconds(4), clock: clock)
        let permit = try await slots.acquire(2)
        guard let call = calls.tryAcquire() else {
            Issue.record("no place")
            return
        }
        _ = lanes.trySend(1, lane: 0)
        let drain = Drain().stage("slots", slots).stage("calls", calls).stage("lanes", lanes)
        // Without a timeout nothing sleeps on the clock but what expires.
        let run = Task { await drain.run(clock: clock) }
        try await settle { slots.isClosed }
        permit.release()
        try await settle { calls.snapshot().isClosed }
        call.succeed()
        try await lanes.untilFinished()
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(4))
        #expect(await run.value.description == "drained: slots 0 left, calls 0 left, lanes 0 left")
    }

    @Test("a stage of a user's own is waited for by its own event, and told when the time is up")
    func ownStage() async throws {
        final class Batcher: Drainable {
            private let slots = AsyncSemaphore(permits: 4)

            func closeIntake() { slots.close() }
            func untilDrained() async throws(Rejection) { try await slots.untilDrained() }
            func giveUp() -> Int { slots.inUse }
            func begin() -> AsyncSemaphore.Permit? { slots.tryAcquire() }
        }
        let clock = ManualClock()
        for isDone in [true, false] {
            let batcher = Batcher()
            var batch = batcher.begin()
            let run = Task { await Drain().stage("batcher", batcher).run(timeout: .seconds(1), clock: clock) }
            await clock.sleepers(atLeast: 1)
            if isDone { batch.take()?.release() } else { clock.advance(by: .seconds(1)) }
            #expect(await run.value.left == (isDone ? 0 : 1))
            batch.take()?.release()
        }
    }
}
