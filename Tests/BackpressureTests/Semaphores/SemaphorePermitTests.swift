// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What is acquired: scopes, permits that come back by themselves, and those that are divided, joined, handed on, forgotten.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("semaphore: permits", .timeLimit(.minutes(10)))
struct SemaphorePermitTests {
    @Test("withPermits holds while the body runs, and gives back when it returns or throws")
    func withPermits_holdsWhileBodyRuns() async throws {
        let semaphore = AsyncSemaphore(permits: 3)
        let result = try await semaphore.withPermits(2) {
            #expect(semaphore.available == 1)
            return semaphore.inUse
        }
        #expect(result == 2 && semaphore.available == 3)
        await #expect(throws: TestFailure(number: 4)) {
            try await semaphore.withPermits { throw TestFailure(number: 4) }
        }
        #expect(semaphore.available == 3)
    }

    @Test("withPermits with a timeout or a deadline does not run its body in vain")
    func withPermits_whenTimedOut_doesNotRunBody() async throws {
        let clock = ManualClock()
        let semaphore = AsyncSemaphore(permits: 1, name: "slots", clock: clock)
        let permit = try await semaphore.acquire()
        var ran = 0
        let error = await #expect(throws: AcquireError.self) {
            try await semaphore.withPermits(timeout: .zero) { ran += 1 }
        }
        #expect(
            error?.reason == .timedOut && error?.name == "slots" && error?.description.contains("\"slots\"") == true)
        await #expect(throws: AcquireError.self) {
            try await semaphore.withPermits(deadline: clock.now) { ran += 1 }
        }
        permit.release()
        try await semaphore.withPermits(timeout: .seconds(1)) { ran += 10 }
        try await semaphore.withPermits(deadline: clock.now.advanced(by: .seconds(1))) { ran += 10 }
        #expect(ran == 20 && semaphore.available == 1)
    }

    /// State of the caller's actor and a value that cannot be copied, in a body that is neither escaping nor `@Sendable`.
    @Test("the body runs where the caller does")
    func withPermits_bodyTouchesTheCallersActor() async throws {
        struct Token: ~Copyable { let number: Int }
        actor Owner {
            var uses = 0
            let semaphore = AsyncSemaphore(permits: 1)
            func use() async throws -> Int {
                let token = try await semaphore.withPermits {
                    uses += 1
                    assertIsolated()
                    await Task.yield()
                    assertIsolated()
                    return Token(number: uses)
                }
                return token.number
            }
        }
        #expect(try await Owner().use() == 1)
    }

    @Test("a permit comes back at the end of its scope, and once")
    func permit_comesBackByItself() async throws {
        let semaphore = AsyncSemaphore(permits: 2)
        do {
            let permit = try await semaphore.acquire(2)
            #expect(permit.count == 2 && semaphore.available == 0)
        }
        #expect(semaphore.available == 2)
        let permit = try taken(2, of: semaphore)
        permit.release()
        #expect(semaphore.available == 2 && semaphore.snapshot().isConsistent)
    }

    @Test("permits are divided and joined without a permit more or less")
    func permit_splitsAndMerges() throws {
        let semaphore = AsyncSemaphore(permits: 5)
        var permit = try taken(5, of: semaphore)
        let part = permit.split(2)
        var other = permit.split(1)
        #expect(permit.count == 2 && part.count == 2 && other.count == 1 && semaphore.available == 0)
        other.merge(part)
        #expect(other.count == 3)
        other.release()
        #expect(semaphore.available == 3)
        permit.release()
        #expect(semaphore.available == 5)
    }

    @Test("a permit goes to a task, which holds it from then on")
    func permit_goesToAnotherTask() async throws {
        let semaphore = AsyncSemaphore(permits: 1)
        let permit = try await semaphore.acquire()
        let isHeld = Shared(false)
        let task = Task { [permit = consume permit] in
            isHeld.update { $0 = semaphore.available == 0 && permit.count == 1 }
        }
        await task.value
        #expect(isHeld.value)
        try await settle { semaphore.available == 1 }
        // By way of an optional, into a child task.
        var slot: AsyncSemaphore.Permit? = try await semaphore.acquire()
        await withTaskGroup(of: Int.self) { group in
            guard let permit = slot.take() else { return }
            group.addTask { [permit = consume permit] in permit.count + semaphore.available }
            #expect(await group.next() == 1)
        }
        try await settle { semaphore.available == 1 }
    }

    @Test("a forgotten permit stays in use until it is given back by hand")
    func permit_forgotten() async throws {
        let bench = SemaphoreBench(2)
        let ticket = bench.acquire(2)
        ticket.forget()
        #expect(bench.snapshot.forgotten == 2 && bench.semaphore.available == 0)
        let waiting = bench.acquire()
        bench.semaphore.release()
        bench.executor.run()
        #expect(waiting.answer == .held(1) && bench.snapshot.forgotten == 1)
        bench.semaphore.release()
        #expect(bench.semaphore.available == 1 && bench.snapshot.isConsistent)
        waiting.release()
    }

    @Test("permits outlive their semaphore")
    func permit_outlivesSemaphore() throws {
        weak var core: SemaphoreCore?
        var permit: AsyncSemaphore.Permit?
        var other: AsyncSemaphore.Permit?
        do {
            let semaphore = AsyncSemaphore(permits: 3)
            core = semaphore.core
            permit = semaphore.tryAcquire(2)
            other = semaphore.tryAcquire()
        }
        #expect(core != nil)
        permit.take()?.release()
        #expect(core != nil)
        other.take()?.release()
        #expect(core == nil)
    }

    @Test("a semaphore whose permits are forgotten, or all free, goes with its last reference")
    func semaphore_whenNothingIsOut_goes() throws {
        weak var core: SemaphoreCore?
        do {
            let semaphore = AsyncSemaphore(permits: 2)
            core = semaphore.core
            semaphore.tryAcquire(1)?.forget()
            semaphore.tryAcquire(1)?.release()
        }
        #expect(core == nil)
        var late: AsyncSemaphore.Permit?
        do {
            let semaphore = AsyncSemaphore(permits: 2)
            core = semaphore.core
            late = semaphore.tryAcquire(2)
        }
        _ = late.take()?.forget()
        #expect(core == nil)
    }

    @Test("wrong counts stop the program, in words")
    func wrongCounts_areRefused() async {
        await #expect(processExitsWith: .failure) { _ = AsyncSemaphore(permits: 0) }
        await #expect(processExitsWith: .failure) { _ = AsyncSemaphore(permits: 1 << 44 + 1) }
        await #expect(processExitsWith: .failure) { _ = AsyncSemaphore(permits: 1, waiterLimit: -1) }
        await #expect(processExitsWith: .failure) { _ = AsyncSemaphore(permits: 1).tryAcquire(0) }
        await #expect(processExitsWith: .failure) { AsyncSemaphore(permits: 1).release() }
        await #expect(processExitsWith: .failure) { AsyncSemaphore(permits: 1).resize(to: 0) }
        await #expect(processExitsWith: .failure) {
            guard var permit = AsyncSemaphore(permits: 2).tryAcquire(2) else { return }
            _ = permit.split(2)
        }
        await #expect(processExitsWith: .failure) {
            guard var permit = AsyncSemaphore(permits: 1).tryAcquire(),
                let other = AsyncSemaphore(permits: 1).tryAcquire()
            else { return }
            permit.merge(other)
        }
    }

    @Test("as many permits as bytes: sums at the edge neither wrap nor lose")
    func hugeCounts_areExact() throws {
        let most = 1 << 44
        let semaphore = AsyncSemaphore(permits: most)
        let permit = try taken(most, of: semaphore)
        #expect(
            !semaphore.isFree() && !semaphore.isFree(.max) && !semaphore.isFree(most + 1))
        semaphore.resize(to: 1)
        #expect(semaphore.snapshot().debt == most - 1 && semaphore.snapshot().isConsistent)
        semaphore.resize(to: most)
        permit.release()
        #expect(semaphore.available == most)
    }
}
