// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Timeouts, deadlines and close, on a clock that stands still, jumps and overflows (contracts 4, 6 and 8).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("semaphore: timeouts and close", .timeLimit(.minutes(10)))
struct SemaphoreTimeoutTests {
    @Test("many timed waits share one timer and end at their time")
    func timedWaits_shareOneTimer() async {
        let size = LaneSize("semaphore.timeouts.shared", plain: 10_000, sanitizer: 1_000, deep: 100_000)
        let bench = SemaphoreBench(1)
        let holder = bench.acquire()
        let tickets = (0..<size.count).map { _ in bench.acquire(1, .timeout(.seconds(60)), run: false) }
        bench.executor.run()
        #expect(bench.snapshot.waiting == size.count && bench.semaphore.core.timer.startedTasks == 1)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(60))
        #expect(await bench.executor.run { tickets.allSatisfy { $0.answer == .rejected(.timedOut) } })
        #expect(bench.snapshot.timedOut == UInt64(size.count) && bench.holdsNobody && bench.isGateOpen)
        holder.release()
    }

    @Test("timeouts of zero never wait, huge ones never pass and start no timer")
    func timeouts_atTheEdges() async throws {
        let bench = SemaphoreBench(1)
        let holder = bench.acquire()
        for timeout: Duration in [.zero, .seconds(-1), .nanoseconds(-1)] {
            #expect(bench.acquire(1, .timeout(timeout)).answer == .rejected(.timedOut))
        }
        let patient = [Duration.seconds(Int64.max), Duration(attoseconds: .max)].map { bench.acquire(1, .timeout($0)) }
        #expect(bench.semaphore.core.timer.startedTasks == 0)
        bench.clock.advance(by: .seconds(10 * 365 * 86_400))
        bench.executor.run()
        #expect(patient.allSatisfy { $0.answer == nil })
        bench.release(holder)
        bench.release(patient[0])
        bench.release(patient[1])
        #expect(bench.semaphore.available == 1)
        // On the system's clock two readings differ: zero must not become positive.
        let semaphore = AsyncSemaphore(permits: 1)
        let permit = try await semaphore.acquire()
        for timeout: Duration in [.zero, .nanoseconds(-1)] {
            let error = await #expect(throws: AcquireError.self) {
                _ = try await semaphore.acquire(timeout: timeout).count
            }
            #expect(error?.reason == .timedOut)
        }
        #expect(semaphore.snapshot().parked == 0 && semaphore.core.timer.startedTasks == 0)
        permit.release()
    }

    @Test("the clock jumps back and ahead: nobody ends early, everybody due ends")
    func clockJumps() async throws {
        let bench = SemaphoreBench(1)
        let decade = Duration.seconds(10 * 365 * 86_400)
        bench.clock.set(to: .init(offset: .seconds(1_000)))
        let holder = bench.acquire()
        let soon = bench.acquire(1, .timeout(.seconds(10)))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.set(to: .init(offset: .seconds(1_000) - decade))
        bench.executor.run()
        #expect(soon.answer == nil)
        bench.clock.set(to: .init(offset: .seconds(1_000) + decade))
        #expect(await bench.executor.run { soon.answer == .rejected(.timedOut) })
        #expect(bench.holdsNobody)
        holder.release()
    }

    @Test("a deadline is an instant of the semaphore's clock")
    func deadlines_areInstantsOfTheClock() async throws {
        let clock = ManualClock()
        let semaphore = AsyncSemaphore(permits: 1, clock: clock)
        clock.advance(by: .seconds(100))
        let permit = try await semaphore.acquire(deadline: clock.now)
        let task = Task { () -> Rejection? in
            do throws(AcquireError) {
                try await semaphore.acquire(deadline: clock.now.advanced(by: .seconds(1))).release()
                return nil
            } catch {
                return error.reason
            }
        }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(1))
        #expect(await task.value == .timedOut)
        permit.release()
    }

    @Test(
        "close wakes everybody, with its error, and leaves holders alone", arguments: SemaphoreConfiguration.fairnesses)
    func close_wakesAll(fairness: Fairness) async throws {
        let bench = SemaphoreBench(1, fairness: fairness, name: "db")
        let holder = bench.acquire()
        let waiting = (0..<3).map { _ in bench.acquire() }
        #expect(bench.semaphore.close(throwing: TestFailure(number: 3)))
        #expect(!bench.semaphore.close() && bench.semaphore.isClosed)
        bench.executor.run()
        #expect(waiting.allSatisfy { $0.answer == .rejected(.closed) })
        #expect(bench.acquire(1, .none).answer == .refused)
        let error = await #expect(throws: AcquireError.self) { try await bench.semaphore.withPermits {} }
        #expect(error?.reason == .closed && error?.underlying as? TestFailure == TestFailure(number: 3))
        #expect(error?.name == "db")
        holder.release()
        #expect(bench.semaphore.available == 1 && bench.holdsNobody)
    }

    @Test("close between the call and the called task: it is told, and takes nothing")
    func close_whenOneIsCalled() {
        let bench = SemaphoreBench(1, fairness: .default)
        let holder = bench.acquire()
        let waiting = bench.acquire()
        bench.release(holder, run: false)
        bench.semaphore.close()
        bench.executor.run()
        #expect(waiting.answer == .rejected(.closed) && bench.semaphore.available == 1 && bench.holdsNobody)
    }

    @Test("as many wait as may: the next is refused, and a place that comes free is used")
    func waiterLimit_isExact() {
        let bench = SemaphoreBench(1, waiterLimit: 2)
        let holder = bench.acquire()
        let waiting = [bench.acquire(), bench.acquire()]
        #expect(bench.acquire().answer == .rejected(.full))
        waiting[0].cancel()
        bench.executor.run()
        let late = bench.acquire()
        #expect(late.answer == nil && bench.snapshot.rejected == 1 && bench.snapshot.peakWaiting == 2)
        bench.release(holder)
        bench.release(waiting[1])
        bench.release(late)
        let none = SemaphoreBench(1, waiterLimit: 0)
        let only = none.acquire()
        #expect(none.acquire().answer == .rejected(.full) && none.snapshot.waiting == 0)
        only.release()
    }
}
