// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Semaphores.md, in its order.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of Semaphores.md", .timeLimit(.minutes(10)))
struct SemaphoresArticleExamples {
    @Test("a scope")
    func scope() async throws {
        func query() async -> Int { 42 }

        let connections = AsyncSemaphore(permits: 4)
        let answer = try await connections.withPermits {
            await query()  // at most 4 at a time
        }

        #expect(answer == 42)
    }

    @Test("a permit goes to a task")
    func permit() async throws {
        func send(slots: Int) async {}
        let slots = AsyncSemaphore(permits: 1)

        let permit = try await slots.acquire()
        let upload = Task { [permit = consume permit] in
            await send(slots: permit.count)
        }
        await upload.value

        // The task's closure, and the permit in it, may go a moment after the task has ended.
        while slots.available == 0 { await Task.yield() }
    }

    @Test("weights")
    func weights() async throws {
        let image = [UInt8](repeating: 0, count: 1_000)
        func decode(_ image: [UInt8]) async {}

        let memory = AsyncSemaphore(permits: 64 << 20, name: "image memory")
        try await memory.withPermits(image.count) {
            await decode(image)
        }

        #expect(memory.available == 64 << 20)
    }

    @Test("bounds on waiting")
    func bounds() async throws {
        let clock = ManualClock()
        let downstream = AsyncSemaphore(permits: 1, waiterLimit: 100, name: "downstream", clock: clock)
        let busy = try await downstream.acquire()

        do {
            try await downstream.withPermits(timeout: .zero) {
                print("in time")
            }
        } catch let error as AcquireError {
            print(error)  // no permit of "downstream": timed out
        }
        busy.release()

        #expect(downstream.snapshot().timedOut == 1)
    }

    @Test("a limit that moves")
    func resize() async throws {
        let workers = AsyncSemaphore(permits: 8)
        let held = try await workers.acquire(6)
        workers.resize(to: 4)
        print(workers.snapshot().debt)  // 2
        held.release()
        print(workers.available)  // 4

        #expect(workers.available == 4)
    }
}
