// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Timeouts and deadlines of a channel on a clock that stands still, jumps and overflows (contracts 4 and 8).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: timeouts", .timeLimit(.minutes(10)))
struct ChannelTimeoutTests {
    static let tenYears = Duration.seconds(10 * 365 * 86_400)

    @Test("deadline passes while a send waits: the element comes back, the others stay (2, 4)")
    func send_whenDeadlinePasses_returnsElement() async throws {
        let bench = ChannelBench(capacity: 1)
        bench.send(0, .none)
        let late = bench.send(1, .timeout(.seconds(30)))
        let early = bench.send(2, .timeout(.seconds(10)))
        let patient = bench.send(3)
        try await settle { bench.clock.nextDeadline?.offset == .seconds(10) }
        bench.clock.advance(by: .seconds(10) - .nanoseconds(1))
        bench.executor.run()
        #expect(early.answer == nil)
        bench.clock.advance(by: .nanoseconds(1))
        #expect(await bench.executor.run { early.answer == .returned(2, .timedOut) })
        #expect(late.answer == nil && patient.answer == nil)
        var order = bench.drain()
        bench.executor.run()
        order += bench.drain()
        #expect(order == [0, 1, 3])
        #expect(late.answer == .sent && patient.answer == .sent && bench.holdsNobody)
    }

