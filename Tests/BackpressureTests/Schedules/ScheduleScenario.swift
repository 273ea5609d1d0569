// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Real tasks on one thread, in an order that a test chooses: every turn of every task is a choice.
//
// A turn is what a task does from one resumption to its next suspension. So schedules interleave at awaits only; what
// happens between two atomics is the model checker's business. A cancellation can be placed before any turn: with every
// turn and every task tried, each await of a scenario is cancelled once before it, in it and after it.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// What one task of a scenario sees and notes.
struct ScheduleSeat: Sendable {
    let channel: BoundedChannel<Int, TestFailure>
    fileprivate let log: Shared<[ScheduleNote]>
    fileprivate let task: Int

    /// Sends, and notes what became of it.
    func send(_ element: Int) async { note(element, Answer(await channel.send(element))) }

    /// Receives, and notes what came.
    func receive() async {
        do throws(ReceiveError<TestFailure>) {
            guard let element = try await channel.receive() else { return note(nil, .end) }
            note(nil, .received(element))
        } catch {
            note(nil, Answer(error))
        }
    }

    /// Receives in a loop until the end or a cancellation.
    func receiveAll() async {
        do {
            for try await element in channel { note(nil, .received(element)) }
        } catch {
            note(nil, .failed(error))
        }
    }

    func trySend(_ element: Int) { note(element, Answer(channel.trySend(element))) }

    func tryReceive() { note(nil, ChannelBench.tryReceive(channel)) }

    private func note(_ element: Int?, _ answer: Answer) {
        let note = ScheduleNote(task: task, element: element, answer: answer)
        log.update { $0.append(note) }
    }
}

struct ScheduleNote: Hashable, Sendable {
    let task: Int
    /// What a send was about.
    let element: Int?
    let answer: Answer
}

/// A few tasks over one channel.
struct ScheduleScenario: Sendable, CustomTestStringConvertible {
    typealias Body = @Sendable (ScheduleSeat) async -> Void

    let name: String
    var capacity = 1
    var overflow = OverflowPolicy.suspend
    var fairness = Fairness.fifo
    let tasks: [Body]

    var testDescription: String { "\(name), capacity \(capacity), \(overflow), bypass \(fairness.bypass)" }
}

/// A task to be cancelled before the turn of that number.
struct CancelPoint: Hashable, Sendable {
    let turn: Int
    let task: Int
}

/// Which of the ready tasks takes the next turn.
enum ScheduleOrder: Sendable {
    /// The one that has been ready longest.
    case oldestFirst
    case seeded(UInt64)
    /// Those places in the list of ready tasks; the oldest after that.
    case scripted([Int])
}

/// What a run came to.
struct ScheduleOutcome: Sendable {
    var turns = 0
    /// For each turn, which of how many took it.
    var choices: [(chosen: Int, of: Int)] = []
    /// What is wrong, if anything is.
    var complaint: String?
}

extension ScheduleScenario {
    /// More turns than this and a scenario counts as one that does not end.
    private static let mostTurns = 5_000

    /// Runs the scenario in that order with those cancellations, closes the channel, and balances the books.
    func run(_ order: ScheduleOrder, cancelling points: [CancelPoint] = []) -> ScheduleOutcome {
        let executor = StepExecutor()
        let hook = Shared<[Int]>([])
        let log = Shared<[ScheduleNote]>([])
        let ended = Shared(0)
        let channel = BoundedChannel<Int, TestFailure>(capacity: capacity, overflow: overflow, fairness: fairness) {
            element, _ in
            let element = element
            hook.update { $0.append(element) }
        }
        let running = tasks.enumerated().map { index, body in
            let seat = ScheduleSeat(channel: channel, log: log, task: index)
            return Task(executorPreference: executor) {
                await body(seat)
                ended.update { $0 += 1 }
            }
        }
        var outcome = ScheduleOutcome()
        var random: SplitMix64? = if case .seeded(let seed) = order { SplitMix64(seed: seed) } else { nil }
        var isClosed = false
        while true {
            for point in points where point.turn == outcome.turns { running[point.task].cancel() }
            let ready = executor.readyCount
            if ready == 0 {
                if isClosed { break }
                // All wait, and the cancellations that come later have nobody to hit.
                channel.finish()
                isClosed = true
                continue
            }
            var chosen = 0
            switch order {
            case .oldestFirst: break
            case .seeded: chosen = Int(random?.next(upperBound: UInt64(ready)) ?? 0)
            case .scripted(let script):
                if outcome.turns < script.count { chosen = min(script[outcome.turns], ready - 1) }
            }
            outcome.choices.append((chosen, ready))
            outcome.turns += 1
            executor.step(at: chosen)
            if outcome.turns > Self.mostTurns { break }
        }
        if ended.value != tasks.count {
            outcome.complaint = "\(tasks.count - ended.value) tasks wait for ever after \(outcome.turns) turns"
        } else {
            outcome.complaint = complaint(log.value, hook.value, channel, mayBeCancelled: !points.isEmpty)
        }
        return outcome
    }

    /// Delivered or handed back, once; each sender's order kept; nothing left behind.
    private func complaint(
        _ notes: [ScheduleNote], _ hook: [Int], _ channel: BoundedChannel<Int, TestFailure>, mayBeCancelled: Bool
    ) -> String? {
        var (sent, came): ([Int], [Int]) = ([], [])
        for note in notes {
            switch note.answer {
            case .sent: sent.append(note.element ?? .min)
            case .dropped: sent.append(note.element ?? .min)
            case .received(let element): came.append(element)
            case .returned(let element, let reason):
                if element != note.element { return "\(element) came back for \(note.element ?? .min)" }
                if reason == .cancelled, !mayBeCancelled { return "cancelled by nobody: \(note)" }
            case .rejected(let reason):
                if reason == .cancelled, !mayBeCancelled { return "cancelled by nobody: \(note)" }
            case .empty, .end, .failed: break
            }
        }
        while case .received(let element) = ChannelBench.tryReceive(channel) { came.append(element) }
        came += hook
        if came.sorted() != sent.sorted() { return "sent \(sent), came \(came): \(notes)" }
        for task in tasks.indices {
            var last: [Int: Int] = [:]
            for note in notes where note.task == task {
                guard case .received(let element) = note.answer else { continue }
                if last[element / 10, default: -1] >= element { return "order of sender \(element / 10): \(notes)" }
                last[element / 10] = element
            }
        }
        let snapshot = channel.snapshot()
        guard snapshot.waitingSenders == 0, snapshot.waitingReceivers == 0, snapshot.depth == 0 else {
            return "left behind: \(snapshot)"
        }
        return channel.core.state.withLock({ $0.isGated }) ? "the gate is closed at rest" : nil
    }
}
