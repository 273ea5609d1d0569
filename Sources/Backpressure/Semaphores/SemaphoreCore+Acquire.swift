// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The verbs of a semaphore, as far as the word alone could not do them; and what ends a wait.

extension SemaphoreCore {
    // MARK: Acquiring

    /// Takes `count` permits, or registers a waiter for them.
    ///
    /// - Parameters:
    ///   - count: The permits, at least 1.
    ///   - times: Nil for an operation that does not wait. The clock is read by the caller: a clock is code of a user.
    /// - Returns: The outcome, and the waiter if one was registered.
    func acquire(_ count: Int, times: WaitTimes?) -> (SemaphoreOutcome, WaiterRef?) {
        withState { state, effects in
            guard decide(!state.isClosed) else { return (.closed, nil) }
            guard decide(count <= state.limit) else {
                state.counters.exceeded += 1
                return (.exceedsLimit, nil)
            }
            if spendBudget(&state), times != nil { return (.yieldDue, nil) }
            // Close the gate only to sleep: without this look the tasks would keep shutting each other out.
            if decide(!state.isGated) {
                if word.take(count) { return (.done, nil) }
                if times == nil, available < count { return (.wouldWait, nil) }
            }
            gate(&state)
            if mayPass(state), fits(count) { return (takeAndSettle(count, &state), nil) }
            handOver(&state, &effects)
            let isNext = state.waiting == 0 || (times != nil && isNewestNext(state))
            if isNext, fits(count) { return (takeAndSettle(count, &state), nil) }
            sample(&state, available)
            let outcome = waitOutcome(times, state)
            switch outcome {
            case .timedOut: state.counters.timedOut += 1
            case .full: state.counters.rejected += 1
            default: break
            }
            guard outcome == .registered, let times else {
                settle(&state)
                return (outcome, nil)
            }
            let waiter = register(count, times, &state, &effects)
            settle(&state)
            return (.registered, waiter)
        }
    }

    private func takeAndSettle(_ count: Int, _ state: inout SemaphoreState) -> SemaphoreOutcome {
        take(count, &state)
        settle(&state)
        return .done
    }

    @inline(__always)
    private func waitOutcome(_ times: WaitTimes?, _ state: borrowing SemaphoreState) -> SemaphoreOutcome {
        guard let times else { return .wouldWait }
        guard times.deadline > times.now else { return .timedOut }
        return decide(state.waiting < waiterLimit) ? .registered : .full
    }

    private func register(
        _ count: Int, _ times: WaitTimes, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects
    ) -> WaiterRef {
        let waiter = WaiterRef.allocate(payload: Self.layout)
        waiter.payload(Self.layout).initializeMemory(as: Int.self, to: count)
        waiter.pointer.pointee.ordinal = state.issued
        waiter.pointer.pointee.parkedAt = times.now
        waiter.pointer.pointee.deadline = times.deadline
        state.waiters.append(waiter)
        effects.timer = state.deadlines.insert(waiter)
        state.largestRequest = max(state.largestRequest, count)
        state.counters.parked += 1
        state.counters.peakWaiting = max(state.counters.peakWaiting, state.waiting)
        return waiter
    }

    /// Looks for permits for a bounded moment; true when the fast path is worth another try.
    func lookForPermits(_ count: Int) -> Bool {
        looks.look {
            let seen = word.word.loadRelaxed()
            if seen & PermitLayout.turns == 0 { return nil }
            return PermitLayout.available(seen) >= count
        }
    }

    /// `tryAcquire` after the fast path has failed.
    @inline(never)
    @usableFromInline
    func tryAcquireSlow(_ count: Int) -> Bool {
        // Exact, and without the lock: at this instant there were too few, and nobody had to be asked.
        let seen = word.word.loadAcquiring()
        if seen & PermitLayout.turns == 0 || PermitLayout.available(seen) >= count,
            acquire(count, times: nil).0 == .done
        {
            return true
        }
        noteRefusal()
        return false
    }

    /// The rest of every acquisition that waits; nil when the permits are the caller's.
    @inline(never)
    @usableFromInline
    nonisolated(nonsending) func acquireSlow(_ count: Int, limit: WaitLimit) async -> Rejection? {
        if lookForPermits(count), word.take(count) { return nil }
        while true {
            let (outcome, waiter) = acquire(count, times: timeSource.waitTimes(limit))
            if let waiter { return await wait(waiter) }
            switch outcome {
            case .done: return nil
            case .yieldDue: await Task.yield()
            case .timedOut: return .timedOut
            case .closed: return .closed
            case .exceedsLimit: return .exceedsLimit
            case .full: return .full
            case .wouldWait, .registered: preconditionFailure("an acquisition neither ended nor waits")
            }
        }
    }

    /// Suspends the calling task until its wait is over.
    private nonisolated(nonsending) func wait(_ waiter: WaiterRef) async -> Rejection? {
        let watch = WaitWatch(.acquire, waiter, name: name) { waiting }
        await waiter.sleep(cancelling: self)
        if waiter.isSteward, answerCall(waiter, now: timeSource.now()) { await waiter.sleep(cancelling: self) }
        watch.end(waiter, waitLog, timeSource)
        return conclude(waiter)
    }

