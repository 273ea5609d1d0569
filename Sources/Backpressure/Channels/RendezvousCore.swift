// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The channel without a buffer, behind its typed surface: a lock and two queues of waiters.
//
// As `ChannelCore`, it is not generic, so that it is compiled once, here; it sees elements as memory of a known layout.
//
// ## Algorithm
// An operation that arrives takes the first waiter of the other side: the element goes from the one's memory into the
// other's, and the waiter is woken. If there is none, the operation becomes a waiter of its own side.
//
// One word holds the usual cases, nobody waits or one does:
//     0                       nobody waits
//     waiter | sender         this sender waits, and nobody else
//     waiter | receiver       this receiver waits, and nobody else
//     locked                  the lists under the lock say who waits
// One swap takes the waiter out of it, and is the right to end its wait; one swap puts a waiter in. Everything else
// takes the lock and exchanges the word for `locked`: a second waiter of one side, one with a deadline, a case of a
// select, a cancellation, a close, a snapshot. A waiter that was in the word comes into its list, as the first. When
// both lists are empty again, and the channel is open, the word is stored as 0.
//
// A partner may be the case of a select that was decided elsewhere: it is taken out, and the next one is looked at
// (`Selection` has the protocol, also of two selects that meet here). Such cases are only ever in the lists.
//
// A waiting task looks at its own cell for a bounded moment before it sleeps (`BoundedLook`): nothing has been lost by
// then, for it has its place, and when the partner runs on another core it is there in less time than a sleep and its
// wake take. The look touches no memory but the waiter's. So two tasks on two cores pass each element with the lines of
// the word and of one waiter going there and back.
//
// ## Invariants
// I1  When the lock is free, no live sender and live receiver of different tasks are both linked: who arrives meets all
//     of the other side. (A case is live until its select is decided; a decision never becomes undecided again.)
// I2  An element is in the sender's hands or waiter until it is moved to the receiver's, in one step, by the one who
//     won both.
// I3  Word not `locked` => both lists are empty, and the channel is open. Once closed, nobody is linked.
// I4  A waiter is in the word or in one list or won; whoever took it out of either ends its wait.
//
// ## Memory ordering
// location | operation                | ordering | pairs with             | because
// word     | swap 0 -> waiter         | acq_rel  | the swap, the exchange | the waiter and its element travel to the partner
// word     | swap waiter -> 0         | acq_rel  | the same               | likewise
// word     | exchange locked          | acq_rel  | the same               | likewise, to the lists
// word     | store 0 under the lock   | release  | the swaps              | who waits next comes after who waited before
// handed   | add                      | relaxed  | -                      | a total
// The cell of a waiter carries verdict and element back: see `Waiter`.
//
// A swap that expects a waiter's address may meet a later waiter at the same address: it is then that one's partner, by
// right, for nothing of the earlier one was used.
//
// ## Cost
// A hand-over is two swaps on one word, and at most one sleep. A waiter is 64 bytes and the element; one of each side is
// kept for the next wait, so two tasks that meet again and again allocate nothing.

/// What the word of a rendezvous says.
enum MeetingWord {
    static let sender: UInt64 = 1
    static let receiver: UInt64 = 2
    static let locked: UInt64 = 4

    /// The waiter in the word, if there is one.
    static func waiter(_ word: UInt64) -> WaiterRef? {
        UnsafeMutablePointer<Waiter>(bitPattern: UInt(word & ~7)).map(WaiterRef.init)
    }

    static func word(_ waiter: WaiterRef, _ side: UInt64) -> UInt64 { UInt64(UInt(bitPattern: waiter.pointer)) | side }
}

