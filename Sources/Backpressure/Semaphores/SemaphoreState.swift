// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a semaphore keeps under its lock: who waits, who was called, and whether the gate is closed.
//
// ## States
// open     nobody waits. The word alone decides.
// gated    somebody waits, and nobody is on the way to look: turns is 0, so newcomers come to the lock and queue;
//          `queued` is set, so whoever gives permits back comes to the lock and serves.
// called   somebody waits, and the next one in order has been woken without permits, to take them itself. The word is
//          open meanwhile, with as many turns as newcomers may still pass it.
//
// open -> gated      an acquisition registers
// gated -> gated     strict order: a release hands its permits to the next in order
// gated -> called    `Fairness.eventual`: a release calls the next in order, if it was not called before and may still
//                    be passed
// called -> gated    the called task runs and finds too few permits (it goes back to its place, and is next handed its
//                    permits); or newcomers have passed it as often as they may
// called -> called   the called task takes its permits, and there are some for the next, which is called
// any -> open        nobody waits any more
//
// Why: a permit that is handed to a sleeping task lies idle until that task runs, half a microsecond to a microsecond. Called and not
// handed over, it is used by those who run, at a hundred times the pace.
//
// ## Invariants
// I1  Waiters => gated, or one is called.
// I2  The called waiter is in no list: it is nobody's to end, but it may be handed its permits in place.
// I3  gated, none called, nobody on the way with permits, lock free => the next in order does not fit.
// I4  `issued` less the word's turns is the number of acquisitions so far.
// I5  available + in use == limit, forgotten <= in use.

// I6  While `queued` is set: available == accounted + permits whose giver is on the way to the lock. Those who gave while
//     it was set and have not come since it was cleared: `onTheWay`.

/// The state under the lock.
struct SemaphoreState: ~Copyable, @unchecked Sendable {
    static let waiterTag: UInt8 = 1
    static let drainerTag: UInt8 = 2

    var waiters = WaiterList(tag: waiterTag)
    /// Who waits for the semaphore to be closed and all permits to be back.
    var drainers = WaiterList(tag: drainerTag)
    /// Woken to take its permits itself, and not yet running.
    var called: WaiterRef?
    /// Whether turns is 0 because somebody must not be passed, or for good.
    var isGated = false

    var limit: Int
    /// Taken by a `Permit` that was forgotten.
    var forgotten = 0
    var isClosed = false
    /// The semaphore is gone, and permits are out, or their giver has not yet been here.
    var isOrphaned = false
    /// Whether `queued` is set in the word.
    var isCounting = false
    /// What is available but for those on the way; means nothing unless `isCounting`.
    var accounted = 0
    /// Permits whose giver is on the way to the lock; means nothing while `isCounting`.
    var onTheWay = 0
    var failure: (any Error)?

    /// Turns handed to the word, less those taken back, and acquisitions made under the lock.
    var issued: UInt64 = 0
    /// The acquisition at which a task that never waits yields next.
    var yieldAt: UInt64
    /// No waiter asks for more; reset when nobody waits.
    var largestRequest = 0

    var deadlines = Deadlines()
    var counters = SemaphoreCounters()
    /// Operations that came here because the word alone could not do them.
    var lockedOperations: UInt64 = 0

    init(limit: Int, firstYield: UInt64) {
        self.limit = limit
        yieldAt = firstYield
    }

    /// Everybody who waits.
    var waiting: Int { waiters.count + (called == nil ? 0 : 1) }
}

/// What the word cannot tell; written under the lock, on paths that take it anyway.
struct SemaphoreCounters: Sendable {
    var parked: UInt64 = 0
    var rejected: UInt64 = 0
    var exceeded: UInt64 = 0
    var timedOut: UInt64 = 0
    var cancelled: UInt64 = 0
    var peakInUse = 0
    var peakWaiting = 0
}

/// What is to be done once the lock is released.
struct SemaphoreEffects: Sendable {
    var wakes = WakeBatch()
    var timer: TimerRequest?
}
