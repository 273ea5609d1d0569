// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other semaphores had, each with the test that shows ours has not.
//
// | row | bug | test |
// |---|---|---|
// | P1, P13 | cancel after the grant counts or resumes twice | P1_cancelAfterGrant... |
// | P2, tokio#2637 | a tombstone for every late cancel; memory follows the waiters of the past | P2_lateCancels... |
// | P7, golang/go#37852 | a cancelled head does not wake the next | P7_cancelledHead... |
// | P8 | a timeout that races loses the permit | P8_timeoutAfterGrant..., SemaphoreRaceTests |
// | P9, Kotlin#1323 | an early cancel leaves a wrong count | P9_cancelBeforeStart... |
// | P10, resilience4j#332, #333 | the permit leaks when the call is cancelled or throws | P10_... |
// | P11 | the cancel comes late, by way of a task | P11_cancel... |
// | P12 | a timer started inside the continuation | SemaphoreTimeoutTests (many waits, one timer) |
// | tokio#1973 | permits taken one by one deadlock two callers | tokio1973_... |
// | tokio#8075, concurrency-limits#70 | a release without a wake | SemaphoreMatrixTests, tokio8075_... |
// | tokio#5308, #6331 | only free permits can be taken away | tokio5308_shrink... |
// | 3.3, SAA#303 | resume under the lock | reentrant_... |
// | 3.4 | tryAcquire overtakes; a big waiter starves | SemaphoreOrderTests |
// | concurrency-limits#233, #234, #140 | check, then act: the limit exceeded | SemaphoreModelTests, SemaphoreStormTests |
// | axum#2634 | a limit for each clone | axum2634_... |
// | vector#26457, linkerd2-proxy#751 | the permit lives as long as the response | vector26457_... |
// | Go x/sync | more than the limit waits for ever | go_doomedRequest... |
// | golang/go#23145, bucket4j#51 | clocks that go back, sums that wrap | SemaphoreTimeoutTests, SemaphorePermitTests.hugeCounts |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("semaphore: pitfalls", .timeLimit(.minutes(10)))
struct SemaphorePitfallTests {
    @Test("P1, P13: a cancel between grant and wake changes nothing", arguments: SemaphoreConfiguration.fairnesses)
    func P1_cancelAfterGrant_countsOnce(fairness: Fairness) {
        let bench = SemaphoreBench(1, fairness: fairness)
        let holder = bench.acquire()
        let waiting = [bench.acquire(), bench.acquire()]
        bench.release(holder, run: false)
        waiting[0].cancel()
        waiting[0].cancel()
        bench.executor.run()
        #expect(waiting[0].answer == .held(1) && waiting[1].answer == nil)
        bench.release(waiting[0])
        waiting[1].cancel()
        #expect(waiting[1].answer == .held(1))
        waiting[1].release()
        #expect(bench.semaphore.available == 1 && bench.snapshot.cancelled == 0 && bench.holdsNobody)
    }

    @Test("P1: called, passed by a newcomer, cancelled: it ends, and the next is served")
    func P1_cancelOfOneCalledInVain() {
        let bench = SemaphoreBench(1, fairness: .eventual(bypass: 5))
        let holder = bench.acquire()
        let waiting = [bench.acquire(), bench.acquire()]
        bench.release(holder, run: false)
        let newcomer = bench.acquire(1, .none, run: false)
        waiting[0].cancel()
        bench.executor.run()
        #expect(waiting[0].answer == .rejected(.cancelled) && waiting[1].answer == nil)
        bench.release(newcomer)
        #expect(waiting[1].answer == .held(1))
        waiting[1].release()
        #expect(bench.snapshot.cancelled == 1 && bench.semaphore.available == 1 && bench.holdsNobody)
    }

    @Test("P2, tokio#2637: cancels leave nothing behind, early or late")
    func P2_lateCancels_leaveNoTombstone() {
        let bench = SemaphoreBench(1)
        for round in 0..<500 {
            let holder = bench.acquire(1, .none)
            let ticket = bench.acquire(run: round % 2 == 0)
            if round % 3 == 0 { bench.release(holder, run: false) }
            ticket.cancel()
            bench.executor.run()
            ticket.cancel()
            ticket.release()
            holder.release()
            #expect(ticket.answer != nil)
        }
        #expect(bench.holdsNobody && bench.isGateOpen && bench.semaphore.available == 1)
    }

