// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Channels.md, in its order.

import Backpressure
import BackpressureTestKit
import Testing

@Suite("Examples of Channels.md", .timeLimit(.minutes(10)))
struct ChannelsArticleExamples {
    @Test("a hand-over")
    func overview() async throws {
        let channel = BoundedChannel<String, Never>(capacity: 16)

        let producer = Task {
            defer { channel.finish() }
            for line in ["one", "two", "three"] {
                try await channel.sendOrThrow(line)
            }
        }

        for await line in channel {
            print(line)
        }
        try await producer.value

        #expect(channel.snapshot().received == 3)
    }

    @Test("what is dropped goes to the hook")
    func overflow() async {
        let latest = BoundedChannel<Int, Never>(
            capacity: 2,
            overflow: .dropOldest,
            onUndelivered: { reading, reason in print("lost \(reading): \(reason)") }
        )
        for reading in 1...3 {
            _ = await latest.send(reading)  // the third one evicts the first
        }

        #expect(latest.tryReceive().take() == 2)
        #expect(latest.tryReceive().take() == 3)
        #expect(latest.snapshot().evicted == 1)
    }

    @Test("what a send answers")
    func sendResult() async {
        let single = BoundedChannel<String, Never>(capacity: 1, overflow: .reject)
        _ = await single.send("first")

        switch await single.send("second") {
        case .sent:
            print("the channel has it")
        case .dropped:
            print("the policy dropped it")
        case .returned(let rejected):
            print("\(rejected.element) is back: \(rejected.reason)")  // second is back: full
        }

        #expect(single.count == 1)
        #expect(single.trySend("third").reason == .full)
    }

    @Test("elements that cannot be copied")
    func noncopyable() async throws {
        struct Ticket: ~Copyable {
            let number: Int
        }

        let tickets = BoundedChannel<Ticket, Never>(capacity: 4)
        _ = await tickets.send(Ticket(number: 7))

        if let ticket = try await tickets.receive() {
            print("ticket \(ticket.number)")
        }

        #expect(tickets.count == 0)
    }

    @Test("a timeout")
    func timeout() async {
        let clock = ManualClock()
        let replies = BoundedChannel<String, Never>(capacity: 1, clock: clock)

        let waiting = Task {
            try await replies.receive(timeout: .seconds(30))
        }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(30))

        do {
            print(try await waiting.value ?? "the end")
        } catch {
            print("no reply: \(error)")
        }

        #expect(replies.snapshot().receivesTimedOut == 1)
    }

    @Test("a close with an error")
    func finishThrowing() async {
        struct Disconnected: Error {}

        let updates = BoundedChannel<Int, Disconnected>(capacity: 4)
        _ = await updates.send(1)
        updates.finish(throwing: Disconnected())

        do {
            for try await update in updates {
                print(update)  // 1
            }
        } catch {
            print("after the last update: \(error)")
        }

        #expect(updates.snapshot().received == 1)
    }

    @Test("ends close the channel")
    func ends() async {
        let jobs = BoundedChannel<Int, Never>(capacity: 8)
        do {
            let sender = jobs.makeSender()
            for producer in 0..<3 {
                Task {
                    for job in 0..<10 { _ = await sender.send(producer * 10 + job) }
                }
            }
        }

        var sum = 0
        for await job in jobs { sum += job }  // ends when the third task has let go of the sender

        #expect(sum == 435)
    }

    @Test("a snapshot")
    func snapshot() async {
        let queue = BoundedChannel<Int, Never>(capacity: 10)
        for number in 1...4 { _ = await queue.send(number) }

        let reading = queue.snapshot()
        print("\(reading.depth) of \(reading.capacity)")  // 4 of 10

        #expect(reading.depth == 4)
    }

    @Test("room first, element later")
    func reservation() async throws {
        struct Broker {
            mutating func takeNext() -> String { "order" }
        }
        var broker = Broker()
        let orders = BoundedChannel<String, Never>(capacity: 16)
        let room = try await orders.reserve()
        let order = broker.takeNext()  // only now
        room.send(order)

        #expect(orders.count == 1)
    }

    @Test("batches")
    func batches() async throws {
        var written = 0
        func write(_ lines: [String]) { written += lines.count }
        let log = BoundedChannel<String, Never>(capacity: 256)
        _ = log.trySend(contentsOf: (0..<100).map { "line \($0)" })
        log.finish()

        var lines: [String] = []
        while try await log.receive(into: &lines, upTo: 64) > 0 {
            write(lines)
            lines.removeAll(keepingCapacity: true)
        }

        #expect(written == 100)
    }
}
