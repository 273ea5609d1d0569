// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting for tokens: in order of registration, with one timer for whatever comes next.
//
// ## Who wins
// Whoever unlinks a waiter under the lock gives its verdict: the grant, the cancellation or the deadline. A task that
// was granted its tokens first returns normally although it is cancelled: it has them.

extension LimiterCore {
    /// What a request that may wait came to at once.
    enum Entry: Sendable {
        case taken
        case failed(RateLimitError)
        case registered(WaiterRef)
    }

    /// When a wait must end, on the limiter's clock.
    func deadline(_ limit: WaitLimit, now: Int64) -> Int64 {
        switch limit {
        case .none: .max
        case .timeout(let duration): duration > .zero ? timeSource.deadline(after: duration) : now
        case .deadline(let deadline): deadline
        }
    }

    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        guard let nanoseconds = timeSource.nanoseconds(of: deadline) else {
            preconditionFailure("the deadline is no instant of the limiter's clock but a \(type(of: deadline))")
        }
        return .deadline(nanoseconds)
    }

    /// Takes the tokens, or refuses, or registers a waiter.
    func enter(_ count: Int, debt: Int, now: Int64, deadline: Int64) -> Entry {
        let (count, debt) = (checked(count), checkedDebt(debt))
        let entry: Entry = withState(settlingAt: now) { state, effects in
            guard count <= Self.most(state.schedule.limit, debt) else {
                return .failed(.exceedsLimit(Int(clamping: state.schedule.limit)))
            }
            let soonest = state.schedule.earliest(count, debt: debt, behind: state.queued, now: now)
            if decide(state.isIdle), soonest <= now {
                _ = state.schedule.take(count, at: now, now: now)
                return .taken
            }
            guard soonest <= deadline, deadline > now else {
                state.refused += 1
                return .failed(.tooLate(retryAfter: max(soonest, now.addingSaturating(1)).wait(since: now)))
            }
            guard state.waiterCount < maxWaiters else {
                state.refused += 1
                return .failed(.rejected(.full))
            }
            let waiter = WaiterRef.allocate(payload: layout)
            ticket(of: waiter).initialize(to: Ticket(count: count, debt: debt))
            waiter.pointer.pointee.parkedAt = now
            waiter.pointer.pointee.deadline = deadline
            _ = state.deadlines.insert(waiter)
            state.waiting.append(waiter)
            state.queued = Self.most(state.queued, count)
            state.parked += 1
            return .registered(waiter)
        }
        switch entry {
        case .taken: note(.allowed(Int(count)))
        case .failed: note(.denied(Int(count)))
        case .registered: note(.parked(Int(count)))
        }
        return entry
    }

    func ticket(of waiter: WaiterRef) -> UnsafeMutablePointer<Ticket> {
        waiter.payload(layout).assumingMemoryBound(to: Ticket.self)
    }

    /// Frees a woken waiter and says how its wait ended.
    func leave(_ waiter: WaiterRef) -> Verdict {
        let verdict = waiter.verdict
        let count = Int(ticket(of: waiter).pointee.count)
        ticket(of: waiter).deinitialize(count: 1)
        waiter.deallocate(payload: layout)
        note(verdict == .granted ? .granted(count) : .abandoned(count))
        return verdict
    }

    @inline(never)
    nonisolated(nonsending) func acquire(_ count: Int, debt: Int, limit: WaitLimit) async throws(RateLimitError) {
        let now = present()
        switch enter(count, debt: debt, now: now, deadline: deadline(limit, now: now)) {
        case .taken: return
        case .failed(let error): throw error
        case .registered(let waiter):
            let watch = WaitWatch(.tokens, waiter) { state.withLock { $0.waiterCount } }
            await waiter.sleep(cancelling: self)
            watch.end(waiter, waits.log, timeSource)
            switch leave(waiter) {
            case .granted: return
            case .timedOut: throw .rejected(.timedOut)
            default: throw .rejected(.cancelled)
            }
        }
    }

    // MARK: - Settling

    /// Grants all that is due at `now`, in order.
    func grantDue(_ state: inout LimiterState<Schedule>, _ effects: inout LimiterEffects, _ now: Int64) {
        while let first = state.booked.first {
            guard ticket(of: first).pointee.due <= now else { return }
            state.booked.remove(first)
            grant(first, &state, &effects)
        }
        while let first = state.waiting.first {
            let ticket = ticket(of: first)
            guard isPayable(ticket.pointee, state, now) else { return }
            unqueue(first, &state)
            _ = state.schedule.take(ticket.pointee.count, at: now, now: now)
            grant(first, &state, &effects)
        }
    }

    @inline(__always)
    private func isPayable(_ ticket: Ticket, _ state: borrowing LimiterState<Schedule>, _ now: Int64) -> Bool {
        decide(state.schedule.earliest(ticket.count, debt: ticket.debt, behind: 0, now: now) <= now)
    }

    private func grant(
        _ waiter: WaiterRef, _ state: inout LimiterState<Schedule>, _ effects: inout LimiterEffects
    ) {
        state.granted += 1
        finish(waiter, &state, &effects, .granted)
    }

    /// Ends the wait of a waiter that has just been unlinked.
    private func finish(
        _ waiter: WaiterRef, _ state: inout LimiterState<Schedule>, _ effects: inout LimiterEffects,
        _ verdict: Verdict
    ) {
        state.deadlines.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    private func unqueue(_ waiter: WaiterRef, _ state: inout LimiterState<Schedule>) {
        state.waiting.remove(waiter)
        // Held to its range when it was added: with the last waiter it is 0 again.
        state.queued = state.waiting.isEmpty ? 0 : state.queued - min(state.queued, ticket(of: waiter).pointee.count)
    }

    /// Books all that wait, so that something can be promised behind them.
    ///
    /// Stops at one that can never be served: it goes on waiting, and nothing can be promised.
    func bookWaiting(_ state: inout LimiterState<Schedule>, _ now: Int64) {
        var latest = state.booked.last.map { ticket(of: $0).pointee.due } ?? now
        while let first = state.waiting.first {
            let ticket = ticket(of: first)
            let instant = state.schedule.earliest(
                ticket.pointee.count, debt: ticket.pointee.debt, behind: 0, now: now)
            guard instant < .max else { return }
            latest = max(latest, instant)
            unqueue(first, &state)
            ticket.pointee.due = latest
            ticket.pointee.mark = state.schedule.take(ticket.pointee.count, at: latest, now: now)
            state.booked.append(first)
        }
    }

    /// Ends a wait without tokens; whoever comes next moves up.
    private func giveUp(
        _ waiter: WaiterRef, _ state: inout LimiterState<Schedule>, _ effects: inout LimiterEffects,
        _ verdict: Verdict, now: Int64
    ) {
        if state.booked.contains(waiter) {
            state.booked.remove(waiter)
            let ticket = ticket(of: waiter)
            if let mark = ticket.pointee.mark { _ = state.schedule.giveBack(ticket.pointee.count, mark, now: now) }
        } else {
            unqueue(waiter, &state)
        }
        finish(waiter, &state, &effects, verdict)
    }

    // MARK: - Cancelling and the timer

    func cancel(_ waiter: WaiterRef) {
        let now = present()
        withState(settlingAt: now) { state, effects in
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            state.cancelled += 1
            giveUp(waiter, &state, &effects, .cancelled, now: now)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = present()
        var effects = LimiterEffects()
        let next: Int64? = state.withLock { state in
            load(&state)
            grantDue(&state, &effects, now)
            while let waiter = state.deadlines.due(at: now) {
                state.timedOut += 1
                giveUp(waiter, &state, &effects, .timedOut, now: now)
            }
            grantDue(&state, &effects, now)
            var next: Int64?
            if generation == state.generation {
                state.armedFor = nextInstant(state, now)
                next = state.armedFor == .max ? nil : state.armedFor
            }
            publish(&state)
            return next
        }
        perform(effects)
        return next
    }

    /// Orders a timer if something can happen before the armed one rings.
    func rearm(_ state: inout LimiterState<Schedule>, _ effects: inout LimiterEffects, _ now: Int64) {
        let next = nextInstant(state, now)
        guard next < state.armedFor else { return }
        state.armedFor = next
        state.generation += 1
        effects.timer = TimerRequest(deadline: next, generation: state.generation)
    }

    /// When the first in line can be served, or the first deadline passes.
    @inline(__always)
    private func nextInstant(_ state: borrowing LimiterState<Schedule>, _ now: Int64) -> Int64 {
        var next = state.deadlines.due(at: .max).map { $0.pointer.pointee.deadline } ?? .max
        if let first = state.booked.first {
            next = min(next, ticket(of: first).pointee.due)
        } else if let first = state.waiting.first {
            let ticket = ticket(of: first)
            next = min(
                next,
                state.schedule.earliest(ticket.pointee.count, debt: ticket.pointee.debt, behind: 0, now: now))
        }
        return next
    }
}
