// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Storms on semaphores, from tasks and from threads of the system: never more in use than the limit, nothing lost.

import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How a semaphore in a storm is made.
struct SemaphoreStorm: Hashable, Sendable, CustomTestStringConvertible {
    let permits: Int
    let fairness: Fairness
    let order: WaiterOrder

    var testDescription: String { "\(permits) permits, bypass \(fairness.bypass), fifo up to \(order.fifoUpTo)" }

    static let all: [SemaphoreStorm] = [1, 2, 5].flatMap { permits in
        [Fairness.fifo, .eventual(bypass: 1), .default].flatMap { fairness in
            [WaiterOrder.fifo, .adaptiveLIFO(above: 2)].map {
                SemaphoreStorm(permits: permits, fairness: fairness, order: $0)
            }
        }
    }
}

/// Counts what is held from outside, and keeps the worst that was seen.
private final class Gauge: Sendable {
    private let held = Atomic(0)
    private let worst = Atomic(0)

    func enter(_ count: Int) {
        let now = held.wrappingAdd(count, ordering: .relaxed).newValue
        var seen = worst.load(ordering: .relaxed)
        while now > seen {
            let (done, found) = worst.compareExchange(expected: seen, desired: now, ordering: .relaxed)
            if done { return }
            seen = found
        }
    }

    func leave(_ count: Int) { held.wrappingSubtract(count, ordering: .relaxed) }

    var most: Int { worst.load(ordering: .relaxed) }
    var left: Int { held.load(ordering: .relaxed) }
}

@Suite("storms on semaphores", .serialized, .timeLimit(.minutes(10)))
struct SemaphoreStormTests {
    @Test("tasks: waits of every kind, weights, cancels, timeouts", arguments: SemaphoreStorm.all)
    func tasks(storm: SemaphoreStorm) async {
        let size = LaneSize("storm.semaphore \(storm.testDescription)", plain: 250, sanitizer: 60, deep: 60_000)
        let clock = ManualClock()
        let semaphore = AsyncSemaphore(
            permits: storm.permits, fairness: storm.fairness, order: storm.order, waiterLimit: 12, clock: clock)
        let gauge = Gauge()
        let mover = Task {
            while !Task.isCancelled {
                clock.advance(by: .milliseconds(400))
                #expect(semaphore.snapshot().inUse <= storm.permits)
                await Task.yield()
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask { await work(storm, semaphore, gauge, size.count, SplitMix64(seed: UInt64(worker))) }
            }
        }
        mover.cancel()
        await mover.value
        let snapshot = semaphore.snapshot()
        #expect(gauge.most <= storm.permits && gauge.left == 0, "\(gauge.most) held")
        #expect(snapshot.available == storm.permits && snapshot.waiting == 0, "\(snapshot)")
        #expect(semaphore.core.state.withLock { !$0.isGated && $0.deadlines.isEmpty && $0.onTheWay == 0 })
    }

    private func work(
        _ storm: SemaphoreStorm, _ semaphore: AsyncSemaphore, _ gauge: Gauge, _ count: Int, _ seeded: SplitMix64
    ) async {
        var random = seeded
        for _ in 0..<count {
            let weight = 1 + Int(random.next(upperBound: UInt64(storm.permits)))
            let pauses = random.next() & 1 == 0
            switch random.next(upperBound: UInt64(6)) {
            case 0:
                guard let permit = semaphore.tryAcquire(weight) else { continue }
                gauge.enter(weight)
                gauge.leave(weight)
                permit.release()
            case 1:
                let task = Task {
                    try await semaphore.withPermits(weight) {
                        gauge.enter(weight)
                        if pauses { await Task.yield() }
                        gauge.leave(weight)
                    }
                }
                if pauses { await Task.yield() }
                task.cancel()
                _ = try? await task.value
            case 2:
                guard let permit = try? await semaphore.acquire(weight, timeout: .seconds(1)) else { continue }
                gauge.enter(weight)
                if pauses { await Task.yield() }
                gauge.leave(weight)
                permit.release()
            default:
                _ = try? await semaphore.withPermits(weight) {
                    gauge.enter(weight)
                    if pauses { await Task.yield() }
                    gauge.leave(weight)
                }
            }
        }
    }

