// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The channel without a buffer, behind its typed surface: a lock and two queues of waiters.
//
// As `ChannelCore`, it is not generic, so that it is compiled once, here; it sees elements as memory of a known layout.
//
// ## Algorithm
// Under the lock, an operation that arrives takes the first waiter of the other side: the element goes from the one's
// memory into the other's, and the waiter is woken after the unlock. If there is none, the operation becomes a waiter of
// its own side. A partner may be the case of a select that was decided elsewhere: it is taken out, and the next one is
// looked at (`Selection` has the protocol, also of two selects that meet here).
//
// A task that was linked looks at its own cell for a bounded moment before it sleeps (`BoundedLook`): nothing has been
// lost by then, for it has its place, and when the partner runs on another core it is there in less time than a sleep
// and its wake take. The look touches no lock and no memory but the waiter's.
//
// ## Invariants
// I1  When the lock is free, no live sender and live receiver of different tasks are both linked: who arrives meets all
//     of the other side. (A case is live until its select is decided; a decision never becomes undecided again.)
// I2  An element is in the sender's hands or waiter until it is moved to the receiver's, in one step, under the lock.
// I3  Once closed, nobody is linked.
//
// ## Cost
// A hand-over is two locked sections, one of them with an allocation (64 bytes and the element), and at most one sleep.

