// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The heap of deadlines against a sorted array, and the decision when the one timer must ring.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("Deadlines", .timeLimit(.minutes(10)))
struct DeadlinesTests {
    private let layout = SlotLayout(of: Int.self)

    private func waiter(_ deadline: Int64) -> WaiterRef {
        let waiter = WaiterRef.allocate(payload: layout)
        waiter.pointer.pointee.deadline = deadline
        return waiter
    }

    @Test("the earliest comes first whatever was entered and removed, equal deadlines included")
    func randomOperations_agreeWithSortedArray() {
        let size = LaneSize("deadlines.random", plain: 20_000, sanitizer: 4_000, deep: 2_000_000)
        for (seed, range) in [(UInt64(1), UInt64(3)), (2, 50), (3, 1 << 40)] {
            var random = SplitMix64(seed: seed)
            var deadlines = Deadlines()
            var oracle: [WaiterRef] = []
            var mistakes = 0
            for _ in 0..<(size.count / 3) {
                if oracle.isEmpty || random.next(upperBound: UInt64(oracle.count > 60 ? 4 : 2)) == 0 {
                    let entered = waiter(Int64(random.next(upperBound: range)))
                    _ = deadlines.insert(entered)
                    oracle.append(entered)
                } else {
                    let index = Int(random.next(upperBound: UInt64(oracle.count)))
                    deadlines.remove(oracle[index])
                    deadlines.remove(oracle[index])  // A second removal does nothing.
                    oracle.remove(at: index).deallocate(payload: layout)
                }
                let earliest = oracle.map(\.pointer.pointee.deadline).min()
                if deadlines.due(at: .max)?.pointer.pointee.deadline != earliest { mistakes += 1 }
                if let earliest, deadlines.due(at: earliest - 1) != nil || deadlines.due(at: earliest) == nil {
                    mistakes += 1
                }
                if deadlines.isEmpty != oracle.isEmpty { mistakes += 1 }
            }
            #expect(mistakes == 0)
            var drained: [Int64] = []
            while let first = deadlines.due(at: .max) {
                drained.append(first.pointer.pointee.deadline)
                deadlines.remove(first)
            }
            #expect(drained == oracle.map(\.pointer.pointee.deadline).sorted())
            for waiter in oracle { waiter.deallocate(payload: layout) }
        }
    }

    @Test("only a deadline earlier than the armed one asks for a timer; never asks for none")
    func insert_asksForTimerOnlyWhenEarlier() throws {
        var deadlines = Deadlines()
        let rows: [(deadline: Int64, asks: Bool)] = [
            (.max, false), (100, true), (100, false), (101, false), (99, true), (.min, true), (0, false),
        ]
        var generation: UInt64 = 0
        var waiters: [WaiterRef] = []
        for row in rows {
            let entered = waiter(row.deadline)
            waiters.append(entered)
            let request = deadlines.insert(entered)
            #expect((request != nil) == row.asks, "\(row.deadline)")
            if let request {
                #expect(request.deadline == row.deadline && request.generation == generation + 1)
                generation = request.generation
            }
        }
        #expect(waiters[0].pointer.pointee.heapIndex == -1, "never is not in the heap")
        for waiter in waiters {
            deadlines.remove(waiter)
            waiter.deallocate(payload: layout)
        }
        #expect(deadlines.isEmpty)
    }

