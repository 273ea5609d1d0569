// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting until a closed primitive has nothing in it: what holds it up, what ends it, and what it leaves behind.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("untilDrained", .timeLimit(.minutes(10)))
struct UntilDrainedTests {
    /// A wait in a task of its own, and whether it is over.
    private final class Watch: Sendable {
        let isOver = Shared(false)
        let task: Task<Rejection?, Never>

        init(_ wait: @escaping @Sendable () async throws(Rejection) -> Void) {
            task = Task { [isOver] in
                defer { isOver.update { $0 = true } }
                do throws(Rejection) {
                    try await wait()
                    return nil
                } catch { return error }
            }
        }
    }

    private func drainers(_ channel: BoundedChannel<Int, Never>) -> Int {
        channel.core.state.withLock { $0.drainers.count }
    }

    private func isGated(_ channel: BoundedChannel<Int, Never>) -> Bool { channel.core.state.withLock { $0.isGated } }

    @Test("a channel: not before the close, not before the last element, then all who wait; then the gate is open")
    func channel() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 4)
        for number in 0..<3 { _ = channel.trySend(number) }
        let watches = (0..<2).map { _ in Watch { () async throws(Rejection) in try await channel.untilDrained() } }
        try await settle { drainers(channel) == 2 }
        // Open and empty is not the end; and an open channel keeps its fast path.
        while channel.tryReceive().take() != nil {}
        #expect(!isGated(channel) && drainers(channel) == 2)
        for number in 0..<2 { _ = channel.trySend(number) }
        channel.finish()
        _ = channel.tryReceive()
        #expect(drainers(channel) == 2 && watches.allSatisfy { !$0.isOver.value } && isGated(channel))
        _ = channel.tryReceive()
        #expect(drainers(channel) == 0 && !isGated(channel))
        for watch in watches { #expect(await watch.task.value == nil) }
        try await channel.untilDrained()
    }

    @Test("reserved room is waited for, used or given back; a cancelled channel is empty at once")
    func reservation() async throws {
        for isUsed in [true, false] {
            let channel = BoundedChannel<Int, Never>(capacity: 2)
            let reservation = try channel.tryReserve()
            channel.finish()
            let watch = Watch { () async throws(Rejection) in try await channel.untilDrained() }
            try await settle { drainers(channel) == 1 }
            if isUsed {
                _ = reservation.send(1)
                #expect(drainers(channel) == 1 && channel.tryReceive().take() == 1)
            } else {
                _ = consume reservation
            }
            #expect(await watch.task.value == nil)
        }
        let dropped = Shared(0)
        let channel = BoundedChannel<Int, Never>(capacity: 2) { _, _ in dropped.update { $0 += 1 } }
        _ = channel.trySend(1)
        let watch = Watch { () async throws(Rejection) in try await channel.untilDrained() }
        try await settle { drainers(channel) == 1 }
        channel.cancel()
        #expect(await watch.task.value == nil && dropped.value == 1)
    }

    @Test("cancelling the wait ends that wait alone, and the last one to leave opens the gate")
    func cancellation() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 2)
        _ = channel.trySend(1)
        channel.finish()
        let watches = (0..<2).map { _ in Watch { () async throws(Rejection) in try await channel.untilDrained() } }
        try await settle { drainers(channel) == 2 }
        watches[0].task.cancel()
        #expect(await watches[0].task.value == .cancelled && drainers(channel) == 1 && isGated(channel))
        watches[1].task.cancel()
        #expect(await watches[1].task.value == .cancelled && !isGated(channel))
        #expect(channel.tryReceive().take() == 1 && channel.snapshot().receivesCancelled == 0)
    }

    @Test("a buffered and a priority channel: received, expired or dropped, the last one is the event")
    func buffers() async throws {
        let clock = ManualClock()
        let buffered = BufferedChannel<Int, Never>(capacity: 2, clock: clock)
        let lanes = PriorityChannel<Int, Never>(
            capacity: 2, lanes: [PriorityLane(capacity: 2)], ttl: .seconds(1), clock: clock)
        for number in 0..<2 {
            _ = buffered.trySend(number)
            _ = lanes.trySend(number, lane: 0)
        }
        let first = Watch { () async throws(Rejection) in try await buffered.untilDrained() }
        let second = Watch { () async throws(Rejection) in try await lanes.untilDrained() }
        let third = Watch { () async throws(Rejection) in try await lanes.untilDrained() }
        for core in [buffered.door.core, lanes.door.core] { try await settle { core.locked { !$0.drainers.isEmpty } } }
        try await settle { lanes.door.core.locked { $0.drainers.count == 2 } }
        buffered.finish()
        lanes.finish()
        third.task.cancel()
        #expect(await third.task.value == .cancelled && lanes.snapshot().receivesCancelled == 0)
        _ = buffered.tryReceive()
        #expect(!first.isOver.value && !second.isOver.value)
        _ = buffered.tryReceive()
        #expect(await first.task.value == nil)
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(1))
        #expect(await second.task.value == nil && lanes.snapshot().lanes[0].expired == 2)
        try await lanes.untilDrained()

        let cancelled = BufferedChannel<Int, Never>(capacity: 2)
        _ = cancelled.trySend(1)
        let last = Watch { () async throws(Rejection) in try await cancelled.untilDrained() }
        try await settle { cancelled.door.core.locked { !$0.drainers.isEmpty } }
        cancelled.cancel()
        #expect(await last.task.value == nil)
    }

    @Test("a semaphore: the last permit, forgotten ones too; then releases of the closed one look for nobody")
    func semaphore() async throws {
        let semaphore = AsyncSemaphore(permits: 3)
        func drainers() -> Int { semaphore.core.state.withLock { $0.drainers.count } }
        func isLooking() -> Bool { semaphore.word.word.loadAcquiring() & PermitLayout.queued != 0 }
        let permit = try await semaphore.acquire(2)
        let lost = try await semaphore.acquire()
        let watches = (0..<3).map { _ in Watch { () async throws(Rejection) in try await semaphore.untilDrained() } }
        try await settle { drainers() == 3 }
        #expect(!isLooking())
        semaphore.close()
        #expect(isLooking() && drainers() == 3)
        watches[0].task.cancel()
        #expect(await watches[0].task.value == .cancelled && isLooking() && semaphore.snapshot().cancelled == 0)
        permit.release()
        _ = lost.forget()
        semaphore.resize(to: 1)
        #expect(drainers() == 2)
        semaphore.release(1)
        for watch in watches.dropFirst() { #expect(await watch.task.value == nil) }
        #expect(!isLooking() && semaphore.inUse == 0)
        try await semaphore.untilDrained()
    }

    @Test("a semaphore that was closed before: who waits sees the last permit; who leaves lets releases be")
    func semaphore_closedBefore() async throws {
        for isCancelled in [true, false] {
            let semaphore = AsyncSemaphore(permits: 1)
            var permit: AsyncSemaphore.Permit? = try await semaphore.acquire()
            semaphore.close()
            let watch = Watch { () async throws(Rejection) in try await semaphore.untilDrained() }
            try await settle { semaphore.core.state.withLock { !$0.drainers.isEmpty } }
            if isCancelled { watch.task.cancel() } else { permit.take()?.release() }
            #expect(await watch.task.value == (isCancelled ? .cancelled : nil))
            #expect(semaphore.word.word.loadAcquiring() & PermitLayout.queued == 0)
            permit.take()?.release()
            #expect(semaphore.inUse == 0)
        }
    }

    @Test("a limiter: the last call, however it is settled; calls beside the limit are not waited for")
    func limiter() async throws {
        let limiter = ConcurrencyLimiter(FixedLimit(2))
        guard let call = limiter.tryAcquire() else {
            Issue.record("no place")
            return
        }
        let beside = limiter.bypass()
        let watches = (0..<2).map { _ in Watch { () async throws(Rejection) in try await limiter.untilDrained() } }
        try await settle { limiter.core.state.withLock { $0.drainers.count == 2 } }
        limiter.close()
        watches[0].task.cancel()
        #expect(await watches[0].task.value == .cancelled && limiter.snapshot().cancelled == 0)
        #expect(!watches[1].isOver.value)
        call.ignore()
        #expect(await watches[1].task.value == nil)
        try await limiter.untilDrained()
        beside.ignore()
    }

    @Test("threads that take the last element, or give back the last permit, while somebody begins to wait")
    func storm() async throws {
        let size = LaneSize("drained.storm", plain: 400, sanitizer: 100, deep: 50_000)
        for _ in 0..<size.count {
            let channel = BoundedChannel<Int, Never>(capacity: 4)
            let semaphore = AsyncSemaphore(permits: 2)
            for number in 0..<4 { _ = channel.trySend(number) }
            await withTaskGroup(of: Int.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        guard let permit = semaphore.tryAcquire() else { return 0 }
                        var count = 0
                        while channel.tryReceive().take() != nil { count += 1 }
                        permit.release()
                        return count
                    }
                    group.addTask {
                        channel.finish()
                        semaphore.close()
                        try? await channel.untilDrained()
                        try? await semaphore.untilDrained()
                        #expect(channel.count == 0 && semaphore.inUse == 0)
                        return 0
                    }
                }
                group.addTask {
                    var count = 0
                    for await _ in channel { count += 1 }
                    return count
                }
                #expect(await group.reduce(0, +) == 4)
            }
        }
    }
}