@usableFromInline
class RendezvousCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    let layout: SlotLayout
    let timeSource: TimeSource
    let state = LockedState(RendezvousState())
    let timer = DeadlineTimer()
    let closedFlag: AtomicWord
    private let senderLooks: BoundedLook
    private let receiverLooks: BoundedLook
    private let memory: ZeroedMemory

    /// After so many hand-overs the two tasks of one yield once.
    static let yieldInterval: UInt64 = 32_768

    init(layout: SlotLayout, timeSource: TimeSource) {
        self.layout = layout
        self.timeSource = timeSource
        memory = ZeroedMemory(byteCount: 192, alignment: 64)
        senderLooks = BoundedLook(record: AtomicWord(at: memory.start))
        receiverLooks = BoundedLook(record: AtomicWord(at: memory.start + 128))
        closedFlag = AtomicWord(at: memory.start + 64)
    }

    deinit {
        timer.cancel()
        memory.deallocate()
    }

    /// Moves an element between two places in memory.
    func move(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        preconditionFailure("the core of a rendezvous is always a TypedRendezvousCore")
    }

    /// Where the element of a waiter lies.
    @usableFromInline
    func payload(of waiter: WaiterRef) -> UnsafeMutableRawPointer { waiter.payload(layout) }

    /// Frees a woken waiter whose element has been moved out.
    @usableFromInline
    func release(_ waiter: WaiterRef) { waiter.deallocate(payload: layout) }

    /// When a wait that begins now must end.
    ///
    /// A clock is code of a user, so no lock is held; and it is not asked where nothing depends on it.
    @usableFromInline
    func waitTimes(_ limit: WaitLimit) -> WaitTimes {
        if case .none = limit { return WaitTimes(now: 0, deadline: .max) }
        return timeSource.waitTimes(limit)
    }

    /// The bound of a wait until an instant of the channel's clock.
    @usableFromInline
    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        timeSource.waitLimit(until: deadline)
    }

    // MARK: - Lock, decide, unlock, act

    /// Runs `body` under the lock, and after it what it ordered: wakes, the timer.
    func withState<Result>(_ body: (inout RendezvousState, inout ChannelEffects) -> Result) -> Result {
        var effects = ChannelEffects()
        let result = state.withLock { state in
            let result = body(&state, &effects)
            verify(holds(state), "an invariant of the rendezvous is broken")
            return result
        }
        let (wakes, timer) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let timer { self.timer.arm(timer, for: self) }
        return result
    }

    /// I1, as far as it can be seen without the locks of decisions: a plain waiter meets whoever is linked opposite.
    private func holds(_ state: borrowing RendezvousState) -> Bool {
        guard let sender = state.senders.first, let receiver = state.receivers.first else { return true }
        return sender.selection != nil || receiver.selection != nil
    }

    // MARK: - The verbs

    /// Offers the element at `source` to the first waiting receiver.
    ///
    /// - Parameters:
    ///   - source: The element. It was moved away exactly when the outcome is done or registered.
    ///   - times: Nil for an operation that does not wait.
    ///   - isCounted: Whether it counts as refused when there is no receiver.
    /// - Returns: The outcome, and the waiter if one was registered.
    @usableFromInline
    func send(
        from source: UnsafeMutableRawPointer, times: WaitTimes?, isCounted: Bool = true
    ) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            guard decide(state.closure == .open) else { return (state.closedOutcome, nil) }
            while decide(!state.receivers.isEmpty), let receiver = state.receivers.first {
                guard claim(receiver, &state) else { continue }
                PlainAccess.write(receiver.payload(layout))
                move(receiver.payload(layout), source)
                return (grant(receiver, &state, &effects), nil)
            }
            guard let times else {
                if isCounted { state.counters.refused += 1 }
                return (.wouldWait, nil)
            }
            guard times.deadline > times.now else {
                state.counters.sendsTimedOut += 1
                return (.timedOut, nil)
            }
            let waiter = WaiterRef.allocate(payload: layout)
            PlainAccess.write(waiter.payload(layout))
            move(waiter.payload(layout), source)
            enqueue(waiter, isSender: true, times, &state, &effects)
            return (.registered, waiter)
        }
    }

    /// Takes the element of the first waiting sender to `destination`.
    ///
    /// - Parameters:
    ///   - destination: Memory for the element; it holds one exactly when the outcome is done.
    ///   - times: Nil for an operation that does not wait.
    /// - Returns: The outcome, and the waiter if one was registered.
    @usableFromInline
    func receive(into destination: UnsafeMutableRawPointer, times: WaitTimes?) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            guard decide(state.closure == .open) else { return (state.closedOutcome, nil) }
            while decide(!state.senders.isEmpty), let sender = state.senders.first {
                guard claim(sender, &state) else { continue }
                PlainAccess.read(sender.payload(layout))
                PlainAccess.write(destination)
                move(destination, sender.payload(layout))
                return (grant(sender, &state, &effects), nil)
            }
            guard let times else { return (.wouldWait, nil) }
            guard times.deadline > times.now else {
                state.counters.receivesTimedOut += 1
                return (.timedOut, nil)
            }
            let waiter = WaiterRef.allocate(payload: layout)
            enqueue(waiter, isSender: false, times, &state, &effects)
            return (.registered, waiter)
        }
    }

    /// Suspends the calling task until its wait is over, unless that is within a bounded moment.
    @inline(never)
    @usableFromInline
    nonisolated(nonsending) func wait(_ waiter: WaiterRef, isSender: Bool) async {
        let looks = isSender ? senderLooks : receiverLooks
        guard looks.look({ waiter.isResumed }) else { return await waiter.sleep(cancelling: self) }
        // A task that never sleeps gives way now and then.
        if waiter.pointer.pointee.ordinal % Self.yieldInterval == 0 { await Task.yield() }
    }

    // MARK: - Ends of waits

    /// The waiter's task was cancelled.
    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            if state.senders.contains(waiter) {
                state.counters.sendsCancelled += 1
            } else if state.receivers.contains(waiter) {
                state.counters.receivesCancelled += 1
            }
            unlink(waiter, &state, &effects, verdict: .cancelled)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            while let waiter = state.deadlines.due(at: now) {
                guard claim(waiter, &state) else { continue }
                if state.senders.contains(waiter) {
                    state.counters.sendsTimedOut += 1
                } else {
                    state.counters.receivesTimedOut += 1
                }
                unlink(waiter, &state, &effects, verdict: .timedOut)
            }
            return state.deadlines.rearm(generation: generation)
        }
    }

    /// Accepts nothing more, from either side: wakes everybody.
    ///
    /// The first close counts, but for this: who asks after a later `abandoned` gets that.
    func close(_ closure: ChannelClosure, failure: (any Error)?) {
        withState { state, effects in
            guard state.closure == .open || (state.closure == .finished && closure == .abandoned) else { return }
            if state.closure == .open { state.failure = failure }
            state.closure = closure
            closedFlag.storeReleasing(1)
            let verdict: Verdict = closure == .abandoned ? .abandoned : .finished
            while decide(!state.senders.isEmpty), let sender = state.senders.first {
                guard claim(sender, &state) else { continue }
                unlink(sender, &state, &effects, verdict: verdict)
            }
            while decide(!state.receivers.isEmpty), let receiver = state.receivers.first {
                guard claim(receiver, &state) else { continue }
                unlink(receiver, &state, &effects, verdict: verdict)
            }
            while let watcher = state.watchers.first { unlink(watcher, &state, &effects, verdict: .granted) }
        }
    }

    /// Registers a waiter that is granted when the channel is closed; nil when it is closed already.
    func watch() -> WaiterRef? {
        withState { state, _ in
            guard state.closure == .open else { return nil }
            let waiter = WaiterRef.allocate(reserving: 0)
            state.watchers.append(waiter)
            return waiter
        }
    }

    // MARK: - Readings

    /// The error the channel was finished with.
    @usableFromInline var failure: (any Error)? { state.withLock { $0.failure } }

    var isClosed: Bool { closedFlag.loadAcquiring() != 0 }

    func snapshot() -> RendezvousSnapshot {
        withState { state, _ in
            RendezvousSnapshot(
                handedOver: state.handedOver,
                refused: state.counters.refused,
                sendsTimedOut: state.counters.sendsTimedOut,
                sendsCancelled: state.counters.sendsCancelled,
                receivesTimedOut: state.counters.receivesTimedOut,
                receivesCancelled: state.counters.receivesCancelled,
                waitingSenders: state.senders.count,
                waitingReceivers: state.receivers.count,
                sendsParked: state.counters.sendsParked,
                receivesParked: state.counters.receivesParked,
                isClosed: state.closure != .open)
        }
    }

    // MARK: - Under the lock

    /// Wins the right to end the wait of `waiter`, which is linked; if it is lost, takes it out of its list.
    func claim(_ waiter: WaiterRef, _ state: inout RendezvousState) -> Bool {
        if waiter.claim() { return true }
        state.detach(waiter)
        return false
    }

    /// Fulfils a waiter whose element has just been moved.
    ///
    /// - Returns: What the operation that met it came to.
    func grant(
        _ waiter: WaiterRef, _ state: inout RendezvousState, _ effects: inout ChannelEffects
    ) -> ChannelOutcome {
        state.handedOver &+= 1
        waiter.pointer.pointee.ordinal = state.handedOver
        unlink(waiter, &state, &effects, verdict: .granted)
        return state.handedOver % Self.yieldInterval == 0 ? .doneYieldDue : .done
    }

    func enqueue(
        _ waiter: WaiterRef, isSender: Bool, _ times: WaitTimes, _ state: inout RendezvousState,
        _ effects: inout ChannelEffects
    ) {
        waiter.pointer.pointee.parkedAt = times.now
        waiter.pointer.pointee.deadline = times.deadline
        effects.timer = state.deadlines.insert(waiter)
        if isSender {
            state.senders.append(waiter)
            state.counters.sendsParked += 1
        } else {
            state.receivers.append(waiter)
            state.counters.receivesParked += 1
        }
    }

    private func unlink(
        _ waiter: WaiterRef, _ state: inout RendezvousState, _ effects: inout ChannelEffects, verdict: Verdict
    ) {
        state.detach(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter.sleeper)
    }
}

/// The core of a rendezvous for `Element`s.
final class TypedRendezvousCore<Element: ~Copyable>: RendezvousCore, @unchecked Sendable {
    init(timeSource: TimeSource) {
        super.init(layout: SlotLayout(of: Element.self), timeSource: timeSource)
    }

    override func move(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        destination.bindMemory(to: Element.self, capacity: 1)
            .moveInitialize(from: source.assumingMemoryBound(to: Element.self), count: 1)
    }
}
