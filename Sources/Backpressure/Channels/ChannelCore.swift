// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The channel behind the channel: ring, lock, waiters and timer, for elements of any type.
//
// The core is not generic, so it is compiled once, here: a generic slow path in another module than its caller runs
// unspecialised, at many times the cost. It sees elements as memory of a known layout; the two methods that know the
// type are its subclass's. `BoundedChannel` is the typed surface.
//
// Files: `ChannelCore+Pump` matches elements and waiters, `ChannelCore+Send`, `+Receive`, `+Close` are the verbs,
// `+Capacity` has the bound that can move, and the watermarks.

/// What a look at the channel under its lock came to.
@usableFromInline
enum ChannelOutcome: UInt8, Sendable {
    /// The element was taken over, or is in the receiver's memory.
    case done
    /// The policy dropped the arriving element; it is still in the sender's memory.
    case dropped
    /// No room, nothing to receive.
    case wouldWait
    case timedOut
    case finished
    case abandoned
    /// The waiter is registered.
    case registered
    /// The receiver's waiter is registered, and must look again before it sleeps: a sender is half-way.
    case registeredPending
    /// As `done`, and this task has gone on for so long without waiting that it should yield.
    case doneYieldDue
}

@usableFromInline
class ChannelCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    let ring: Ring
    let layout: SlotLayout
    let overflow: OverflowPolicy
    /// Whether an element is eight bytes that mean nothing to anybody: then a move is a load and a store, where the
    /// type's own costs a hundred instructions. (It lies in what the policy leaves of its last word.)
    private let isWord: Bool
    /// How many newcomers may pass a waiter; 0 is strict.
    let bypass: UInt64
    let timeSource: TimeSource
    /// Nil for a channel without.
    let watermarkBox: WatermarkBox?
    var watermarks: Watermarks? { watermarkBox?.watermarks }
    let state: LockedState<ChannelState>
    let timer = DeadlineTimer()
    private let allocation: ZeroedMemory

    /// After so many positions a task that never had to wait yields once.
    static let yieldInterval: UInt64 = 32_768

    @usableFromInline
    init(
        capacity: Int, maximumCapacity: Int, layout: SlotLayout, isWord: Bool, overflow: OverflowPolicy,
        watermarks: Watermarks?, fairness: Fairness, timeSource: TimeSource
    ) {
        precondition(capacity >= 1, "a bounded channel holds at least 1 element, not \(capacity)")
        precondition(
            maximumCapacity <= RingGeometry.maximumCapacity,
            "a capacity of \(maximumCapacity) exceeds \(RingGeometry.maximumCapacity)")
        precondition(
            capacity <= maximumCapacity, "a capacity of \(capacity) exceeds the maximum, \(maximumCapacity)")
        precondition(
            watermarks.map { $0.high <= maximumCapacity } ?? true,
            "a high mark of \(watermarks?.high ?? 0) exceeds the capacity, \(maximumCapacity)")
        let geometry = RingGeometry(capacity: maximumCapacity)
        (ring, allocation) = Ring.allocate(geometry: geometry, slots: layout)
        self.layout = layout
        self.isWord = isWord
        self.overflow = overflow
        bypass = fairness.bypass
        self.timeSource = timeSource
        watermarkBox = watermarks.map(WatermarkBox.init)
        let firstYield = geometry.word(ordinal: Self.yieldInterval)
        let roomLimit = Self.roomLimit(head: 0, capacity: capacity, watermarks, geometry)
        state = LockedState(ChannelState(firstYield: firstYield, capacity: capacity, roomLimit: roomLimit))
        ring.liveCapacity.storeRelaxed(UInt64(capacity))
        ring.tailLimit.storeRelaxed(min(firstYield, roomLimit))
        ring.headLimit.storeRelaxed(firstYield)
    }

    deinit {
        timer.cancel()
        ring.sendLog.deallocate()
        ring.receiveLog.deallocate()
        allocation.deallocate()
    }

    // MARK: - What knows the element's type

    /// Moves an element between two places in memory.
    @inline(__always)
    final func move(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        if isWord {
            destination.storeBytes(of: source.load(as: UInt64.self), as: UInt64.self)
        } else {
            moveTyped(destination, source)
        }
    }

    /// As `move`, for elements of any type.
    func moveTyped(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        preconditionFailure("the core of a channel is always a TypedChannelCore")
    }

    /// Takes an element that nobody will receive out of memory, and hands it to the hook or destroys it.
    @usableFromInline
    func discard(_ source: UnsafeMutableRawPointer, _ reason: Rejection) {
        preconditionFailure("the core of a channel is always a TypedChannelCore")
    }

    /// How many elements the channel holds at most, at this moment.
    var capacity: Int { Int(truncatingIfNeeded: ring.liveCapacity.loadRelaxed()) }

    /// Whether a send waits for room.
    @usableFromInline var isSuspending: Bool { overflow.waits }

    /// Whether an operation that does not wait gets its element back from a full channel.
    @usableFromInline var refusesWhenFull: Bool { overflow.atOnce == .reject }

    /// Where the element of a waiter lies.
    @usableFromInline
    func payload(of waiter: WaiterRef) -> UnsafeMutableRawPointer { waiter.payload(layout) }

    /// Looks for room for a bounded moment; true when the fast path is worth another try.
    @usableFromInline
    func lookForRoom() -> Bool { ring.lookForRoom(stride: layout.stride) }

    /// Looks for an element for a bounded moment; true when the fast path is worth another try.
    @usableFromInline
    func lookForElement() -> Bool { ring.lookForElement(stride: layout.stride) }

    /// The ring, for the fast path of the typed surface.
    @usableFromInline var fastRing: Ring { ring }

    // MARK: - Lock, decide, unlock, act

    /// Runs `body` under the lock, and after it what it ordered: wakes, the hook, the timer.
    func withState<Result>(_ body: (inout ChannelState, inout ChannelEffects) -> Result) -> Result {
        var effects = ChannelEffects()
        var edge: PressureEdge?
        let result = state.withLock { state in
            state.lockedOperations += 1
            let result = body(&state, &effects)
            if watermarkBox != nil { edge = takeEdge(&state) }
            verify(holds(state), "an invariant of the channel is broken")
            return result
        }
        perform(effects)
        if let edge { tell(edge) }
        return result
    }

    private func perform(_ effects: consuming ChannelEffects) {
        let (wakes, reason) = (effects.wakes, effects.undeliveredReason)
        var undelivered = effects.undelivered
        if !wakes.isEmpty { wakes.wakeAll() }
        while let node = undelivered.popFirst() {
            discard(node.payload(layout), reason)
            node.deallocate(payload: layout)
        }
        if let request = effects.timer { timer.arm(request, for: self) }
    }

    /// The invariants I1, I2 and I6; verified at every unlock.
    @inline(__always)
    private func holds(_ state: borrowing ChannelState) -> Bool {
        guard state.isGated else {
            return state.spill.isEmpty && state.debt == 0 && !state.pressure.isPaused
                && (state.senders.isEmpty || state.hasSenderSteward)
                && (state.receivers.isEmpty || state.hasReceiverSteward)
        }
        let isOwed = state.debt >= 0 && state.debt <= claimed(state)
        return isOwed && logicalCount(state) <= state.ceiling && logicalCount(state) >= 0
    }
}

