// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where elements and waiters meet: the gate, the pump and the opening of the gate. All under the lock.
//
// ## Why a sleeper is never forgotten
// The dangerous race: a sender claims a slot by the fast path, a receiver finds nothing and goes to sleep, the sender
// publishes and never looks. Closing the gate is an atomic OR on both words, and it returns the positions at that
// moment: a claim made before is in the position that the OR returned, a claim tried after fails on the flag. So with
// the gate closed tail - head is exact, and the receiver sleeps only on an exact zero; if a slot is claimed but not
// yet published it stays queued and polls. Nothing needs to be read again after publishing, so the fast path pays
// nothing.
//
// ## Every transition that frees room or supplies an element
// a locked send or receive, a cancelled, timed-out or closed waiter, an eviction, finish, a steward that runs: each
// ends in `pump`, the one place that promotes waiters, and in `settle`, the one place that opens the gate.

extension ChannelCore {
    // MARK: The gate

    /// Closes the gate: from here on positions move only under the lock.
    func gate(_ state: inout ChannelState) {
        guard !state.isGated else { return }
        state.isGated = true
        state.tail = ring.tail.fetchOrRelaxed(RingWord.gate) & RingWord.position
        state.head = ring.head.fetchOrRelaxed(RingWord.gate) & RingWord.position
        // After a shrink the bound follows what is left, down to the capacity.
        let level = logicalCount(state)
        verify(level <= state.ceiling, "the bound of the channel was passed while the gate was open")
        state.ceiling = max(state.capacity, min(state.ceiling, level))
    }

    /// Opens the gate if nothing needs it: nothing waits without a steward, no element is outside the ring, and the
    /// watermarks hold nobody back.
    func settle(_ state: inout ChannelState) {
        notePressure(&state)
        guard state.isGated, decide(state.spill.isEmpty), decide(state.debt == 0) else { return }
        guard mayPassSenders(state), mayPassReceivers(state), decide(!state.pressure.isPaused) else { return }
        guard !isDraining(state) else { return }
        setRoomLimit(&state)
        setTailLimit(state)
        setHeadLimit(state)
        state.isGated = false
        // Nobody else writes a gated word, and the flags are the state's: a store loses nothing. The tail first: who
        // sees the head open must not see the tail of before, and take what was sent under the gate for not there.
        ring.tail.storeReleasing(state.tail | state.tailFlags)
        ring.head.storeReleasing(state.head)
    }

    // MARK: Counting

    /// Claimed slots; exact while the gate is closed.
    @inline(__always)
    func claimed(_ state: borrowing ChannelState) -> Int {
        ring.geometry.distance(tail: state.tail, head: state.head)
    }

    /// Elements that are in; exact while the gate is closed.
    @inline(__always)
    func depth(_ state: borrowing ChannelState) -> Int {
        claimed(state) - state.debt + state.spill.count
    }

    /// What counts against the capacity: elements, and room that is reserved.
    @inline(__always)
    func logicalCount(_ state: borrowing ChannelState) -> Int { depth(state) + state.reserved }

    /// Whether every claimed slot is owed to an eviction: then the oldest element is the first beside the ring.
    @inline(__always)
    func isRingOwed(_ state: borrowing ChannelState) -> Bool { decide(state.debt == claimed(state)) }

    @inline(__always)
    func hasRoom(_ state: borrowing ChannelState) -> Bool {
        decide(logicalCount(state) < state.capacity)
    }

    /// Whether `count` more fit.
    @inline(__always)
    func hasRoom(_ state: borrowing ChannelState, for count: Int) -> Bool {
        count == 1 ? hasRoom(state) : decide(logicalCount(state) <= state.capacity - count)
    }

    /// How many elements have been taken over so far; exact while the gate is closed.
    @inline(__always)
    func sendOrdinal(_ state: borrowing ChannelState) -> UInt64 {
        ring.geometry.ordinal(state.tail) &+ UInt64(state.spill.count) &+ state.besideRing
    }

