// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the articles about what every primitive promises and how to choose: ChoosingAPrimitive.md,
// OverflowPolicies.md, CancellationAndDelivery.md, FairnessAndOrder.md, MemoryVisibility.md.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of the articles about promises", .timeLimit(.minutes(10)))
struct PromisesArticlesExamples {
    private struct Caller {
        let quota = TokenBucket(rate: .perSecond(100), burst: 10)
        let breaker = CircuitBreaker("partner")
        let bulkhead = Bulkhead("partner", limit: 4, waiterLimit: 8)

        func ask(_ item: String) async throws -> Int { item.count }

        func quote(_ item: String) async throws -> Int {
            try CallDeadline.check()  // 1. does anybody still wait for it?
            return try await breaker.run(recordError: outcome) {  // 2. is the partner well?
                try await quota.acquire(timeout: .milliseconds(100))  // 3. does its quota allow it, soon?
                return try await bulkhead.run {  // 4. is there a place?
                    try await ask(item)
                }
            }
        }

        /// Refusals of our own say nothing about the partner.
        func outcome(_ error: any Error) -> BreakerOutcome {
            error is RateLimitError || error is AcquireError ? .ignored : CircuitBreaker.outcome(of: error)
        }
    }

    @Test("ChoosingAPrimitive.md: which one goes first")
    func combination() async throws {
        let caller = Caller()
        #expect(try await caller.quote("apple") == 5)
        _ = caller.quota.drain()
        caller.quota.setRate(.zero)
        await #expect(throws: RateLimitError.self) { try await caller.quote("pear") }
        #expect(caller.breaker.snapshot().failures == 0)
    }

    @Test("OverflowPolicies.md: lost is not forgotten")
    func lost() async {
        let letters = DeadLetterQueue<String>(capacity: 1_000)
        let readings = BoundedChannel<String, Never>(
            capacity: 2,
            overflow: .dropOldest,
            onUndelivered: { reading, reason in letters.add(reading, reason: reason) }
        )
        for reading in ["21.5", "21.6", "21.7"] { _ = await readings.send(reading) }

        print(readings.snapshot().evicted)  // 1
        print(letters.drain().map { "\($0.element): \($0.reason)" })  // ["21.5: evicted by a newer element"]

        let totals = readings.snapshot()
        print(totals.sent == totals.received + UInt64(totals.depth) + totals.evicted + totals.abandoned)  // true

        #expect(totals.evicted == 1 && totals.sent == 3 && totals.depth == 2 && totals.received == 0)
        letters.add("x", reason: .evicted)
        #expect("\(letters.drain()[0].reason)" == "evicted by a newer element")
    }

    @Test("CancellationAndDelivery.md: where the element is")
    func element() async {
        let queue = BoundedChannel<String, Never>(capacity: 1)
        _ = await queue.send("first")

        let waiting = Task { await queue.send("second").take() }
        waiting.cancel()
        print(await waiting.value ?? "delivered")  // second
        print(queue.count)  // 1

        #expect(await waiting.value == "second" && queue.count == 1)
    }

    @Test("CancellationAndDelivery.md: where the permit is")
    func permit() async {
        let clock = ManualClock()
        func longQuery() async throws { try await clock.sleep(for: .seconds(60)) }

        let connections = AsyncSemaphore(permits: 1)
        let work = Task {
            try await connections.withPermits { try await longQuery() }
        }
        work.cancel()  // longQuery throws CancellationError, or the wait for the permit ends
        _ = await work.result
        print(connections.available)  // 1

        #expect(connections.available == 1)
    }

    @Test("FairnessAndOrder.md: newcomers")
    func newcomers() async throws {
        let strict = BoundedChannel<Int, Never>(capacity: 1, fairness: .fifo)
        _ = await strict.send(1)
        let waiting = Task { await strict.send(2).isSent }
        while strict.snapshot().waitingSenders == 0 { await Task.yield() }

        print(try await strict.receive() ?? 0)  // 1: and its room goes to the task that waits
        print(strict.trySend(3).reason == .full)  // true: a newcomer does not pass
        print(await waiting.value)  // true

        #expect(strict.trySend(4).reason == .full)
        #expect(strict.tryReceive().take() == 2)
    }

    @Test("MemoryVisibility.md: what is sent along")
    func sentAlong() async throws {
        final class Batch {  // not Sendable
            var lines: [String] = []
        }

        let batches = BoundedChannel<Batch, Never>(capacity: 4)
        let batch = Batch()
        batch.lines.append("before the send")
        _ = await batches.send(batch)

        if let received = try await batches.receive() {
            received.lines.append("after the receive")
            print(received.lines.count)  // 2
        }

        #expect(batches.snapshot().received == 1)
    }
}
