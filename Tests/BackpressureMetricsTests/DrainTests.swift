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
        let run = Task { await drain.run(timeout: .seconds(10), interval: .seconds(1), clock: clock) }
        await clock.sleepers(atLeast: 1)
        #expect(first.isClosed && !second.isClosed)
        while let number = first.tryReceive().take() { #expect(second.trySend(number).isSent) }
        clock.advance(by: .seconds(1))
        await clock.sleepers(atLeast: 1)
        #expect(second.isClosed && second.count == 3)
        while second.tryReceive().take() != nil {}
        clock.advance(by: .seconds(1))
        let report = await run.value
        #expect(report.isComplete && report.description == "drained: first 0 left, second 0 left")
        #expect(report.stages.map(\.duration) == [.seconds(1), .seconds(1)])
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
        let run = Task { await drain.run(timeout: .seconds(3), interval: .seconds(2), clock: clock) }
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
}
