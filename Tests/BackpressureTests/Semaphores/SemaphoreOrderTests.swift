// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Who is served next, and who may pass whom (contracts 3 and 5).

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("semaphore: order and fairness", .timeLimit(.minutes(10)))
struct SemaphoreOrderTests {
    /// In which order the tickets get the one permit, each giving it back when it has it.
    private func service(_ bench: SemaphoreBench, _ holder: PermitTicket, _ tickets: [PermitTicket]) -> [Int] {
        var order: [Int] = []
        bench.release(holder)
        while let next = tickets.indices.first(where: { tickets[$0].answer == .held(1) }) {
            order.append(next)
            bench.release(tickets[next])
        }
        return order
    }

    @Test("first in, first out", arguments: SemaphoreConfiguration.fairnesses)
    func fifo(fairness: Fairness) {
        let bench = SemaphoreBench(1, fairness: fairness)
        let holder = bench.acquire()
        let tickets = (0..<5).map { _ in bench.acquire() }
        #expect(service(bench, holder, tickets) == [0, 1, 2, 3, 4])
    }

    @Test("last in, first out", arguments: SemaphoreConfiguration.fairnesses)
    func lifo(fairness: Fairness) {
        let bench = SemaphoreBench(1, fairness: fairness, order: .lifo)
        let holder = bench.acquire()
        let tickets = (0..<5).map { _ in bench.acquire() }
        #expect(service(bench, holder, tickets) == [4, 3, 2, 1, 0])
    }

    @Test(
        "the newest first while the backlog is long, then in order again", arguments: SemaphoreConfiguration.fairnesses)
    func adaptive(fairness: Fairness) {
        let bench = SemaphoreBench(1, fairness: fairness, order: .adaptiveLIFO(above: 3))
        let holder = bench.acquire()
        let tickets = (0..<6).map { _ in bench.acquire() }
        #expect(service(bench, holder, tickets) == [5, 4, 3, 0, 1, 2])
    }

    @Test(
        "a large request at the head gathers permits: nobody small passes it",
        arguments: SemaphoreConfiguration.fairnesses)
    func bigRequest_gathers(fairness: Fairness) {
        let bench = SemaphoreBench(4, fairness: fairness)
        let holders = (0..<4).map { _ in bench.acquire() }
        let big = bench.acquire(4)
        let small = bench.acquire(1)
        for holder in holders.dropLast() {
            bench.release(holder)
            #expect(big.answer == nil && small.answer == nil)
            #expect(bench.acquire(1, .none).answer == .refused, "tryAcquire may not pass it")
        }
        bench.release(holders[3])
        #expect(big.answer == .held(4) && small.answer == nil)
        bench.release(big)
        #expect(small.answer == .held(1))
        small.release()
    }

    @Test("strict: nobody passes one who waits, not even before it runs")
    func strict_nobodyPasses() {
        let bench = SemaphoreBench(1, fairness: .fifo)
        let holder = bench.acquire()
        let waiting = bench.acquire()
        bench.release(holder, run: false)
        #expect(waiting.answer == nil)
        #expect(bench.acquire(1, .none).answer == .refused)
        let newcomer = bench.acquire()
        #expect(waiting.answer == .held(1) && newcomer.answer == nil)
        bench.release(waiting)
        newcomer.release()
    }

    @Test("eventual: exactly as many newcomers as the bound says pass one who was called", arguments: [1, 2, 5, 100])
    func eventual_boundIsExact(bypass: Int) {
        let bench = SemaphoreBench(1, fairness: .eventual(bypass: bypass))
        let holder = bench.acquire()
        let waiting = bench.acquire()
        bench.release(holder, run: false)
        var passed = 0
        while passed <= bypass {
            let newcomer = bench.acquire(1, .none, run: false)
            guard newcomer.answer == .held(1) else { break }
            passed += 1
            newcomer.release()
        }
        #expect(passed == bypass)
        bench.executor.run()
        #expect(waiting.answer == .held(1))
        waiting.release()
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    @Test("eventual: one who was called and found nothing keeps its place, and is handed its permits next")
    func eventual_calledInVain_isServedNext() {
        let bench = SemaphoreBench(1, fairness: .eventual(bypass: 1000))
        let holder = bench.acquire()
        let waiting = [bench.acquire(), bench.acquire()]
        bench.release(holder, run: false)
        let newcomer = bench.acquire(1, .none, run: false)
        #expect(newcomer.answer == .held(1))
        bench.executor.run()
        #expect(waiting.allSatisfy { $0.answer == nil } && bench.snapshot.waiting == 2)
        // It has been called in vain: from now on nobody passes.
        newcomer.release()
        #expect(bench.acquire(1, .none).answer == .refused)
        bench.executor.run()
        #expect(waiting[0].answer == .held(1) && waiting[1].answer == nil)
        bench.release(waiting[0])
        #expect(waiting[1].answer == .held(1))
        waiting[1].release()
    }

    @Test("permits for many are handed to many at once", arguments: SemaphoreConfiguration.fairnesses)
    func manyPermits_wakeMany(fairness: Fairness) {
        let bench = SemaphoreBench(8, fairness: fairness)
        let holder = bench.acquire(8)
        let tickets = (0..<8).map { _ in bench.acquire() }
        holder.release()
        // Two rounds of ready tasks at most, and not one round for each.
        #expect(bench.executor.readyCount >= (fairness == .fifo ? 8 : 7))
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == .held(1) })
        for ticket in tickets { ticket.release() }
    }

    @Test("a task that never waits yields now and then, and holds nothing meanwhile")
    func budget_whenNobodyWaits_yields() async {
        let semaphore = AsyncSemaphore(permits: 1)
        let executor = StepExecutor()
        let rounds = Shared(0)
        let task = Task(executorPreference: executor) {
            for _ in 0..<70_000 {
                guard let permit = try? await semaphore.acquire() else { return }
                permit.release()
                rounds.update { $0 += 1 }
            }
        }
        executor.step()
        #expect(rounds.value == 32_768 && semaphore.available == 1)
        // A yield may take more than one turn of the executor.
        for _ in 0..<8 where rounds.value == 32_768 { executor.step() }
        #expect(rounds.value == 65_536 && semaphore.available == 1)
        executor.run()
        await task.value
        #expect(rounds.value == 70_000 && semaphore.snapshot().acquisitions == 70_000)
    }
}
