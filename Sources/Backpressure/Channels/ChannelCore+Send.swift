// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sending, as far as the ring alone could not do it.

extension ChannelCore {
    /// Offers the element at `source`.
    ///
    /// - Parameters:
    ///   - source: The element. It was moved away exactly when the outcome is done or registered.
    ///   - times: Nil for an operation that does not wait. The clock is read by the caller: a clock is code of a user.
    ///   - isCase: It is a case of a select: it would wait where the policy lets it, but another case may be chosen.
    ///   - defers: Whether the caller, if it would wait, first gives a receiver that is on its way a turn.
    /// - Returns: The outcome (`wouldWait` to a caller that defers: yield, then ask again without), and the waiter if one was registered.
    @usableFromInline
    func send(
        from source: UnsafeMutableRawPointer, times: WaitTimes?, isCase: Bool = false, defers: Bool = false
    ) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            let yieldDue = spendTailBudget(&state)
            let done = yieldDue ? ChannelOutcome.doneYieldDue : .done
            guard state.closure == .open else { return (closedOutcome(state), nil) }
            moveRoomLimit(&state)
            // Close the gate only to sleep: without this look the sides would keep shutting each other out.
            if decide(!state.isGated), sendByRing(from: source) { return (done, nil) }
            gate(&state)
            pump(&state, &effects, thorough: false)
            let mayWait = times != nil || isCase
            if decide(hasRoom(state, mayWait: mayWait)), mayPassSenders(state) {
                return (take(&state, &effects, source, done), nil)
            }
            if defers, isPatient(times), decide(state.hasReceiverSteward && isWorthAwaiting(state.receivers, state)) {
                settle(&state)
                return (.wouldWait, nil)
            }
            pumpPastStewards(&state, &effects)
            if decide(state.senders.isEmpty && hasRoom(state, mayWait: mayWait)) {
                return (take(&state, &effects, source, done), nil)
            }
            guard let times, overflow.waits, times.deadline > times.now else {
                if isCase, overflow.waits {
                    settle(&state)
                    return (.wouldWait, nil)
                }
                if let times, overflow.waits, !times.fallsBack {
                    state.counters.sendsTimedOut += 1
                    settle(&state)
                    return (.timedOut, nil)
                }
                if overflow.atOnce == .dropOldest, makeRoom(&state, &effects) {
                    return (take(&state, &effects, source, done), nil)
                }
                defer { settle(&state) }
                guard overflow.atOnce == .dropNewest else { return (.wouldWait, nil) }
                state.counters.droppedNewest += 1
                return (.dropped, nil)
            }
            let waiter = WaiterRef.allocate(payload: layout)
            PlainAccess.write(waiter.payload(layout))
            move(waiter.payload(layout), source)
            waiter.pointer.pointee.ordinal = sendOrdinal(state)
            register(waiter, times, &state.deadlines, &effects)
            state.senders.append(waiter)
            state.counters.sendsParked += 1
            state.counters.peakDepth = max(state.counters.peakDepth, depth(state))
            settle(&state)
            return (.registered, waiter)
        }
    }

    /// The fast path once more, under the lock.
    private func sendByRing(from source: UnsafeMutableRawPointer) -> Bool {
        guard case .claimed(let slot, let stamp) = ring.claimForSend(stride: layout.stride) else { return false }
        PlainAccess.write(slot + layout.elementOffset)
        move(slot + layout.elementOffset, source)
        AtomicWord(at: slot).storeReleasing(stamp)
        return true
    }

    private func take(
        _ state: inout ChannelState, _ effects: inout ChannelEffects, _ source: UnsafeMutableRawPointer,
        _ done: ChannelOutcome
    ) -> ChannelOutcome {
        takeOver(&state, from: source)
        pump(&state, &effects, thorough: false)
        settle(&state)
        return done
    }

    /// Evicts the oldest element; more of them only when the capacity has fallen below what is in.
    ///
    /// No waiter gets the room: it is the caller's.
    ///
    /// - Returns: False when it would not help: all the room is reserved.
    func makeRoom(_ state: inout ChannelState, _ effects: inout ChannelEffects) -> Bool {
        guard decide(state.reserved < state.capacity) else { return false }
        while !hasRoom(state), evictOldest(&state, &effects) {}
        return true
    }

    /// Evicts exactly one element, the oldest: at once, or as soon as its sender has published it.
    ///
    /// - Returns: False when there is none.
    func evictOldest(_ state: inout ChannelState, _ effects: inout ChannelEffects) -> Bool {
        if decide(claimed(state) > state.debt) {
            state.debt += 1
            payDebt(&state, &effects)
        } else if let node = state.spill.popFirst() {
            state.besideRing += 1
            noteUndelivered(node, &state, &effects)
        } else {
            return false
        }
        return true
    }

    func register(
        _ waiter: WaiterRef, _ times: WaitTimes, _ deadlines: inout Deadlines, _ effects: inout ChannelEffects
    ) {
        waiter.pointer.pointee.parkedAt = times.now
        waiter.pointer.pointee.deadline = times.deadline
        waiter.pointer.pointee.fallsBack = times.fallsBack
        effects.timer = deadlines.insert(waiter)
    }

    @inline(__always)
    func closedOutcome(_ state: borrowing ChannelState) -> ChannelOutcome {
        state.closure == .abandoned ? .abandoned : .finished
    }
}
