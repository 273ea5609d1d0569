// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a channel keeps under its lock: who waits, what is outside the ring, and whether the gate is closed.
//
// ## States of the gate
// open    both words without `gate`: the ring alone decides; nobody needs to be told of anything
// closed  both words with `gate`: positions move only under the lock, so tail, head and count are exact
//
// Open -> closed: an operation that could not be done by the ring alone. Closed -> open: `settle()`, once nothing
// waits, or once those who wait have a steward on its way.
//
// ## Stewards (fairness `.eventual`)
// When a waiter is granted while others of its side still wait, it may become its side's steward: the gate opens,
// newcomers use the fast path, and the steward serves the next waiter as soon as its task runs. At most one per side.
// A position limit in the ring closes the fast path when newcomers have passed the first waiter often enough.
//
// ## Invariants
// I1  logical = (tail - head) - debt + spill + reserved <= ceiling whenever the lock is free. The ceiling is the
//     capacity, except after a shrink below what is in: then it is that, and comes down with it. A reservation is
//     room, not a position: an unfilled slot would block every receiver behind it. While one is out, the tail word
//     carries `reserved`, and so every send asks here.
// I2  Gate open => spill is empty, debt is 0, no side has waiters without a steward, and nothing is held back by
//     watermarks.
// I3  A receiver sleeps only after a look, with the gate closed, that found tail == head and nothing spilled.
// I4  A sender sleeps only after a look, with the gate closed, that found logical >= capacity, or a pause.
// I5  `tail` and `head` are the ring's positions while the gate is closed, and mean nothing while it is open. The words
//     keep the positions at which the gate was closed, with its flag, until it opens.
// I6  An eviction is owed only for a slot that is claimed: 0 <= debt <= tail - head.
//
// ## Cost
// Whoever borrows this state is inlined: the compiler copies a value without copies, all 300 bytes of it, into every call
// that borrows it (Swift 6.3). Without that a wait costs half as much again.

/// How a channel came to accept nothing more.
enum ChannelClosure: UInt8, Sendable {
    case open
    /// Its producers finished it: what is in is still received.
    case finished
    /// Its consumers cancelled it: what was in is dropped.
    case abandoned
}

/// The state under the lock.
struct ChannelState: ~Copyable, @unchecked Sendable {
    static let receiverTag: UInt8 = 1
    static let senderTag: UInt8 = 2
    static let spillTag: UInt8 = 3
    static let watcherTag: UInt8 = 4
    static let drainerTag: UInt8 = 5

    var receivers = WaiterList(tag: receiverTag)
    var senders = WaiterList(tag: senderTag)
    /// Sent elements without a slot: the slot they need is still in a receiver's hands.
    ///
    /// Nodes without a task.
    var spill = WaiterList(tag: spillTag)
    /// Who waits for the channel to be closed.
    var watchers = WaiterList(tag: watcherTag)

    // Flags beside each other: an idle channel is small.
    var isGated = false
    var closure = ChannelClosure.open
    var hasSenderSteward = false
    var hasReceiverSteward = false
    /// Whether the watermarks hold senders back.
    var pressure = ChannelPressure()
    /// What the watermarks' hook was told last, and whether somebody is telling it.
    var isToldPaused = false
    var isTelling = false
    var tail: UInt64 = 0
    var head: UInt64 = 0
    /// `closed` and `reserved` as the tail word carries them.
    ///
    /// A cancelled channel has ended whatever is reserved, and sends ask because it is closed.
    @inline(__always) var tailFlags: UInt64 {
        let isLowered = closure == .open && decide(tail == loweredAt)
        let isAwaited = closure != .abandoned && decide(reserved > 0)
        return (closure == .open ? 0 : RingWord.closed) | (isAwaited || isLowered ? RingWord.reserved : 0)
    }

    /// How many elements may be in.
    var capacity: Int
    /// What bounds them: the capacity, or what was in when the capacity fell below it, as far as it still is.
    var ceiling: Int
    /// The position beyond which a send asks here, because of the capacity or the watermarks.
    var roomLimit: UInt64
    /// The position of the tail when `roomLimit` was last lowered.
    var loweredAt = RingWord.noLimit

    /// Evictions owed: the element to drop was claimed but not yet published.
    var debt = 0
    /// Room that is promised to reservations and not yet filled.
    var reserved = 0
    var failure: (any Error)?

    /// The tail position at which a sender that never waits yields next; likewise the head.
    var tailYield: UInt64
    var headYield: UInt64

    var deadlines = Deadlines()
    /// Elements that reached a receiver or a hook without a ring position of their own.
    var besideRing: UInt64 = 0
    /// Operations that came here because the ring alone could not do them.
    var lockedOperations: UInt64 = 0
    /// A pointer and no object: every wait counts, and each access to an object costs a retain and a release.
    private var side: UnsafeMutablePointer<SideRoom>?

    /// The counters; an idle channel has none.
    var counters: ChannelCounters {
        get { side?.pointee.counters ?? ChannelCounters() }
        _modify {
            yield &madeSide().pointee.counters
        }
    }

    /// Who waits for the channel to be closed and empty; an idle channel has not even a list for them.
    var drainers: WaiterList {
        get { side?.pointee.drainers ?? WaiterList(tag: Self.drainerTag) }
        _modify {
            yield &madeSide().pointee.drainers
        }
    }

    private mutating func madeSide() -> UnsafeMutablePointer<SideRoom> {
        if let side { return side }
        let made = UnsafeMutablePointer<SideRoom>.allocate(capacity: 1)
        made.initialize(to: SideRoom())
        side = made
        return made
    }

    deinit {
        side?.deinitialize(count: 1)
        side?.deallocate()
    }

    init(firstYield: UInt64, capacity: Int, roomLimit: UInt64) {
        self.capacity = capacity
        self.roomLimit = roomLimit
        ceiling = capacity
        tailYield = firstYield
        headYield = firstYield
    }
}

/// Whether watermarks hold senders back: hysteresis as in `Hysteresis`, without its times.
struct ChannelPressure: Sendable {
    private(set) var isPaused = false

    /// Takes note of the level; between the marks nothing changes.
    mutating func update(level: Int, low: Int, high: Int) {
        if isPaused ? decide(level <= low) : decide(level >= high) { isPaused.toggle() }
    }
}

/// What positions cannot tell.
///
/// Written under the lock, on paths that take it anyway.
struct ChannelCounters: Sendable {
    var droppedNewest: UInt64 = 0
    var evicted: UInt64 = 0
    var abandoned: UInt64 = 0
    var sendsTimedOut: UInt64 = 0
    var sendsCancelled: UInt64 = 0
    var receivesTimedOut: UInt64 = 0
    var receivesCancelled: UInt64 = 0
    var sendsParked: UInt64 = 0
    var receivesParked: UInt64 = 0
    var peakDepth = 0
}

/// The memory of what few channels need: made with the first event that counts, or the first who waits for the end.
private struct SideRoom {
    var counters = ChannelCounters()
    var drainers = WaiterList(tag: ChannelState.drainerTag)
}

/// What is to be done once the lock is released.
struct ChannelEffects: Sendable {
    var wakes = WakeBatch()
    /// Nodes whose element nobody will receive.
    var undelivered = NodeChain()
    var undeliveredReason = Rejection.evicted
    var timer: TimerRequest?
}
