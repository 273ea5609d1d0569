// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestSupport
import Testing

@testable import BackpressureTestKit

@Suite("ManualClock", .timeLimit(.minutes(10)))
struct ManualClockTests {
    // MARK: - Moving

    @Test("time stands still until it is moved, forward and back")
    func time_movesOnlyWhenTold() {
        let clock = ManualClock(now: .init(offset: .seconds(7)))
        #expect(clock.now.offset == .seconds(7))
        clock.advance(by: .zero)
        clock.advance(by: .seconds(1))
        #expect(clock.now.offset == .seconds(8))
        clock.advance(to: .init(offset: .seconds(20)))
        #expect(clock.now.offset == .seconds(20))
        clock.set(to: .init(offset: .seconds(-1)))
        #expect(clock.now.offset == .seconds(-1))
    }

    @Test("instants stop at the ends of their range instead of overflowing")
    func instants_saturate() {
        let first = ManualClock.Instant(offset: Duration(attoseconds: .min))
        let last = ManualClock.Instant(offset: Duration(attoseconds: .max))
        #expect(last.advanced(by: .seconds(1)) == last)
        #expect(first.advanced(by: .seconds(-1)) == first)
        #expect(first.duration(to: last) == Duration(attoseconds: .max))
        #expect(last.duration(to: first) == Duration(attoseconds: .min))
        let clock = ManualClock(now: last)
        clock.advance(by: .seconds(1))
        #expect(clock.now == last)
    }

    // MARK: - Sleeping

    @Test("a sleeper wakes at its deadline and not before")
    func sleep_untilDeadline() async throws {
        let clock = ManualClock()
        let task = Task {
            try await clock.sleep(for: .seconds(3))
            return clock.now.offset
        }
        await clock.sleepers(atLeast: 1)
        #expect(clock.nextDeadline == ManualClock.Instant(offset: .seconds(3)))
        clock.advance(by: .seconds(3) - Duration(attoseconds: 1))
        #expect(clock.sleeperCount == 1)
        clock.advance(by: Duration(attoseconds: 1))
        #expect(clock.sleeperCount == 0)
        #expect(clock.nextDeadline == nil)
        #expect(try await task.value == .seconds(3))
    }

    @Test("a deadline that has come does not suspend")
    func sleep_whenDue_returns() async throws {
        let clock = ManualClock()
        try await clock.sleep(until: clock.now)
        try await clock.sleep(for: .seconds(-1))
        #expect(clock.sleeperCount == 0)
    }

    @Test("a step back wakes nobody and leaves the deadlines")
    func set_back_keepsSleepers() async throws {
        let clock = ManualClock(now: .init(offset: .seconds(10)))
        let task = Task { try await clock.sleep(for: .seconds(1)) }
        await clock.sleepers(atLeast: 1)
        clock.set(to: .init(offset: .seconds(-10)))
        #expect(clock.sleeperCount == 1)
        clock.advance(by: .seconds(20))
        #expect(clock.sleeperCount == 1)
        clock.set(to: .init(offset: .seconds(11)))
        try await task.value
    }

    @Test("the due wake by deadline, and among equal deadlines by registration")
    func wakeOrder() async throws {
        // The order is decided in the state; its event is taken here without tasks.
        var state = ManualClockState(now: .init())
        var random = SplitMix64(seed: 1)
        var sleepers: [Sleeper] = []
        for _ in 0..<500 {
            let sleeper = Sleeper(deadline: .init(offset: .seconds(Int.random(in: 1...20, using: &random))))
            #expect(state.register(sleeper).isEmpty)
            sleepers.append(sleeper)
        }
        let expected = sleepers.enumerated().sorted { left, right in
            (left.element.deadline, left.offset) < (right.element.deadline, right.offset)
        }.map(\.offset)
        var order: [Int] = []
        while let first = state.sleepers.first {
            order.append(sleepers.firstIndex { $0 === first } ?? -1)
            #expect(state.cancel(first) == nil)
            #expect(state.sleepers.checkInvariants())
        }
        #expect(order == expected)
    }

