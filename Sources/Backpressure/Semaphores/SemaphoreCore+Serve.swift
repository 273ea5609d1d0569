// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where permits and waiters meet: the gate, who is next, handing over and calling. All under the lock.

extension SemaphoreCore {
    static let layout = SlotLayout(of: Int.self)

    // MARK: The gate

    /// Closes the gate: from here on only the lock-holder takes permits, and whoever gives some back comes to the lock.
    func gate(_ state: inout SemaphoreState) {
        guard !state.isGated else { return }
        state.isGated = true
        var seen = word.word.loadRelaxed()
        while true {
            let (done, found) = word.word.weakCompareExchangeAcquiringAndReleasing(
                expected: seen, desired: seen & ~PermitLayout.turns | PermitLayout.queued)
            if done { break }
            seen = found
        }
        state.issued &-= seen & PermitLayout.turns
        startCounting(seen, &state)
    }

    /// Opens the gate if nobody waits, or for as many newcomers as may still pass the one who was called.
    func settle(_ state: inout SemaphoreState) {
        guard state.isGated, !state.isClosed else { return }
        var turns = state.yieldAt > state.issued ? state.yieldAt - state.issued : 0
        if let called = state.called {
            let passes = passesLeft(called, state)
            guard decide(passes > 0) else { return }
            turns = min(turns, passes)
        } else {
            guard decide(state.waiters.isEmpty) else { return }
            state.largestRequest = 0
        }
        turns = min(turns, PermitLayout.turns)
        state.isGated = false
        state.issued &+= turns
        var seen = word.word.loadRelaxed()
        while true {
            let (done, found) = word.word.weakCompareExchangeAcquiringAndReleasing(
                expected: seen, desired: seen & ~PermitLayout.queued | turns)
            if done { break }
            seen = found
        }
        stopCounting(seen, &state)
    }

    /// `queued` has just been set in a word that was `seen`.
    func startCounting(_ seen: UInt64, _ state: inout SemaphoreState) {
        state.isCounting = true
        state.accounted = PermitLayout.available(seen) - state.onTheWay
    }

    /// `queued` has just been cleared in a word that was `seen`.
    func stopCounting(_ seen: UInt64, _ state: inout SemaphoreState) {
        state.isCounting = false
        state.onTheWay = PermitLayout.available(seen) - state.accounted
    }

    /// Changes what is available, by the lock-holder; returns the word before.
    @discardableResult
    func add(_ count: Int, _ state: inout SemaphoreState) -> UInt64 {
        if state.isCounting { state.accounted += count }
        return word.word.fetchAddAcquiringAndReleasing(PermitLayout.field(count))
    }

    /// Whether tasks have gone on without waiting for long enough that one should yield; if so, starts the next budget.
    func spendBudget(_ state: inout SemaphoreState) -> Bool {
        guard word.word.loadRelaxed() & PermitLayout.turns == 0, acquisitions(state) >= state.yieldAt else {
            return false
        }
        state.yieldAt = acquisitions(state) &+ Self.yieldInterval
        gate(&state)
        settle(&state)
        return true
    }

    /// Acquisitions so far: exact while the gate is closed, a lower bound while it is open.
    @inline(__always)
    func acquisitions(_ state: borrowing SemaphoreState) -> UInt64 {
        state.issued &- (word.word.loadRelaxed() & PermitLayout.turns)
    }

    // MARK: Who is next, and who may pass

    /// How many newcomers may still pass `waiter`; the bound of `Fairness` is here.
    @inline(__always)
    private func passesLeft(_ waiter: WaiterRef, _ state: borrowing SemaphoreState) -> UInt64 {
        let passed = state.issued &- waiter.pointer.pointee.ordinal
        return passed < bypass ? bypass - passed : 0
    }

    /// Whether a newcomer may take permits now; the gate is closed.
    @inline(__always)
    func mayPass(_ state: borrowing SemaphoreState) -> Bool {
        if let called = state.called { return decide(passesLeft(called, state) > 0) }
        return decide(state.waiters.isEmpty)
    }

    /// Whether the newest is next.
    @inline(__always)
    private func isReversed(_ state: borrowing SemaphoreState) -> Bool { state.waiters.count > order.fifoUpTo }

    /// Whether one who came to wait now would be next: before those who wait, by their own order.
    @inline(__always)
    func isNewestNext(_ state: borrowing SemaphoreState) -> Bool {
        state.called == nil && state.waiters.count >= order.fifoUpTo
    }

    /// The next in order among those who sleep.
    @inline(__always)
    private func next(_ state: borrowing SemaphoreState) -> WaiterRef? {
        isReversed(state) ? state.waiters.last : state.waiters.first
    }

    /// What `waiter` waits for.
    func request(_ waiter: WaiterRef) -> Int {
        waiter.payload(Self.layout).assumingMemoryBound(to: Int.self).pointee
    }

