// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A semaphore under test: its tasks run step by step, its clock stands still, what was acquired lies in tickets.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// What became of an acquisition.
enum AcquireAnswer: Hashable, Sendable {
    /// The ticket holds so many permits.
    case held(Int)
    /// `tryAcquire` said nil.
    case refused
    case rejected(Rejection)
    /// Held, and given back.
    case released
    /// Held, and forgotten.
    case forgotten
}

/// An acquisition that was started, and the permits that came of it.
final class PermitTicket: Sendable {
    private struct Slot: ~Copyable, Sendable {
        var permit: AsyncSemaphore.Permit?
        var answer: AcquireAnswer?
    }

    private let slot = LockedState(Slot(permit: nil, answer: nil))
    private let task = Shared<Task<Void, Never>?>(nil)

    /// Nil while the acquisition waits.
    var answer: AcquireAnswer? { slot.withLock { $0.answer } }

    func cancel() { task.value?.cancel() }

    func start(
        _ executor: StepExecutor, _ body: @escaping @Sendable () async throws(AcquireError) -> AsyncSemaphore.Permit
    ) {
        let started = Task(executorPreference: executor) {
            do throws(AcquireError) {
                self.put(try await body())
            } catch {
                self.end(.rejected(error.reason))
            }
        }
        task.update { $0 = started }
    }

    func put(_ permit: consuming AsyncSemaphore.Permit) {
        let count = permit.count
        var arriving: AsyncSemaphore.Permit? = consume permit
        slot.withLock { slot in
            precondition(slot.answer == nil, "an acquisition ended twice")
            slot.permit = arriving.take()
            slot.answer = .held(count)
        }
    }

    func end(_ answer: AcquireAnswer) {
        slot.withLock { slot in
            precondition(slot.answer == nil, "an acquisition ended twice")
            slot.answer = answer
        }
    }

    /// Takes the permits out of the ticket.
    func take(as answer: AcquireAnswer = .released) -> AsyncSemaphore.Permit? {
        var leaving: AsyncSemaphore.Permit?
        slot.withLock { slot in
            leaving = slot.permit.take()
            if leaving != nil { slot.answer = answer }
        }
        return leaving
    }

    /// Gives the permits back.
    func release() { take()?.release() }

    func forget() { _ = take(as: .forgotten)?.forget() }
}

/// A semaphore and everything around it that a test needs to hold still.
final class SemaphoreBench: Sendable {
    let clock = ManualClock()
    let executor = StepExecutor()
    let semaphore: AsyncSemaphore

    init(
        _ permits: Int, fairness: Fairness = .default, order: WaiterOrder = .fifo, waiterLimit: Int = .max,
        name: String? = nil
    ) {
        semaphore = AsyncSemaphore(
            permits: permits, fairness: fairness, order: order, waiterLimit: waiterLimit, name: name, clock: clock)
    }

    /// No test leaves a task parked.
    deinit {
        semaphore.close()
        executor.run()
    }

    /// Starts an acquisition and, unless told otherwise, runs all ready tasks.
    @discardableResult
    func acquire(_ count: Int = 1, _ patience: Patience = .forever, run: Bool = true) -> PermitTicket {
        let ticket = PermitTicket()
        let semaphore = semaphore
        switch patience {
        case .none:
            if let permit = semaphore.tryAcquire(count) { ticket.put(permit) } else { ticket.end(.refused) }
        case .forever:
            ticket.start(executor) { () throws(AcquireError) in try await semaphore.acquire(count) }
        case .timeout(let timeout):
            ticket.start(executor) { () throws(AcquireError) in try await semaphore.acquire(count, timeout: timeout) }
        }
        if run { executor.run() }
        return ticket
    }

    /// Gives back what `ticket` holds and, unless told otherwise, runs all ready tasks.
    func release(_ ticket: PermitTicket, run: Bool = true) {
        ticket.release()
        if run { executor.run() }
    }

    var snapshot: SemaphoreSnapshot { semaphore.snapshot() }

    /// Whether nothing is left of any wait.
    var holdsNobody: Bool {
        semaphore.core.state.withLock {
            $0.waiters.isEmpty && $0.called == nil && $0.deadlines.isEmpty && ($0.isCounting || $0.onTheWay == 0)
        }
    }

    /// Whether the fast path is open; at a quiet point without waiters it must be.
    var isGateOpen: Bool { semaphore.core.state.withLock { !$0.isGated } }
}

extension SemaphoreSnapshot {
    /// The identities that hold at every instant.
    var isConsistent: Bool {
        available - debt + inUse == limit && available >= 0 && debt >= 0 && min(available, debt) == 0
            && forgotten >= 0 && forgotten <= inUse && peakInUse >= inUse && waiting <= peakWaiting
    }
}

/// Permits without waiting, or the test fails: `#require` cannot hold what cannot be copied.
func taken(_ count: Int = 1, of semaphore: AsyncSemaphore) throws -> AsyncSemaphore.Permit {
    guard let permit = semaphore.tryAcquire(count) else { throw NoPermit() }
    return permit
}

struct NoPermit: Error {}

extension AsyncSemaphore {
    /// Whether so many permits can be had now; they are given back at once.
    func isFree(_ count: Int = 1) -> Bool { tryAcquire(count) != nil }
}
