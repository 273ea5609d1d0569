// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A semaphore and its oracle, driven by the same operations and compared after each.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// One operation on a semaphore, from outside.
enum SemaphoreEvent: Hashable, Sendable {
    case acquire(Int, Patience)
    /// Of what was acquired first, or last, and is still held.
    case releaseFirst
    case releaseLast
    case forgetFirst
    /// One of the forgotten permits, if there is one.
    case restore
    case cancelFirstWaiter
    case cancelLastWaiter
    case resize(Int)
    case close
    case closeThrowing
    case advance(Duration)
    case read

    static let all: [SemaphoreEvent] = [
        .acquire(1, .none), .acquire(2, .none), .acquire(4, .none), .acquire(1, .forever), .acquire(2, .forever),
        .acquire(3, .forever), .acquire(9, .forever), .acquire(1, .timeout(.zero)), .acquire(2, .timeout(.seconds(-1))),
        .acquire(1, .timeout(.seconds(5))), .acquire(2, .timeout(.seconds(Int64.max))),
        .releaseFirst, .releaseLast, .forgetFirst, .restore, .cancelFirstWaiter, .cancelLastWaiter,
        .resize(1), .resize(2), .resize(6), .close, .closeThrowing, .advance(.seconds(10)), .read,
    ]
}

/// How a semaphore is made.
struct SemaphoreConfiguration: Hashable, Sendable, CustomTestStringConvertible {
    let permits: Int
    let fairness: Fairness
    let order: WaiterOrder
    let waiterLimit: Int

    var testDescription: String {
        "\(permits) permits, bypass \(fairness.bypass), fifo up to \(order.fifoUpTo), \(waiterLimit) may wait"
    }

    static let fairnesses: [Fairness] = [.fifo, .eventual(bypass: 1), .default]
    static let orders: [WaiterOrder] = [.fifo, .lifo, .adaptiveLIFO(above: 2)]

    static let all: [SemaphoreConfiguration] = (Lane.current == .sanitizer ? [3] : [1, 3, 4]).flatMap { permits in
        fairnesses.flatMap { fairness in
            orders.flatMap { order in
                [Int.max, 3].map {
                    SemaphoreConfiguration(permits: permits, fairness: fairness, order: order, waiterLimit: $0)
                }
            }
        }
    }
}

/// A semaphore beside its oracle.
final class SemaphorePair {
    let configuration: SemaphoreConfiguration
    let bench: SemaphoreBench
    private(set) var oracle: SemaphoreOracle
    private var tickets: [PermitTicket] = []
    private(set) var history: [SemaphoreEvent] = []

    init(_ configuration: SemaphoreConfiguration) {
        self.configuration = configuration
        bench = SemaphoreBench(
            configuration.permits, fairness: configuration.fairness, order: configuration.order,
            waiterLimit: configuration.waiterLimit)
        oracle = SemaphoreOracle(
            limit: configuration.permits, order: configuration.order, waiterLimit: configuration.waiterLimit)
    }

    func perform(_ event: SemaphoreEvent) async throws {
        history.append(event)
        switch event {
        case .acquire(let count, let patience):
            oracle.acquire(tickets.count, count, patience)
            tickets.append(bench.acquire(count, patience))
        case .releaseFirst: release(oracle.heldTickets.first)
        case .releaseLast: release(oracle.heldTickets.last)
        case .forgetFirst:
            guard let ticket = oracle.heldTickets.first else { break }
            oracle.forget(ticket)
            tickets[ticket].forget()
        case .restore:
            guard oracle.forgotten > 0 else { break }
            oracle.restore(1)
            bench.semaphore.release()
        case .cancelFirstWaiter: cancel(oracle.waitingTickets.first)
        case .cancelLastWaiter: cancel(oracle.waitingTickets.last)
        case .resize(let limit):
            oracle.resize(to: limit)
            bench.semaphore.resize(to: limit)
        case .close:
            let isFirst = !oracle.isClosed
            oracle.close()
            #expect(bench.semaphore.close() == isFirst)
        case .closeThrowing:
            let isFirst = !oracle.isClosed
            oracle.close()
            #expect(bench.semaphore.close(throwing: TestFailure(number: 7)) == isFirst)
        case .advance(let duration): try await advance(by: duration)
        case .read: break
        }
        bench.executor.run()
    }

    private func release(_ ticket: Int?) {
        guard let ticket else { return }
        oracle.release(ticket)
        tickets[ticket].release()
    }

    private func cancel(_ ticket: Int?) {
        guard let ticket else { return }
        oracle.cancel(ticket)
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
        // The timer takes its waiters out first and wakes their tasks after.
        try await settle {
            executor.run()
            return self.tickets.indices.allSatisfy { self.tickets[$0].answer != nil || self.oracle.answers[$0] == nil }
        }
    }

    /// Whether semaphore and oracle agree in everything that can be seen; says where not.
    func check(sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        let snapshot = bench.snapshot
        let answers = tickets.indices.map { oracle.answers[$0] }
        let seen = tickets.map(\.answer)
        let semaphore = bench.semaphore
        let agrees =
            oracle.agrees(with: snapshot) && snapshot.isConsistent && answers == seen
            && semaphore.available == snapshot.available && semaphore.inUse == snapshot.inUse
            && semaphore.limit == oracle.limit && semaphore.waiting == oracle.waiting
            && semaphore.isClosed == oracle.isClosed
            && (oracle.waiting > 0 || bench.holdsNobody) && (oracle.waiting > 0 || oracle.isClosed || bench.isGateOpen)
        if !agrees {
            Issue.record(
                """
                \(configuration.testDescription) after \(history)
                semaphore: \(snapshot) \(seen) gate open \(bench.isGateOpen)
                oracle:    \(oracle) \(answers)
                """, sourceLocation: sourceLocation)
        }
        return agrees
    }
}
