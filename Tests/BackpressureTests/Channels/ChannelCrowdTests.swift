// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A very large number of waiting tasks: each way to end them, without recursion and without a search.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: crowds of waiting tasks", .serialized, .timeLimit(.minutes(10)))
struct ChannelCrowdTests {
    private static let size = LaneSize("channel.crowd", plain: 100_000, sanitizer: 10_000, deep: 1_000_000)

    /// A channel of capacity 1, full, and so many parked senders.
    private func crowd(_ count: Int) async throws -> (BoundedChannel<Int, Never>, [Task<Rejection?, Never>]) {
        let channel = BoundedChannel<Int, Never>(capacity: 1)
        _ = channel.trySend(-1)
        let tasks = (0..<count).map { number in Task { await channel.send(number).reason } }
        try await settle(turns: 10_000_000) { channel.snapshot().waitingSenders == count }
        return (channel, tasks)
    }

    @Test("cancel all, from the middle outwards (4)")
    func cancelAll() async throws {
        let (channel, tasks) = try await crowd(Self.size.count)
        let middle = tasks.count / 2
        for index in 0..<middle {
            tasks[middle + index].cancel()
            tasks[middle - 1 - index].cancel()
        }
        var wrong = 0
        for task in tasks where await task.value != .cancelled { wrong += 1 }
        #expect(wrong == 0)
        let snapshot = channel.snapshot()
        #expect(snapshot.waitingSenders == 0 && snapshot.sendsCancelled == UInt64(tasks.count))
        #expect(channel.tryReceive().take() == -1 && channel.trySend(1).isSent && channel.trySend(2).reason == .full)
    }

    @Test("finish (6)")
    func finishAll() async throws {
        let (channel, tasks) = try await crowd(Self.size.count)
        channel.finish()
        var wrong = 0
        for task in tasks where await task.value != .finished { wrong += 1 }
        #expect(wrong == 0 && channel.snapshot().waitingSenders == 0)
    }

    @Test("the last receiver goes (6)")
    func lastEndGoes() async throws {
        let (channel, tasks) = try await crowd(Self.size.count)
        do { _ = channel.makeReceiver() }
        var wrong = 0
        for task in tasks where await task.value != .abandoned { wrong += 1 }
        #expect(wrong == 0 && channel.snapshot().waitingSenders == 0 && channel.count == 0)
    }

    @Test("waiting receivers: finish, and the last sender goes (6)")
    func receivers() async throws {
        for byEnd in [false, true] {
            let channel = BoundedChannel<Int, Never>(capacity: 1)
            var end: BoundedChannel<Int, Never>.Sender? = byEnd ? channel.makeSender() : nil
            let count = Self.size.count / 2
            let tasks = (0..<count).map { _ in Task { try await channel.receive() } }
            try await settle(turns: 10_000_000) { channel.snapshot().waitingReceivers == count }
            if end == nil { channel.finish() }
            end = nil
            var wrong = 0
            for task in tasks where try await task.value != nil { wrong += 1 }
            #expect(wrong == 0 && channel.snapshot().waitingReceivers == 0)
        }
    }

    @Test("served one by one, in order (5)", arguments: [Fairness.fifo, .default])
    func drain(fairness: Fairness) async throws {
        let (channel, tasks) = try await crowd(Self.size.count / 2)
        for _ in 0...tasks.count { #expect(try await channel.receive() != nil) }
        var wrong = 0
        for task in tasks where await task.value != nil { wrong += 1 }
        #expect(wrong == 0 && channel.count == 0)
    }
}
