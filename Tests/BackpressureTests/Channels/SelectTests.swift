// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Select: exactly one case is done or none, and nothing is lost on the others.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("select", .timeLimit(.minutes(10)))
struct SelectTests {
    private let executor = StepExecutor()
    private let clock = ManualClock()
    private let numbers: BoundedChannel<Int, TestFailure>
    private let words: RendezvousChannel<String, Never>

    init() {
        numbers = BoundedChannel(capacity: 1, clock: clock)
        words = RendezvousChannel(clock: clock)
    }

    private final class Outcome: Sendable {
        private let box = Shared<Result<String, any Error>?>(nil)
        private let task = Shared<Task<Void, Never>?>(nil)
        var text: String? {
            switch box.value {
            case .none: nil
            case .success(let text): text
            case .failure(let error): "\(error)"
            }
        }
        func cancel() { task.value?.cancel() }
        func start(on executor: StepExecutor, _ body: @escaping @Sendable () async throws -> String) {
            let started = Task(executorPreference: executor) {
                do {
                    let text = try await body()
                    self.box.update { $0 = .success(text) }
                } catch {
                    self.box.update { $0 = .failure(error) }
                }
            }
            task.update { $0 = started }
        }
    }

    /// Receives from either.
    private func receiveEither(timeout: Duration? = nil) -> Outcome {
        let (outcome, numbers, words) = (Outcome(), numbers, words)
        outcome.start(on: executor) {
            let select = Select<String>(
                .receive(from: numbers) { number in "number \(number ?? -1)" },
                .receive(from: words) { word in "word \(word ?? "-")" })
            if let timeout { return try await select.first(timeout: timeout) }
            return try await select.first()
        }
        executor.run()
        return outcome
    }

    private var holdsNobody: Bool {
        numbers.core.state.withLock { $0.senders.isEmpty && $0.receivers.isEmpty && $0.deadlines.isEmpty }
            && words.core.withState { state, _ in state.senders.isEmpty && state.receivers.isEmpty }
    }

    private var isOpen: Bool { numbers.core.state.withLock { !$0.isGated } }

    @Test("the case that is ready is done, the others stay as they were")
    func first_whenOneIsReady_doesThatOne() async {
        _ = numbers.trySend(1)
        let first = receiveEither()
        #expect(first.text == "number 1" && numbers.count == 0 && holdsNobody && isOpen)
    }

    @Test("none is ready: it waits in both, is served by the first, and leaves the other", arguments: [0, 1])
    func first_whenNoneIsReady_isServedByTheFirst(which: Int) {
        let outcome = receiveEither()
        #expect(outcome.text == nil)
        #expect(numbers.snapshot().waitingReceivers == 1 && words.snapshot().waitingReceivers == 1)
        if which == 0 { _ = numbers.trySend(7) } else { _ = words.trySend("a") }
        executor.run()
        #expect(outcome.text == (which == 0 ? "number 7" : "word a") && holdsNobody && isOpen)
        // The other one has not lost its way.
        #expect(words.trySend("b").reason == .full && numbers.trySend(8).isSent)
    }

    @Test("decided but not yet withdrawn: whoever comes to the other channel passes the dead case")
    func deadCase_isPassedOver() async throws {
        let outcome = receiveEither()
        let next = Ticket()
        let numbers = numbers
        next.start(on: executor) {
            (try? await numbers.receive()).flatMap { $0 }.map(Answer.received) ?? .end
        }
        executor.run()
        #expect(words.trySend("won").isSent)
        // The select's task has not run yet; its case is the first in line.
        #expect(numbers.snapshot().waitingReceivers == 2)
        #expect(numbers.trySend(5).isSent && numbers.snapshot().waitingReceivers == 0)
        executor.run()
        #expect(outcome.text == "word won" && next.answer == .received(5) && holdsNobody && isOpen)
    }

    @Test("a send that is not chosen keeps its element in the offer; one that is, gives it away")
    func offers_keepWhatIsNotSent() async throws {
        struct Parcel: ~Copyable { let weight: Int }
        @Sendable func weight(_ parcel: consuming Parcel?) -> Int {
            guard let parcel else { return 0 }
            return parcel.weight
        }
        let parcels = RendezvousChannel<Parcel, Never>()
        let offer = SendOffer(Parcel(weight: 3))
        let select = Select<Int>(
            .send(offer, to: parcels) { result in result.isSent ? 1 : -1 },
            .receive(from: numbers) { number in number ?? 0 })
        _ = numbers.trySend(42)
        #expect(try await select.first() == 42)
        #expect(!offer.isEmpty && parcels.snapshot().waitingSenders == 0)
        let receiving = Task { weight(try await parcels.receive()) }
        let chosen = try await select.first()
        #expect(chosen == 1)
        #expect(try await receiving.value == 3)
        #expect(offer.isEmpty)
        // Empty: the case is left out.
        #expect(try await select.tryFirst() == nil)
        offer.put(Parcel(weight: 4))
        parcels.finish()
        let returned = Select<Int>(
            .send(offer, to: parcels) { result in weight(result.take()) })
        #expect(try await returned.first() == 4)
        #expect(offer.isEmpty)
    }