@usableFromInline
class RendezvousCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    let layout: SlotLayout
    let timeSource: TimeSource
    let state = LockedState(RendezvousState())
    let timer = DeadlineTimer()
    /// The word.
    private let meeting: AtomicWord
    /// Elements that went from a sender to a receiver; on the word's line, which whoever adds has just written.
    private let handedOver: AtomicWord
    private let refusals: AtomicWord
    let sendLog: WaitLog
    let receiveLog: WaitLog
    private let closedFlag: AtomicWord
    private let senderLooks: BoundedLook
    private let receiverLooks: BoundedLook
    /// A waiter of each side that was used and may be used again: two tasks that meet allocate none.
    private let senderSpare: AtomicWord
    private let receiverSpare: AtomicWord
    private let memory: ZeroedMemory

    /// After so many hand-overs the two tasks of one yield once.
    static let yieldInterval: UInt64 = 32_768

    /// A load that finds the cell unchanged is a cycle or two; the reading of the clock between two probes is some 25 ns.
    private static let loadsPerProbe = 64

    init(layout: SlotLayout, timeSource: TimeSource) {
        self.layout = layout
        self.timeSource = timeSource
        // Two lines apart, because processors fetch lines in pairs.
        memory = ZeroedMemory(byteCount: 512, alignment: 64)
        meeting = AtomicWord(at: memory.start)
        handedOver = AtomicWord(at: memory.start + 8)
        senderLooks = BoundedLook(record: AtomicWord(at: memory.start + 128))
        receiverLooks = BoundedLook(record: AtomicWord(at: memory.start + 256))
        senderSpare = AtomicWord(at: memory.start + 136)
        receiverSpare = AtomicWord(at: memory.start + 264)
        refusals = AtomicWord(at: memory.start + 384)
        closedFlag = AtomicWord(at: memory.start + 392)
        sendLog = WaitLog(at: memory.start + 400)
        receiveLog = WaitLog(at: memory.start + 408)
    }

    deinit {
        timer.cancel()
        for spare in [senderSpare, receiverSpare] {
            MeetingWord.waiter(spare.loadAcquiring())?.deallocate(payload: layout)
        }
        sendLog.deallocate()
        receiveLog.deallocate()
        memory.deallocate()
    }

    /// Moves an element between two places in memory.
    func move(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        preconditionFailure("the core of a rendezvous is always a TypedRendezvousCore")
    }

    /// Where the element of a waiter lies.
    @usableFromInline
    func payload(of waiter: WaiterRef) -> UnsafeMutableRawPointer { waiter.payload(layout) }

    /// A waiter that nobody else has.
    private func makeWaiter(isSender: Bool) -> WaiterRef {
        let spare = isSender ? senderSpare : receiverSpare
        guard let waiter = MeetingWord.waiter(spare.exchangeAcquiringAndReleasing(0)) else {
            return WaiterRef.allocate(payload: layout)
        }
        waiter.renew()
        return waiter
    }

    /// Frees a woken waiter whose element has been moved out, or keeps it for the next wait of its side.
    @usableFromInline
    func release(_ waiter: WaiterRef, isSender: Bool) {
        let spare = isSender ? senderSpare : receiverSpare
        let swap = spare.compareExchangeAcquiringAndReleasing(expected: 0, desired: MeetingWord.word(waiter, 0))
        if !swap.exchanged { waiter.deallocate(payload: layout) }
    }

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

    /// Runs `body` under the lock with the word `locked`, and after it what it ordered: wakes, the timer.
    func withState<Result>(_ body: (inout RendezvousState, inout ChannelEffects) -> Result) -> Result {
        var effects = ChannelEffects()
        let result = state.withLock { state in
            gate(&state)
            let result = body(&state, &effects)
            settle(&state)
            verify(holds(state), "an invariant of the rendezvous is broken")
            return result
        }
        let (wakes, timer) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let timer { self.timer.arm(timer, for: self) }
        return result
    }

    /// From here on the lists say who waits.
    private func gate(_ state: inout RendezvousState) {
        guard !state.isGated else { return }
        state.isGated = true
        let word = meeting.exchangeAcquiringAndReleasing(MeetingWord.locked)
        guard let waiter = MeetingWord.waiter(word) else { return }
        if word & MeetingWord.sender != 0 { state.senders.append(waiter) } else { state.receivers.append(waiter) }
    }

    /// Leaves it to the word again, if nobody waits.
    private func settle(_ state: inout RendezvousState) {
        guard decide(state.closure == .open), decide(state.senders.isEmpty), decide(state.receivers.isEmpty) else {
            return
        }
        state.isGated = false
        meeting.storeReleasing(0)
    }

    /// I3, and I1 as far as it can be seen without the locks of decisions: a plain waiter meets whoever is linked.
    @inline(__always)
    private func holds(_ state: borrowing RendezvousState) -> Bool {
        guard state.isGated else { return state.senders.isEmpty && state.receivers.isEmpty && state.closure == .open }
        guard let sender = state.senders.first, let receiver = state.receivers.first else { return true }
        return sender.selection != nil || receiver.selection != nil
    }

    // MARK: - Without the lock

    private enum Meeting {
        /// The one that waited: its wait is the caller's to end.
        case partner(WaiterRef)
        case nobody
        /// Only the lock can tell.
        case locked
    }

    /// Takes the only waiter there is, if it is of `side`.
    @inline(__always)
    private func meet(_ side: UInt64) -> Meeting {
        var word = meeting.loadAcquiring()
        while word != 0 {
            guard decide(word & side != 0), let partner = MeetingWord.waiter(word) else { return .locked }
            let swap = meeting.compareExchangeAcquiringAndReleasing(expected: word, desired: 0)
            if swap.exchanged { return .partner(partner) }
            word = swap.original
        }
        return .nobody
    }

    /// Becomes the only waiter there is; false when there is one already.
    @inline(__always)
    private func becomeWaiter(_ waiter: WaiterRef, _ side: UInt64) -> Bool {
        meeting.compareExchangeAcquiringAndReleasing(expected: 0, desired: MeetingWord.word(waiter, side)).exchanged
    }

    /// Ends the wait of a partner whose element has just been moved; it may be gone on return.
    @inline(__always)
    private func fulfil(_ partner: WaiterRef) -> ChannelOutcome {
        let outcome = count(partner)
        partner.end(.granted)
        partner.wake()
        return outcome
    }

    /// Counts a hand-over, and leaves its number in the waiter.
    @inline(__always)
    private func count(_ waiter: WaiterRef) -> ChannelOutcome {
        let number = handedOver.fetchAddRelaxed(1) &+ 1
        waiter.pointer.pointee.ordinal = number
        return number % Self.yieldInterval == 0 ? .doneYieldDue : .done
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
        while true {
            switch meet(MeetingWord.receiver) {
            case .partner(let receiver):
                PlainAccess.write(receiver.payload(layout))
                move(receiver.payload(layout), source)
                return (fulfil(receiver), nil)
            case .locked:
                return sendLocked(from: source, times: times, isCounted: isCounted)
            case .nobody:
                guard let times else { return (refuse(isCounted), nil) }
                guard times.deadline == .max else {
                    return sendLocked(from: source, times: times, isCounted: isCounted)
                }
                let waiter = makeWaiter(isSender: true)
                PlainAccess.write(waiter.payload(layout))
                move(waiter.payload(layout), source)
                if becomeWaiter(waiter, MeetingWord.sender) { return (.registered, waiter) }
                // Somebody came in between: the element is taken back, and shown to whoever that is.
                move(source, waiter.payload(layout))
                release(waiter, isSender: true)
            }
        }
    }

    private func refuse(_ isCounted: Bool) -> ChannelOutcome {
        if isCounted { _ = refusals.fetchAddRelaxed(1) }
        return .wouldWait
    }

    @inline(never)
    private func sendLocked(
        from source: UnsafeMutableRawPointer, times: WaitTimes?, isCounted: Bool
    ) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            guard decide(state.closure == .open) else { return (state.closedOutcome, nil) }
            while decide(!state.receivers.isEmpty), let receiver = state.receivers.first {
                guard claim(receiver, &state) else { continue }
                PlainAccess.write(receiver.payload(layout))
                move(receiver.payload(layout), source)
                return (grant(receiver, &state, &effects), nil)
            }
            guard let times else { return (refuse(isCounted), nil) }
            guard times.deadline > times.now else {
                state.counters.sendsTimedOut += 1
                return (.timedOut, nil)
            }
            let waiter = makeWaiter(isSender: true)
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
        while true {
            switch meet(MeetingWord.sender) {
            case .partner(let sender):
                takeOver(sender, to: destination)
                return (fulfil(sender), nil)
            case .locked:
                return receiveLocked(into: destination, times: times)
            case .nobody:
                guard let times else { return (.wouldWait, nil) }
                guard times.deadline == .max else { return receiveLocked(into: destination, times: times) }
                let waiter = makeWaiter(isSender: false)
                if becomeWaiter(waiter, MeetingWord.receiver) { return (.registered, waiter) }
                release(waiter, isSender: false)
            }
        }
    }

    @inline(never)
    private func receiveLocked(
        into destination: UnsafeMutableRawPointer, times: WaitTimes?
    ) -> (ChannelOutcome, WaiterRef?) {
        withState { state, effects in
            guard decide(state.closure == .open) else { return (state.closedOutcome, nil) }
            while decide(!state.senders.isEmpty), let sender = state.senders.first {
                guard claim(sender, &state) else { continue }
                takeOver(sender, to: destination)
                return (grant(sender, &state, &effects), nil)
            }
            guard let times else { return (.wouldWait, nil) }
            guard times.deadline > times.now else {
                state.counters.receivesTimedOut += 1
                return (.timedOut, nil)
            }
            let waiter = makeWaiter(isSender: false)
            enqueue(waiter, isSender: false, times, &state, &effects)
            return (.registered, waiter)
        }
    }

    private func takeOver(_ sender: WaiterRef, to destination: UnsafeMutableRawPointer) {
        PlainAccess.read(sender.payload(layout))
        PlainAccess.write(destination)
        move(destination, sender.payload(layout))
    }

    /// Looks for the end of a wait for a bounded moment; true when it is over.
    ///
    /// Not part of `wait`: a call of an async function costs more than a look that helps at once.
    @usableFromInline
    func lookForPartner(_ waiter: WaiterRef, isSender: Bool) -> Bool {
        (isSender ? senderLooks : receiverLooks).look { Self.isSoonResumed(waiter) }
    }

    /// Whether a task that need not sleep gives way all the same, as now and then it should.
    @usableFromInline
    func isYieldDue(_ waiter: WaiterRef) -> Bool { waiter.pointer.pointee.ordinal % Self.yieldInterval == 0 }

    /// Suspends the calling task until its wait is over.
    @inline(never)
    @usableFromInline
    nonisolated(nonsending) func wait(_ waiter: WaiterRef, isSender: Bool) async {
        let watch = WaitWatch(isSender ? .send : .receive, waiter) { waitingCount(isSender: isSender) }
        await waiter.sleep(cancelling: self)
        watch.end(waiter, isSender ? sendLog : receiveLog, timeSource)
    }

    private func waitingCount(isSender: Bool) -> Int {
        state.withLock { isSender ? $0.senders.count : $0.receivers.count }
    }

    /// A probe of the look: the cell is the waiter's own, so loading it often disturbs nobody.
    @inline(__always)
    private static func isSoonResumed(_ waiter: WaiterRef) -> Bool {
        for _ in 0..<loadsPerProbe where waiter.isResumed { return true }
        return false
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
    /// The first close counts, and tells so, but for this: who asks after a later `abandoned` gets that.
    @discardableResult
    func close(_ closure: ChannelClosure, failure: (any Error)?) -> Bool {
        withState { state, effects in
            let isFirst = state.closure == .open
            guard isFirst || (state.closure == .finished && closure == .abandoned) else { return false }
            if isFirst { state.failure = failure }
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
            return isFirst
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
        let now = timeSource.now()
        var snapshot = withState { state, _ in
            RendezvousSnapshot(
                handedOver: handedOver.loadRelaxed(),
                refused: refusals.loadRelaxed(),
                sendsTimedOut: state.counters.sendsTimedOut,
                sendsCancelled: state.counters.sendsCancelled,
                receivesTimedOut: state.counters.receivesTimedOut,
                receivesCancelled: state.counters.receivesCancelled,
                waitingSenders: state.senders.count,
                waitingReceivers: state.receivers.count,
                isClosed: state.closure != .open,
                oldestSendWait: state.senders.first?.age(at: now),
                oldestReceiveWait: state.receivers.first?.age(at: now))
        }
        snapshot.sendWaits = sendLog.histogram
        snapshot.receiveWaits = receiveLog.histogram
        return snapshot
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
        let outcome = count(waiter)
        unlink(waiter, &state, &effects, verdict: .granted)
        return outcome
    }

    func enqueue(
        _ waiter: WaiterRef, isSender: Bool, _ times: WaitTimes, _ state: inout RendezvousState,
        _ effects: inout ChannelEffects
    ) {
        waiter.pointer.pointee.parkedAt = times.now
        waiter.pointer.pointee.deadline = times.deadline
        effects.timer = state.deadlines.insert(waiter)
        if isSender { state.senders.append(waiter) } else { state.receivers.append(waiter) }
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
