// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A credit window under test: its tasks run step by step, its clock stands still, its hook keeps a log.

import BackpressureTestKit
import Testing

@testable import Backpressure

/// What a wait for a grant came to.
enum GrantAnswer: Hashable, Sendable {
    case granted(Int)
    case rejected(Rejection)
}

/// A wait that was started, and what became of it.
final class GrantTicket: Sendable {
    private let box = Shared<GrantAnswer?>(nil)
    private let task = Shared<Task<Void, Never>?>(nil)

    /// Nil while it waits.
    var answer: GrantAnswer? { box.value }

    func cancel() { task.value?.cancel() }

    func start(on executor: StepExecutor, _ body: @escaping @Sendable () async -> GrantAnswer) {
        let started = Task(executorPreference: executor) {
            let answer = await body()
            self.box.update { slot in
                precondition(slot == nil, "a wait ended twice")
                slot = answer
            }
        }
        task.update { $0 = started }
    }
}

final class CreditBench: Sendable {
    let executor = StepExecutor()
    let clock = ManualClock()
    let window: CreditWindow
    let reclaimed = Shared<[ReclaimedCredits]>([])
    /// Grants that waiting tasks got, kept so that they stay alive.
    let kept = Shared<[CreditLease.ID]>([])

    init(capacity: Int, batch: Int? = nil, leaseTime: Duration? = nil, grantTime: Duration? = nil) {
        let log = reclaimed
        window = CreditWindow(
            capacity: capacity, batch: batch, leaseTime: leaseTime, grantTime: grantTime, clock: clock,
            onReclaim: { report in log.update { $0.append(report) } })
    }

    /// The reports as "count reason".
    var reports: [String] { reclaimed.value.map { "\($0.count) \($0.reason)" } }

    /// Starts a wait whose grant is spent at once into one detached lease, which stays out.
    @discardableResult
    func nextGrant(
        atLeast: Int? = nil, atMost: Int = .max, timeout: Duration? = nil, run: Bool = true
    ) -> GrantTicket {
        let (window, kept, ticket) = (window, kept, GrantTicket())
        ticket.start(on: executor) {
            do throws(Rejection) {
                var grant = try await window.nextGrant(atLeast: atLeast, atMost: atMost, timeout: timeout)
                let count = grant.count
                if let id = grant.spend(count)?.detach() { kept.update { $0.append(id) } }
                return .granted(count)
            } catch {
                return .rejected(error)
            }
        }
        if run { executor.run() }
        return ticket
    }

    @discardableResult
    func drain(timeout: Duration? = nil) -> GrantTicket {
        let (window, ticket) = (window, GrantTicket())
        ticket.start(on: executor) {
            do throws(Rejection) {
                try await window.drain(timeout: timeout)
                return .granted(0)
            } catch {
                return .rejected(error)
            }
        }
        executor.run()
        return ticket
    }

    /// Takes `count` credits out into one detached lease each.
    func spend(_ count: Int) -> [CreditLease.ID] {
        guard var grant = window.grant(atLeast: count, atMost: count) else { return [] }
        return (0..<count).compactMap { _ in grant.spend()?.detach() }
    }

    /// The books balance: every credit is in exactly one place.
    var isBalanced: Bool {
        let snapshot = window.snapshot()
        return snapshot.granted == snapshot.settled + snapshot.givenBack + snapshot.reclaimed + UInt64(snapshot.out)
            && reclaimed.value.reduce(0) { $0 + $1.count } == Int(snapshot.reclaimed)
    }
}

// `#expect` takes its expression apart, and a call that consumes or returns what cannot be copied stays in one piece only
// as the argument of another.

/// Whether all of these hold.
func all(_ conditions: Bool...) -> Bool { conditions.allSatisfy { $0 } }

func isNil<Value: ~Copyable>(_ value: consuming Value?) -> Bool {
    switch consume value {
    case .some: false
    case .none: true
    }
}

/// The credits of a grant, which is given back with the call; 0 for none.
func count(_ grant: consuming CreditGrant?) -> Int {
    guard let grant else { return 0 }
    return grant.count
}

/// Takes a value that cannot be copied out of an optional, or throws.
func take<Value: ~Copyable>(_ value: consuming Value?) throws -> Value {
    guard let value else { throw NothingThere() }
    return value
}

struct NothingThere: Error {}
