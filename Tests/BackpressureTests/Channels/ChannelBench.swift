// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A channel of integers under test: its tasks run step by step, its clock stands still, its hook keeps a log.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// The error that test channels are finished with.
struct TestFailure: Error, Hashable, Sendable {
    var number = 1
}

/// What an operation came to, in one type for all of them.
enum Answer: Hashable, Sendable {
    case sent
    case dropped
    case returned(Int, Rejection)
    case received(Int)
    case empty
    case end
    case failed(TestFailure)
    case rejected(Rejection)

    init(_ result: SendResult<Int>) {
        switch result {
        case .sent: self = .sent
        case .dropped: self = .dropped
        case .returned(let rejected): self = .returned(rejected.element, rejected.reason)
        }
    }

    init(_ error: ReceiveError<TestFailure>) {
        switch error {
        case .failed(let failure): self = .failed(failure)
        case .rejected(let reason): self = .rejected(reason)
        }
    }
}

/// An element that reached the hook.
struct Undelivered: Hashable, Sendable {
    let element: Int
    let reason: Rejection
}

/// How long an operation is willing to wait.
enum Patience: Hashable, Sendable {
    /// `try...`: not at all.
    case none
    case forever
    case timeout(Duration)
}

/// An operation that was started, and what became of it.
final class Ticket: Sendable {
    private let box = Shared<Answer?>(nil)
    private let task = Shared<Task<Void, Never>?>(nil)

    /// Nil while the operation waits.
    var answer: Answer? { box.value }

    func cancel() { task.value?.cancel() }

    func end(_ answer: Answer) {
        box.update { slot in
            precondition(slot == nil, "an operation ended twice")
            slot = answer
        }
    }

    func start(on executor: StepExecutor, _ body: @escaping @Sendable () async -> Answer) {
        let started = Task(executorPreference: executor) { self.end(await body()) }
        task.update { $0 = started }
    }
}

/// A channel and everything around it that a test needs to hold still.
final class ChannelBench: Sendable {
    let clock = ManualClock()
    let executor = StepExecutor()
    let hookLog = Shared<[Undelivered]>([])
    let channel: BoundedChannel<Int, TestFailure>
    private let closesWhenGone: Bool

    init(
        capacity: Int, maximumCapacity: Int? = nil, overflow: OverflowPolicy = .suspend,
        watermarks: Watermarks? = nil, fairness: Fairness = .default, closesWhenGone: Bool = true
    ) {
        self.closesWhenGone = closesWhenGone
        let hookLog = hookLog
        channel = BoundedChannel(
            capacity: capacity, maximumCapacity: maximumCapacity, overflow: overflow, watermarks: watermarks,
            fairness: fairness, clock: clock
        ) { element, reason in
            let record = Undelivered(element: element, reason: reason)
            hookLog.update { $0.append(record) }
        }
    }

    /// No test leaves a task parked.
    deinit {
        guard closesWhenGone else { return }
        channel.cancel()
        executor.run()
    }

    /// Starts a send and, unless told otherwise, runs all ready tasks.
    @discardableResult
    func send(_ element: Int, _ patience: Patience = .forever, run: Bool = true) -> Ticket {
        let ticket = Ticket()
        let channel = channel
        switch patience {
        case .none: ticket.end(Answer(channel.trySend(element)))
        case .forever: ticket.start(on: executor) { Answer(await channel.send(element)) }
        case .timeout(let timeout): ticket.start(on: executor) { Answer(await channel.send(element, timeout: timeout)) }
        }
        if run { executor.run() }
        return ticket
    }

    /// Starts a receive and, unless told otherwise, runs all ready tasks.
    @discardableResult
    func receive(_ patience: Patience = .forever, run: Bool = true) -> Ticket {
        let ticket = Ticket()
        let channel = channel
        switch patience {
        case .none: ticket.end(Self.tryReceive(channel))
        case .forever:
            ticket.start(on: executor) {
                await Self.answer { () throws(ReceiveError<TestFailure>) in try await channel.receive() }
            }
        case .timeout(let timeout):
            ticket.start(on: executor) {
                await Self.answer { () throws(ReceiveError<TestFailure>) in
                    try await channel.receive(timeout: timeout)
                }
            }
        }
        if run { executor.run() }
        return ticket
    }

    private static func answer(
        _ body: () async throws(ReceiveError<TestFailure>) -> Int?
    ) async -> Answer {
        do throws(ReceiveError<TestFailure>) {
            guard let element = try await body() else { return .end }
            return .received(element)
        } catch {
            return Answer(error)
        }
    }

    static func tryReceive(_ channel: BoundedChannel<Int, TestFailure>) -> Answer {
        do throws(TestFailure) {
            switch try channel.tryReceive() {
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
        while case .received(let element) = Self.tryReceive(channel) { elements.append(element) }
        return elements
    }

    var snapshot: ChannelSnapshot { channel.snapshot() }

    /// Whether the fast path is open; at a quiet point without waiters it must be.
    var isGateOpen: Bool { channel.core.state.withLock { !$0.isGated } }

    /// Whether the lists, the heap of deadlines and both stewards are empty.
    var holdsNobody: Bool {
        channel.core.state.withLock {
            $0.senders.isEmpty && $0.receivers.isEmpty && $0.spill.isEmpty && $0.deadlines.isEmpty
                && !$0.hasSenderSteward && !$0.hasReceiverSteward && $0.debt == 0
        }
    }
}

extension ChannelSnapshot {
    /// The identities that hold at every instant.
    var isConsistent: Bool {
        sent == received + UInt64(depth) + evicted + abandoned && depth >= 0 && depth <= capacity
            && peakDepth >= depth && peakDepth <= capacity && waitingSenders >= 0 && waitingReceivers >= 0
    }
}
