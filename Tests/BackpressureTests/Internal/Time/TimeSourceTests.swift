// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import Testing

@testable import Backpressure

@Suite("TimeSource")
struct TimeSourceTests {
    // MARK: - Deadlines

    struct DeadlineRow: Sendable {
        let duration: Duration
        let expected: Int64
    }

    static let deadlineRows: [DeadlineRow] = [
        DeadlineRow(duration: .zero, expected: 0),
        DeadlineRow(duration: .seconds(-1), expected: 0),
        DeadlineRow(duration: Duration(attoseconds: .min), expected: 0),
        DeadlineRow(duration: Duration(attoseconds: 1), expected: 1),
        DeadlineRow(duration: .nanoseconds(1), expected: 1),
        DeadlineRow(duration: .seconds(1), expected: 1_000_000_000),
        DeadlineRow(duration: .seconds(365 * 86_400), expected: 31_536_000_000_000_000),
        DeadlineRow(duration: .seconds(Int64.max), expected: .max),
        DeadlineRow(duration: Duration(attoseconds: .max), expected: .max),
    ]

    @Test("a deadline is rounded up, never lies in the past and never overflows", arguments: deadlineRows)
    func deadline(_ row: DeadlineRow) {
        let time = TimeSource(ManualClock())
        #expect(time.deadline(after: row.duration) == row.expected)
    }

    @Test("a deadline of a system clock beyond 292 years is never")
    func deadline_ofSystemClock_saturates() {
        for time in [TimeSource(ContinuousClock()), TimeSource(SuspendingClock())] {
            #expect(time.deadline(after: Duration(attoseconds: .max)) == .max)
            #expect(time.deadline(after: .nanoseconds(Int64.max)) == .max)
            let before = time.now()
            let deadline = time.deadline(after: .seconds(-5))
            #expect(before <= deadline && deadline <= time.now())
        }
    }

    @Test("between two whole nanoseconds, now is rounded down and a deadline up")
    func fractions() {
        let clock = ManualClock()
        let time = TimeSource(clock)
        clock.advance(by: Duration(attoseconds: 1_500_000_000))
        #expect(time.now() == 1)
        #expect(time.deadline(after: .zero) == 1)
        #expect(time.deadline(after: .nanoseconds(1)) == 3)
        #expect(time.nanoseconds(of: clock.now) == 2)
    }

    // MARK: - Instants

    @Test("an instant of the clock's own type is converted, another is refused")
    func instants() {
        let manual = ManualClock(now: .init(offset: .seconds(100)))
        let time = TimeSource(manual)
        #expect(time.nanoseconds(of: manual.now) == 0)
        #expect(time.nanoseconds(of: manual.now.advanced(by: .seconds(2))) == 2_000_000_000)
        #expect(time.nanoseconds(of: ManualClock.Instant()) == -100_000_000_000)
        #expect(time.nanoseconds(of: ManualClock.Instant(offset: Duration(attoseconds: .max))) == .max)
        #expect(time.nanoseconds(of: ManualClock.Instant(offset: Duration(attoseconds: .min))) == .min)
        #expect(time.nanoseconds(of: ContinuousClock.now) == nil)

        #expect(TimeSource(ContinuousClock()).nanoseconds(of: SuspendingClock.now) == nil)
        #expect(TimeSource(SuspendingClock()).nanoseconds(of: ContinuousClock.now) == nil)
        #expect(TimeSource(ContinuousClock()).nanoseconds(of: manual.now) == nil)
    }

    @Test("a system clock's readings agree with the clock and do not go back")
    func systemReadings() throws {
        let time = TimeSource(ContinuousClock())
        var last = time.now()
        for _ in 0..<1_000 {
            let reading = time.now()
            #expect(reading >= last)
            last = reading
        }
        let viaClock = try #require(time.nanoseconds(of: ContinuousClock.now))
        #expect(abs(viaClock - last) < 10_000_000_000)
    }

    @Test("a clock that jumps moves the readings with it, and deadlines stay where they are")
    func jumps() {
        let clock = ManualClock()
        let time = TimeSource(clock)
        clock.advance(by: .seconds(10))
        let deadline = time.deadline(after: .seconds(5))
        clock.set(to: .init(offset: .seconds(-3)))
        #expect(time.now() == -3_000_000_000)
        #expect(deadline == 15_000_000_000)
        clock.set(to: .init(offset: Duration(attoseconds: .max)))
        #expect(time.now() == .max)
        #expect(time.deadline(after: .seconds(1)) == .max)
        clock.set(to: .init(offset: Duration(attoseconds: .min)))
        #expect(time.now() == .min)
        #expect(time.deadline(after: Duration(attoseconds: .max)) == .max)
    }

    // MARK: - Sleeping

    @Test("a sleep lasts until the clock reads the deadline")
    func sleep_endsAtDeadline() async throws {
        let clock = ManualClock()
        let time = TimeSource(clock)
        let task = Task { try await time.sleep(until: 5_000_000_000) }
        await clock.sleepers(atLeast: 1)
        #expect(clock.nextDeadline == ManualClock.Instant(offset: .seconds(5)))
        clock.advance(by: .seconds(5))
        try await task.value
        #expect(clock.sleeperCount == 0)
    }

    @Test("a sleeper whose clock jumps back before it runs goes to sleep again")
    func sleep_whenClockJumpsBack_sleepsAgain() async throws {
        let clock = JumpingBackOnce()
        let time = TimeSource(clock)
        let task = Task { try await time.sleep(until: 5_000_000_000) }
        await clock.base.sleepers(atLeast: 1)
        clock.base.advance(by: .seconds(5))
        await clock.base.sleepers(atLeast: 1)
        #expect(clock.base.now == ManualClock.Instant(offset: .seconds(1)))
        clock.base.advance(by: .seconds(4))
        try await task.value
    }

    @Test("a deadline in the past does not sleep, on any clock")
    func sleep_whenPast_returns() async throws {
        for time in [TimeSource(ContinuousClock()), TimeSource(SuspendingClock()), TimeSource(ManualClock())] {
            try await time.sleep(until: time.now())
            try await time.sleep(until: .min)
        }
    }

    @Test("never ends by cancellation only, on any clock")
    func sleep_untilNever_endsByCancellation() async {
        for time in [TimeSource(ContinuousClock()), TimeSource(SuspendingClock()), TimeSource(ManualClock())] {
            let task = Task { try await time.sleep(until: .max) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test("a clock that does not sleep at all cannot hold a cancelled task")
    func sleep_whenClockReturnsEarly_endsByCancellation() async {
        let time = TimeSource(Sleepless())
        let task = Task { try await time.sleep(until: 1) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}

/// A manual clock that falls back to one second as its first sleep ends.
private final class JumpingBackOnce: Clock {
    let base = ManualClock()

    var now: ManualClock.Instant { base.now }
    var minimumResolution: Duration { base.minimumResolution }

    func sleep(until deadline: ManualClock.Instant, tolerance: Duration?) async throws {
        let isFirst = base.now == ManualClock.Instant()
        try await base.sleep(until: deadline)
        if isFirst { base.set(to: .init(offset: .seconds(1))) }
    }
}

/// A clock that stands still and whose sleep returns at once.
private struct Sleepless: Clock {
    var now: ManualClock.Instant { ManualClock.Instant() }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: ManualClock.Instant, tolerance: Duration?) async throws {}
}
