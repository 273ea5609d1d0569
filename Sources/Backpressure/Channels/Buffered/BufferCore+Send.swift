// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sending, as far as the fast path could not do it: the policy, and who pays.
//
// ## Who pays
// 1. What has expired, always first.
// 2. With `evictsLower`: the newest elements of the least important lanes below the arriving one, as many as it takes,
//    and none if all of them would not be enough. The newest, because those before them have waited for longer and are
//    next in turn: so the aging bound of a lane's head holds whatever is evicted behind it.
// 3. What the policy's action says.

/// What a sender brings.
@usableFromInline
struct BufferOffer: Sendable {
    @usableFromInline var lane: Int
    @usableFromInline var cost: Int
    /// When the element is too late to be of use.
    @usableFromInline var expiry: Int64
    /// Nil for an operation that does not wait.
    @usableFromInline var times: WaitTimes?
    /// The time, if it was read.
    @usableFromInline var now: Int64?

    @usableFromInline
    init(lane: Int, cost: Int, expiry: Int64, times: WaitTimes?, now: Int64?) {
        self.lane = lane
        self.cost = cost
        self.expiry = expiry
        self.times = times
        self.now = now
    }
}

extension BufferCore {
    /// Offers the element at `source`.
    ///
    /// - Parameters:
    ///   - source: The element. It was moved away exactly when the outcome is done or registered.
    ///   - offer: What is known of it.
    ///   - scratch: Memory for one element that has to go.
    /// - Returns: The outcome, and the waiter if one was registered.
    @usableFromInline
    func send(
        from source: UnsafeMutableRawPointer, _ offer: BufferOffer, scratch: UnsafeMutableRawPointer
    ) -> (BufferOutcome, WaiterRef?) {
        let first = trySend(from: source, offer, scratch: scratch)
        guard first.0 == .needsTime else { return first }
        var offer = offer
        offer.now = timeSource.now()
        return trySend(from: source, offer, scratch: scratch)
    }

    private func trySend(
        from source: UnsafeMutableRawPointer, _ offer: BufferOffer, scratch: UnsafeMutableRawPointer
    ) -> (BufferOutcome, WaiterRef?) {
        withState(scratch: scratch) { state, effects in
            guard state.closure == .open else { return (closedOutcome(state), nil) }
            guard offer.cost <= state.lanes[offer.lane].bound, offer.cost <= state.capacity else {
                state.counters.exceeded += 1
                return (.exceedsLimit, nil)
            }
            if isShedding {
                guard let now = offer.now else { return (.needsTime, nil) }
                state.delays?.present = now
            }
            if decide(!state.expiries.isEmpty) {
                guard let now = offer.now else { return (.needsTime, nil) }
                expire(&state, &effects, now: now)
            }
            if offer.expiry != .max, let now = offer.now, decide(offer.expiry <= now) {
                state.counters.sendsExpired += 1
                return (.expired, nil)
            }
            let done = Self.isYieldDue(state.entered) ? BufferOutcome.doneYieldDue : .done
            if mayPass(state, offer.lane) {
                if hasRoom(state, offer.lane, offer.cost) || evictLower(&state, &effects, offer) {
                    takeOver(&state, &effects, source, offer)
                    return (done, nil)
                }
                if policy.action == .dropOldest {
                    evictOldest(&state, &effects, offer)
                    takeOver(&state, &effects, source, offer)
                    return (done, nil)
                }
            }
            switch policy.action {
            case .dropNewest, .dropOldest:
                state.lanes[offer.lane].counters.droppedNewest += 1
                return (.dropped, nil)
            case .conflate: return (.conflates, nil)
            case .reject: return (refuse(&state), nil)
            case .suspend: return register(&state, &effects, source, offer)
            }
        }
    }

    private func refuse(_ state: inout BufferState) -> BufferOutcome {
        state.counters.refused += 1
        return .wouldWait
    }

    /// Whether a newcomer may enter `lane` although somebody waits to.
    ///
    /// In order of arrival nobody passes anybody. Otherwise those who wait in other lanes wait for room in their own,
    /// or there is no room at all.
    private func mayPass(_ state: borrowing BufferState, _ lane: Int) -> Bool {
        order == .arrival ? decide(state.waiting == 0) : decide(state.lanes[lane].senders.isEmpty)
    }

