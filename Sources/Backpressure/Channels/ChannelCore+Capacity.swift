// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bound that can move: the live capacity, and watermarks that hold senders back until the channel has drained.
//
// ## Algorithm
// The ring has room for the maximum. A smaller bound is a position: the tail may go as far as head + bound, as the head
// was when somebody looked. The head only grows, so the bound holds whatever happens meanwhile, and the fast path
// compares the tail with a limit anyway: it has nothing more to do. A sender that comes to the limit takes the lock,
// looks at the head and moves the limit on. With the whole ring for a capacity and no watermarks there is no such limit.
//
// With watermarks the limit lies one below the high mark: the send that reaches the mark is made under the lock, and
// pauses. A pause keeps the gate closed, so nothing can fall to the low mark unnoticed. Who may wait waits until then;
// who may not has the room up to the capacity.
//
// ## The dangerous race
// A limit is lowered under the gate, but a sender may have read tail and old limit before the gate was closed, and swap
// after it was opened, at the same position:
//
//     sender                          resize
//     reads tail w, limit w + 3
//                                     gate; limit := w + 1; opens the gate with w
//     swap w -> w + 3: two too many
//
// So a tail that stands where the limit was lowered carries a flag, and the swap fails. The first send under the lock
// takes the tail past that position, and the flag goes.
//
// ## Invariants
// B1  Gate open => tail <= roomLimit, or the capacity has fallen below what is in. roomLimit <= head + bound.
// B2  A limit is lowered only under the gate, and then the tail does not stand flagless where it stood (see above).
// B3  After a shrink nothing is dropped for it, and nothing is let in before it fits: `ceiling` never rises by itself.
// B4  Paused => the gate is closed. Level <= low at the end of a `pump` => not paused.
// B5  Edges told alternate, and at most one thread tells at a time: the teller looks again before it stops.
//
// ## Cost
// Below its maximum: one lock and no gate for as many sends as there was room at the last look. A channel that is full
// most of the time takes the lock at each send. With watermarks, while paused, every operation takes the lock.

extension ChannelCore {
    // MARK: The limit

    /// The position at which a send must ask, seen from `head`; `noLimit` where the ring itself is the bound.
    static func roomLimit(
        head: UInt64, capacity: Int, _ watermarks: Watermarks?, _ geometry: RingGeometry
    ) -> UInt64 {
        let bound = watermarks.map { min($0.high, capacity) - 1 } ?? capacity
        guard bound < geometry.capacity else { return RingWord.noLimit }
        return geometry.word(ordinal: geometry.ordinal(head) &+ UInt64(bound))
    }

    /// The limit for the positions as they are; the gate is closed.
    func setRoomLimit(_ state: inout ChannelState) {
        let limit = Self.roomLimit(head: state.head, capacity: state.capacity, watermarks, ring.geometry)
        if decide(limit < state.roomLimit) { state.loweredAt = state.tail }
        state.roomLimit = limit
    }

    /// Moves the limit on if a sender has come to it and the head has moved; the gate is open.
    func moveRoomLimit(_ state: inout ChannelState) {
        guard !state.isGated, state.roomLimit < RingWord.noLimit else { return }
        // Relaxed: an older head gives a lower limit, and then the gate decides.
        let head = ring.head.loadRelaxed() & RingWord.position
        let limit = Self.roomLimit(head: head, capacity: state.capacity, watermarks, ring.geometry)
        guard limit > state.roomLimit else { return }
        state.roomLimit = limit
        setTailLimit(state)
    }

    /// Whether there is room for who `mayWait` for it, or may not.
    @inline(__always)
    func hasRoom(_ state: borrowing ChannelState, for count: Int = 1, mayWait: Bool) -> Bool {
        hasRoom(state, for: count) && !(mayWait && state.pressure.isPaused)
    }

    // MARK: Resize

    /// Changes the bound; nothing is dropped by it.
    func resize(capacity: Int) {
        let maximum = ring.geometry.capacity
        precondition(
            capacity >= 1 && capacity <= maximum, "a capacity of \(capacity) is not within 1...\(maximum)")
        withState { state, effects in
            guard state.capacity != capacity else { return }
            gate(&state)
            state.capacity = capacity
            state.ceiling = max(capacity, logicalCount(state))
            ring.liveCapacity.storeRelaxed(UInt64(capacity))
            endOversized(&state, &effects)
            pump(&state, &effects, thorough: true)
            settle(&state)
        }
    }

    /// A reservation that waits for more than there is would hold up everybody behind it, for ever.
    private func endOversized(_ state: inout ChannelState, _ effects: inout ChannelEffects) {
        var next = state.senders.first
        while let waiter = next {
            next = waiter.pointer.pointee.next.map(WaiterRef.init)
            guard let count = waiter.reservedCount, count > state.capacity else { continue }
            unlink(waiter, &state, &effects, verdict: .abandoned)
        }
    }

    /// Whether the consumers have cancelled the channel.
    var isAbandoned: Bool { state.withLock { $0.closure == .abandoned } }

    // MARK: Watermarks

    /// Takes note of the level; the gate is closed.
    @inline(__always)
    func notePressure(_ state: inout ChannelState) {
        if watermarkBox != nil { updatePressure(&state) }
    }

    @inline(never)
    private func updatePressure(_ state: inout ChannelState) {
        guard let watermarks, state.isGated else { return }
        let high = min(watermarks.high, state.capacity)
        state.pressure.update(level: logicalCount(state), low: min(watermarks.low, high - 1), high: high)
    }

    /// What the caller must tell once it has released the lock; nil if there is nothing, or another thread tells it.
    func takeEdge(_ state: inout ChannelState) -> PressureEdge? {
        guard watermarks?.onEdge != nil, decide(!state.isTelling) else { return nil }
        return nextEdge(&state)
    }

    private func nextEdge(_ state: inout ChannelState) -> PressureEdge? {
        state.isTelling = decide(state.isToldPaused != state.pressure.isPaused)
        guard state.isTelling else { return nil }
        state.isToldPaused = state.pressure.isPaused
        return state.isToldPaused ? .pause : .resume
    }

    /// Calls the hook with this edge, and with those that come up meanwhile.
    func tell(_ first: PressureEdge) {
        var edge: PressureEdge? = first
        while let told = edge {
            watermarks?.onEdge?(told)
            edge = state.withLock { nextEdge(&$0) }
        }
    }
}
