// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The semaphore behind the semaphore: word, lock, waiters and timer. `AsyncSemaphore` is the surface.
//
// ## Algorithm
// The fast path is one swap on `PermitWord`. Whoever finds too few permits takes the lock, closes the gate (no turns for
// newcomers, `queued` for those who give back), looks once more and registers. Behind a closed gate only the lock-holder
// takes permits: so what is given back adds up for the next in order, however many it wants, and no two waiters can each
// hold half of what the other needs. `SemaphoreState` has the states and invariants.
//
// ## Why a sleeper is never forgotten
// The dangerous race: an acquisition finds too few permits, a release gives some back and sees nobody, the acquisition
// registers and sleeps. Closing the gate is a swap on the very word that the release adds to. If the add came first, its
// permits are in the value that the swap saw, and the acquisition looks again after it; if it came later, it saw
// `queued` and comes to the lock, which it gets after the acquisition has registered.
// The gate is opened under the lock, and only if nobody waits, or somebody was called and will look.
//
// ## Every transition that can make somebody fit
// a release, a forgotten permit given back, a higher limit, a waiter that leaves (cancelled, timed out, limit too low),
// a called task that runs: each ends in `serve` and `settle`.
//
// ## Cost
// A wait allocates 64 bytes. Cancelling one of any number of waiters is O(1), O(log n) if they have deadlines.
//
// Files: `SemaphoreCore+Serve` matches permits and waiters, `+Acquire` are the verbs.

/// What a look at the semaphore under its lock came to.
@usableFromInline
enum SemaphoreOutcome: UInt8, Sendable {
    /// The permits are the caller's.
    case done
    /// Too few permits, or waiters that may not be passed.
    case wouldWait
    case timedOut
    case closed
    case exceedsLimit
    /// As many tasks wait as may.
    case full
    /// The waiter is registered.
    case registered
    /// Nothing was done: tasks have gone on for so long without waiting that this one should yield and come again.
    case yieldDue
}

@usableFromInline
final class SemaphoreCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    @usableFromInline let word: PermitWord
    /// `tryAcquire` that were refused, and the looks: on a line of their own.
    private let refusals: AtomicWord
    let looks: BoundedLook
    /// How long acquisitions waited.
    let waitLog: WaitLog
    /// How many newcomers may pass a waiter; 0 is strict.
    let bypass: UInt64
    let order: WaiterOrder
    let waiterLimit: Int
    let name: String?
    let timeSource: TimeSource
    let state: LockedState<SemaphoreState>
    let timer = DeadlineTimer()
    private let allocation: ZeroedMemory

    /// After so many acquisitions a task that never had to wait yields once; it fits the word's turns.
    static let yieldInterval: UInt64 = 32_768

    init(
        limit: Int, fairness: Fairness, order: WaiterOrder, waiterLimit: Int, name: String?, timeSource: TimeSource
    ) {
        Self.checkLimit(limit)
        precondition(waiterLimit >= 0, "a bound of \(waiterLimit) waiters is negative")
        allocation = ZeroedMemory(byteCount: 128, alignment: 64)
        // Not at a multiple of 16: a load whose address has the same low 12 bits as that of a locked store just before
        // waits for it, and this object's constants lie at multiples of 16.
        word = PermitWord(at: allocation.start + 8)
        refusals = AtomicWord(at: allocation.start + 64)
        looks = BoundedLook(record: AtomicWord(at: allocation.start + 72))
        waitLog = WaitLog(at: allocation.start + 80)
        bypass = fairness.bypass
        self.order = order
        self.waiterLimit = waiterLimit
        self.name = name
        self.timeSource = timeSource
        state = LockedState(SemaphoreState(limit: limit, firstYield: Self.yieldInterval))
        word.setCore(self)
        state.withLock { state in
            state.issued = Self.yieldInterval
            word.word.storeReleasing(PermitLayout.field(limit) | Self.yieldInterval)
        }
    }

    deinit {
        timer.cancel()
        waitLog.deallocate()
        allocation.deallocate()
    }

    static func checkLimit(_ limit: Int) {
        precondition(limit >= 1, "a semaphore has at least 1 permit, not \(limit)")
        precondition(
            limit <= PermitLayout.maximum, "a limit of \(limit) permits exceeds \(PermitLayout.maximum)")
    }

    // MARK: - Lock, decide, unlock, act

    /// Runs `body` under the lock, and after it what it ordered: wakes, the timer.
    func withState<Result>(_ body: (inout SemaphoreState, inout SemaphoreEffects) -> Result) -> Result {
        var effects = SemaphoreEffects()
        let result = state.withLock { state in
            state.lockedOperations += 1
            let result = body(&state, &effects)
            verify(holds(state), "an invariant of the semaphore is broken")
            return result
        }
        let (wakes, timer) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let timer { self.timer.arm(timer, for: self) }
        return result
    }

    /// The invariants I1, I2, I3 and I5; verified at every unlock.
    @inline(__always)
    private func holds(_ state: borrowing SemaphoreState) -> Bool {
        let word = word.word.loadRelaxed()
        return (state.waiters.isEmpty || state.isGated || state.called != nil)
            && (!state.isGated || word & PermitLayout.turns == 0)
            && state.called?.pointer.pointee.list ?? 0 == 0
            && PermitLayout.available(word) <= state.limit - state.forgotten
            && state.forgotten >= 0
            && !isAnybodyForgotten(state)
    }

    // MARK: - Readings

    /// Free permits, or the debt as a negative number.
    @usableFromInline var available: Int { PermitLayout.available(word.word.loadAcquiring()) }

    @usableFromInline var isClosed: Bool { word.word.loadAcquiring() & PermitLayout.closed != 0 }

    var limit: Int { state.withLock { $0.limit } }
    var waiting: Int { state.withLock { $0.waiting } }
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Counts a `tryAcquire` that was turned away.
    func noteRefusal() { _ = refusals.fetchAddRelaxed(1) }

    func snapshot() -> SemaphoreSnapshot {
        let now = timeSource.now()
        var snapshot = withState { state, _ in
            // One load: permits and turns of one instant. The limit changes under the lock only.
            let word = word.word.loadAcquiring()
            let available = PermitLayout.available(word)
            sample(&state, available)
            return SemaphoreSnapshot(
                name: name,
                limit: state.limit,
                available: max(available, 0),
                inUse: state.limit - available,
                debt: max(-available, 0),
                forgotten: state.forgotten,
                peakInUse: state.counters.peakInUse,
                waiting: state.waiting,
                peakWaiting: state.counters.peakWaiting,
                acquisitions: state.issued &- (word & PermitLayout.turns),
                parked: state.counters.parked,
                refused: refusals.loadRelaxed(),
                rejected: state.counters.rejected,
                exceeded: state.counters.exceeded,
                timedOut: state.counters.timedOut,
                cancelled: state.counters.cancelled,
                isClosed: state.isClosed,
                oldestWait: (state.called ?? state.waiters.first)?.age(at: now))
        }
        snapshot.waits = waitLog.histogram
        return snapshot
    }

    /// Keeps the peak.
    func sample(_ state: inout SemaphoreState, _ available: Int) {
        state.counters.peakInUse = max(state.counters.peakInUse, state.limit - available)
    }
}