/// Watermarks on the heap: most channels have none, and should not carry their size.
final class WatermarkBox: Sendable {
    let watermarks: Watermarks

    init(_ watermarks: Watermarks) { self.watermarks = watermarks }
}

/// The core of a channel of `Element`s, and its hook.
final class TypedChannelCore<Element: ~Copyable>: ChannelCore, @unchecked Sendable {
    typealias Hook = @Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void

    private let onUndelivered: Hook?

    init(
        capacity: Int, maximumCapacity: Int, overflow: OverflowPolicy, watermarks: Watermarks?, fairness: Fairness,
        timeSource: TimeSource, onUndelivered: Hook?
    ) {
        self.onUndelivered = onUndelivered
        super.init(
            capacity: capacity, maximumCapacity: maximumCapacity, layout: SlotLayout(of: Element.self),
            isWord: _isPOD(Element.self) && MemoryLayout<Element>.size == 8 && MemoryLayout<Element>.alignment == 8,
            overflow: overflow, watermarks: watermarks, fairness: fairness, timeSource: timeSource)
    }

    // The base class's `deinit` drains the ring through `discard`, and by then the hook is gone: so it is done here.
    deinit { discardAll() }

    override func moveTyped(_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) {
        destination.bindMemory(to: Element.self, capacity: 1)
            .moveInitialize(from: source.assumingMemoryBound(to: Element.self), count: 1)
    }

    override func discard(_ source: UnsafeMutableRawPointer, _ reason: Rejection) {
        let source = source.assumingMemoryBound(to: Element.self)
        guard let onUndelivered else {
            source.deinitialize(count: 1)
            return
        }
        nonisolated(unsafe) let element = source.move()
        onUndelivered(element, reason)
    }
}
