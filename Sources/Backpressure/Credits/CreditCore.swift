// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The storage behind a credit window: lock, decide, unlock, act.
//
// Leases and grants hold the core, so it outlives its window as long as credits are out.

/// What guards a window's state, and performs what the state decides.
@usableFromInline
final class CreditCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    let state: LockedState<CreditState>
    let timeSource: TimeSource
    let batch: Int
    /// How long a lease, and a grant, lives; `Int64.max` is for ever.
    let leaseTime: Int64
    let grantTime: Int64
    private let onReclaim: (@Sendable (ReclaimedCredits) -> Void)?
    private let timer = DeadlineTimer()
    let waits = OwnedWaitLog()

    init(
        capacity: Int, batch: Int, leaseTime: Int64, grantTime: Int64, timeSource: TimeSource,
        onReclaim: (@Sendable (ReclaimedCredits) -> Void)?
    ) {
        state = LockedState(CreditState(capacity: capacity))
        self.batch = batch
        self.leaseTime = leaseTime
        self.grantTime = grantTime
        self.timeSource = timeSource
        self.onReclaim = onReclaim
    }

    deinit { timer.cancel() }

    // MARK: - Lock, decide, unlock, act

    /// Reclaims what is due, runs `body`, serves who waits; and after the unlock performs what came of it.
    func withState<Result>(_ body: (inout CreditState, inout CreditEffects) -> Result) -> Result {
        let reading = timeSource.now()
        var effects = CreditEffects()
        let result = state.withLock { state in
            state.advance(to: reading, &effects)
            let result = body(&state, &effects)
            state.serve(&effects)
            if effects.timer == nil { effects.timer = state.alarm.request(state.earliest) }
            verify(state.checkInvariants(), "an invariant of the credit window is broken")
            return result
        }
        perform(effects)
        return result
    }

    private func perform(_ effects: consuming CreditEffects) {
        let (wakes, reclaimed, request) = (effects.wakes, effects.reclaimed, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let request { timer.arm(request, for: self) }
        if let onReclaim {
            for report in reclaimed { onReclaim(report) }
        }
    }

    // MARK: - Waiting

    /// Grants at once, or registers a waiter.
    func grantOrWait(
        atLeast: Int, atMost: Int, lifetime: Int64, timeout: Duration?
    ) -> GrantOutcome {
        let deadline = timeout.map { $0 > .zero ? timeSource.deadline(after: $0) : .min } ?? .max
        return withState { state, effects in
            if state.phase == .closed { return .rejected(.finished) }
            guard atLeast <= state.capacity else { return .rejected(.full) }
            if let grant = state.grant(atLeast: atLeast, atMost: atMost, lifetime: lifetime) {
                return .granted(grant.key, grant.count)
            }
            guard deadline > state.now else { return .rejected(.timedOut) }
            let waiter = WaiterRef.allocate(payload: CreditState.requestLayout)
            waiter.payload(CreditState.requestLayout)
                .initializeMemory(
                    as: GrantRequest.self, to: GrantRequest(atLeast: atLeast, atMost: atMost, lifetime: lifetime))
            link(waiter, deadline: deadline, &state)
            state.grantees.append(waiter)
            return .registered(waiter)
        }
    }

    /// Stops grants; a waiter for the return of what is out, unless nothing is or the window is closed.
    func drainOrWait(timeout: Duration?) -> GrantOutcome {
        let deadline = timeout.map { $0 > .zero ? timeSource.deadline(after: $0) : .min } ?? .max
        return withState { state, effects in
            state.setPhase(.draining, &effects)
            if state.table.out == 0 { return .granted(.none, 0) }
            guard deadline > state.now else { return .rejected(.timedOut) }
            let waiter = WaiterRef.allocate(payload: CreditState.requestLayout)
            waiter.pointer.pointee.ordinal = 1
            link(waiter, deadline: deadline, &state)
            state.drainers.append(waiter)
            return .registered(waiter)
        }
    }

    private func link(_ waiter: WaiterRef, deadline: Int64, _ state: inout CreditState) {
        waiter.pointer.pointee.deadline = deadline
        waiter.pointer.pointee.parkedAt = state.now
        // The request for a timer is the alarm's, which knows all kinds of deadlines.
        _ = state.deadlines.insert(waiter)
    }

    /// What a woken waiter came to; frees it.
    ///
    /// A drainer is told from a grantee by its ordinal, 1.
    func outcome(of waiter: WaiterRef) -> GrantOutcome {
        let verdict = waiter.verdict
        let request = waiter.payload(CreditState.requestLayout).assumingMemoryBound(to: GrantRequest.self)
        let isGrantee = waiter.pointer.pointee.ordinal == 0
        let (key, count) = verdict == .granted && isGrantee ? (request.pointee.key, request.pointee.count) : (.none, 0)
        waiter.deallocate(payload: CreditState.requestLayout)
        switch verdict {
        case .granted: return .granted(key, count)
        case .cancelled: return .rejected(.cancelled)
        case .timedOut: return .rejected(.timedOut)
        case .finished: return .rejected(.finished)
        case .abandoned: return .rejected(isGrantee ? .full : .abandoned)
        case .none: preconditionFailure("a task woke without a verdict")
        }
    }

    /// The waiter's task was cancelled.
    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            state.end(waiter, .cancelled, &effects)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        var next: Int64?
        withState { state, effects in
            while let waiter = state.deadlines.due(at: state.now) { state.end(waiter, .timedOut, &effects) }
            // What the first of the waiters had been waiting for may now fit the next one, who gets it before the
            // earliest deadline is read.
            state.serve(&effects)
            next = state.alarm.rearm(state.earliest, generation: generation)
        }
        return next
    }
}

/// What asking for a grant, or for a drain, came to.
enum GrantOutcome {
    case granted(CreditKey, Int)
    case rejected(Rejection)
    case registered(WaiterRef)
}
