// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Room that is promised first and filled later.
//
// A reservation is a count under the lock and a flag in the tail word. It is not a position of the ring: a slot that is
// claimed and not filled would hold back every element behind it. While any reservation is out each send comes here, so
// that the bound is judged with the reserved room; receives do not notice.
//
// ## Invariants
// R1  The gate is closed before the flag changes. Else a receiver that read an ungated word before, and the tail after,
//     could see "closed, nothing reserved, empty" while the last reservation's element is on its way.
// R2  Each unit of `reserved` belongs to exactly one `Reservation` or `ReservedBatch`, and is given up once: filled, or
//     given back. Giving it back is a transition that frees room, so it ends in `pump`.
// R3  After `finish()` a reservation can still be filled, and receivers wait for it: the end comes after.

extension ChannelCore {
    /// Reserves room for `count` elements.
    ///
    /// - Parameters:
    ///   - count: 1 or more.
    ///   - times: Nil for an operation that does not wait.
    /// - Returns: The outcome (`dropped` stands for "never": more than the capacity), and the waiter if one was
    ///   registered.
    @usableFromInline
    func reserve(count: Int, times: WaitTimes?) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            guard state.closure == .open else { return (closedOutcome(state), nil) }
            guard count <= state.capacity else { return (.dropped, nil) }
            gate(&state)
            defer { settle(&state) }
            pump(&state, &effects, thorough: false)
            let mayWait = times != nil
            if !(hasRoom(state, for: count, mayWait: mayWait) && mayPassSenders(state)) {
                pumpPastStewards(&state, &effects)
                guard state.senders.isEmpty, decide(hasRoom(state, for: count, mayWait: mayWait)) else {
                    return waitForRoom(&state, &effects, count: count, times: times)
                }
            }
            state.reserved += count
            return (.done, nil)
        }
    }

    private func waitForRoom(
        _ state: inout ChannelState, _ effects: inout ChannelEffects, count: Int, times: WaitTimes?
    ) -> (ChannelOutcome, WaiterRef?) {
        guard let times, overflow.waits else { return (.wouldWait, nil) }
        guard times.deadline > times.now else {
            if times.fallsBack { return (.wouldWait, nil) }
            state.counters.sendsTimedOut += 1
            return (.timedOut, nil)
        }
        let waiter = WaiterRef.allocate(reserving: count)
        waiter.pointer.pointee.ordinal = sendOrdinal(state)
        register(waiter, times, &state.deadlines, &effects)
        state.senders.append(waiter)
        state.counters.sendsParked += 1
        return (.registered, waiter)
    }

    /// Frees the waiter of a reservation.
    @usableFromInline
    func releaseReserving(_ waiter: WaiterRef) { waiter.deallocate(payload: WaiterRef.reservationLayout) }

    /// Fills one reserved place with the element at `source`.
    ///
    /// - Returns: `done`, or `abandoned` with the element still at `source`; the place is given up either way.
    @usableFromInline
    func fill(from source: UnsafeMutableRawPointer) -> ChannelOutcome {
        withState { state, effects in
            gate(&state)
            defer { settle(&state) }
            state.reserved -= 1
            let isWanted = decide(state.closure != .abandoned)
            if isWanted { takeOver(&state, from: source) }
            pump(&state, &effects, thorough: false)
            return isWanted ? .done : .abandoned
        }
    }

    /// Gives `count` reserved places back.
    @usableFromInline
    func giveBack(_ count: Int) {
        withState { state, effects in
            gate(&state)
            state.reserved -= count
            pump(&state, &effects, thorough: false)
            settle(&state)
        }
    }
}
