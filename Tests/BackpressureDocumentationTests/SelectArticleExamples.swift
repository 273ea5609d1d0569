// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Select-and-rendezvous.md, and of the comments of what it is about.

import Backpressure
import Testing

@Suite("Examples of Select-and-rendezvous.md", .timeLimit(.minutes(10)))
struct SelectArticleExamples {
    @Test("a rendezvous")
    func rendezvous() async {
        let counter = RendezvousChannel<String, Never>()
        let clerk = Task {
            for await customer in counter { print("serving \(customer)") }
        }
        _ = await counter.send("Ada")  // returns when the clerk has taken over
        counter.finish()
        await clerk.value

        #expect(counter.snapshot().handedOver == 1)
    }

    @Test("only if somebody is free")
    func trySend() async {
        let idle = RendezvousChannel<Int, Never>()
        switch idle.trySend(7) {
        case .sent: print("a worker has it")
        case .returned(let rejected): print("all workers are busy: \(rejected.reason)")  // full
        case .dropped: break  // never by a rendezvous
        }

        #expect(idle.snapshot().refused == 1)
    }

    @Test("the first of two")
    func select() async throws {
        let orders = BoundedChannel<Int, Never>(capacity: 8)
        let alarms = RendezvousChannel<String, Never>()
        _ = await orders.send(12)

        let line = try await Select(
            .receive(from: orders) { order in order.map { "order \($0)" } ?? "no more orders" },
            .receive(from: alarms) { _ in "alarm" }
        ).first(timeout: .seconds(1))

        #expect(line == "order 12")
    }

    @Test("a loop over what is still open")
    func merge() async throws {
        let channels = (0..<3).map { _ in BoundedChannel<Int, Never>(capacity: 4) }
        for (index, channel) in channels.enumerated() {
            _ = channel.trySend(index)
            channel.finish()
        }

        var sum = 0
        var open = channels
        while !open.isEmpty {
            let select = Select<Int?>(
                open.enumerated().map { index, channel in
                    .receive(from: channel) { number in
                        if let number { sum += number }
                        return number == nil ? index : nil
                    }
                })
            if let ended = try await select.first() { open.remove(at: ended) }
        }

        #expect(sum == 3)
    }

    @Test("an offer")
    func offer() async throws {
        struct Ticket: ~Copyable {
            let number: Int
        }
        let booth = RendezvousChannel<Ticket, Never>()
        let closing = BoundedChannel<String, Never>(capacity: 1)
        _ = await closing.send("closing time")

        let offer = SendOffer(Ticket(number: 7))
        let isServed = try await Select<Bool>(
            .send(offer, to: booth) { $0.isSent },
            .receive(from: closing) { _ in false }
        ).first()
        if let ticket = offer.take() { print("ticket \(ticket.number) was not served") }

        #expect(!isServed && offer.isEmpty)
    }

    @Test("without waiting")
    func tryFirst() async throws {
        let stop = RendezvousChannel<Void, Never>()
        let jobs = BoundedChannel<Int, Never>(capacity: 4)

        let select = Select<String>(
            .receive(from: stop) { _ in "stopped" },
            .receive(from: jobs) { job in "job \(job ?? 0)" },
            order: .biased)
        if let event = try await select.tryFirst() {
            print(event)
        } else {
            print("nothing to do")
        }

        #expect(jobs.count == 0)
    }
}