    @Test("rearm: an old generation ends, the present one sleeps for the next or ends")
    func rearm_byGeneration() throws {
        var deadlines = Deadlines()
        let (late, early) = (waiter(200), waiter(100))
        let oldRequest = deadlines.insert(late)
        let old = try #require(oldRequest)
        let youngRequest = deadlines.insert(early)
        let young = try #require(youngRequest)
        #expect(deadlines.rearm(generation: old.generation) == nil)
        #expect(deadlines.armedFor == 100, "the old timer changed nothing")
        deadlines.remove(early)
        #expect(deadlines.rearm(generation: young.generation) == 200)
        #expect(deadlines.armedFor == 200)
        deadlines.remove(late)
        #expect(deadlines.rearm(generation: young.generation) == nil && deadlines.armedFor == .max)
        let againRequest = deadlines.insert(late)
        let again = try #require(againRequest)
        #expect(again.deadline == 200 && again.generation > young.generation, "no timer sleeps any more")
        #expect(deadlines.rearm(generation: young.generation) == nil)
        deadlines.remove(late)
        for waiter in [late, early] { waiter.deallocate(payload: layout) }
    }

    @Test("the armed waiter leaves: the timer stays armed for the earlier instant, and asks for no other")
    func remove_whenArmed_staysArmed() throws {
        var deadlines = Deadlines()
        let (first, second) = (waiter(100), waiter(150))
        let requestRequest = deadlines.insert(first)
        let request = try #require(requestRequest)
        deadlines.remove(first)
        #expect(deadlines.insert(second) == nil && deadlines.armedFor == 100)
        #expect(deadlines.due(at: 100) == nil)
        #expect(deadlines.rearm(generation: request.generation) == 150)
        for waiter in [first, second] { waiter.deallocate(payload: layout) }
    }
}

@Suite("DeadlineTimer", .timeLimit(.minutes(10)))
struct DeadlineTimerTests {
    /// Records each ring, and answers with the next deadline of its list.
    private final class Owner: DeadlineOwner {
        let timeSource: TimeSource
        let timer = DeadlineTimer()
        let rings = Shared<[UInt64]>([])
        let next: Shared<[Int64]>

        init(_ clock: ManualClock, next: [Int64] = []) {
            timeSource = TimeSource(clock)
            self.next = Shared(next)
        }

        func timerRang(generation: UInt64) -> Int64? {
            rings.update { $0.append(generation) }
            return next.update { $0.isEmpty ? nil : $0.removeFirst() }
        }
    }

    @Test("rings at its deadline, sleeps on as told, and ends")
    func timer_ringsAndSleepsOn() async throws {
        let clock = ManualClock()
        let owner = Owner(clock, next: [20, 20, 50])
        owner.timer.arm(TimerRequest(deadline: 10, generation: 1), for: owner)
        for (instant, rings) in [(10, 1), (20, 3), (50, 4)] {
            try await settle { clock.nextDeadline?.offset == .nanoseconds(instant) }
            clock.advance(to: .init(offset: .nanoseconds(instant)))
            try await settle { owner.rings.value.count == rings }
        }
        try await settle { clock.sleeperCount == 0 }
        #expect(owner.timer.startedTasks == 1)
    }

    @Test("a younger generation replaces the older, in whatever order they arrive")
    func arm_whenOutOfOrder_youngestStays() async throws {
        let clock = ManualClock()
        let owner = Owner(clock)
        owner.timer.arm(TimerRequest(deadline: 10, generation: 2), for: owner)
        owner.timer.arm(TimerRequest(deadline: 30, generation: 1), for: owner)
        owner.timer.arm(TimerRequest(deadline: 5, generation: 3), for: owner)
        try await settle { clock.sleeperCount == 1 && clock.nextDeadline?.offset == .nanoseconds(5) }
        clock.advance(by: .seconds(1))
        try await settle { clock.sleeperCount == 0 && owner.rings.value == [3] }
    }

    @Test("an owner that goes is not kept by its timer")
    func owner_isHeldWeakly() async throws {
        let clock = ManualClock()
        weak var gone: Owner?
        do {
            let owner = Owner(clock)
            gone = owner
            owner.timer.arm(TimerRequest(deadline: 10, generation: 1), for: owner)
            await clock.sleepers(atLeast: 1)
        }
        #expect(gone == nil)
        clock.advance(by: .seconds(1))
        try await settle { clock.sleeperCount == 0 }
    }
}
