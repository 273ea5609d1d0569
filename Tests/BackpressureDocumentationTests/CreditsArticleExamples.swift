// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of Credits.md and Conformance.md, and of the documentation comments of credits, watermarks and the kit.

import Backpressure
import BackpressureTestKit
import Synchronization
import Testing

@Suite("Examples of Credits.md and Conformance.md", .timeLimit(.minutes(10)))
struct CreditsArticleExamples {
    @Test("CreditWindow")
    func creditWindow() {
        let window = CreditWindow(capacity: 8, leaseTime: .seconds(30)) { lost in
            print("\(lost.count) \(lost.reason)")
        }
        guard var grant = window.grant() else { return }
        print("the peer may send \(grant.count)")  // 8

        if let lease = grant.spend() {  // a delivery arrives
            lease.settle()  // and is done with
        }
        grant.giveBack()  // the peer has no more

        #expect(window.snapshot().settled == 1)
        #expect(window.snapshot().givenBack == 7)
    }

    @Test("a late return")
    func lateReturn() {
        let clock = ManualClock()
        let window = CreditWindow(capacity: 1, leaseTime: .seconds(30), clock: clock) { lost in
            print("\(lost.count) credit \(lost.reason) after \(lost.heldFor)")
        }
        if var grant = window.grant(), let lease = grant.spend() {
            clock.advance(by: .seconds(31))
            print(lease.settle())  // false: it was reclaimed, do not acknowledge
        }
        print(window.snapshot().available)  // 1

        #expect(window.snapshot().available == 1)
        #expect(window.snapshot().lateReturns == 1)
    }

    @Test("a prefetch window")
    func prefetch() {
        let prefetch = CreditWindow(capacity: 4)
        guard var credit = prefetch.grant() else { return }  // tell the broker: 4
        var leases: [Int: CreditLease.ID] = [:]
        for tag in 1...4 {
            leases[tag] = credit.spend()?.detach()
        }
        if let third = leases[3] { print(prefetch.settle(through: third)) }  // 3
        if let more = prefetch.grant() {
            print(more.count)  // 3: tell the broker
            credit.absorb(more)
        }
        print(credit.count)  // 3

        #expect(prefetch.snapshot().unspent == 3)
        #expect(prefetch.snapshot().leased == 1)
    }

    // MARK: Messages in flight

    final class SomeQueue: Sendable {
        struct Message: Sendable {
            let number: Int
            let steps: [@Sendable () async -> Void]
        }

        let visibility = Duration.seconds(30)
        private let waiting: Mutex<[Message]>
        let deleted = Mutex<[Int]>([])

        init(_ messages: [Message]) { waiting = Mutex(messages) }

        func receive(max count: Int) async -> [Message] {
            waiting.withLock { waiting in
                defer { waiting.removeFirst(min(count, waiting.count)) }
                return Array(waiting.prefix(count))
            }
        }

        func delete(_ message: Message) async { deleted.withLock { $0.append(message.number) } }
    }

    func poll(_ queue: SomeQueue, _ inFlight: CreditWindow) async throws -> [(SomeQueue.Message, CreditLease.ID)] {
        var grant = try await inFlight.nextGrant(atLeast: 5, atMost: 10)
        var batch: [(SomeQueue.Message, CreditLease.ID)] = []
        for message in await queue.receive(max: grant.count) {
            guard let lease = grant.spend(leaseTime: queue.visibility) else { break }
            batch.append((message, lease.detach()))
        }
        grant.giveBack()
        return batch
    }

    func work(_ message: SomeQueue.Message, _ id: CreditLease.ID, _ queue: SomeQueue, _ inFlight: CreditWindow) async {
        for step in message.steps {
            // Too late: the queue gives the message to somebody else.
            guard inFlight.extend(id, for: queue.visibility) else { return }
            await step()
        }
        if inFlight.settle(id) { await queue.delete(message) }
    }

