// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of documentation comments.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of documentation comments", .timeLimit(.minutes(10)))
struct SymbolExamples {
    @Test("BoundedChannel")
    func boundedChannel() async {
        let channel = BoundedChannel<Int, Never>(capacity: 8)
        async let total = channel.reduce(0, +)
        for number in 1...100 { _ = await channel.send(number) }
        channel.finish()
        print(await total)  // 5050

        #expect(await total == 5050)
    }

    @Test("BoundedChannel.reserve")
    func reserve() async throws {
        let channel = BoundedChannel<String, Never>(capacity: 2)
        let room = try await channel.reserve()
        let line = "made only once there is room"
        _ = room.send(line)

        #expect(channel.count == 1)
    }

    @Test("AsyncSemaphore")
    func asyncSemaphore() async throws {
        func query() async -> Int { 42 }
        let connections = AsyncSemaphore(permits: 4)
        let answer = try await connections.withPermits {
            await query()  // at most 4 at a time
        }

        #expect(answer == 42)
    }

    @Test("untilDrained")
    func untilDrained() async throws {
        func query() async -> Int { 42 }
        let orders = BoundedChannel<Int, Never>(capacity: 8)
        _ = orders.trySend(1)
        let consumer = Task { for await order in orders { print(order) } }
        orders.finish()
        try await orders.untilDrained()  // the last order has been received
        await consumer.value
        #expect(orders.count == 0)

        do {
            let slots = AsyncSemaphore(permits: 2)
            let work = Task { try await slots.withPermits { await query() } }
            slots.close()
            try await slots.untilDrained()
            print(slots.inUse)  // 0
            #expect(slots.inUse == 0)
            _ = await work.result
        }

        let limiter = ConcurrencyLimiter(FixedLimit(8))
        limiter.close()
        try await limiter.untilDrained()
        print(limiter.snapshot().inFlight)  // 0
        #expect(limiter.snapshot().inFlight == 0)
    }

    @Test("AsyncSemaphore.Permit")
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

    @Test("ChannelSnapshot.meanTimeInQueue(since:elapsed:)")
    func meanTimeInQueue() {
        let channel = BoundedChannel<Int, Never>(capacity: 8)
        let before = channel.snapshot()
        for order in 1...4 { _ = channel.trySend(order) }
        for _ in 1...2 { _ = channel.tryReceive() }
        let mean = channel.snapshot().meanTimeInQueue(since: before, elapsed: .seconds(2))
        print(mean ?? .zero)  // 1.0 seconds: one was in on average, and one left a second

        #expect(mean == .seconds(1))
        let after = channel.snapshot()
        #expect(after.meanTimeInQueue(since: after, elapsed: .seconds(1)) == nil)
        #expect(after.meanTimeInQueue(since: before, elapsed: .zero) == nil)
        #expect(before.meanTimeInQueue(since: after, elapsed: .seconds(1)) == nil)
        #expect(after.meanTimeInQueue(since: before, elapsed: .seconds(Int64.max)) == .nanoseconds(Int64.max))
    }

    @Test("Rejection")
    func rejection() {
        for rejection in [Rejection.full, .timedOut, .cancelled] {
            switch rejection {
            case .full: print("no room")
            case .timedOut: print("waited long enough")
            default: print("not delivered: \(rejection)")
            }
        }
    }

    @Test("ManualClock")
    func manualClock() async throws {
        let clock = ManualClock()
        let task = Task {
            try await clock.sleep(for: .seconds(60))
            return clock.now.offset
        }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(60))
        let woken = try await task.value

        #expect(woken == .seconds(60))
    }
}