    @Test(
        "P7, golang/go#37852: when the head leaves, whoever now fits is served",
        arguments: SemaphoreConfiguration.fairnesses)
    func P7_cancelledHead_nextIsServed(fairness: Fairness) async {
        for byTimeout in [false, true] {
            let bench = SemaphoreBench(3, fairness: fairness)
            let holder = bench.acquire(1)
            let big = bench.acquire(3, .timeout(.seconds(1)))
            let small = [bench.acquire(1), bench.acquire(1), bench.acquire(1)]
            #expect(small.allSatisfy { $0.answer == nil })
            if byTimeout {
                await bench.clock.sleepers(atLeast: 1)
                bench.clock.advance(by: .seconds(1))
            } else {
                big.cancel()
            }
            #expect(await bench.executor.run { small[1].answer != nil })
            #expect(big.answer == .rejected(byTimeout ? .timedOut : .cancelled))
            #expect(small.map(\.answer) == [.held(1), .held(1), nil])
            bench.release(holder)
            #expect(small[2].answer == .held(1))
            for ticket in small { ticket.release() }
            #expect(bench.semaphore.available == 3)
        }
    }

    @Test("P8: a deadline that passes after the grant takes nothing back", arguments: SemaphoreConfiguration.fairnesses)
    func P8_timeoutAfterGrant_keepsGrant(fairness: Fairness) async {
        let bench = SemaphoreBench(1, fairness: fairness)
        let holder = bench.acquire()
        let waiting = bench.acquire(1, .timeout(.seconds(1)))
        await bench.clock.sleepers(atLeast: 1)
        bench.release(holder, run: false)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { waiting.answer != nil })
        #expect(waiting.answer == .held(1) && bench.snapshot.timedOut == 0)
        waiting.release()
    }

    @Test("P8: called, passed, and its deadline passed before it ran: it times out, and the next is served")
    func P8_timeoutOfOneCalledInVain() async {
        let bench = SemaphoreBench(1, fairness: .eventual(bypass: 5))
        let holder = bench.acquire()
        let timed = bench.acquire(1, .timeout(.seconds(1)))
        let patient = bench.acquire()
        await bench.clock.sleepers(atLeast: 1)
        bench.release(holder, run: false)
        let newcomer = bench.acquire(1, .none, run: false)
        bench.clock.advance(by: .seconds(2))
        #expect(await bench.executor.run { timed.answer != nil })
        #expect(timed.answer == .rejected(.timedOut) && patient.answer == nil)
        bench.release(newcomer)
        #expect(patient.answer == .held(1))
        patient.release()
        #expect(bench.holdsNobody && bench.semaphore.available == 1)
    }

    @Test("P9, Kotlin#1323: a task cancelled before it starts waits not at all, or succeeds if it need not wait")
    func P9_cancelBeforeStart_keepsCounts() {
        let bench = SemaphoreBench(1)
        let (first, second) = (bench.acquire(run: false), bench.acquire(run: false))
        first.cancel()
        second.cancel()
        bench.executor.run()
        #expect(first.answer == .held(1), "an operation that need not wait succeeds (7)")
        #expect(second.answer == .rejected(.cancelled))
        first.release()
        #expect(bench.semaphore.available == 1 && bench.holdsNobody && bench.isGateOpen)
    }

    @Test("P10, resilience4j#332: a body that throws or is cancelled gives its permits back")
    func P10_everyExit_givesBack() async throws {
        let semaphore = AsyncSemaphore(permits: 1)
        let clock = ManualClock()
        let task = Task { try await semaphore.withPermits { try await clock.sleep(for: .seconds(60)) } }
        await clock.sleepers(atLeast: 1)
        #expect(semaphore.available == 0)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(semaphore.available == 1)
        await #expect(throws: TestFailure.self) {
            try await semaphore.withPermits { throw TestFailure() }
        }
        #expect(semaphore.available == 1)
    }

    @Test("P11: a cancel takes effect before `cancel()` returns")
    func P11_cancel_isSynchronous() {
        let bench = SemaphoreBench(1)
        let holder = bench.acquire()
        let waiting = bench.acquire()
        waiting.cancel()
        #expect(bench.snapshot.waiting == 0 && bench.snapshot.cancelled == 1 && bench.isGateOpen)
        holder.release()
        #expect(bench.semaphore.isFree())
        bench.executor.run()
        #expect(waiting.answer == .rejected(.cancelled))
    }

    @Test(
        "tokio#1973: two that each want all of it do not each hold half", arguments: SemaphoreConfiguration.fairnesses)
    func tokio1973_weightsAreAtomic(fairness: Fairness) {
        let bench = SemaphoreBench(2, fairness: fairness)
        let holders = [bench.acquire(), bench.acquire()]
        let both = [bench.acquire(2), bench.acquire(2)]
        for holder in holders { bench.release(holder) }
        #expect(both.map(\.answer) == [.held(2), nil])
        bench.release(both[0])
        #expect(both[1].answer == .held(2))
        both[1].release()
    }

    @Test("tokio#8075: every way of giving back serves who waits", arguments: SemaphoreConfiguration.fairnesses)
    func tokio8075_everyRelease_wakes(fairness: Fairness) async throws {
        for way in 0..<5 {
            let bench = SemaphoreBench(2, fairness: fairness)
            let holder = bench.acquire(2)
            let waiting = bench.acquire(2)
            switch way {
            case 0: holder.release()
            case 1: _ = holder.take()
            case 2:
                guard var permit = holder.take() else { break }
                let part = permit.split(1)
                part.release()
                permit.release()
            case 3:
                holder.forget()
                bench.semaphore.release(2)
            default: bench.semaphore.resize(to: 4)
            }
            bench.executor.run()
            #expect(waiting.answer == .held(2), "way \(way)")
            waiting.release()
            holder.release()
            #expect(bench.semaphore.available == bench.semaphore.limit)
        }
    }

    @Test("tokio#5308, #6331: the limit goes below what is in use, and the debt is paid before anybody is served")
    func tokio5308_shrinkBelowInUse() {
        let bench = SemaphoreBench(4)
        let holders = (0..<4).map { _ in bench.acquire() }
        bench.semaphore.resize(to: 2)
        #expect(bench.snapshot.debt == 2 && bench.semaphore.available == 0 && bench.semaphore.inUse == 4)
        let waiting = bench.acquire()
        for holder in holders.prefix(2) {
            bench.release(holder)
            #expect(waiting.answer == nil && bench.acquire(1, .none).answer == .refused)
        }
        #expect(bench.snapshot.debt == 0 && bench.semaphore.inUse == 2)
        bench.release(holders[2])
        #expect(waiting.answer == .held(1) && bench.semaphore.inUse == 2)
        bench.release(holders[3])
        bench.release(waiting)
        #expect(bench.semaphore.available == 2 && bench.snapshot.isConsistent)
    }

    @Test("3.3, SAA#303: a woken task that runs at once may use the semaphore")
    func reentrant_wakeUsesSemaphore() async throws {
        /// Runs a task on the thread that resumes it: inside the release.
        final class Inline: TaskExecutor, Sendable {
            func enqueue(_ job: consuming ExecutorJob) {
                UnownedJob(job).runSynchronously(on: asUnownedTaskExecutor())
            }
        }
        for fairness in SemaphoreConfiguration.fairnesses {
            let semaphore = AsyncSemaphore(permits: 1, fairness: fairness)
            let permit = try taken(1, of: semaphore)
            let depth = Shared(0)
            let tasks = (0..<50).map { _ in
                Task(executorPreference: Inline()) {
                    guard let permit = try? await semaphore.acquire() else { return }
                    depth.update { $0 += 1 }
                    _ = semaphore.snapshot()
                    permit.release()
                }
            }
            #expect(semaphore.waiting == 50)
            permit.release()
            for task in tasks { await task.value }
            #expect(depth.value == 50 && semaphore.available == 1)
        }
    }

    @Test("axum#2634: all variables share the permits of one semaphore")
    func axum2634_limitIsShared() {
        let semaphore = AsyncSemaphore(permits: 1)
        let alias = semaphore
        let permit = semaphore.tryAcquire()
        #expect(!alias.isFree())
        permit?.release()
        #expect(alias.isFree())
    }

    @Test("vector#26457: permits end with the body, not with what it returned")
    func vector26457_permitEndsWithBody() async throws {
        final class Response: Sendable {}
        let semaphore = AsyncSemaphore(permits: 1)
        let response = try await semaphore.withPermits { Response() }
        #expect(semaphore.available == 1)
        withExtendedLifetime(response) {}
    }

    @Test("Go x/sync: more than the limit fails at once, also when the limit falls under one who waits")
    func go_doomedRequest_failsAtOnce() {
        let bench = SemaphoreBench(3)
        #expect(bench.acquire(4).answer == .rejected(.exceedsLimit))
        #expect(bench.acquire(4, .none).answer == .refused)
        let holder = bench.acquire(1)
        let big = bench.acquire(3)
        let small = bench.acquire(1)
        bench.semaphore.resize(to: 2)
        bench.executor.run()
        #expect(big.answer == .rejected(.exceedsLimit) && small.answer == .held(1))
        small.release()
        holder.release()
        #expect(bench.semaphore.available == 2 && bench.snapshot.exceeded == 2)
    }
}
