// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Receiving, as far as the ring alone could not do it; and what a waiter of either side does once it is awake.

extension ChannelCore {
    /// Moves the oldest element to `destination`.
    ///
    /// - Parameters:
    ///   - destination: Memory for the element; it holds one exactly when the outcome is done.
    ///   - times: Nil for an operation that does not wait.
    ///   - defers: Whether the caller, if it would wait, first gives a sender that is on its way a turn.
    /// - Returns: The outcome (`wouldWait` to a caller that defers: yield, then ask again without), and the waiter if one was registered.
    @usableFromInline
    func receive(
        into destination: UnsafeMutableRawPointer, times: WaitTimes?, defers: Bool = false
    ) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            let yieldDue = spendHeadBudget(&state)
            let done = yieldDue ? ChannelOutcome.doneYieldDue : .done
            if decide(!state.isGated), receiveByRing(into: destination) { return (done, nil) }
            gate(&state)
            pump(&state, &effects, thorough: false)
            if mayPassReceivers(state), takeOut(&state, to: destination) {
                pump(&state, &effects, thorough: false)
                settle(&state)
                return (done, nil)
            }
            if defers, isPatient(times), decide(state.hasSenderSteward && isWorthAwaiting(state.senders, state)) {
                settle(&state)
                return (.wouldWait, nil)
            }
            pumpPastStewards(&state, &effects)
            if state.receivers.isEmpty, takeOut(&state, to: destination) {
                // The room is the first waiting sender's, and the next receive finds its element without the lock.
                pump(&state, &effects, thorough: true)
                settle(&state)
                return (done, nil)
            }
            if isEnded(state) {
                settle(&state)
                return (closedOutcome(state), nil)
            }
            guard let times else {
                settle(&state)
                return (.wouldWait, nil)
            }
            guard times.deadline > times.now else {
                state.counters.receivesTimedOut += 1
                settle(&state)
                return (.timedOut, nil)
            }
            let waiter = WaiterRef.allocate(payload: layout)
            waiter.pointer.pointee.ordinal = receiveOrdinal(state)
            register(waiter, times, &state.deadlines, &effects)
            state.receivers.append(waiter)
            state.counters.receivesParked += 1
            let pending = decide(claimed(state) > 0)
            settle(&state)
            return (pending ? .registeredPending : .registered, waiter)
        }
    }

    /// The fast path once more, under the lock.
    private func receiveByRing(into destination: UnsafeMutableRawPointer) -> Bool {
        guard case .claimed(let slot, let stamp) = ring.claimForReceive(stride: layout.stride) else { return false }
        PlainAccess.read(slot + layout.elementOffset)
        move(destination, slot + layout.elementOffset)
        AtomicWord(at: slot).storeReleasing(stamp)
        return true
    }

    /// Moves the oldest element out if it is there; the gate is closed.
    func takeOut(_ state: inout ChannelState, to destination: UnsafeMutableRawPointer) -> Bool {
        if isRingOwed(state) { return popSpill(&state, to: destination) }
        guard decide(state.debt == 0), isHeadPublished(state) else { return false }
        pop(&state, to: destination)
        return true
    }

    /// Whether a registered receiver must look again before it may sleep: a sender is between claim and publish.
    func mustPoll(_ waiter: WaiterRef) -> Bool {
        withState { state, effects in
            guard state.receivers.contains(waiter) else { return false }
            gate(&state)
            pump(&state, &effects, thorough: true)
            let pending = decide(claimed(state) > 0) && state.receivers.contains(waiter)
            settle(&state)
            return pending
        }
    }

    // MARK: Awake

    /// Suspends the calling task until its wait is over, and does what it owes its side if it woke as its steward.
    @inline(never)
    @usableFromInline
    nonisolated(nonsending) func wait(_ waiter: WaiterRef, isSender: Bool, polling: Bool) async {
        if polling { await poll(waiter) }
        let watch = WaitWatch(isSender ? .send : .receive, waiter) { waitingCount(isSender: isSender) }
        await waiter.sleep(cancelling: self)
        watch.end(waiter, isSender ? ring.sendLog : ring.receiveLog, timeSource)
        if waiter.pointer.pointee.isSteward { await serve(isSender: isSender) }
    }

    private func waitingCount(isSender: Bool) -> Int {
        state.withLock { isSender ? $0.senders.count : $0.receivers.count }
    }

    // Apart from `wait`, so that the frame of a task that merely sleeps stays small.

    @inline(never)
    private nonisolated(nonsending) func poll(_ waiter: WaiterRef) async {
        while mustPoll(waiter) { await Task.yield() }
    }

    @inline(never)
    private nonisolated(nonsending) func serve(isSender: Bool) async {
        while mustStayOn(isSender: isSender) { await Task.yield() }
    }

    /// Frees a woken waiter whose element has been moved out or taken over.
    @usableFromInline
    func release(_ waiter: WaiterRef) { waiter.deallocate(payload: layout) }

    /// The steward runs: serves the next of its side, or leaves the gate open for good.
    ///
    /// While the gate was open a sender may have claimed a slot, and may not have published it yet. It will look at
    /// nothing afterwards, and the receivers that sleep went to sleep before: so the steward polls on their behalf.
    ///
    /// - Returns: Whether the steward must come again.
    func mustStayOn(isSender: Bool) -> Bool {
        withState { state, effects in
            if isSender { state.hasSenderSteward = false } else { state.hasReceiverSteward = false }
            guard isSender ? !state.senders.isEmpty : !state.receivers.isEmpty else { return false }
            gate(&state)
            pump(&state, &effects, thorough: false)
            let pending =
                !isSender && !state.receivers.isEmpty && !state.hasReceiverSteward
                && decide(claimed(state) > 0)
            if pending { state.hasReceiverSteward = true }
            settle(&state)
            return pending
        }
    }

    /// The waiter's task was cancelled.
    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            switch waiter.pointer.pointee.list {
            case ChannelState.watcherTag:
                return unlink(waiter, &state, &effects, verdict: .cancelled)
            case ChannelState.drainerTag:
                unlink(waiter, &state, &effects, verdict: .cancelled)
                return settle(&state)
            case ChannelState.senderTag: state.counters.sendsCancelled += 1
            default: state.counters.receivesCancelled += 1
            }
            giveUp(waiter, &state, &effects, verdict: .cancelled)
        }
    }

    /// Ends a wait without fulfilment, and promotes whoever now fits.
    private func giveUp(
        _ waiter: WaiterRef, _ state: inout ChannelState, _ effects: inout ChannelEffects, verdict: Verdict
    ) {
        unlink(waiter, &state, &effects, verdict: verdict)
        gate(&state)
        pump(&state, &effects, thorough: false)
        settle(&state)
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            while let waiter = state.deadlines.due(at: now) {
                guard claim(waiter, &state) else { continue }
                if waiter.pointer.pointee.fallsBack {
                    fallBack(waiter, &state, &effects)
                    continue
                }
                if state.senders.contains(waiter) {
                    state.counters.sendsTimedOut += 1
                } else {
                    state.counters.receivesTimedOut += 1
                }
                giveUp(waiter, &state, &effects, verdict: .timedOut)
            }
            return state.deadlines.rearm(generation: generation)
        }
    }

    /// The bound of a wait until an instant of the channel's clock.
    @usableFromInline
    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        timeSource.waitLimit(until: deadline)
    }

    /// Counts an operation that was turned away because the channel was full.
    @usableFromInline
    func noteRefusal() { _ = ring.refusals.fetchAddRelaxed(1) }

    /// When a wait that begins now must end.
    @usableFromInline
    func waitTimes(_ limit: WaitLimit) -> WaitTimes { timeSource.waitTimes(limit) }

    /// As ``waitTimes(_:)`` for who waits for room, which the policy may bound, too.
    @usableFromInline
    func sendTimes(_ limit: WaitLimit) -> WaitTimes {
        var times = timeSource.waitTimes(limit)
        guard let patience = overflow.patience else { return times }
        let deadline = timeSource.deadline(after: patience)
        if deadline < times.deadline { times = WaitTimes(now: times.now, deadline: deadline, fallsBack: true) }
        return times
    }
}