    private func register(
        _ state: inout BufferState, _ effects: inout BufferEffects, _ source: UnsafeMutableRawPointer,
        _ offer: BufferOffer
    ) -> (BufferOutcome, WaiterRef?) {
        guard let times = offer.times else { return (refuse(&state), nil) }
        guard times.deadline > times.now else {
            state.counters.sendsTimedOut += 1
            return (.timedOut, nil)
        }
        let waiter = node()
        let head = cell(of: waiter)
        head.pointee.lane = UInt8(truncatingIfNeeded: offer.lane)
        head.pointee.cost = offer.cost
        head.pointee.deadline = offer.expiry
        PlainAccess.write(layout.element(head))
        actions.move(layout.element(head), source)
        waiter.pointer.pointee.parkedAt = times.now
        waiter.pointer.pointee.ordinal = state.registrations
        state.registrations += 1
        (waiter.pointer.pointee.deadline, head.pointee.limit) = limit(times, offer.expiry)
        _ = state.deadlines.insert(waiter)
        if state.lanes[offer.lane].senders.isEmpty {
            state.waiting |= 1 << UInt64(offer.lane)
            state.admissions.begin(offer.lane)
        }
        state.lanes[offer.lane].senders.append(waiter)
        state.counters.sendsParked += 1
        return (.registered, waiter)
    }

    /// When a send must end, and what ends it.
    private func limit(_ times: WaitTimes, _ expiry: Int64) -> (Int64, SendLimit) {
        var (deadline, limit) = (times.deadline, SendLimit.call)
        if expiry < deadline { (deadline, limit) = (expiry, .element) }
        if let patience = policy.patience {
            let end = times.now.addingSaturating(patience.saturatingNanoseconds)
            if end < deadline { (deadline, limit) = (end, .policy) }
        }
        return (deadline, limit)
    }

    /// Takes over the element at `source`, which fits, and serves whoever waits for one.
    private func takeOver(
        _ state: inout BufferState, _ effects: inout BufferEffects, _ source: UnsafeMutableRawPointer,
        _ offer: BufferOffer
    ) {
        enter(&state, from: source, lane: offer.lane, cost: offer.cost, expiry: offer.expiry)
        pump(&state, &effects)
    }

    // MARK: - Who pays

    /// Drops the oldest elements until `offer` fits.
    private func evictOldest(_ state: inout BufferState, _ effects: inout BufferEffects, _ offer: BufferOffer) {
        while !hasRoom(state, offer.lane, offer.cost), decide(state.count > 0) {
            let lane = Self.next(state)
            guard let cell = state.lanes[lane].first else { preconditionFailure("an occupied lane has no element") }
            state.lanes[lane].counters.evicted += 1
            drop(cell, lane, &state, &effects, reason: .evicted)
        }
    }

    /// Drops the newest elements of the least important lanes until `offer` fits; none if that is not enough.
    private func evictLower(_ state: inout BufferState, _ effects: inout BufferEffects, _ offer: BufferOffer) -> Bool {
        guard policy.evictsLower, laneHasRoom(state, offer.lane, offer.cost) else { return false }
        var (count, cost) = (0, 0)
        for lane in (offer.lane + 1)..<max(state.laneCount, offer.lane + 1) {
            count += state.lanes[lane].count
            cost += state.lanes[lane].cost
        }
        guard state.count - count < state.maxElements, offer.cost <= state.capacity - state.cost + cost, count > 0
        else { return false }
        var lane = state.laneCount - 1
        while !hasRoom(state, offer.lane, offer.cost) {
            guard let cell = state.lanes[lane].last else {
                lane -= 1
                continue
            }
            state.lanes[lane].counters.evicted += 1
            drop(cell, lane, &state, &effects, reason: .evicted)
        }
        return true
    }

    func closedOutcome(_ state: borrowing BufferState) -> BufferOutcome {
        state.closure == .abandoned ? .abandoned : .finished
    }
}
