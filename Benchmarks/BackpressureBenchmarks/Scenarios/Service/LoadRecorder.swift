// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What became of each request, by its number in the plan.

import Synchronization

/// One request with all of its tries.
struct CallRecord: Sendable, Equatable {
    enum Outcome: UInt8, Sendable {
        /// The run ended first.
        case open
        case answered
        /// Turned away, also when tried again.
        case rejected
        /// No answer in time, or the connection broke.
        case lost
    }

    /// Nanoseconds after the start at which it was due.
    var due: Int
    var isCritical: Bool
    /// How long after it was due it was sent; nil for not at all.
    var lateness: Int?
    /// When the try that runs was due; nil while none does.
    var tryDue: Int?
    /// How long after the request was due its fate was known.
    var latency = 0
    var outcome = Outcome.open
    var tries = 0

    init(due: Int, isCritical: Bool) {
        self.due = due
        self.isCritical = isCritical
        tryDue = due
    }
}

/// A try that was admitted, or never answered: when it was due, and how long after that its fate was known.
struct TryRecord: Sendable, Equatable {
    var due: Int
    var latency: Int
}

/// All that a run put on record.
struct LoadRecords: Sendable, Equatable {
    var calls: [CallRecord]
    var tries: [TryRecord] = []
    /// Rejected tries by status, and how many of them lacked the status or the time to come again.
    var tooManyRequests = 0
    var unavailable = 0
    var malformed = 0
}

/// Gathers the records, from any thread.
final class LoadRecorder: Sendable {
    private let records: Mutex<LoadRecords>

    init(_ plan: LoadPlan) {
        records = Mutex(
            LoadRecords(calls: plan.arrivals.map { CallRecord(due: $0.at, isCritical: $0.request.isCritical) }))
    }

    /// The first try goes out.
    func sent(_ number: Int, at time: Int) {
        records.withLock { records in
            records.calls[number].lateness = max(time - records.calls[number].due, 0)
            records.calls[number].tries = 1
        }
    }

    /// Another try goes out, which was due at `due`.
    func sentAgain(_ number: Int, due: Int) {
        records.withLock { records in
            records.calls[number].tries += 1
            records.calls[number].tryDue = due
        }
    }

    /// A try was turned away.
    func rejected(_ number: Int, status: Int, isCorrect: Bool) {
        records.withLock { records in
            records.calls[number].tryDue = nil
            if status == 429 { records.tooManyRequests += 1 } else { records.unavailable += 1 }
            if !isCorrect { records.malformed += 1 }
        }
    }

    /// A try was answered, or its caller stopped waiting.
    func decided(_ number: Int, at time: Int) {
        records.withLock { records in
            guard let due = records.calls[number].tryDue else { return }
            records.calls[number].tryDue = nil
            records.tries.append(TryRecord(due: due, latency: max(time - due, 0)))
        }
    }

    /// The fate of the request is known.
    func ended(_ number: Int, _ outcome: CallRecord.Outcome, at time: Int) {
        records.withLock { records in
            records.calls[number].outcome = outcome
            records.calls[number].latency = max(time - records.calls[number].due, 0)
        }
    }

    var all: LoadRecords { records.withLock { $0 } }
}