    @Test("a deadline is an instant of the channel's clock, one in the past never waits (4)")
    func deadlines_areInstantsOfTheClock() async throws {
        let bench = ChannelBench(capacity: 1)
        let (channel, clock) = (bench.channel, bench.clock)
        clock.advance(by: .seconds(100))
        await #expect(throws: ReceiveError<TestFailure>.rejected(.timedOut)) {
            _ = try await channel.receive(deadline: clock.now)
        }
        await #expect(throws: ReceiveError<TestFailure>.rejected(.timedOut)) {
            _ = try await channel.receive(deadline: ManualClock.Instant(offset: .seconds(-5)))
        }
        #expect(await channel.send(1, deadline: clock.now).isSent, "a send that need not wait succeeds")
        #expect(await channel.send(2, deadline: clock.now).reason == .timedOut)
        let task = Task { await channel.send(3, deadline: clock.now.advanced(by: .seconds(1))).reason }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(1))
        #expect(await task.value == .timedOut)
        #expect(bench.snapshot.sendsTimedOut == 2 && bench.snapshot.receivesTimedOut == 2)
        #expect(bench.snapshot.sendsParked == 1 && bench.snapshot.receivesParked == 0)
    }

    /// With a real clock two readings differ: "now" read before the deadline is computed must not make zero positive.
    @Test("timeout of zero on the system's clock does not park and starts no timer")
    func timeoutZero_whenClockRuns_neverWaits() async throws {
        let full = BoundedChannel<Int, Never>(capacity: 1)
        _ = full.trySend(0)
        let empty = BoundedChannel<Int, Never>(capacity: 1, clock: SuspendingClock())
        for timeout: Duration in [.zero, .seconds(-1), .nanoseconds(-1)] {
            #expect(await full.send(1, timeout: timeout).reason == .timedOut)
            await #expect(throws: ReceiveError<Never>.rejected(.timedOut)) {
                _ = try await empty.receive(timeout: timeout)
            }
        }
        #expect(full.snapshot().sendsParked == 0)
        #expect(empty.snapshot().receivesParked == 0)
        #expect(full.core.timer.startedTasks == 0 && empty.core.timer.startedTasks == 0)
    }

    @Test("timeouts beyond the end of time never pass and start no timer (8)")
    func timeout_whenHuge_neverPasses() async {
        let bench = ChannelBench(capacity: 1)
        let huge: [Duration] = [.seconds(Int64.max), Duration(attoseconds: .max), .seconds(300 * 365 * 86_400)]
        let tickets = huge.map { bench.receive(.timeout($0)) }
        #expect(bench.channel.core.timer.startedTasks == 0)
        bench.clock.advance(by: Self.tenYears)
        bench.executor.run()
        #expect(tickets.allSatisfy { $0.answer == nil })
        for element in 0..<3 { bench.send(element, .none) }
        bench.executor.run()
        #expect(tickets.map(\.answer) == [.received(0), .received(1), .received(2)])
    }

    @Test("clock jumps ten years ahead and back: nobody ends early, everybody due ends (4, 8)")
    func clockJumps_whenReceiversWait_onlyTheDueEnd() async throws {
        let bench = ChannelBench(capacity: 1)
        bench.clock.set(to: .init(offset: .seconds(1_000)))
        let soon = bench.receive(.timeout(.seconds(10)))
        let decade = bench.receive(.timeout(Self.tenYears + .seconds(20)))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.set(to: .init(offset: .seconds(1_000) - Self.tenYears))
        bench.executor.run()
        #expect(soon.answer == nil && decade.answer == nil)
        let back = bench.receive(.timeout(.seconds(5)))
        try await settle { bench.clock.nextDeadline?.offset == .seconds(1_005) - Self.tenYears }
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { back.answer == .rejected(.timedOut) })
        #expect(soon.answer == nil)
        try await settle { bench.clock.nextDeadline?.offset == .seconds(1_010) }
        bench.clock.set(to: .init(offset: .seconds(1_000) + Self.tenYears))
        #expect(await bench.executor.run { soon.answer == .rejected(.timedOut) })
        #expect(decade.answer == nil)
        try await settle { bench.clock.sleeperCount == 1 }
        bench.clock.advance(by: .seconds(20))
        #expect(await bench.executor.run { decade.answer == .rejected(.timedOut) })
        #expect(bench.holdsNobody && bench.isGateOpen)
    }

    @Test("many timed waits share one timer, and end at their time (one timer task per primitive)")
    func timedWaits_whenEqual_startOneTimer() async throws {
        let size = LaneSize("channel.timeouts.shared", plain: 20_000, sanitizer: 2_000, deep: 100_000)
        let bench = ChannelBench(capacity: 1)
        let tickets = (0..<size.count).map { _ in bench.receive(.timeout(.seconds(60)), run: false) }
        bench.executor.run()
        #expect(bench.snapshot.waitingReceivers == size.count)
        #expect(bench.channel.core.timer.startedTasks == 1)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(60))
        #expect(await bench.executor.run { tickets.allSatisfy { $0.answer == .rejected(.timedOut) } })
        #expect(bench.snapshot.receivesTimedOut == UInt64(size.count))
        #expect(bench.holdsNobody && bench.isGateOpen)
        // Those who come after the timer ended get another.
        let last = bench.receive(.timeout(.seconds(60)))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(60))
        #expect(await bench.executor.run { last.answer == .rejected(.timedOut) })
        #expect(bench.channel.core.timer.startedTasks == 2)
    }

    @Test("an earlier deadline replaces the armed timer, a later one does not")
    func timedWait_whenEarlierThanArmed_replacesTimer() async throws {
        let bench = ChannelBench(capacity: 1)
        let hour = bench.receive(.timeout(.seconds(3_600)))
        let day = bench.receive(.timeout(.seconds(86_400)))
        #expect(bench.channel.core.timer.startedTasks == 1)
        let minute = bench.receive(.timeout(.seconds(60)))
        #expect(bench.channel.core.timer.startedTasks == 2)
        try await settle { bench.clock.sleeperCount == 1 && bench.clock.nextDeadline?.offset == .seconds(60) }
        for (elapsed, ticket) in [(60, minute), (3_540, hour), (82_800, day)] {
            try await settle { bench.clock.sleeperCount == 1 }
            bench.clock.advance(by: .seconds(elapsed))
            #expect(await bench.executor.run { ticket.answer == .rejected(.timedOut) })
        }
        #expect(bench.channel.core.timer.startedTasks == 2)
    }

    @Test("the armed waiter leaves early: the timer sleeps on for the next and wakes nobody wrongly")
    func armedWaiterLeaves_timerSleepsOn() async throws {
        let bench = ChannelBench(capacity: 1)
        let first = bench.receive(.timeout(.seconds(10)))
        let second = bench.receive(.timeout(.seconds(20)))
        await bench.clock.sleepers(atLeast: 1)
        first.cancel()
        bench.executor.run()
        bench.clock.advance(by: .seconds(10))
        try await settle { bench.clock.nextDeadline?.offset == .seconds(20) }
        #expect(second.answer == nil)
        bench.clock.advance(by: .seconds(10))
        #expect(await bench.executor.run { second.answer == .rejected(.timedOut) })
        #expect(first.answer == .rejected(.cancelled))
        #expect(bench.channel.core.timer.startedTasks == 1)
    }

    @Test("a channel that goes away takes its sleeping timer with it")
    func deinit_whenTimerSleeps_cancelsIt() async throws {
        let clock = ManualClock()
        weak var gone: BoundedChannel<Int, Never>?
        do {
            let channel = BoundedChannel<Int, Never>(capacity: 1, clock: clock)
            gone = channel
            let task = Task { try? await channel.receive(timeout: .seconds(60)) }
            await clock.sleepers(atLeast: 1)
            task.cancel()
            _ = await task.value
            #expect(clock.sleeperCount == 1, "lazy: the timer stays armed")
        }
        try await settle { clock.sleeperCount == 0 }
        try await settle { gone == nil }
    }
}
