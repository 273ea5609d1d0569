// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article PriorityAndBufferedChannels.md, in its order, and those of the two types.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of PriorityAndBufferedChannels.md", .timeLimit(.minutes(10)))
struct PriorityAndBufferedChannelsExamples {
    @Test("a bound in bytes")
    func cost() async {
        let uploads = BufferedChannel<[UInt8], Never>(
            capacity: 64 * 1024 * 1024,  // bytes
            maxElements: 10_000,
            cost: { $0.count }
        )
        _ = await uploads.send(Array(repeating: 0, count: 5_000))
        print(uploads.cost)  // 5000

        #expect(uploads.cost == 5_000)
    }

    @Test("a time to live")
    func ttl() async throws {
        let clock = ManualClock()
        let jobs = BufferedChannel<String, Never>(
            capacity: 10,
            ttl: .seconds(30),
            clock: clock,
            onUndelivered: { job, reason in print("\(job): \(reason)") }
        )
        _ = await jobs.send("thumbnail", ttl: .seconds(2))
        _ = await jobs.send("invoice")

        clock.advance(by: .seconds(5))
        print(try await jobs.receive() ?? "the end")  // invoice

        #expect(jobs.snapshot().expired == 1)
    }

    @Test("a queue that stands")
    func shedding() async {
        let thumbnails = BufferedChannel<String, Never>(
            capacity: 10_000,
            shedding: CoDel(target: .milliseconds(20), interval: .milliseconds(500)),
            onUndelivered: { job, reason in print("\(job): \(reason)") }  // "shed"
        )
        _ = await thumbnails.send("cat.png")
        print(thumbnails.snapshot().lanes[0].isShedding)  // false

        #expect(!thumbnails.snapshot().lanes[0].isShedding)
    }

    @Test("two elements become one")
    func conflate() async throws {
        let progress = BufferedChannel<Int, Never>(
            capacity: 1,
            overflow: .conflate { queued, arriving in queued + arriving }
        )
        for bytes in [10, 20, 30] { _ = await progress.send(bytes) }
        print(try await progress.receive() ?? 0)  // 60

        #expect(progress.snapshot().conflated == 2)
    }

    @Test("the least important class pays")
    func classes() async {
        struct Event: Sendable {
            var level: Int  // 0 is an error, 2 is a trace
            var text: String
        }

        let events = BufferedChannel<Event, Never>(
            capacity: 2,
            overflow: .dropLowest(classes: 3, classOf: { $0.level })
        )
        _ = await events.send(Event(level: 2, text: "entered"))
        _ = await events.send(Event(level: 1, text: "slow"))
        _ = await events.send(Event(level: 0, text: "failed"))  // evicts "entered"

        #expect(events.tryReceive().take()?.text == "slow")
        #expect(events.tryReceive().take()?.text == "failed")
    }

    @Test("wait, but not for long")
    func patience() {
        let samples = BufferedChannel<Double, Never>(
            capacity: 100,
            overflow: .suspend(for: .milliseconds(5))
        )

        #expect(samples.trySend(1).isSent)
    }

    @Test("lanes")
    func lanes() async throws {
        let requests = PriorityChannel<String, Never>(
            capacity: 100,
            lanes: [PriorityLane(capacity: 100), PriorityLane(capacity: 80)],
            order: .strict(aging: 32)
        )
        _ = await requests.send("nightly report", lane: 1)
        _ = await requests.send("checkout", lane: 0)
        print(try await requests.receive() ?? "the end")  // checkout

        #expect(try await requests.receive() == "nightly report")

        let reading = requests.snapshot()
        for lane in reading.lanes {
            print("\(lane.depth) queued, passed over \(lane.longestPassedOver) times at most")
        }

        #expect(reading.lanes.count == 2)
        #expect(reading.lanes[1].longestPassedOver == 1)
    }

    @Test("shares")
    func shares() {
        let shares = PriorityChannel<Int, Never>(
            capacity: 300,
            lanes: [PriorityLane(capacity: 100, weight: 8), PriorityLane(capacity: 100, weight: 1)],
            order: .weighted()
        )

        #expect(shares.laneCount == 2)
    }

    @Test("a channel of frames")
    func frames() async {
        let frames = BufferedChannel<[UInt8], Never>(
            capacity: 1_000_000,  // bytes
            maxElements: 10_000,
            cost: { $0.count },
            ttl: .seconds(2)
        )
        _ = await frames.send([1, 2, 3])
        print(frames.cost)  // 3

        #expect(frames.count == 1)
    }
}
