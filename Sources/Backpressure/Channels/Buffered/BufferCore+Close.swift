// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The end of a buffer, from either side, and what can be read of it at any time.

extension BufferCore {
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
            close(&state, &effects, .finished)
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
            detachAll(&state, &effects)
            close(&state, &effects, .abandoned)
        }
    }

    private func close(_ state: inout BufferState, _ effects: inout BufferEffects, _ verdict: Verdict) {
        for lane in 0..<state.laneCount {
            while decide(!state.lanes[lane].senders.isEmpty), let sender = state.lanes[lane].senders.first {
                end(sender, verdict, &state, &effects)
            }
        }
        while let watcher = state.watchers.first { end(watcher, .granted, &state, &effects) }
        pump(&state, &effects)
    }

    /// Takes everything out of the lanes, in their order, for the hook.
    ///
    /// The cells are not given back: nothing enters a cancelled buffer, and the elements stay in them until the hook has
    /// them.
    private func detachAll(_ state: inout BufferState, _ effects: inout BufferEffects) {
        for lane in (0..<state.laneCount).reversed() {
            state.lanes[lane].counters.abandoned += UInt64(state.lanes[lane].count)
            state.dropped &+= UInt64(state.lanes[lane].count)
            guard let last = state.lanes[lane].last else { continue }
            let first = state.lanes[lane].detachAll()
            last.pointee.next = effects.abandoned
            effects.abandoned = first
        }
        state.occupied = 0
        state.weight = 0
        state.expiries = DueHeap()
    }

    /// Nobody is left: hands what is still in to the hook.
    func discardAll() {
        var left = BufferEffects()
        locked { detachAll(&$0, &left) }
        var next = left.abandoned
        while let cell = next {
            next = cell.pointee.next
            PlainAccess.read(layout.element(cell))
            actions.discard(layout.element(cell), .abandoned)
        }
    }

    /// Registers a waiter that is granted when the buffer is closed; nil when it is closed already.
    func watch() -> WaiterRef? {
        withState { state, _ in
            guard state.closure == .open else { return nil }
            let waiter = node()
            state.watchers.append(waiter)
            return waiter
        }
    }

    /// Registers a waiter that is granted when the buffer is closed and empty; nil when it is.
    ///
    /// A closed buffer has no fast path, so whatever leaves it is followed by `pump`, which knows.
    func watchDrain() -> WaiterRef? {
        withState { state, _ in
            guard state.closure == .open || decide(state.count > 0) else { return nil }
            let waiter = node()
            state.drainers.append(waiter)
            return waiter
        }
    }

    // MARK: Readings

    /// The error the buffer was finished with.
    @usableFromInline var failure: (any Error)? { locked { $0.failure } }

    var isClosed: Bool { locked { $0.closure != .open } }

    var count: Int { locked { $0.count } }

    /// Whether it is closed and nothing is in.
    var isFinished: Bool { locked { $0.closure != .open && $0.count == 0 } }

    var cost: Int { locked { $0.cost } }

    /// Everything that can be read, of one instant.
    func snapshot() -> BufferSnapshot {
        let now = timeSource.now()
        var snapshot = locked { state in
            var snapshot = BufferSnapshot(
                capacity: state.capacity, maxElements: state.maxElements, depth: state.count, cost: state.cost,
                peakDepth: state.peakCount, received: state.received,
                refused: state.counters.refused, exceeded: state.counters.exceeded,
                sendsExpired: state.counters.sendsExpired, sendsTimedOut: state.counters.sendsTimedOut,
                sendsCancelled: state.counters.sendsCancelled, receivesTimedOut: state.counters.receivesTimedOut,
                receivesCancelled: state.counters.receivesCancelled, waitingReceivers: state.receivers.count,
                sendsParked: state.counters.sendsParked, receivesParked: state.counters.receivesParked,
                isClosed: state.closure != .open)
            snapshot.oldestReceiveWait = state.receivers.first?.age(at: now)
            snapshot.oldestSendWait = (0..<state.laneCount)
                .compactMap { state.lanes[$0].senders.first?.age(at: now) }.max()
            for index in 0..<state.laneCount {
                let lane = state.lanes + index
                let counters = lane.pointee.counters
                let dropped = counters.evicted + counters.expired + counters.shed + counters.abandoned
                snapshot.add(
                    BufferSnapshot.Lane(
                        capacity: lane.pointee.bound, depth: lane.pointee.count, cost: lane.pointee.cost,
                        sent: lane.pointee.entered + counters.conflated, received: lane.pointee.left - dropped,
                        droppedNewest: counters.droppedNewest,
                        evicted: counters.evicted, expired: counters.expired, shed: counters.shed,
                        isShedding: state.delays?.isShedding(index) ?? false, conflated: counters.conflated,
                        abandoned: counters.abandoned, waitingSenders: lane.pointee.senders.count,
                        longestPassedOver: state.departures.longest(index)))
            }
            return snapshot
        }
        snapshot.sendWaits = sendWaits.log.histogram
        snapshot.receiveWaits = receiveWaits.log.histogram
        return snapshot
    }
}
