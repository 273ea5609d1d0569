// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The end of a channel, from either side, and what can be read of it at any time.

extension ChannelCore {
    /// Accepts nothing more; what is in is still received, then the end or `failure`.
    ///
    /// The first close counts; tells whether it was this one.
    @discardableResult
    @usableFromInline
    func finish(failure: (any Error)?) -> Bool {
        withState { state, effects in
            guard state.closure == .open else { return false }
            state.closure = .finished
            state.failure = failure
            close(&state, &effects, senders: .finished)
            return true
        }
    }

    /// Accepts nothing more and drops what is in; receivers get the end.
    @usableFromInline
    func abandon() {
        withState { state, effects in
            guard state.closure != .abandoned else { return }
            // An error given by the producers stays what later receives get.
            state.closure = .abandoned
            close(&state, &effects, senders: .abandoned) { state, effects in
                while let node = state.spill.popFirst() {
                    state.besideRing += 1
                    noteUndelivered(node, &state, &effects)
                }
                state.debt = claimed(state)
            }
        }
    }

    private func close(
        _ state: inout ChannelState, _ effects: inout ChannelEffects, senders verdict: Verdict,
        dropping: (inout ChannelState, inout ChannelEffects) -> Void = { _, _ in }
    ) {
        gate(&state)
        // For who asks without the lock, should the gate stay closed.
        _ = ring.tail.fetchOrRelaxed(RingWord.closed)
        while decide(!state.senders.isEmpty), let sender = state.senders.first {
            guard claim(sender, &state) else { continue }
            unlink(sender, &state, &effects, verdict: verdict)
        }
        while let watcher = state.watchers.first { unlink(watcher, &state, &effects, verdict: .granted) }
        dropping(&state, &effects)
        pump(&state, &effects, thorough: true)
        settle(&state)
    }

    /// Nobody is left: hands what is still in to the hook.
    ///
    /// No lock is needed, no operation can be under way.
    func discardAll() {
        state.withLock { state in
            gate(&state)
            var owed = state.closure == .abandoned ? 0 : state.debt
            while claimed(state) > 0 {
                assert(isHeadPublished(state), "an operation outlived its channel")
                let slot = ring.slot(state.head, stride: layout.stride)
                state.head = ring.geometry.next(state.head)
                PlainAccess.read(slot + layout.elementOffset)
                discard(slot + layout.elementOffset, owed > 0 ? .evicted : .abandoned)
                owed -= 1
            }
            while let node = state.spill.popFirst() {
                discard(node.payload(layout), .abandoned)
                node.deallocate(payload: layout)
            }
        }
    }

    // MARK: Readings

    /// The error the channel was finished with.
    @usableFromInline var failure: (any Error)? { state.withLock { $0.failure } }

    /// Relaxed: a reading promises nothing of what was done before it.
    @usableFromInline var isClosed: Bool { ring.tail.loadRelaxed() & RingWord.closed != 0 }

    /// Whether it is closed, with nothing in it and no room reserved: then no receive gets an element any more.
    @usableFromInline var isFinished: Bool {
        guard isClosed else { return false }
        return withState { state, _ in
            gate(&state)
            defer { settle(&state) }
            return isEnded(state)
        }
    }

    /// Elements sent and not yet received: of one instant, unless positions move faster than they can be
    /// read; then the lock holds them still.
    ///
    /// Head before tail before head again: each is acquired for the one behind it. A tail older than the head would
    /// count less than none, a second head older than the tail more than fit; behind the last one nothing is read.
    @usableFromInline var count: Int {
        for _ in 0..<8 {
            let head = ring.head.loadAcquiring()
            let tail = ring.tail.loadAcquiring()
            guard (head | tail) & RingWord.gate == 0 else { break }
            if ring.head.loadRelaxed() == head {
                return ring.geometry.distance(tail: tail & RingWord.position, head: head)
            }
        }
        return withState { state, _ in
            gate(&state)
            defer { settle(&state) }
            return depth(state)
        }
    }

    /// Everything that can be read, of one instant.
    func snapshot() -> ChannelSnapshot {
        let now = timeSource.now()
        var snapshot = withState { state, _ in
            gate(&state)
            defer { settle(&state) }
            let depth = depth(state)
            let counters = state.counters
            let evictions = counters.evicted + counters.abandoned
            // Evictions owed are dropped already, as far as anybody can tell.
            let owed = UInt64(state.debt)
            state.counters.peakDepth = max(counters.peakDepth, depth)
            return ChannelSnapshot(
                capacity: state.capacity,
                depth: depth,
                reserved: state.reserved,
                peakDepth: state.counters.peakDepth,
                sent: sendOrdinal(state),
                received: receiveOrdinal(state) &- evictions,
                droppedNewest: counters.droppedNewest,
                evicted: counters.evicted &+ (state.closure == .abandoned ? 0 : owed),
                abandoned: counters.abandoned &+ (state.closure == .abandoned ? owed : 0),
                refused: ring.refusals.loadRelaxed(),
                sendsTimedOut: counters.sendsTimedOut,
                sendsCancelled: counters.sendsCancelled,
                receivesTimedOut: counters.receivesTimedOut,
                receivesCancelled: counters.receivesCancelled,
                waitingSenders: state.senders.count,
                waitingReceivers: state.receivers.count,
                sendsParked: counters.sendsParked,
                receivesParked: counters.receivesParked,
                isClosed: state.closure != .open,
                isPaused: state.pressure.isPaused,
                oldestSendWait: state.senders.first?.age(at: now),
                oldestReceiveWait: state.receivers.first?.age(at: now))
        }
        snapshot.sendWaits = ring.sendLog.histogram
        snapshot.receiveWaits = ring.receiveLog.histogram
        return snapshot
    }
}