    @Test("a heap stays a heap however sleepers leave it")
    func heap_againstModel() {
        var random = SplitMix64(seed: 2)
        for _ in 0..<200 {
            var state = ManualClockState(now: .init())
            var model: [Sleeper] = []
            for _ in 0..<60 {
                if Bool.random(using: &random) || model.isEmpty {
                    let sleeper = Sleeper(deadline: .init(offset: .seconds(Int.random(in: 1...8, using: &random))))
                    _ = state.register(sleeper)
                    model.append(sleeper)
                } else {
                    let sleeper = model.remove(at: Int.random(in: model.indices, using: &random))
                    _ = state.cancel(sleeper)
                    #expect(sleeper.heapIndex == nil && sleeper.verdict == .cancelled)
                }
                #expect(state.sleepers.checkInvariants())
                #expect(state.sleepers.count == model.count)
                #expect(state.sleepers.first === model.min { $0.wakes(before: $1) })
            }
        }
    }

    // MARK: - Cancelling

    @Test("a cancelled sleeper throws and leaves nothing behind")
    func cancel_whenSleeping() async {
        let clock = ManualClock()
        let task = Task { try await clock.sleep(for: .seconds(1)) }
        await clock.sleepers(atLeast: 1)
        task.cancel()
        #expect(clock.sleeperCount == 0)
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("a task cancelled before it sleeps throws and never registers")
    func cancel_beforeSleeping() async {
        let clock = ManualClock()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await clock.sleep(for: .seconds(1))
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(clock.sleeperCount == 0)
    }

    @Test("an observer that is cancelled returns")
    func cancel_ofObserver() async throws {
        let clock = ManualClock()
        let task = Task { await clock.sleepers(atLeast: 5) }
        task.cancel()
        await task.value
    }

    @Test("cancelling and waking race: each sleeper ends once, one way or the other")
    func cancel_againstWake() async {
        let size = LaneSize("manualClock.cancelAgainstWake", plain: 2_000, sanitizer: 300, deep: 200_000)
        let clock = ManualClock()
        var ends = (woken: 0, cancelled: 0)
        for round in 0..<size.count {
            let sleeper = Task { try await clock.sleep(for: .seconds(1)) }
            if round % 3 != 0 { await clock.sleepers(atLeast: 1) }
            async let cancelled: Void = sleeper.cancel()
            async let advanced: Void = clock.advance(by: .seconds(1))
            _ = await (cancelled, advanced)
            switch await sleeper.result {
            case .success: ends.woken += 1
            case .failure: ends.cancelled += 1
            }
            #expect(clock.sleeperCount == 0)
        }
        #expect(ends.woken + ends.cancelled == size.count)
    }

    // MARK: - Rendezvous

    @Test("sleepers(atLeast:) waits for the last of them")
    func sleepers_atLeast() async throws {
        let clock = ManualClock()
        await clock.sleepers(atLeast: 0)
        let size = LaneSize("manualClock.manySleepers", plain: 10_000, sanitizer: 1_000, deep: 1_000_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<size.count {
                group.addTask { try await clock.sleep(for: .seconds(1 + index % 100)) }
            }
            await clock.sleepers(atLeast: size.count)
            #expect(clock.sleeperCount == size.count)
            clock.advance(by: .seconds(50))
            #expect(clock.sleeperCount == size.count / 2)
            clock.advance(by: .seconds(50))
            #expect(clock.sleeperCount == 0)
            try await group.waitForAll()
        }
    }

    @Test("settle waits for a parked task and fails when nothing comes")
    func settle_isBounded() async throws {
        let clock = ManualClock()
        let task = Task { try await clock.sleep(for: .seconds(1)) }
        try await settle { clock.sleeperCount == 1 }
        await #expect(throws: NeverSettled.self) {
            try await settle(turns: 100) { clock.sleeperCount == 2 }
        }
        task.cancel()
    }

    // MARK: - Running

    @Test("run follows a task that sleeps in a loop, to its end")
    func run_untilNobodySleeps() async throws {
        let clock = ManualClock()
        let task = Task {
            for _ in 0..<20 { try await clock.sleep(for: .seconds(1)) }
            return clock.now.offset
        }
        await clock.sleepers(atLeast: 1)
        while await !clock.run() || clock.now.offset < .seconds(20) { await Task.yield() }
        #expect(try await task.value == .seconds(20))
    }

    @Test("run stops at its limit")
    func run_isBounded() async {
        let clock = ManualClock()
        let task = Task {
            while true { try await clock.sleep(for: .seconds(1)) }
        }
        await clock.sleepers(atLeast: 1)
        await clock.run(limit: 3)
        #expect(clock.now.offset <= .seconds(3))
        task.cancel()
        _ = await task.result
        #expect(await clock.run())
    }
}
