// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A loop that never waits gives way now and then (contract 7).

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: cooperative yield", .timeLimit(.minutes(10)))
struct ChannelYieldTests {
    /// The operations that a task does, one after the other, before another task of its one-thread executor runs.
    private func operationsBeforeOthersRun(
        capacity: Int, _ loop: @escaping @Sendable (BoundedChannel<Int, Never>, Shared<Int>, Shared<Bool>) async -> Void
    ) async -> Int {
        let executor = StepExecutor()
        let channel = BoundedChannel<Int, Never>(capacity: capacity)
        let (operations, others, over) = (Shared(0), Shared<Int?>(nil), Shared(false))
        let task = Task(executorPreference: executor) { await loop(channel, operations, over) }
        let other = Task(executorPreference: executor) {
            others.update { $0 = operations.value }
            over.update { $0 = true }
        }
        // One thread for both: each `run` ends when nothing is ready, a yield may come back by way of the pool.
        let ended = await executor.run { others.value != nil }
        #expect(ended)
        channel.cancel()
        _ = await executor.run { over.value }
        for _ in 0..<64 {
            executor.run()
            await Task.yield()
        }
        _ = (task, other)
        return others.value ?? .max
    }

    @Test("send and receive in turn: another task runs within 10^5 operations", arguments: [1, 3, 1024])
    func sendReceiveLoop_yields(capacity: Int) async {
        let operations = await operationsBeforeOthersRun(capacity: capacity) { channel, operations, over in
            while !over.value, operations.value < 400_000 {
                _ = await channel.send(1)
                _ = try? await channel.receive()
                operations.update { $0 += 2 }
            }
        }
        #expect(operations > 0 && operations <= 100_000, "\(operations) operations without a yield")
    }

    @Test("receive of what others sent without waiting: another task runs within 10^5 operations")
    func receiveLoop_yields() async {
        let operations = await operationsBeforeOthersRun(capacity: 8) { channel, operations, over in
            while !over.value, operations.value < 400_000 {
                _ = channel.trySend(1)
                _ = try? await channel.receive()
                operations.update { $0 += 2 }
            }
        }
        #expect(operations > 0 && operations <= 200_000, "\(operations) operations without a yield")
    }

    @Test("a loop over the sequence: another task runs within 10^5 operations")
    func forAwaitLoop_yields() async {
        let operations = await operationsBeforeOthersRun(capacity: 8) { channel, operations, over in
            _ = channel.trySend(1)
            for await _ in channel {
                if over.value || operations.value > 400_000 { return }
                _ = await channel.send(1)
                operations.update { $0 += 2 }
            }
        }
        #expect(operations > 0 && operations <= 100_000, "\(operations) operations without a yield")
    }

    @Test("a cancelled task that need not wait succeeds, every time (7)")
    func cancelledTask_whenItNeedNotWait_succeeds() async {
        let channel = BoundedChannel<Int, Never>(capacity: 2)
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            var mistakes = 0
            for number in 0..<70_000 {
                if !(await channel.send(number).isSent) { mistakes += 1 }
                if (try? await channel.receive()) != .some(.some(number)) { mistakes += 1 }
            }
            return mistakes
        }
        task.cancel()
        #expect(await task.value == 0)
    }

    @Test("operations stay on the caller's actor (7)")
    @MainActor
    func operations_stayOnTheActor() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 1)
        #expect(await channel.send(1).isSent)
        MainActor.assertIsolated()
        let second = Task { @MainActor in
            let sent = await channel.send(2).isSent
            MainActor.assertIsolated()
            return sent
        }
        try await settle { channel.snapshot().waitingSenders == 1 }
        for expected in 1...2 {
            #expect(try await channel.receive() == expected)
            MainActor.assertIsolated()
        }
        #expect(await second.value)
    }
}