    @Test("a timed-out or cancelled select gives its elements back and leaves every queue")
    func endedWaits_loseNothing() async throws {
        let late = receiveEither(timeout: .seconds(5))
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        #expect(await executor.run { late.text == "\(Rejection.timedOut)" })
        #expect(holdsNobody && isOpen)
        let cancelled = receiveEither()
        cancelled.cancel()
        executor.run()
        #expect(cancelled.text == "\(Rejection.cancelled)" && holdsNobody && isOpen)
        let offer = SendOffer("kept")
        let select = Select<Int>(
            .send(offer, to: words) { _ in 1 }, .receive(from: numbers) { _ in 2 })
        await #expect(throws: Rejection.timedOut) { try await select.first(timeout: .zero) }
        #expect(offer.take() == "kept" && holdsNobody)
    }

    @Test("what a case was handed before the cancel is returned")
    func cancelAfterGrant_returnsTheElement() {
        let outcome = receiveEither()
        #expect(words.trySend("first").isSent)
        outcome.cancel()
        executor.run()
        #expect(outcome.text == "word first" && holdsNobody)
    }

    @Test("a closed channel makes its case ready: the end, or its error")
    func close_makesACaseReady() {
        let waiting = receiveEither()
        words.finish()
        executor.run()
        #expect(waiting.text == "word -" && holdsNobody && isOpen)
        let failing = Outcome()
        let numbers = numbers
        failing.start(on: executor) {
            try await Select<String>(.receive(from: numbers) { _ in "never" }).first()
        }
        executor.run()
        numbers.finish(throwing: TestFailure(number: 4))
        executor.run()
        #expect(failing.text == "\(TestFailure(number: 4))" && holdsNobody)
    }