    /// Whether so many permits are available; behind a closed gate they only become more.
    func fits(_ count: Int) -> Bool { decide(available >= count) }

    /// Whether the next in order is left asleep beside permits that nobody is coming for (I3).
    @inline(__always)
    func isAnybodyForgotten(_ state: borrowing SemaphoreState) -> Bool {
        let present = available
        guard state.isCounting, state.called == nil, present == state.accounted, let waiter = next(state) else {
            return false
        }
        return present >= request(waiter)
    }

    // MARK: Taking, granting, calling

    /// Takes permits that fit; the gate is closed.
    func take(_ count: Int, _ state: inout SemaphoreState) {
        let seen = add(-count, &state)
        verify(PermitLayout.available(seen) >= count, "permits were taken that are not there")
        state.issued &+= 1
    }

    /// Serves those who wait, in order, while permits last: hands permits over, or calls the next in order to take them.
    ///
    /// The gate is closed. Idempotent.
    func serve(_ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        guard handToCalled(&state) else { return }
        while let waiter = next(state), fits(request(waiter)) {
            // With permits beyond what this one wants, handing over takes nothing from those who run.
            if mayCall(waiter, state), !isFollowed(waiter, state) { return call(waiter, &state, &effects) }
            grant(waiter, &state, &effects)
        }
    }

    /// As `serve`, without calling anybody: the lock-holder itself must wait, so the permits go to those before it.
    func handOver(_ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        guard handToCalled(&state) else { return }
        while let waiter = next(state), fits(request(waiter)) { grant(waiter, &state, &effects) }
    }

    /// Gives the called waiter its permits in place: it is awake already.
    ///
    /// - Returns: Whether nobody is called any more.
    private func handToCalled(_ state: inout SemaphoreState) -> Bool {
        guard let called = state.called else { return true }
        guard fits(request(called)) else { return false }
        take(request(called), &state)
        called.end(.granted)
        state.called = nil
        return true
    }

    @inline(__always)
    private func mayCall(_ waiter: WaiterRef, _ state: borrowing SemaphoreState) -> Bool {
        !waiter.pointer.pointee.isSteward && passesLeft(waiter, state) > 0
    }

    /// Whether the one after `waiter`, which is next, would fit beside it.
    @inline(__always)
    private func isFollowed(_ waiter: WaiterRef, _ state: borrowing SemaphoreState) -> Bool {
        let link = isReversed(state) ? waiter.pointer.pointee.previous : waiter.pointer.pointee.next
        guard let after = link.map(WaiterRef.init) else { return false }
        return available - request(waiter) >= request(after)
    }

    private func grant(_ waiter: WaiterRef, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        take(request(waiter), &state)
        unlink(waiter, &state)
        waiter.end(.granted)
        effects.wakes.append(waiter)
    }

    /// Wakes `waiter` without permits.
    private func call(_ waiter: WaiterRef, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        unlink(waiter, &state)
        waiter.markSteward()
        state.called = waiter
        effects.wakes.append(waiter)
    }

    /// Puts the one that was called back to where it is next.
    private func restore(_ waiter: WaiterRef, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        if state.waiters.count + 1 > order.fifoUpTo {
            state.waiters.append(waiter)
        } else {
            state.waiters.prepend(waiter)
        }
        effects.timer = state.deadlines.insert(waiter)
    }

    /// Takes a waiter out of its list.
    private func unlink(_ waiter: WaiterRef, _ state: inout SemaphoreState) {
        state.waiters.remove(waiter)
        state.deadlines.remove(waiter)
    }

    /// Ends a wait without permits.
    func end(
        _ waiter: WaiterRef, _ verdict: Verdict, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects
    ) {
        unlink(waiter, &state)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    /// Ends the wait of the one that was called, in place.
    func endCalled(_ verdict: Verdict, _ state: inout SemaphoreState) {
        state.called?.end(verdict)
        state.called = nil
    }

    // MARK: The called task runs

    /// Takes the permits that `waiter` was called for, if they are still there.
    ///
    /// - Returns: Whether the wait goes on: the waiter is in its place again, and its task must sleep.
    func answerCall(_ waiter: WaiterRef, now: Int64) -> Bool {
        withState { state, effects in
            // Handed over in place, closed, or doomed since it was called.
            guard decide(state.called == waiter) else { return false }
            gate(&state)
            let goesOn = !handToCalled(&state)
            if goesOn {
                state.called = nil
                guard waiter.pointer.pointee.deadline <= now else {
                    waiter.rearm()
                    restore(waiter, &state, &effects)
                    settle(&state)
                    return true
                }
                state.counters.timedOut += 1
                waiter.end(.timedOut)
            }
            serve(&state, &effects)
            settle(&state)
            return false
        }
    }
}