    @Test("the bound holds, polls are paced, an extended lease lives, and a late worker deletes nothing")
    func inFlight() async throws {
        let clock = ManualClock()
        let inFlight = CreditWindow(capacity: 12, clock: clock)
        // Message 0 works for 40 s in two steps, so it must extend; message 1 sleeps through its visibility.
        let slow: [@Sendable () async -> Void] = [
            { clock.advance(by: .seconds(20)) }, { clock.advance(by: .seconds(20)) },
        ]
        let late: [@Sendable () async -> Void] = [{ clock.advance(by: .seconds(31)) }]
        let queue = SomeQueue(
            (0..<14).map { SomeQueue.Message(number: $0, steps: $0 == 0 ? slow : $0 == 1 ? late : []) })

        let first = try await poll(queue, inFlight)
        #expect(first.count == 10 && inFlight.snapshot().out == 10)
        await #expect(throws: Rejection.timedOut, "2 are left, and a poll is worth 5") {
            _ = try await inFlight.nextGrant(atLeast: 5, atMost: 10, timeout: .zero).count
        }
        for (message, id) in first.dropFirst(2) { await work(message, id, queue, inFlight) }
        let second = try await poll(queue, inFlight)
        #expect(second.count == 4 && inFlight.snapshot().out == 6, "what the queue had no messages for is back")
        for (message, id) in second { await work(message, id, queue, inFlight) }
        await work(first[0].0, first[0].1, queue, inFlight)
        await work(first[1].0, first[1].1, queue, inFlight)
        #expect(queue.deleted.withLock { $0.contains(0) && !$0.contains(1) && $0.count == 13 })
        let snapshot = inFlight.snapshot()
        #expect(snapshot.peak <= 12 && snapshot.out == 0 && snapshot.reclaimed == 1)
    }

    // MARK: Watermarks

    @Test("WatermarkGate")
    func watermarkGate() {
        let gate = WatermarkGate<Int>(low: 100, high: 500) { edge in
            print("\(edge.action) \(edge.keys)")
        }
        gate.assign([0, 1])
        gate.add(500, to: 1)  // pause [1]
        gate.remove(350, from: 1)
        gate.remove(50, from: 1)  // resume [1]

        #expect(!gate.isPaused(1))
        #expect(gate.snapshot().pauses == 1)
    }

    final class SomeClient: Sendable {
        struct State {
            var paused: Set<Int> = []
            var polls = 0
            var work: [@Sendable () -> Void] = []
        }

        let state = Mutex(State())
        let clock: ManualClock

        init(clock: ManualClock) { self.clock = clock }

        var partitions: [Int] { [0, 1] }
        var isStopping: Bool { state.withLock { $0.polls >= 8 } }

        func pause(_ keys: [Int]) { state.withLock { $0.paused.formUnion(keys) } }
        func resume(_ keys: [Int]) { state.withLock { $0.paused.subtract(keys) } }

        func poll() async -> [(Int, [Int])] {
            let paused = state.withLock { state in
                state.polls += 1
                return state.paused
            }
            return partitions.filter { !paused.contains($0) }.map { ($0, [1, 2]) }
        }

        /// Keeps the work until everything is paused, then does all of it.
        func process(_ records: [Int], done: @escaping @Sendable () -> Void) {
            state.withLock { state in state.work += records.map { _ in done } }
        }
    }

    func consume(_ client: SomeClient, _ gate: WatermarkGate<Int>) async throws {
        gate.assign(client.partitions)
        while !client.isStopping {
            let poll = try await gate.nextPoll()
            for edge in poll.edges {
                switch edge.action {
                case .pause: client.pause(edge.keys)
                case .resume: client.resume(edge.keys)
                }
            }
            for (partition, records) in await client.poll() {
                gate.add(records.count, to: partition)
                client.process(records) { gate.remove(from: partition) }
            }
        }
    }

    @Test("a consumer loop: both partitions fill, are paused, polls go on, work is done, both are resumed")
    func consumer() async throws {
        let clock = ManualClock()
        let gate = WatermarkGate<Int>(low: 2, high: 4, heartbeat: .seconds(100), clock: clock)
        let client = SomeClient(clock: clock)
        async let loop: Void = consume(client, gate)
        await clock.sleepers(atLeast: 1)
        #expect(gate.snapshot().paused == 2)
        #expect(client.state.withLock { $0.paused } == [0, 1])
        clock.advance(by: .seconds(100))  // the heartbeat: a poll that fetches nothing
        await clock.sleepers(atLeast: 1)
        while !client.isStopping {
            let work = client.state.withLock { state in
                defer { state.work = [] }
                return state.work
            }
            for done in work { done() }
            await Task.yield()
        }
        try await loop
        #expect(gate.snapshot().pauses >= 2 && gate.level(of: 0) <= 6)
    }

    // MARK: The kit

    @Test("TestSubscriber")
    func testSubscriber() {
        let subscriber = TestSubscriber<Int>()
        Flow.range(0..<3).subscribe(subscriber)
        subscriber.request(2)
        print(subscriber.elements)  // [0, 1]
        subscriber.request(2)
        print(subscriber.elements, subscriber.isCompleted)  // [0, 1, 2] true

        #expect(subscriber.elements == [0, 1, 2] && subscriber.isCompleted)
    }

    @Test("TestPublisher")
    func testPublisher() {
        let publisher = TestPublisher<Int>()
        let subscriber = TestSubscriber<Int>(initialDemand: 2)
        publisher.subscribe(subscriber)
        for element in 1...3 { publisher.send(element) }
        print(subscriber.elements, publisher.demand)  // [1, 2] 0
        publisher.fail(TestFailure("gone"))
        subscriber.request(1)
        print(subscriber.elements, subscriber.failure != nil)  // [1, 2, 3] true

        #expect(subscriber.elements == [1, 2, 3] && subscriber.failure as? TestFailure == TestFailure("gone"))
    }

    @Test("PublisherVerification")
    func publisherVerification() async {
        let verification = PublisherVerification<Int>(.deterministic) { count in
            Flow.range(0..<Int(count))
        }
        let violations = await verification.verify()
        print(violations.isEmpty)  // true

        #expect(violations.isEmpty)
    }

    @Test("SubscriberVerification")
    func subscriberVerification() async {
        let verification = SubscriberVerification<Int>(.deterministic, makeElement: { $0 }) {
            let subscriber = TestSubscriber<Int>(initialDemand: 1, onNext: { subscriber, _ in subscriber.request(1) })
            return SubscriberSubject(subscriber, cancel: { subscriber.cancel() })
        }
        print(await verification.verify())  // 2.5: a second subscription was not cancelled, ...

        // A test subscriber is a probe: it keeps what comes, and does what it is told at any time.
        let rules = Set(await verification.verify().map(\.rule))
        #expect(rules.contains(.rule2_5) && !rules.contains(.rule2_1))
    }
}
