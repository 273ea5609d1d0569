// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A buffer of integers under test: its tasks run step by step, its clock stands still, its hook keeps a log.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A buffer and everything around it that a test needs to hold still.
final class BufferBench: Sendable {
    let clock = ManualClock()
    let executor = StepExecutor()
    let hookLog = Shared<[Undelivered]>([])
    let door: BufferDoor<Int, TestFailure>

    init(_ plan: BufferPlan) {
        let hookLog = hookLog
        door = BufferDoor(
            plan, ttl: nil, costOf: nil, merger: ElementMerger { (old: Int, new: Int) in old &+ new }, clock: clock
        ) { element, reason in
            let record = Undelivered(element: element, reason: reason)
            hookLog.update { $0.append(record) }
        }
    }

    /// No test leaves a task parked.
    deinit {
        door.core.abandon()
        executor.run()
    }

    @discardableResult
    func send(
        _ element: Int, lane: Int = 0, cost: Int = 1, ttl: Duration? = nil, _ patience: Patience = .forever
    ) -> Ticket {
        let ticket = Ticket()
        let door = door
        switch patience {
        case .none: ticket.end(Answer(door.trySend(element, lane: lane, cost: cost, ttl: ttl)))
        case .forever:
            ticket.start(on: executor) {
                Answer(await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .none))
            }
        case .timeout(let timeout):
            ticket.start(on: executor) {
                Answer(await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .timeout(timeout)))
            }
        }
        executor.run()
        return ticket
    }

    @discardableResult
    func receive(_ patience: Patience = .forever) -> Ticket {
        let ticket = Ticket()
        let door = door
        switch patience {
        case .none: ticket.end(tryReceive())
        case .forever: ticket.start(on: executor) { await Self.answer(door, .none) }
        case .timeout(let timeout): ticket.start(on: executor) { await Self.answer(door, .timeout(timeout)) }
        }
        executor.run()
        return ticket
    }

    private static func answer(_ door: BufferDoor<Int, TestFailure>, _ limit: WaitLimit) async -> Answer {
        do throws(ReceiveError<TestFailure>) {
            guard let element = try await door.receive(limit: limit) else { return .end }
            return .received(element)
        } catch {
            return Answer(error)
        }
    }

    func tryReceive() -> Answer {
        do throws(TestFailure) {
            switch try door.tryReceive() {
            case .received(let element): return .received(element)
            case .empty: return .empty
            case .finished: return .end
            }
        } catch {
            return .failed(error)
        }
    }

    /// All that can be taken without waiting, in order.
    func drain() -> [Int] {
        var elements: [Int] = []
        while case .received(let element) = tryReceive() { elements.append(element) }
        return elements
    }

    var snapshot: BufferSnapshot { door.core.snapshot() }

    /// Whether the lists and heaps are empty, and the fast path is open unless the buffer is closed.
    var isAtRest: Bool {
        door.core.locked {
            $0.waiting == 0 && $0.receivers.isEmpty && $0.deadlines.isEmpty
                && ($0.isPlain || $0.closure != .open || !$0.expiries.isEmpty)
        }
    }
}
