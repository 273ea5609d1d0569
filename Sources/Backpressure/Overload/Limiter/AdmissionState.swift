// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a concurrency limiter keeps under its lock: who runs, who waits, and what the calls of this window told.
//
// ## Invariants
// I1  books.total <= limit, but for the debt after the limit was lowered: then nobody enters until it is paid.
// I2  The lock free => no waiter could have a place (`books.next() == nil`).
// I3  books.partitions[i].waiting == lists[i].count; a waiter has a deadline in the heap exactly while it is linked.
// I4  `isLearning` => one thread is between taking a sample and storing the limit that follows; nobody else touches
//     `learner.algorithm`.

/// The algorithm, where one thread at a time can change it in place.
///
/// Who set `AdmissionState.isLearning` owns it, until it has cleared it.
final class LimitLearner: @unchecked Sendable {
    var algorithm: any ConcurrencyLimit

    init(_ algorithm: any ConcurrencyLimit) { self.algorithm = algorithm }
}

/// A share as it was asked for: parts of the limit, whatever the limit is.
struct AdmissionShare: Sendable {
    let share: Double
    let reserved: Double

    /// The places of a limit.
    func places(of limit: Int) -> (share: Int, reserved: Int) {
        let reserved = Int(Double(limit) * reserved)
        // Somebody who has a share at all is first in line for one place.
        return (max(Int(Double(limit) * share), share > 0 ? 1 : 0, reserved), reserved)
    }
}

/// The state under the lock.
struct AdmissionState: ~Copyable, @unchecked Sendable {
    static let waiterTag: UInt8 = 1
    static let drainerTag: UInt8 = 2

    var books: PartitionBooks
    var lists: [WaiterList]
    /// Who waits for the limiter to be closed and the last call to end.
    var drainers = WaiterList(tag: drainerTag)
    var deadlines = Deadlines()
    var window: SampleWindow
    var codel: CoDel?
    var learner: LimitLearner
    var isLearning = false
    var isClosed = false
    var waiting = 0
    var counters = AdmissionCounters()
    /// Calls that run beside the limit.
    var bypassing = 0
}

/// What the books do not tell.
struct AdmissionCounters: Sendable {
    var admitted: UInt64 = 0
    var parked: UInt64 = 0
    var succeeded: UInt64 = 0
    var ignored: UInt64 = 0
    var dropped: UInt64 = 0
    var overLimit: UInt64 = 0
    var shed: UInt64 = 0
    var timedOut: UInt64 = 0
    var cancelled: UInt64 = 0
    var samples: UInt64 = 0
}

/// What is to be done once the lock is released.
struct AdmissionEffects: Sendable {
    var wakes = WakeBatch()
    var timer: TimerRequest?
    var sample: LimitSample?
}

/// How a call that was admitted ended, as far as the limit learns from it.
public enum CallOutcome: Hashable, Sendable {
    /// It was done, well or not: how long it took says something about the load.
    case success
    /// It says nothing about the load, as a call that failed at once or was cancelled.
    case ignored
    /// It ran into a timeout, or was turned away further down: a sign of overload.
    case dropped
}