    @inline(__always)
    func receiveOrdinal(_ state: borrowing ChannelState) -> UInt64 {
        ring.geometry.ordinal(state.head) &+ state.besideRing
    }

    // MARK: Who may pass whom

    /// Whether a newcomer may send although others wait to; the bound of `Fairness` is here.
    @inline(__always)
    func mayPassSenders(_ state: borrowing ChannelState) -> Bool {
        guard let first = state.senders.first else { return true }
        return state.hasSenderSteward && decide(sendOrdinal(state) < passLimit(first))
    }

    /// Whether a newcomer may receive although others wait to.
    @inline(__always)
    func mayPassReceivers(_ state: borrowing ChannelState) -> Bool {
        guard let first = state.receivers.first else { return true }
        return state.hasReceiverSteward && decide(receiveOrdinal(state) < passLimit(first))
    }

    private func passLimit(_ waiter: WaiterRef) -> UInt64 {
        let (sum, overflow) = waiter.pointer.pointee.ordinal.addingReportingOverflow(bypass)
        return overflow ? .max : sum
    }

    /// The ring position at which nobody may pass `waiter` any more, if nothing more goes beside the ring before the
    /// gate is closed again; and nothing does.
    @inline(__always)
    private func passWord(_ waiter: WaiterRef, _ state: borrowing ChannelState) -> UInt64 {
        let limit = passLimit(waiter)
        return ring.geometry.word(ordinal: limit > state.besideRing ? limit - state.besideRing : 0)
    }

    @inline(__always)
    func setTailLimit(_ state: borrowing ChannelState) {
        var limit = min(state.tailYield, state.roomLimit)
        if let first = state.senders.first { limit = min(limit, passWord(first, state)) }
        ring.tailLimit.storeRelaxed(limit)
    }

    @inline(__always)
    private func setHeadLimit(_ state: borrowing ChannelState) {
        var limit = state.headYield
        if let first = state.receivers.first { limit = min(limit, passWord(first, state)) }
        ring.headLimit.storeRelaxed(limit)
    }

    /// Whether a sender has used up the cooperative budget; if so, starts the next one.
    func spendTailBudget(_ state: inout ChannelState) -> Bool {
        let word = state.isGated ? state.tail : ring.tail.loadRelaxed() & RingWord.position
        guard word >= state.tailYield else { return false }
        state.tailYield = ring.geometry.word(ordinal: ring.geometry.ordinal(word) &+ Self.yieldInterval)
        setTailLimit(state)
        return true
    }

    /// Whether a receiver has used up the cooperative budget; if so, starts the next one.
    func spendHeadBudget(_ state: inout ChannelState) -> Bool {
        let word = state.isGated ? state.head : ring.head.loadRelaxed() & RingWord.position
        guard word >= state.headYield else { return false }
        state.headYield = ring.geometry.word(ordinal: ring.geometry.ordinal(word) &+ Self.yieldInterval)
        setHeadLimit(state)
        return true
    }

    // MARK: Slots, with the gate closed

    @inline(__always)
    private func headStamp(_ state: borrowing ChannelState) -> (AtomicWord, UnsafeMutableRawPointer) {
        let slot = ring.slot(state.head, stride: layout.stride)
        return (AtomicWord(at: slot), slot)
    }

    /// Whether the oldest claimed slot has its element.
    @inline(__always)
    func isHeadPublished(_ state: borrowing ChannelState) -> Bool {
        decide(headStamp(state).0.loadAcquiring() == ring.geometry.publishedStamp(state.head))
    }

    /// Moves the oldest element to `destination`; its slot is published.
    func pop(_ state: inout ChannelState, to destination: UnsafeMutableRawPointer) {
        let (stamp, slot) = headStamp(state)
        let word = state.head
        state.head = ring.geometry.next(word)
        PlainAccess.read(slot + layout.elementOffset)
        PlainAccess.write(destination)
        move(destination, slot + layout.elementOffset)
        stamp.storeReleasing(ring.geometry.releasedStamp(word))
    }