    @Test("two selects meet in one rendezvous; a select never meets itself")
    func selects_meetEachOther() async throws {
        let words = words
        let (one, other) = (Outcome(), Outcome())
        for (outcome, name) in [(one, "one"), (other, "other")] {
            outcome.start(on: executor) {
                try await Select<String>(
                    .send(name, to: words) { "\(name) sent \($0.isSent)" },
                    .receive(from: words) { "\(name) got \($0 ?? "-")" }
                ).first()
            }
            executor.run()
            if name == "one" { #expect(one.text == nil, "a select met itself") }
        }
        executor.run()
        let texts = Set([one.text, other.text])
        #expect(texts == ["one sent true", "other got one"] || texts == ["other sent true", "one got other"])
        #expect(holdsNobody)
    }

    @Test("biased takes the first that is ready, fair any of them")
    func order_isAsAsked() async throws {
        func picks(_ order: SelectOrder) async throws -> [Int] {
            let channels = (0..<3).map { _ in BoundedChannel<Int, Never>(capacity: 1) }
            let select = Select<Int>(
                channels.enumerated().map { index, channel in .receive(from: channel) { _ in index } }, order: order)
            var counts = [0, 0, 0]
            for _ in 0..<3_000 {
                for channel in channels { _ = channel.trySend(1) }
                counts[try await select.first()] += 1
            }
            return counts
        }
        #expect(try await picks(.biased) == [3_000, 0, 0])
        let fair = try await picks(.fair)
        #expect(fair.allSatisfy { $0 > 300 }, "\(fair)")
    }

    @Test("a policy that drops is ready at once, one that rejects waits for room")
    func overflowPolicies_inASelect() async throws {
        let dropping = BoundedChannel<Int, Never>(capacity: 1, overflow: .dropNewest)
        _ = dropping.trySend(1)
        let result = try await Select<Bool>(.send(2, to: dropping) { if case .dropped = $0 { true } else { false } })
            .first()
        #expect(result && dropping.snapshot().droppedNewest == 1)
        let rejecting = BoundedChannel<Int, Never>(capacity: 1, overflow: .reject)
        _ = rejecting.trySend(1)
        let outcome = Outcome()
        outcome.start(on: executor) {
            try await Select<String>(.send(2, to: rejecting) { "\($0.isSent)" }).first()
        }
        executor.run()
        #expect(outcome.text == nil)
        #expect(rejecting.tryReceive().take() == 1)
        executor.run()
        #expect(outcome.text == "true" && rejecting.tryReceive().take() == 2 && rejecting.snapshot().refused == 0)
    }

    @Test("storm: selects against selects, sends, receives, timeouts and cancels over three channels")
    func storm_losesNothing() async {
        let size = LaneSize("select.storm", plain: 24_000, sanitizer: 2_400, deep: 1_000_000)
        let clock = ManualClock()
        let ring = BoundedChannel<Int, Never>(capacity: 2, clock: clock)
        let first = RendezvousChannel<Int, Never>(clock: clock)
        let second = RendezvousChannel<Int, Never>(clock: clock)
        let share = size.count / 4
        let totals = await withTaskGroup(of: (isProducer: Bool, sum: Int, count: Int).self) { group in
            for producer in 0..<4 {
                group.addTask {
                    var (sum, count) = (0, 0)
                    for index in 0..<share {
                        let element = producer * share + index
                        if index % 16 == 5 { clock.advance(by: .seconds(1)) }
                        let isSent: Bool
                        switch index % 6 {
                        case 0: isSent = await ring.send(element).isSent
                        case 1: isSent = await first.send(element, timeout: .seconds(1)).isSent
                        case 2:
                            let task = Task { try await Self.offer(element, ring, first, second) }
                            task.cancel()
                            isSent = (try? await task.value) ?? false
                        case 3:
                            isSent = (try? await Self.offer(element, ring, first, second, .seconds(1))) ?? false
                        default: isSent = (try? await Self.offer(element, ring, first, second)) ?? false
                        }
                        if isSent { (sum, count) = (sum &+ element, count + 1) }
                    }
                    return (true, sum, count)
                }
            }
            for consumer in 0..<4 {
                group.addTask {
                    var (sum, count) = (0, 0)
                    var turn = consumer
                    let select = Select<Int?>(
                        .receive(from: ring) { $0 }, .receive(from: first) { $0 }, .receive(from: second) { $0 },
                        order: consumer % 2 == 0 ? .fair : .biased)
                    while true {
                        turn += 1
                        do {
                            let element =
                                turn % 5 == 0
                                ? try await select.first(timeout: .seconds(1)) : try await select.first()
                            guard let element else { break }
                            (sum, count) = (sum &+ element, count + 1)
                        } catch {}
                    }
                    while case .received(let element) = ring.tryReceive() { (sum, count) = (sum &+ element, count + 1) }
                    return (false, sum, count)
                }
            }
            var (sent, received, producers) = ((0, 0), (0, 0), 0)
            for await part in group {
                if part.isProducer {
                    sent = (sent.0 &+ part.sum, sent.1 + part.count)
                    producers += 1
                    guard producers == 4 else { continue }
                    ring.finish()
                    first.finish()
                    second.finish()
                } else {
                    received = (received.0 &+ part.sum, received.1 + part.count)
                }
            }
            while case .received(let element) = ring.tryReceive() {
                received = (received.0 &+ element, received.1 + 1)
            }
            return [sent.0, sent.1, received.0, received.1]
        }
        #expect(totals[0] == totals[2] && totals[1] == totals[3] && totals[1] > 0, "\(totals)")
        let (depths, here, there) = (ring.snapshot(), first.snapshot(), second.snapshot())
        #expect(depths.waitingSenders == 0 && depths.waitingReceivers == 0 && depths.depth == 0)
        #expect(here.waitingSenders == 0 && here.waitingReceivers == 0)
        #expect(there.waitingSenders == 0 && there.waitingReceivers == 0)
        #expect(depths.received + here.handedOver + there.handedOver == UInt64(totals[1]))
        #expect(ring.core.state.withLock { !$0.isGated })
    }

    private static func offer(
        _ element: Int, _ ring: BoundedChannel<Int, Never>, _ first: RendezvousChannel<Int, Never>,
        _ second: RendezvousChannel<Int, Never>, _ timeout: Duration? = nil
    ) async throws -> Bool {
        let select = Select<Bool>(
            .send(element, to: ring) { $0.isSent }, .send(element, to: first) { $0.isSent },
            .send(element, to: second) { $0.isSent })
        if let timeout { return try await select.first(timeout: timeout) }
        return try await select.first()
    }
}
