// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded channel as a case of a select.
//
// A case waits in the lists of its channel like any other waiter. What differs is that it may be dead: its select was
// decided elsewhere, and its task has not come by yet to withdraw it. So whoever is about to serve a waiter claims it
// first; a dead one is taken out of its list, and the next one is looked at. The claim comes after room or element are
// certain (the gate is closed, so they stay), because a claim that was won must be honoured.
//
// A policy that waits for a while and then falls back has no patience here: the select's own time bounds the wait, and
// nothing is dropped for a case that may never be chosen.
//
// A dead case at the head of a list keeps the gate closed, until somebody meets it or it is withdrawn: `withdraw` ends in
// the pump and in `settle`, as every transition does by which a waiter leaves.

extension ChannelCore: SelectableCore {
    /// Wins the right to end the wait of `waiter`, which is linked; if it is lost, takes it out of its list.
    func claim(_ waiter: WaiterRef, _ state: inout ChannelState) -> Bool {
        if waiter.claim() { return true }
        detach(waiter, &state)
        return false
    }

    func attemptSend(from source: UnsafeMutableRawPointer) -> ChannelOutcome {
        switch ring.claimForSend(stride: layout.stride) {
        case .claimed(let slot, let stamp):
            PlainAccess.write(slot + layout.elementOffset)
            move(slot + layout.elementOffset, source)
            AtomicWord(at: slot).storeReleasing(stamp)
            return .done
        case .full where refusesWhenFull || overflow.waits:
            return .wouldWait
        case .full, .locked:
            let outcome = send(from: source, times: nil, isCase: true).0
            if outcome == .dropped { discard(source, .full) }
            return outcome
        }
    }

    func attemptReceive(into destination: UnsafeMutableRawPointer) -> ChannelOutcome {
        switch ring.claimForReceive(stride: layout.stride) {
        case .claimed(let slot, let stamp):
            PlainAccess.read(slot + layout.elementOffset)
            move(destination, slot + layout.elementOffset)
            AtomicWord(at: slot).storeReleasing(stamp)
            return .done
        case .empty:
            return .wouldWait
        case .finished, .locked:
            return receive(into: destination, times: nil).0
        }
    }

    func link(_ node: WaiterRef, isSender: Bool, times: WaitTimes) -> SelectStep {
        let times = WaitTimes(now: timeSource.now(), deadline: times.deadline)
        return withState { state, effects in
            gate(&state)
            defer { settle(&state) }
            if isSender, state.closure != .open { return conclude(node, closedVerdict(state)) }
            pump(&state, &effects, thorough: false)
            if !isReady(state, isSender, mayPass: isSender ? mayPassSenders(state) : mayPassReceivers(state)) {
                pumpPastStewards(&state, &effects)
                let isFirst = isSender ? state.senders.isEmpty : state.receivers.isEmpty
                if !isReady(state, isSender, mayPass: isFirst) {
                    if !isSender, isEnded(state) { return conclude(node, closedVerdict(state)) }
                    return enqueue(node, isSender, times, &state, &effects)
                }
            }
            guard node.claim() else { return .decided }
            if isSender {
                takeOver(&state, from: node.payload(layout))
            } else {
                _ = takeOut(&state, to: node.payload(layout))
            }
            node.end(.granted)
            pump(&state, &effects, thorough: false)
            return .served
        }
    }

    func withdraw(_ node: WaiterRef) {
        withState { state, effects in
            guard decide(node.pointer.pointee.list != 0) else { return }
            detach(node, &state)
            gate(&state)
            pump(&state, &effects, thorough: false)
            settle(&state)
        }
    }

    func waitLog(isSender: Bool) -> WaitLog { isSender ? ring.sendLog : ring.receiveLog }

    // MARK: Under the lock, with the gate closed

    @inline(__always)
    private func isReady(_ state: borrowing ChannelState, _ isSender: Bool, mayPass: Bool) -> Bool {
        guard mayPass else { return false }
        if isSender { return decide(hasRoom(state, mayWait: true)) }
        return isRingOwed(state) ? !state.spill.isEmpty : decide(state.debt == 0) && isHeadPublished(state)
    }

    private func conclude(_ node: WaiterRef, _ verdict: Verdict) -> SelectStep {
        guard node.claim() else { return .decided }
        node.end(verdict)
        return .served
    }

    @inline(__always)
    private func closedVerdict(_ state: borrowing ChannelState) -> Verdict {
        state.closure == .abandoned ? .abandoned : .finished
    }

    private func enqueue(
        _ node: WaiterRef, _ isSender: Bool, _ times: WaitTimes, _ state: inout ChannelState,
        _ effects: inout ChannelEffects
    ) -> SelectStep {
        node.pointer.pointee.ordinal = isSender ? sendOrdinal(state) : receiveOrdinal(state)
        register(node, times, &state.deadlines, &effects)
        if isSender {
            state.senders.append(node)
            state.counters.sendsParked += 1
            state.counters.peakDepth = max(state.counters.peakDepth, depth(state))
            return .waits
        }
        state.receivers.append(node)
        state.counters.receivesParked += 1
        return decide(claimed(state) > 0) ? .waitsPending : .waits
    }
}
