// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Stamps: the exact time in queue and at work, on a manual clock.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("stage meter", .timeLimit(.minutes(10)))
struct StageMeterTests {
    private struct Broken: Error {}

    @Test("time in queue and time at work are told apart, exactly")
    func times_areExact() async throws {
        let clock = ManualClock()
        let meter = StageMeter(clock: clock)
        #expect(meter.snapshot().waitingShare == nil)
        let channel = BoundedChannel<Timestamped<Int, ManualClock>, Never>(capacity: 4, clock: clock)
        _ = await channel.send(meter.stamp(7))
        clock.advance(by: .seconds(3))
        let job = try #require(try await channel.receive())
        #expect(job.age() == .seconds(3) && job.element == 7)
        let answer = await meter.process(job) { number in
            clock.advance(by: .seconds(1))
            #expect(meter.snapshot().running == 1)
            return number + 1
        }
        let snapshot = meter.snapshot()
        #expect(answer == 8 && snapshot.running == 0 && snapshot.waitingShare == 0.75)
        #expect(snapshot.queueTimes.maximum == .seconds(3) && snapshot.processingTimes.maximum == .seconds(1))
    }

    @Test("work that throws took its time, too")
    func thrown_isMeasured() async {
        let clock = ManualClock()
        let meter = StageMeter(clock: clock)
        await #expect(throws: Broken.self) {
            try await meter.process(meter.stamp(1)) { _ in
                clock.advance(by: .seconds(2))
                throw Broken()
            }
        }
        #expect(meter.snapshot().processingTimes.total == .seconds(2) && meter.snapshot().running == 0)
    }

    @Test("an element that cannot be copied is stamped, and comes out once")
    func noncopyable() async throws {
        struct Ticket: ~Copyable { let number: Int }
        let clock = ManualClock()
        let meter = StageMeter(clock: clock)
        let channel = BoundedChannel<Timestamped<Ticket, ManualClock>, Never>(capacity: 1, clock: clock)
        _ = await channel.send(meter.stamp(Ticket(number: 9)))
        clock.advance(by: .milliseconds(5))
        guard let stamped = try await channel.receive() else {
            Issue.record("nothing came")
            return
        }
        #expect(await meter.process(stamped) { $0.number } == 9)
        #expect(meter.snapshot().queueTimes.maximum == .milliseconds(5))
    }
}