    /// Frees a waiter whose wait is over; nil when the permits are its task's.
    func conclude(_ waiter: WaiterRef) -> Rejection? {
        let verdict = waiter.verdict
        waiter.deallocate(payload: Self.layout)
        switch verdict {
        case .granted: return nil
        case .cancelled: return .cancelled
        case .timedOut: return .timedOut
        case .finished: return .closed
        case .abandoned: return .exceedsLimit
        case .none: preconditionFailure("a task woke without a verdict")
        }
    }

    /// The error of an acquisition that came to nothing.
    @usableFromInline
    func error(_ reason: Rejection) -> AcquireError {
        AcquireError(reason, name: name, underlying: reason == .closed ? failure : nil)
    }

    // MARK: Giving back

    /// `count` permits were given back while `queued` was set: serves those who now fit.
    func arrive(_ count: Int) {
        let isLast = withState { state, effects in
            if state.isCounting { state.accounted += count } else { state.onTheWay -= count }
            serveIfGated(&state, &effects)
            endDrains(&state, &effects)
            return takeLastPermit(&state)
        }
        if isLast { Unmanaged.passUnretained(self).release() }
    }

    /// The duty to give `count` permits back passes from a `Permit` to whoever calls `restoreForgotten`.
    func forget(_ count: Int) {
        let isLast = withState { state, _ in
            state.forgotten += count
            return takeLastPermit(&state)
        }
        if isLast { Unmanaged.passUnretained(self).release() }
    }

    /// Gives back permits that were forgotten.
    func restoreForgotten(_ count: Int) {
        withState { state, effects in
            precondition(
                count <= state.forgotten,
                "\(count) permits were released by hand, but only \(state.forgotten) are forgotten")
            state.forgotten -= count
            add(count, &state)
            serveIfGated(&state, &effects)
            endDrains(&state, &effects)
        }
    }

    // MARK: The semaphore is gone

    /// Nobody can acquire any more: from here on the permits that are out keep this object alive.
    ///
    /// Nobody waits, since a task that waits holds the semaphore.
    func orphan() {
        state.withLock { state in
            let seen = word.word.fetchOrAcquiringAndReleasing(PermitLayout.queued)
            if !state.isCounting { startCounting(seen, &state) }
            state.isOrphaned = decide(state.limit - state.accounted > state.forgotten)
            // One reference for all of them; the last one to come to the lock takes it away.
            if state.isOrphaned { _ = Unmanaged.passRetained(self) }
        }
    }

    /// Whether the semaphore is gone, and this was the last of the permits that could come back.
    private func takeLastPermit(_ state: inout SemaphoreState) -> Bool {
        guard state.isOrphaned, decide(state.limit - state.accounted == state.forgotten) else { return false }
        state.isOrphaned = false
        return true
    }

    private func serveIfGated(_ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        guard decide(state.isGated) else { return }
        serve(&state, &effects)
        settle(&state)
    }

    // MARK: What ends a wait

    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            // In no list: somebody else has ended the wait, or the task was called and is awake.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            if state.drainers.contains(waiter) { return cancelDrain(waiter, &state, &effects) }
            state.counters.cancelled += 1
            end(waiter, .cancelled, &state, &effects)
            serveIfGated(&state, &effects)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            while let waiter = state.deadlines.due(at: now) {
                state.counters.timedOut += 1
                end(waiter, .timedOut, &state, &effects)
            }
            serveIfGated(&state, &effects)
            return state.deadlines.rearm(generation: generation)
        }
    }

    /// Grants nothing more.
    ///
    /// - Returns: Whether this call closed it.
    func close(failure: (any Error)?) -> Bool {
        withState { state, effects in
            guard !state.isClosed else { return false }
            gate(&state)
            state.isClosed = true
            state.failure = failure
            _ = word.word.fetchOrAcquiringAndReleasing(PermitLayout.closed)
            endCalled(.finished, &state)
            while decide(!state.waiters.isEmpty), let waiter = state.waiters.first {
                end(waiter, .finished, &state, &effects)
            }
            // Nobody will ever wait for permits again: they are given back without a look, unless one waits for the last.
            endDrains(&state, &effects)
            stopLooking(&state)
            return true
        }
    }

    // MARK: Resizing

    /// Changes how many permits there are.
    func resize(to limit: Int) {
        Self.checkLimit(limit)
        withState { state, effects in
            let difference = limit - state.limit
            state.limit = limit
            if difference != 0 { add(difference, &state) }
            if decide(state.largestRequest > limit) { dismissOversized(&state, &effects) }
            guard !state.isClosed else { return }
            serveIfGated(&state, &effects)
        }
    }

    /// Ends the waits for more permits than there are now: no release could ever fulfil them.
    private func dismissOversized(_ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        if let called = state.called, request(called) > state.limit {
            state.counters.exceeded += 1
            endCalled(.abandoned, &state)
        }
        var link = state.waiters.first
        while let waiter = link {
            link = waiter.pointer.pointee.next.map(WaiterRef.init)
            guard request(waiter) > state.limit else { continue }
            state.counters.exceeded += 1
            end(waiter, .abandoned, &state, &effects)
        }
        state.largestRequest = state.limit
        // If the one that was called is gone, nobody is on the way: those who wait need the gate.
        if state.called == nil { gate(&state) }
    }
}
