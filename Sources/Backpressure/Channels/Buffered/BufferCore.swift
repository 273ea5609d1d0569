// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The engine of `BufferedChannel` and `PriorityChannel`: what a lock-free ring cannot decide alone.
//
// ## Idea
// Which element pays, whether the sum of costs still fits, whose turn it is, what has expired: each of these looks at
// several words at once. So there is one lock, and the sections under it are short: some links and counts. Elements are
// memory of a known layout, and the slow path is compiled once, here, for all types.
//
// ## Two ways in
// fast   `isPlain` says that nobody waits and nothing can expire. The lock and the element's move are inlined into the
//        caller, one call in between finds the cell. No allocation.
// slow   everything else: `send` and `receive` below, with the element behind a pointer.
//
// ## What runs outside the lock
// clocks, cost and class of an element (before), wakes, the hook, destructors, the arming of the timer (after), and the
// merging of elements (between two looks: see `BufferCore+Conflate`).
//
// ## Why a sleeper is never forgotten
// Every change is made under the lock, and each that frees room or brings an element ends in `pump`, which serves until
// nothing more fits. A waiter is linked under the same lock, after a look that found no room (or no element).
//
// Files: `BufferState` has the invariants, `BufferTurns` the order of lanes, `BufferDelays` what is shed, `+Fast`, `+Send`, `+Receive`, `+Pump`,
// `+Conflate`, `+Close` the verbs. `BufferDoor` is the typed side.

/// What a look at the buffer under its lock came to.
@usableFromInline
enum BufferOutcome: UInt8, Sendable {
    /// The element was taken over, or is in the receiver's memory.
    case done
    /// As `done`, and this task has gone on for so long without waiting that it should yield.
    case doneYieldDue
    /// The policy dropped the arriving element; it is still in the sender's memory.
    case dropped
    /// No room, nothing to receive.
    case wouldWait
    case timedOut
    /// The element's own deadline has passed.
    case expired
    case exceedsLimit
    case finished
    case abandoned
    /// The waiter is registered.
    case registered
    /// The element is to be merged with the newest one.
    case conflates
    /// Elements may have expired or stayed too long: look again, with the time.
    case needsTime
}

/// What knows the type of the elements.
struct ElementActions: Sendable {
    /// Moves an element between two places in memory.
    let move: @Sendable (_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) -> Void
    /// Takes an element that nobody will receive out of memory, and hands it to the hook or destroys it.
    let discard: @Sendable (_ source: UnsafeMutableRawPointer, _ reason: Rejection) -> Void

    init<Element: ~Copyable>(
        of element: Element.Type,
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)?
    ) {
        move = { destination, source in
            destination.bindMemory(to: Element.self, capacity: 1)
                .moveInitialize(from: source.assumingMemoryBound(to: Element.self), count: 1)
        }
        discard = { source, reason in
            let source = source.assumingMemoryBound(to: Element.self)
            guard let onUndelivered else {
                source.deinitialize(count: 1)
                return
            }
            nonisolated(unsafe) let element = source.move()
            onUndelivered(element, reason)
        }
    }
}