    /// Moves the element at `source` into the ring if the next slot is free.
    private func push(_ state: inout ChannelState, from source: UnsafeMutableRawPointer) -> Bool {
        let word = state.tail
        guard claimed(state) < ring.geometry.capacity else { return false }
        let slot = ring.slot(word, stride: layout.stride)
        let stamp = AtomicWord(at: slot)
        guard decide(stamp.loadAcquiring() == ring.geometry.freeStamp(word)) else { return false }
        state.tail = ring.geometry.next(word)
        PlainAccess.read(source)
        PlainAccess.write(slot + layout.elementOffset)
        move(slot + layout.elementOffset, source)
        stamp.storeReleasing(ring.geometry.publishedStamp(word))
        return true
    }

    /// Takes over the element at `source`, for which there is room: into the ring, or beside it.
    func takeOver(_ state: inout ChannelState, from source: UnsafeMutableRawPointer) {
        if state.spill.isEmpty, push(&state, from: source) { return }
        state.spill.append(node(from: source))
    }

    /// A node without a task that holds the element at `source`.
    private func node(from source: UnsafeMutableRawPointer) -> WaiterRef {
        let node = WaiterRef.allocate(payload: layout)
        PlainAccess.read(source)
        PlainAccess.write(node.payload(layout))
        move(node.payload(layout), source)
        return node
    }

    /// Moves the oldest spilled element to `destination`.
    func popSpill(_ state: inout ChannelState, to destination: UnsafeMutableRawPointer) -> Bool {
        guard let node = state.spill.popFirst() else { return false }
        PlainAccess.read(node.payload(layout))
        PlainAccess.write(destination)
        move(destination, node.payload(layout))
        node.deallocate(payload: layout)
        state.besideRing += 1
        return true
    }

    /// Drops the oldest element in the ring, which is published.
    private func evictHead(_ state: inout ChannelState, _ effects: inout ChannelEffects) {
        let node = WaiterRef.allocate(payload: layout)
        pop(&state, to: node.payload(layout))
        noteUndelivered(node, &state, &effects)
    }

    /// Orders `node`'s element to the hook.
    func noteUndelivered(_ node: WaiterRef, _ state: inout ChannelState, _ effects: inout ChannelEffects) {
        if state.closure == .abandoned {
            state.counters.abandoned += 1
            effects.undeliveredReason = .abandoned
        } else {
            state.counters.evicted += 1
            effects.undeliveredReason = .evicted
        }
        effects.undelivered.append(node)
    }

    // MARK: The pump

    /// Matches elements, room and waiters until nothing more fits.
    ///
    /// Idempotent; the gate is closed.
    ///
    /// With `thorough` every waiter that can be served is; otherwise a side whose steward is on its way is left to it.
    func pump(_ state: inout ChannelState, _ effects: inout ChannelEffects, thorough: Bool) {
        payDebt(&state, &effects)
        admit(&state, &effects, thorough: thorough)
        while thorough || !state.hasReceiverSteward, let receiver = state.receivers.first {
            if isRingOwed(state) {
                guard !state.spill.isEmpty else { break }
                guard claim(receiver, &state) else { continue }
                _ = popSpill(&state, to: receiver.payload(layout))
            } else {
                guard decide(state.debt == 0), isHeadPublished(state) else { break }
                guard claim(receiver, &state) else { continue }
                pop(&state, to: receiver.payload(layout))
            }
            grant(receiver, &state, &effects)
            admit(&state, &effects, thorough: thorough)
        }
        while let node = state.spill.first, push(&state, from: node.payload(layout)) {
            state.spill.remove(node)
            node.deallocate(payload: layout)
        }
        guard isEnded(state) else { return }
        while let receiver = state.receivers.first {
            guard claim(receiver, &state) else { continue }
            unlink(receiver, &state, &effects, verdict: state.closure == .abandoned ? .abandoned : .finished)
        }
        while let drainer = state.drainers.first { unlink(drainer, &state, &effects, verdict: .granted) }
    }

