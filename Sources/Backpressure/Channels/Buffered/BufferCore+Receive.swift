// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Receiving, as far as the fast path could not do it; and how waits end.

extension BufferCore {
    /// Moves the next element to `destination`.
    ///
    /// - Parameters:
    ///   - destination: Memory for the element; it holds one exactly when the outcome is done.
    ///   - times: Nil for an operation that does not wait.
    /// - Returns: The outcome, and the waiter if one was registered.
    @usableFromInline
    func receive(into destination: UnsafeMutableRawPointer, times: WaitTimes?) -> (BufferOutcome, WaiterRef?) {
        let first = tryReceive(into: destination, times: times, now: times?.now)
        guard first.0 == .needsTime else { return first }
        return tryReceive(into: destination, times: times, now: timeSource.now())
    }

    private func tryReceive(
        into destination: UnsafeMutableRawPointer, times: WaitTimes?, now: Int64?
    ) -> (BufferOutcome, WaiterRef?) {
        withState { state, effects in
            if isShedding {
                guard let now else { return (.needsTime, nil) }
                state.delays?.present = now
            }
            if decide(!state.expiries.isEmpty) {
                guard let now else { return (.needsTime, nil) }
                expire(&state, &effects, now: now)
            }
            if isShedding { shed(&state, &effects) }
            if decide(state.count > 0) {
                let done = Self.isYieldDue(state.received) ? BufferOutcome.doneYieldDue : .done
                let cell = takeOut(&state)
                PlainAccess.read(layout.element(cell))
                actions.move(destination, layout.element(cell))
                pump(&state, &effects)
                return (done, nil)
            }
            guard state.closure == .open else { return (closedOutcome(state), nil) }
            guard let times else { return (.wouldWait, nil) }
            guard times.deadline > times.now else {
                state.counters.receivesTimedOut += 1
                return (.timedOut, nil)
            }
            let waiter = node()
            waiter.pointer.pointee.parkedAt = times.now
            waiter.pointer.pointee.deadline = times.deadline
            _ = state.deadlines.insert(waiter)
            state.receivers.append(waiter)
            state.counters.receivesParked += 1
            return (.registered, waiter)
        }
    }

    // MARK: - How waits end

    /// Suspends the calling task until its wait is over.
    @inline(never)
    @usableFromInline
    nonisolated(nonsending) func wait(_ waiter: WaiterRef, isSender: Bool) async {
        let watch = WaitWatch(isSender ? .send : .receive, waiter) { waitingCount(isSender: isSender) }
        await waiter.sleep(cancelling: self)
        watch.end(waiter, isSender ? sendWaits.log : receiveWaits.log, timeSource)
    }

    private func waitingCount(isSender: Bool) -> Int {
        locked { state in
            guard isSender else { return state.receivers.count }
            return (0..<state.laneCount).reduce(0) { $0 + state.lanes[$1].senders.count }
        }
    }

    /// What became of a sender that waited; the element is still in the waiter unless it was granted.
    @usableFromInline
    func outcome(ofSender waiter: WaiterRef) -> BufferOutcome {
        switch waiter.verdict {
        case .granted: return .done
        case .finished: return .finished
        case .abandoned: return .abandoned
        case .cancelled: return .wouldWait
        case .timedOut:
            switch cell(of: waiter).pointee.limit {
            case .call: return .timedOut
            case .element: return .expired
            case .policy: return .dropped
            }
        case .none: preconditionFailure("a sender woke without a verdict")
        }
    }

    /// The waiter's task was cancelled.
    func cancel(_ waiter: WaiterRef) {
        let now = isShedding ? timeSource.now() : 0
        withState { state, effects in
            state.delays?.present = now
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            switch waiter.pointer.pointee.list {
            case BufferState.watcherTag, BufferState.drainerTag: break
            case BufferState.receiverTag: state.counters.receivesCancelled += 1
            default: state.counters.sendsCancelled += 1
            }
            end(waiter, .cancelled, &state, &effects)
            // The one behind a large element may fit.
            pump(&state, &effects)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            state.delays?.present = now
            while let waiter = state.deadlines.due(at: now) {
                noteTimeout(waiter, &state)
                end(waiter, .timedOut, &state, &effects)
            }
            expire(&state, &effects, now: now)
            pump(&state, &effects)
            return state.alarm.rearm(state.earliest, generation: generation)
        }
    }

    private func noteTimeout(_ waiter: WaiterRef, _ state: inout BufferState) {
        guard waiter.pointer.pointee.list != BufferState.receiverTag else {
            state.counters.receivesTimedOut += 1
            return
        }
        let head = cell(of: waiter)
        switch head.pointee.limit {
        case .call: state.counters.sendsTimedOut += 1
        case .element: state.counters.sendsExpired += 1
        case .policy: state.lanes[Int(head.pointee.lane)].counters.droppedNewest += 1
        }
    }
}
