// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limiter behind the limiter: one lock, the books of the partitions, the queues, and the lesson after each window.
//
// ## Algorithm
// Every operation takes the lock once: entering (test and take in one step), settling (give back, serve who waits, note
// the sample). A place that comes free is booked for the next waiter under the lock, so whoever is woken with `granted`
// has its place. Why a lock and not the semaphore's one word: each settled call must be counted into its window anyway,
// and a limit guards calls that take far longer than a lock does.
//
// Now and then a settled call ends a window. Its thread takes the sample out, claims the algorithm by `isLearning`, and
// runs it after the unlock, because an algorithm may be a user's; then it stores the new limit under the lock. Calls go
// on meanwhile, into the next window, which cannot end before.
//
// ## Shedding
// With `CoDel` a waiter that has its turn is asked how long it waited: if the queue stands and that was too long, it is
// woken as `abandoned`, and the next one has its turn.
//
// ## Cost
// Two readings of the clock, two locks without waiting in them, no allocation. A wait allocates 72 bytes.

final class AdmissionCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    static let layout = SlotLayout(of: Int.self)

    let name: String?
    let shares: [AdmissionShare]
    let order: WaiterOrder
    let waiterLimit: Int
    let maximumWait: Duration?
    let timeSource: TimeSource
    let state: LockedState<AdmissionState>
    let timer = DeadlineTimer()
    let waits = OwnedWaitLog()

    init(
        _ algorithm: any ConcurrencyLimit, name: String?, shares: [AdmissionShare], order: WaiterOrder,
        waiterLimit: Int, maximumWait: Duration?, codel: CoDel?, window: SampleWindow = SampleWindow(),
        timeSource: TimeSource
    ) {
        precondition(waiterLimit >= 0, "a bound of \(waiterLimit) waiters is negative")
        self.name = name
        self.shares = shares
        self.order = order
        self.waiterLimit = waiterLimit
        self.maximumWait = maximumWait
        self.timeSource = timeSource
        let limit = Self.checked(algorithm.limit)
        var books = PartitionBooks(limit: limit, shares: shares.map { _ in 0 })
        Self.setShares(shares, of: &books)
        state = LockedState(
            AdmissionState(
                books: books, lists: Array(repeating: WaiterList(tag: AdmissionState.waiterTag), count: shares.count),
                window: window,
                codel: codel, learner: LimitLearner(algorithm)))
    }

    deinit { timer.cancel() }

    /// A limit is a user's answer: held to what can be counted.
    private static func checked(_ limit: Int) -> Int { min(max(limit, 1), 1 << 30) }

    private static func setShares(_ shares: [AdmissionShare], of books: inout PartitionBooks) {
        for (index, share) in shares.enumerated() {
            let places = share.places(of: books.limit)
            books.setShare(places.share, reserved: places.reserved, of: index)
        }
    }

    /// Runs `body` under the lock, and after it what it ordered: wakes, the timer, the lesson.
    func withState<Result>(_ body: (inout AdmissionState, inout AdmissionEffects) -> Result) -> Result {
        var effects = AdmissionEffects()
        let result = state.withLock { state in
            let result = body(&state, &effects)
            verify(Self.holds(state), "an invariant of the limiter is broken")
            return result
        }
        let (wakes, timer) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let timer { self.timer.arm(timer, for: self) }
        if let sample = effects.sample { learn(sample) }
        return result
    }

    /// The invariants I2 and I3.
    private static func holds(_ state: borrowing AdmissionState) -> Bool {
        var books = state.books
        return books.next() == nil
            && state.lists.indices.allSatisfy { state.lists[$0].count == state.books.partitions[$0].waiting }
    }

    // MARK: - Entering

    enum Entry {
        case entered
        case rejected(Rejection)
        case waits(WaiterRef)
    }

    /// Takes a place in a partition, or registers a waiter for one; without a deadline beyond `now` it never waits.
    func enter(_ index: Int, now: Int64, deadline: Int64, mayWait: Bool) -> Entry {
        withState { state, effects in
            guard decide(!state.isClosed) else { return .rejected(.closed) }
            if decide(state.lists[index].isEmpty), decide(state.books.mayEnter(index)) {
                book(index, &state)
                // Somebody found a place without a queue: none stands.
                if state.waiting == 0 { state.codel?.emptied(now: now) }
                return .entered
            }
            guard mayWait, decide(state.lists[index].count < waiterLimit) else {
                state.counters.overLimit += 1
                return .rejected(.overLimit)
            }
            guard deadline > now else {
                state.counters.timedOut += 1
                return .rejected(.timedOut)
            }
            let waiter = WaiterRef.allocate(payload: Self.layout)
            waiter.payload(Self.layout).initializeMemory(as: Int.self, to: index)
            waiter.pointer.pointee.deadline = deadline
            waiter.pointer.pointee.parkedAt = now
            state.lists[index].append(waiter)
            state.books.beginWait(index)
            state.waiting += 1
            state.counters.parked += 1
            effects.timer = state.deadlines.insert(waiter)
            return .waits(waiter)
        }
    }

    private func book(_ index: Int, _ state: inout AdmissionState) {
        state.books.enter(index)
        state.counters.admitted += 1
    }

    /// Enters if that takes no waiting; the instant at which it did.
    func tryEnter(_ index: Int) -> Int64? {
        let now = timeSource.now()
        guard case .entered = enter(index, now: now, deadline: .max, mayWait: false) else { return nil }
        return now
    }

    /// Enters, waiting if need be; the instant at which it did, or why it did not.
    nonisolated(nonsending) func enterSlow(_ index: Int, limit: WaitLimit) async -> Result<Int64, Rejection> {
        let times = timeSource.waitTimes(limit)
        let most = maximumWait.map { timeSource.deadline(after: $0) } ?? .max
        var deadline = min(times.deadline, maximumWait == .zero ? times.now : most)
        if let call = CallDeadline.current {
            guard !call.isOver else { return .failure(.expired) }
            deadline = min(deadline, timeSource.deadline(after: call.remaining))
        }
        switch enter(index, now: times.now, deadline: deadline, mayWait: true) {
        case .entered: return .success(times.now)
        case .rejected(let reason): return .failure(reason)
        case .waits(let waiter):
            let watch = WaitWatch(.acquire, waiter, name: name) { state.withLock { $0.waiting } }
            await waiter.sleep(cancelling: self)
            watch.end(waiter, waits.log, timeSource)
            if let rejection = conclude(waiter) { return .failure(rejection) }
            // The call begins now: what it waited here is no sign of the load further down.
            return .success(timeSource.now())
        }
    }

    /// Frees a waiter whose wait is over; nil when it has its place.
    func conclude(_ waiter: WaiterRef) -> Rejection? {
        let verdict = waiter.verdict
        waiter.deallocate(payload: Self.layout)
        switch verdict {
        case .granted: return nil
        case .cancelled: return .cancelled
        case .timedOut: return .timedOut
        case .finished: return .closed
        case .abandoned: return .shed
        case .none: preconditionFailure("a call woke without a verdict")
        }
    }

    // MARK: - Settling

    /// A call that entered at `began` has ended: gives its place to the next, and notes what it told.
    func settle(_ index: Int, began: Int64, _ outcome: CallOutcome) {
        let now = timeSource.now()
        withState { state, effects in
            let inFlight = state.books.total
            state.books.leave(index)
            switch outcome {
            case .success: state.counters.succeeded += 1
            case .ignored: state.counters.ignored += 1
            case .dropped: state.counters.dropped += 1
            }
            serve(now, &state, &effects)
            endDrains(&state, &effects)
            guard outcome != .ignored, decide(!state.isLearning) else { return }
            effects.sample = state.window.add(
                began: began, now: now, inFlight: inFlight, didDrop: outcome == .dropped, limit: state.books.limit)
            if effects.sample != nil {
                state.counters.samples += 1
                state.isLearning = true
            }
        }
    }

    /// Books places for those who wait, as long as there are any; sheds those who have waited in a standing queue.
    private func serve(_ now: Int64, _ state: inout AdmissionState, _ effects: inout AdmissionEffects) {
        while let index = state.books.next(), let waiter = next(of: index, state) {
            let delay = now.subtractingSaturating(waiter.pointer.pointee.parkedAt)
            if state.codel?.shouldShed(after: delay, now: now) == true {
                state.counters.shed += 1
                end(waiter, .abandoned, &state, &effects)
                continue
            }
            end(waiter, .granted, &state, &effects)
            book(index, &state)
        }
    }

    /// The next in order of a partition.
    private func next(of index: Int, _ state: borrowing AdmissionState) -> WaiterRef? {
        state.lists[index].count > order.fifoUpTo ? state.lists[index].last : state.lists[index].first
    }

    private func end(
        _ waiter: WaiterRef, _ verdict: Verdict, _ state: inout AdmissionState, _ effects: inout AdmissionEffects
    ) {
        let index = partition(of: waiter)
        state.lists[index].remove(waiter)
        state.books.endWait(index)
        state.waiting -= 1
        state.deadlines.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    private func partition(of waiter: WaiterRef) -> Int {
        waiter.payload(Self.layout).assumingMemoryBound(to: Int.self).pointee
    }

    // MARK: - Learning

    /// Runs the algorithm, which this thread has claimed, and puts its limit into force.
    private func learn(_ sample: LimitSample) {
        let learner = state.withLock { $0.learner }
        learner.algorithm.update(sample)
        let limit = Self.checked(learner.algorithm.limit)
        let now = timeSource.now()
        withState { state, effects in
            state.isLearning = false
            // Replaced meanwhile: what the former algorithm learnt is of no use any more.
            guard decide(state.learner === learner) else { return }
            resize(to: limit, now, &state, &effects)
        }
    }

    private func resize(to limit: Int, _ now: Int64, _ state: inout AdmissionState, _ effects: inout AdmissionEffects) {
        guard limit != state.books.limit else { return }
        state.books.resize(to: limit)
        Self.setShares(shares, of: &state.books)
        serve(now, &state, &effects)
    }

    /// Puts another algorithm in the place of the present one.
    func replace(_ algorithm: any ConcurrencyLimit) {
        let limit = Self.checked(algorithm.limit)
        let learner = LimitLearner(algorithm)
        let now = timeSource.now()
        withState { state, effects in
            state.learner = learner
            resize(to: limit, now, &state, &effects)
        }
    }

    // MARK: - Beside the limit

    func beginBypass() { state.withLock { $0.bypassing += 1 } }

    func endBypass() { state.withLock { $0.bypassing -= 1 } }

    // MARK: - What ends a wait

    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            if state.drainers.contains(waiter) { return endDrain(waiter, .cancelled, &state, &effects) }
            state.counters.cancelled += 1
            end(waiter, .cancelled, &state, &effects)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            while let waiter = state.deadlines.due(at: now) {
                state.counters.timedOut += 1
                end(waiter, .timedOut, &state, &effects)
            }
            return state.deadlines.rearm(generation: generation)
        }
    }

    func close() -> Bool {
        withState { state, effects in
            guard !state.isClosed else { return false }
            state.isClosed = true
            for index in state.lists.indices {
                while let waiter = state.lists[index].first { end(waiter, .finished, &state, &effects) }
            }
            endDrains(&state, &effects)
            return true
        }
    }
}
