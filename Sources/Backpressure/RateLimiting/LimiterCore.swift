// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limiter behind every limiter: a schedule under a lock, a queue of tasks, one timer.
//
// ## Algorithm
// An operation reads the clock, takes the lock, settles (grants what has come due), decides, and settles again. Nothing
// is taken for a waiting task before its tokens are there: a task that is cancelled has nothing to give back, and the
// next one moves up. Only a reservation, whose instant is promised, books the tasks before it, each once.
// The clock is read before the lock, because a clock is code of a user. A reading that is late by then denies what a
// later one would allow, and never the reverse: no schedule goes back in time.
//
// A subclass may keep the schedule in a word of its own while nobody holds the lock: see `load` and `publish`.
//
// Files: this one and `LimiterCore+Waiting`; the schedules are `GCRA`, `CompositeSchedule`, `SlidingSchedule`.

class LimiterCore<Schedule: RateSchedule>: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    typealias Ticket = LimiterTicket<Schedule.Mark>

    let timeSource: TimeSource
    let state: LockedState<LimiterState<Schedule>>
    let timer = DeadlineTimer()
    let waits = OwnedWaitLog()
    let maxWaiters: Int
    let observer: (@Sendable (RateEvent) -> Void)?
    let layout = SlotLayout(of: LimiterTicket<Schedule.Mark>.self)

    init(
        schedule: Schedule, timeSource: TimeSource, maxWaiters: Int, observer: (@Sendable (RateEvent) -> Void)?
    ) {
        precondition(maxWaiters >= 0, "\(maxWaiters) tasks may wait")
        state = LockedState(LimiterState(schedule: schedule))
        self.timeSource = timeSource
        self.maxWaiters = maxWaiters
        self.observer = observer
    }

    deinit { timer.cancel() }

    /// The lock was taken: the schedule in the state is made current.
    func load(_ state: inout LimiterState<Schedule>) {}

    /// The lock is about to be released: the schedule in the state is made public.
    func publish(_ state: inout LimiterState<Schedule>) {}

    /// The reading of the clock, short of the end of time: an instant there is never.
    @inline(__always)
    func present() -> Int64 { min(timeSource.now(), .max - 1) }

    // MARK: - Lock, decide, unlock, act

    func withState<Result>(
        settlingAt now: Int64, _ body: (inout LimiterState<Schedule>, inout LimiterEffects) -> Result
    ) -> Result {
        var effects = LimiterEffects()
        let result = state.withLock { state in
            load(&state)
            state.schedule.note(reading: now)
            grantDue(&state, &effects, now)
            let result = body(&state, &effects)
            grantDue(&state, &effects, now)
            rearm(&state, &effects, now)
            publish(&state)
            return result
        }
        perform(effects)
        return result
    }

    func perform(_ effects: consuming LimiterEffects) {
        let (wakes, request) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let request { timer.arm(request, for: self) }
    }

    @inline(__always)
    func note(_ event: @autoclosure () -> RateEvent) {
        if let observer { observer(event()) }
    }

    /// The most tokens of one request that may go so far into debt.
    static func most(_ limit: UInt64, _ debt: UInt64) -> UInt64 {
        let (sum, overflow) = limit.addingReportingOverflow(debt)
        return overflow ? .max : sum
    }

    // MARK: - Verbs that do not wait

    func tryAcquire(_ count: Int, debt: Int, now: Int64) -> RateDecision {
        let (count, debt) = (checked(count), checkedDebt(debt))
        let decision = withState(settlingAt: now) { state, effects in
            let decision = judge(state, count, debt, now)
            if decision.isAllowed { _ = state.schedule.take(count, at: now, now: now) }
            return decision
        }
        note(decision.isAllowed ? .allowed(Int(count)) : .denied(Int(count)))
        return decision
    }

    /// What a request would be told now; it changes nothing.
    func peek(_ count: Int, debt: Int) -> RateDecision {
        let (count, debt, now) = (checked(count), checkedDebt(debt), present())
        return withState(settlingAt: now) { state, effects in judge(state, count, debt, now) }
    }

    @inline(__always)
    private func judge(
        _ state: borrowing LimiterState<Schedule>, _ count: UInt64, _ debt: UInt64, _ now: Int64
    ) -> RateDecision {
        guard count <= Self.most(state.schedule.limit, debt) else {
            return .exceedsLimit(Int(clamping: state.schedule.limit))
        }
        let instant = state.schedule.earliest(count, debt: debt, behind: state.queued, now: now)
        guard decide(!state.waiting.isEmpty) || instant > now else { return .allowed }
        return .denied(retryAfter: max(instant, now.addingSaturating(1)).wait(since: now))
    }

    /// Takes as many tokens as there are, up to `most`.
    func take(upTo most: Int) -> Int {
        let (most, now) = (checked(most), present())
        let count = withState(settlingAt: now) { state, effects in
            guard state.waiting.isEmpty else { return UInt64(0) }
            let available = UInt64(max(0, state.schedule.available(now: now)))
            let count = min(most, available, state.schedule.limit)
            if count > 0 { _ = state.schedule.take(count, at: now, now: now) }
            return count
        }
        note(count > 0 ? .allowed(Int(count)) : .denied(Int(clamping: most)))
        return Int(count)
    }

    func refund(_ count: Int) {
        let (count, now) = (checked(count), present())
        withState(settlingAt: now) { state, effects in state.schedule.refund(count, now: now) }
    }

    func penalize(_ count: Int) {
        let (count, now) = (checked(count), present())
        withState(settlingAt: now) { state, effects in state.schedule.penalize(count, now: now) }
    }

    /// Changes the schedule itself; the tasks that wait are judged anew.
    func change(_ body: (inout Schedule, _ now: Int64) -> Void) {
        let now = present()
        withState(settlingAt: now) { state, effects in body(&state.schedule, now) }
    }

    /// A reading of the schedule's terms, which only change under the lock.
    func read<Result>(_ body: (Schedule) -> Result) -> Result { state.withLock { body($0.schedule) } }

    nonisolated(nonsending) func sleep(_ duration: Duration) async throws {
        try await timeSource.sleep(until: timeSource.deadline(after: duration))
    }

    func snapshot() -> RateLimiterSnapshot {
        let now = present()
        return withState(settlingAt: now) { state, effects in
            let owed = Int(clamping: state.queued)
            let available = state.schedule.available(now: now)
            let oldest = (state.booked.first ?? state.waiting.first)?.age(at: now)
            return RateLimiterSnapshot(
                available: available.subtractingReportingOverflow(owed).partialValue,
                limit: Int(clamping: state.schedule.limit),
                waiting: state.waiterCount, parked: state.parked, granted: state.granted,
                cancelled: state.cancelled, timedOut: state.timedOut, refused: state.refused, oldestWait: oldest,
                waits: waits.log.histogram)
        }
    }

    // MARK: - Reservations

    func reserve(_ count: Int, debt: Int, within longest: Duration?) throws(RateLimitError) -> RateReservation {
        let (count, debt, now) = (checked(count), checkedDebt(debt), present())
        let outcome = withState(settlingAt: now) { state, effects in
            book(&state, count, debt, now, until: Self.latest(longest, now))
        }
        switch outcome {
        case .failure(let error):
            note(.denied(Int(count)))
            throw error
        case .success(let booking):
            note(.allowed(Int(count)))
            let mark = booking.mark
            return RateReservation(count: Int(count), instant: booking.due, madeAt: now, timeSource: timeSource) {
                self.giveBack(count, mark, due: booking.due)
            }
        }
    }

    static func latest(_ longest: Duration?, _ now: Int64) -> Int64 {
        guard let longest else { return .max }
        return longest > .zero ? now.addingSaturating(longest.saturatingNanosecondsRoundedDown) : now
    }

    private func book(
        _ state: inout LimiterState<Schedule>, _ count: UInt64, _ debt: UInt64, _ now: Int64, until latest: Int64
    ) -> Result<(mark: Schedule.Mark, due: Int64), RateLimitError> {
        guard count <= Self.most(state.schedule.limit, debt) else {
            return .failure(.exceedsLimit(Int(clamping: state.schedule.limit)))
        }
        let soonest = state.schedule.earliest(count, debt: debt, behind: state.queued, now: now)
        guard soonest < .max, soonest <= latest else {
            state.refused += 1
            return .failure(.tooLate(retryAfter: soonest.wait(since: now)))
        }
        bookWaiting(&state, now)
        let due = state.schedule.earliest(count, debt: debt, behind: 0, now: now)
        guard due < .max, due <= latest, state.waiting.isEmpty else {
            state.refused += 1
            return .failure(.tooLate(retryAfter: due.wait(since: now)))
        }
        return .success((state.schedule.take(count, at: due, now: now), due))
    }

    private func giveBack(_ count: UInt64, _ mark: Schedule.Mark, due: Int64) -> Int {
        let now = present()
        return withState(settlingAt: now) { state, effects in
            guard due > now else { return 0 }
            return Int(clamping: state.schedule.giveBack(count, mark, now: now))
        }
    }

    // MARK: - Arguments

    func checked(_ count: Int) -> UInt64 {
        precondition(count >= 1, "a request for \(count) tokens: it takes at least 1")
        return UInt64(count)
    }

    func checkedDebt(_ debt: Int) -> UInt64 {
        precondition(debt >= 0, "a debt of \(debt) tokens is negative")
        return UInt64(debt)
    }
}
