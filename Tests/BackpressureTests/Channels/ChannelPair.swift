// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A channel and its oracle, driven by the same operations and compared after each.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// One operation on a channel, from outside.
enum ChannelEvent: Hashable, Sendable {
    case send(Patience)
    case receive(Patience)
    case finish
    case finishThrowing
    case cancel
    /// Of the waiting task that came first, or last.
    case cancelFirstWaiter
    case cancelLastWaiter
    case advance(Duration)
    case read

    static let all: [ChannelEvent] = [
        .send(.none), .send(.forever), .send(.timeout(.zero)), .send(.timeout(.seconds(-1))),
        .send(.timeout(.seconds(5))), .send(.timeout(.seconds(Int64.max))),
        .receive(.none), .receive(.forever), .receive(.timeout(.zero)), .receive(.timeout(.nanoseconds(-1))),
        .receive(.timeout(.seconds(5))), .receive(.timeout(.seconds(Int64.max))),
        .finish, .finishThrowing, .cancel, .cancelFirstWaiter, .cancelLastWaiter, .advance(.seconds(10)), .read,
    ]
}

/// How a channel is made.
struct ChannelConfiguration: Hashable, Sendable, CustomTestStringConvertible {
    let capacity: Int
    let overflow: OverflowPolicy
    let fairness: Fairness

    var testDescription: String { "capacity \(capacity), \(overflow), bypass \(fairness.bypass)" }

    static let overflows: [OverflowPolicy] = [.suspend, .reject, .dropNewest, .dropOldest]
    static let fairnesses: [Fairness] = [
        .fifo, .eventual(bypass: 0), .eventual(bypass: 1), .eventual(bypass: 2), .eventual(bypass: 1024),
    ]
    static let capacities = [1, 2, 3, 4, 7, 8]

    /// All of them; under a sanitizer the capacities 1 and 3 only, which the matrix prints.
    static let all: [ChannelConfiguration] = overflows.flatMap { overflow in
        fairnesses.flatMap { fairness in
            (Lane.current == .sanitizer ? [1, 3] : capacities).map {
                ChannelConfiguration(capacity: $0, overflow: overflow, fairness: fairness)
            }
        }
    }
}

/// A channel beside its oracle.
final class ChannelPair {
    let configuration: ChannelConfiguration
    let bench: ChannelBench
    private(set) var oracle: ChannelOracle
    private var tickets: [Ticket] = []
    private(set) var history: [ChannelEvent] = []
    private var nextElement = 100

    init(_ configuration: ChannelConfiguration) {
        self.configuration = configuration
        bench = ChannelBench(
            capacity: configuration.capacity, overflow: configuration.overflow, fairness: configuration.fairness)
        oracle = ChannelOracle(capacity: configuration.capacity, overflow: configuration.overflow)
    }

    /// The tickets whose operations wait, oldest first.
    var waitingTickets: [Int] { tickets.indices.filter { oracle.answers[$0] == nil } }

    func perform(_ event: ChannelEvent) async throws {
        history.append(event)
        switch event {
        case .send(let patience):
            nextElement += 1
            oracle.send(tickets.count, nextElement, patience)
            tickets.append(bench.send(nextElement, patience))
        case .receive(let patience):
            oracle.receive(tickets.count, patience)
            tickets.append(bench.receive(patience))
        case .finish:
            oracle.finish(nil)
            bench.channel.finish()
        case .finishThrowing:
            oracle.finish(TestFailure(number: 7))
            bench.channel.finish(throwing: TestFailure(number: 7))
        case .cancel:
            oracle.cancel()
            bench.channel.cancel()
        case .cancelFirstWaiter: cancel(waitingTickets.first)
        case .cancelLastWaiter: cancel(waitingTickets.last)
        case .advance(let duration): try await advance(by: duration)
        case .read: break
        }
        bench.executor.run()
    }

    private func cancel(_ ticket: Int?) {
        guard let ticket else { return }
        oracle.cancelTask(ticket)
        tickets[ticket].cancel()
    }

    /// Moves the clock; before, the timer must sleep for the earliest deadline, and after, it must have rung.
    private func advance(by duration: Duration) async throws {
        let (clock, executor) = (bench.clock, bench.executor)
        if let earliest = oracle.earliestDeadline {
            try await settle { clock.nextDeadline.map { $0.offset <= earliest } ?? false }
        }
        clock.advance(by: duration)
        oracle.advance(by: duration)
        // Not "nobody waits any more": the timer takes its waiters out first and wakes their tasks after.
        try await settle {
            executor.run()
            return self.tickets.indices.allSatisfy { self.tickets[$0].answer != nil || self.oracle.answers[$0] == nil }
        }
    }

    /// Whether channel and oracle agree in everything that can be seen; says where not.
    func check(sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        let snapshot = bench.snapshot
        let answers = tickets.indices.map { oracle.answers[$0] }
        let seen = tickets.map(\.answer)
        let hook = bench.hookLog.value
        let channel = bench.channel
        let agrees =
            oracle.agrees(with: snapshot) && snapshot.isConsistent && answers == seen && hook == oracle.hook
            && channel.count == oracle.buffer.count && channel.isClosed == oracle.isClosed
            && channel.capacity == oracle.capacity
            && (oracle.waiting > 0 || (bench.isGateOpen && bench.holdsNobody))
        if !agrees {
            Issue.record(
                """
                \(configuration.testDescription) after \(history)
                channel: \(snapshot) \(seen) hook \(hook) gate open \(bench.isGateOpen)
                oracle:  \(oracle) \(answers)
                """, sourceLocation: sourceLocation)
        }
        return agrees
    }
}
