// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bounded workers, a bounded queue, what happens when it is full, and the end.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("worker pool", .timeLimit(.minutes(10)))
struct WorkerPoolTests {
    /// A pool of one worker that is busy until the gate opens, with a full queue behind it.
    private func busy(
        _ policy: SubmissionPolicy, queueLimit: Int = 1, log: Shared<[Int]> = Shared([])
    ) async throws -> (pool: WorkerPool, gate: AsyncSemaphore, clock: ManualClock) {
        let clock = ManualClock()
        let pool = WorkerPool(workers: 1, queueLimit: queueLimit, policy: policy, name: "pool", clock: clock)
        let gate = AsyncSemaphore(permits: 1)
        gate.tryAcquire()?.forget()
        try await pool.submit { try? await gate.withPermits {} }
        try await settle { gate.waiting == 1 }
        for number in 0..<queueLimit { try await pool.submit { log.update { $0.append(number) } } }
        return (pool, gate, clock)
    }

    @Test("never more at once than workers, and every job once", arguments: [1, 2, 5])
    func jobs_areBounded(workers: Int) async throws {
        let pool = WorkerPool(workers: workers, queueLimit: 3)
        let gauge = Shared((now: 0, most: 0))
        let done = Shared<[Int]>([])
        for number in 0..<200 {
            try await pool.submit {
                gauge.update {
                    $0.now += 1
                    $0.most = max($0.most, $0.now)
                }
                await Task.yield()
                gauge.update { $0.now -= 1 }
                done.update { $0.append(number) }
            }
        }
        #expect(await pool.shutdown() == 0)
        #expect(done.value.sorted() == Array(0..<200) && gauge.value.most <= workers)
        let snapshot = pool.snapshot()
        #expect(snapshot.finished == 200 && snapshot.running == 0 && snapshot.isShutDown)
        if workers == 1 { #expect(done.value == Array(0..<200)) }
        await #expect(throws: SubmissionError(reason: .rejected(.finished), name: nil)) { try await pool.submit {} }
    }

    @Test("suspend: waits for room, within its timeout, until cancelled")
    func suspend() async throws {
        let (pool, gate, clock) = try await busy(.suspend)
        await #expect(throws: SubmissionError(reason: .rejected(.timedOut), name: "pool")) {
            try await pool.submit(timeout: .zero) {}
        }
        let timed = Task { try await pool.submit(timeout: .seconds(5)) {} }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        await #expect(throws: SubmissionError(reason: .rejected(.timedOut), name: "pool")) { try await timed.value }
        let cancelled = Task { try await pool.submit {} }
        try await settle { pool.line.queue.snapshot().waitingSenders == 1 }
        cancelled.cancel()
        await #expect(throws: SubmissionError(reason: .rejected(.cancelled), name: "pool")) {
            try await cancelled.value
        }
        let patient = Task { try await pool.submit {} }
        gate.release()
        try await patient.value
        await pool.shutdown()
        #expect(pool.snapshot().finished == 3)
    }

    @Test("reject, drop the newest, drop the oldest")
    func rejectAndDrop() async throws {
        let log = Shared<[Int]>([])
        let (rejecting, gate, _) = try await busy(.reject)
        await #expect(throws: SubmissionError(reason: .rejected(.full), name: "pool")) { try await rejecting.submit {} }
        #expect(rejecting.snapshot().rejected == 1)
        gate.release()
        await rejecting.shutdown()
        for (policy, rest) in [(SubmissionPolicy.dropNewest, [0, 1]), (.dropOldest, [1, 9])] {
            log.update { $0 = [] }
            let (pool, gate, _) = try await busy(policy, queueLimit: 2, log: log)
            try await pool.submit { log.update { $0.append(9) } }
            gate.release()
            await pool.shutdown()
            #expect(log.value == rest && pool.snapshot().dropped == 1)
        }
    }

    @Test("caller runs: the submitter does it, when and only when the queue is full")
    func callerRuns() async throws {
        let (pool, gate, _) = try await busy(.callerRuns)
        let ran = Shared(false)
        try await pool.submit { ran.update { $0 = true } }
        #expect(ran.value && pool.snapshot().callerRan == 1)
        gate.release()
        await pool.shutdown()
        #expect(pool.snapshot().finished == 2)
    }

    @Test("a job that submits to its own full pool gets an error and no deadlock")
    func ownPool_whenFull_isAnswered() async throws {
        for policy: SubmissionPolicy in [.suspend, .callerRuns, .reject] {
            let pool = WorkerPool(workers: 1, queueLimit: 1, policy: policy)
            let answers = Shared<[String]>([])
            let outer = Task {
                try await pool.run {
                    for _ in 0..<2 {
                        do throws(SubmissionError) {
                            try await pool.submit { answers.update { $0.append("ran") } }
                            answers.update { $0.append("taken") }
                        } catch {
                            answers.update { $0.append("\(error.reason == .ownPoolIsFull)") }
                        }
                    }
                }
            }
            try await outer.value
            await pool.shutdown()
            let expected =
                switch policy {
                case .suspend: ["taken", "true", "ran"]
                case .callerRuns: ["taken", "ran", "taken", "ran"]
                default: ["taken", "false", "ran"]
                }
            #expect(answers.value == expected)
        }
    }

    @Test("run: results, errors, cancellation, and a job of the same pool runs in place")
    func run() async throws {
        let pool = WorkerPool(workers: 1, queueLimit: 2)
        #expect(try await pool.run { 7 } == 7)
        await #expect(throws: TestFailure(number: 2)) { try await pool.run { throw TestFailure(number: 2) } }
        #expect(try await pool.run { try await pool.run { 8 } } == 8)
        let clock = ManualClock()
        let task = Task { try await pool.run { try await clock.sleep(for: .seconds(1)) } }
        await clock.sleepers(atLeast: 1)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await pool.shutdown()
        #expect(pool.snapshot().running == 0)
    }

    @Test("shutdown drains within its time, then drops the rest and counts it")
    func shutdown_whenLate_countsTheRest() async throws {
        let log = Shared<[Int]>([])
        let (pool, gate, clock) = try await busy(.suspend, queueLimit: 3, log: log)
        let reply = Task { try await pool.run { 1 } }
        try await settle { pool.line.queue.snapshot().waitingSenders == 1 }
        let ending = Task { await pool.shutdown(timeout: .seconds(5)) }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        #expect(await ending.value == 3)
        await #expect(throws: SubmissionError.self) { try await reply.value }
        #expect(log.value.isEmpty && pool.snapshot().dropped == 3 && pool.snapshot().running == 0)
        #expect(await pool.shutdown() == 0)
        withExtendedLifetime(gate) {}
    }

    @Test("a dropped job that somebody waits for is told")
    func run_whenDropped_isTold() async throws {
        let (pool, gate, _) = try await busy(.dropOldest)
        let waiting = Task { try await pool.run { 1 } }
        try await settle { pool.snapshot().dropped == 1 }
        try await pool.submit {}
        await #expect(throws: SubmissionError(reason: .rejected(.abandoned), name: "pool")) { try await waiting.value }
        gate.release()
        await pool.shutdown()
    }

    @Test("a pool that nobody holds finishes its queue and ends")
    func pool_whenReleased_finishes() async throws {
        let done = Shared(0)
        weak var line: WorkerLine?
        do {
            let pool = WorkerPool(workers: 2, queueLimit: 50)
            line = pool.line
            for _ in 0..<50 { try await pool.submit { done.update { $0 += 1 } } }
        }
        try await settle { done.value == 50 && line == nil }
    }
}