@usableFromInline
final class BufferCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    @usableFromInline let lock: LockedState<BufferStateRef>
    /// What the lock guards.
    @usableFromInline let state: BufferStateRef
    let layout: CellLayout
    /// Of waiters.
    let payload: SlotLayout
    let actions: ElementActions
    let policy: BufferPolicy
    let order: TurnOrder
    let capacity: Int
    /// Whether standing queues are shed from, so that every operation needs the time.
    let isShedding: Bool
    /// Whether elements have a time to live that are not told otherwise.
    let isExpiring: Bool
    let timeSource: TimeSource
    let timer = DeadlineTimer()
    let sendWaits = OwnedWaitLog()
    let receiveWaits = OwnedWaitLog()

    /// After so many operations a task that never had to wait yields once.
    static let yieldInterval: UInt64 = 32_768

    init(_ plan: BufferPlan, layout: CellLayout, actions: ElementActions, timeSource: TimeSource) {
        precondition(plan.capacity >= 1, "a buffer has a capacity of at least 1, not \(plan.capacity)")
        precondition(plan.maxElements >= 1, "a buffer holds at least 1 element, not \(plan.maxElements)")
        precondition(
            plan.maxElements <= Int(Int32.max),
            "a buffer of \(plan.maxElements) elements exceeds \(Int32.max): say how many it holds at most")
        precondition((1...64).contains(plan.lanes.count), "\(plan.lanes.count) lanes or classes, not 1 to 64")
        isShedding = plan.shedding != nil
        isExpiring = plan.isExpiring
        self.layout = layout
        payload = layout.payload
        self.actions = actions
        policy = plan.policy
        order = plan.order
        capacity = plan.capacity
        self.timeSource = timeSource
        let pointer = UnsafeMutablePointer<BufferState>.allocate(capacity: 1)
        pointer.initialize(to: BufferState(plan, layout: layout))
        state = BufferStateRef(pointer: pointer)
        lock = LockedState(state)
    }

    deinit {
        timer.cancel()
        discardAll()
        state.pointer.deinitialize(count: 1)
        state.pointer.deallocate()
    }

    /// Whether a send may wait for room.
    @usableFromInline var isSuspending: Bool { policy.action == .suspend }

    /// The element of a waiter, or of an element on its way to the hook.
    @usableFromInline
    func element(of waiter: WaiterRef) -> UnsafeMutableRawPointer { layout.element(cell(of: waiter)) }

    func cell(of waiter: WaiterRef) -> CellPointer { waiter.payload(payload).assumingMemoryBound(to: CellHead.self) }

    /// A node with room for an element, and a head.
    func node() -> WaiterRef {
        let node = WaiterRef.allocate(payload: payload)
        node.payload(payload).initializeMemory(as: CellHead.self, to: CellHead(number: -1))
        return node
    }

    /// Frees a waiter whose element has been moved out or taken over.
    @usableFromInline
    func release(_ waiter: WaiterRef) { waiter.deallocate(payload: payload) }

    // MARK: - Lock, decide, unlock, act

    /// Runs `body` under the lock, and after it what it ordered: wakes, the hook, the timer.
    func withState<Result>(
        scratch: UnsafeMutableRawPointer? = nil, _ body: (inout BufferState, inout BufferEffects) -> Result
    ) -> Result {
        var effects = BufferEffects(scratch: scratch)
        let result = locked { state in
            let result = body(&state, &effects)
            settle(&state, &effects)
            verify(holds(state), "an invariant of the buffer is broken")
            return result
        }
        perform(effects)
        return result
    }

    /// Runs `body` under the lock, for those who only read.
    func locked<Result>(_ body: (inout BufferState) -> Result) -> Result {
        lock.withLock { body(&$0.pointer.pointee) }
    }

    /// What every section under the lock ends with, the fast ones excepted: they change none of it.
    private func settle(_ state: inout BufferState, _ effects: inout BufferEffects) {
        state.departures.rebase()
        if let request = state.alarm.request(state.earliest) { effects.timer = request }
        state.isPlain =
            state.closure == .open && decide(state.receivers.isEmpty) && decide(state.waiting == 0)
            && decide(state.expiries.isEmpty) && state.delays == nil && !isExpiring
    }

    private func perform(_ effects: consuming BufferEffects) {
        let wakes = effects.wakes
        var undelivered = effects.undelivered
        if !wakes.isEmpty { wakes.wakeAll() }
        if let scratch = effects.scratch, let reason = effects.scratchReason {
            actions.discard(scratch, Rejection(code: reason))
        }
        while let node = undelivered.popFirst() {
            actions.discard(element(of: node), Rejection(code: cell(of: node).pointee.reason))
            release(node)
        }
        var next = effects.abandoned
        while let cell = next {
            next = cell.pointee.next
            PlainAccess.read(layout.element(cell))
            actions.discard(layout.element(cell), .abandoned)
        }
        if let request = effects.timer { timer.arm(request, for: self) }
    }

    /// The invariants of `BufferState`; verified at every unlock of the slow path.
    private func holds(_ state: borrowing BufferState) -> Bool {
        var (count, cost) = (0, 0)
        for index in 0..<state.laneCount {
            let lane = state.lanes + index
            count += lane.pointee.count
            cost += lane.pointee.cost
            guard (state.occupied >> UInt64(index)) & 1 == (lane.pointee.count > 0 ? 1 : 0),
                (state.waiting >> UInt64(index)) & 1 == (lane.pointee.senders.isEmpty ? 0 : 1),
                lane.pointee.cost <= lane.pointee.bound
            else { return false }
        }
        return count == state.count && cost == state.cost && count <= state.maxElements && cost <= state.capacity
            && (state.receivers.isEmpty || (count == 0 && state.closure == .open))
            && (state.waiting == 0 || state.closure == .open) && admissible(state) == nil
    }

    // MARK: - Time

    /// The bound of a wait, or the end of an element, at an instant of the buffer's clock.
    @usableFromInline
    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        timeSource.waitLimit(until: deadline)
    }

    /// When a wait that begins now must end.
    @usableFromInline
    func waitTimes(_ limit: WaitLimit) -> WaitTimes { timeSource.waitTimes(limit) }
}