    /// Makes the evictions owed, as far as their elements are there.
    func payDebt(_ state: inout ChannelState, _ effects: inout ChannelEffects) {
        while state.debt > 0, claimed(state) > 0, isHeadPublished(state) {
            evictHead(&state, &effects)
            state.debt -= 1
        }
    }

    /// Whether a steward on its way is worth a yield of who would wait for it, before those behind it are served.
    ///
    /// The steward's task goes on, and fills or empties the ring by itself. Who serves the others in its place wakes a
    /// task for each, which finds the ring as the steward has left it and sleeps again: with four senders, four
    /// receivers and 64 slots that made two waits of three, and a third of the throughput. It is different where those
    /// who wait are many for the ring: then they are what it can be filled with. A yield and no more, because the
    /// steward's own executor may be stuck.
    @inline(__always)
    func isWorthAwaiting(_ waiting: borrowing WaiterList, _ state: borrowing ChannelState) -> Bool {
        waiting.count < state.capacity / 2
    }

    /// Whether an operation with these times waits at all.
    @inline(__always)
    func isPatient(_ times: WaitTimes?) -> Bool {
        guard let times else { return false }
        return times.deadline > times.now
    }

    /// An operation would have to wait: whoever was left to a steward is served now.
    func pumpPastStewards(_ state: inout ChannelState, _ effects: inout ChannelEffects) {
        guard state.hasSenderSteward || state.hasReceiverSteward else { return }
        pump(&state, &effects, thorough: true)
    }

    /// Takes over waiting senders' elements while there is room.
    private func admit(_ state: inout ChannelState, _ effects: inout ChannelEffects, thorough: Bool) {
        notePressure(&state)
        while thorough || !state.hasSenderSteward, let sender = state.senders.first {
            guard decide(!state.pressure.isPaused) else { break }
            if let count = sender.reservedCount {
                guard hasRoom(state, for: count) else { break }
                state.reserved += count
            } else {
                guard hasRoom(state) else { break }
                guard claim(sender, &state) else { continue }
                takeOver(&state, from: sender.payload(layout))
            }
            grant(sender, &state, &effects)
            notePressure(&state)
        }
    }

    /// Fulfils a waiter, and makes it its side's steward when others of that side still wait.
    func grant(_ waiter: WaiterRef, _ state: inout ChannelState, _ effects: inout ChannelEffects) {
        let isSender = waiter.pointer.pointee.list == ChannelState.senderTag
        unlink(waiter, &state, &effects, verdict: .granted)
        guard bypass > 0 else { return }
        if isSender {
            guard !state.senders.isEmpty, !state.hasSenderSteward else { return }
            state.hasSenderSteward = true
        } else {
            guard !state.receivers.isEmpty, !state.hasReceiverSteward else { return }
            state.hasReceiverSteward = true
        }
        waiter.pointer.pointee.isSteward = true
    }

    /// Takes a waiter out of its list and orders its wake.
    func unlink(
        _ waiter: WaiterRef, _ state: inout ChannelState, _ effects: inout ChannelEffects, verdict: Verdict
    ) {
        detach(waiter, &state)
        waiter.end(verdict)
        effects.wakes.append(waiter.sleeper)
    }

    /// Takes a waiter out of its list; nobody is woken.
    func detach(_ waiter: WaiterRef, _ state: inout ChannelState) {
        switch waiter.pointer.pointee.list {
        case ChannelState.senderTag: state.senders.remove(waiter)
        case ChannelState.receiverTag: state.receivers.remove(waiter)
        case ChannelState.drainerTag: state.drainers.remove(waiter)
        default: state.watchers.remove(waiter)
        }
        state.deadlines.remove(waiter)
    }

    /// Whether a receiver has nothing more to expect.
    @inline(__always)
    func isEnded(_ state: borrowing ChannelState) -> Bool {
        state.closure != .open && decide(claimed(state) == state.debt) && decide(state.spill.isEmpty)
            && (state.closure == .abandoned || decide(state.reserved == 0))
    }
}