    @Test("threads: tryAcquire, snapshot and a limit that moves", arguments: SemaphoreStorm.all)
    func threads(storm: SemaphoreStorm) {
        let size = LaneSize(
            "storm.semaphore.threads \(storm.testDescription)", plain: 4_000, sanitizer: 800, deep: 800_000)
        let semaphore = AsyncSemaphore(permits: storm.permits, fairness: storm.fairness, order: storm.order)
        let gauge = Gauge()
        let largest = storm.permits + 3
        let isOver = Atomic(0)
        Threads.run(5) { index in
            var random = SplitMix64(seed: UInt64(index))
            guard index < 4 else {
                while isOver.load(ordering: .acquiring) < 4 {
                    semaphore.resize(to: 1 + Int(random.next(upperBound: UInt64(largest))))
                    if !semaphore.snapshot().isWhole { Issue.record("\(semaphore.snapshot())") }
                    sched_yield()
                }
                return
            }
            for _ in 0..<size.count {
                guard let permit = semaphore.tryAcquire(1 + Int(random.next() & 1)) else {
                    sched_yield()
                    continue
                }
                let count = permit.count
                gauge.enter(count)
                gauge.leave(count)
                permit.release()
            }
            isOver.wrappingAdd(1, ordering: .acquiringAndReleasing)
        }
        semaphore.resize(to: storm.permits)
        #expect(gauge.most <= largest && gauge.left == 0 && semaphore.available == storm.permits)
    }

    @Test("permits outlive their semaphore, given back by threads at the moment it goes")
    func orphans() {
        let size = LaneSize("storm.semaphore.orphans", plain: 400, sanitizer: 100, deep: 100_000)
        for round in 0..<size.count {
            weak var core: SemaphoreCore?
            let box = Shared<AsyncSemaphore?>(nil)
            let stock = Stock()
            do {
                let semaphore = AsyncSemaphore(permits: 3)
                core = semaphore.core
                for _ in 0..<3 { if let permit = semaphore.tryAcquire() { stock.put(permit) } }
                box.update { $0 = semaphore }
            }
            Threads.run(4) { index in
                for _ in 0..<(round &* (index + 1)) % 40 { _ = box.value == nil }
                if index == 3 { box.update { $0 = nil } } else { stock.take()?.release() }
            }
            guard core == nil else {
                Issue.record("round \(round): the core is still there")
                return
            }
        }
    }
}

/// Permits that threads take out.
private final class Stock: Sendable {
    private struct Shelf: ~Copyable, Sendable {
        var first: AsyncSemaphore.Permit?
        var second: AsyncSemaphore.Permit?
        var third: AsyncSemaphore.Permit?
    }

    private let shelf = LockedState(Shelf(first: nil, second: nil, third: nil))

    func put(_ permit: consuming AsyncSemaphore.Permit) {
        var arriving: AsyncSemaphore.Permit? = consume permit
        shelf.withLock { shelf in
            if shelf.first == nil {
                shelf.first = arriving.take()
            } else if shelf.second == nil {
                shelf.second = arriving.take()
            } else {
                shelf.third = arriving.take()
            }
        }
    }

    func take() -> AsyncSemaphore.Permit? {
        var leaving: AsyncSemaphore.Permit?
        shelf.withLock { shelf in
            leaving = shelf.first.take()
            if leaving == nil { leaving = shelf.second.take() }
            if leaving == nil { leaving = shelf.third.take() }
        }
        return leaving
    }
}

extension SemaphoreSnapshot {
    fileprivate var isWhole: Bool { available - debt + inUse == limit && inUse >= 0 }
}
