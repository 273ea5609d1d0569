// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a buffer with rules keeps under its lock: elements by lane, who waits, what is due when.
//
// ## Invariants
// I1  count <= maxElements and cost <= capacity, and each lane's cost within its own bound, whenever the lock is free.
// I2  A bit of `occupied` is set exactly while its lane has elements, a bit of `waiting` while its lane has senders.
// I3  Receivers wait only while no element is in; and no sender waits whose turn it is and who fits.
// I4  An element with a deadline is in `expiries` exactly while it is in a lane.
// I5  `isPlain` only if the buffer is open, nobody waits, nothing can expire or be shed, and no element has a time to
//     live from the channel: then an operation that finds room (or an element) has nobody to wake and nothing to look
//     after, and the fast path does it.
// I6  While standing queues are shed from, `delays` knows when each element came in; without, it is nil.

/// The state under the lock.
struct BufferState: ~Copyable, @unchecked Sendable {
    static let receiverTag: UInt8 = 1
    static let watcherTag: UInt8 = 2
    static let drainerTag: UInt8 = 3

    // First: some compilers take the first field of what is borrowed for an address under ThreadSanitizer, and a flag
    // there stops them.
    let lanes: UnsafeMutablePointer<BufferLane>
    var isPlain = true
    var occupied: UInt64 = 0
    /// Elements that ever came in; the next one's ticket.
    var entered: UInt64 = 0
    /// Elements that went out in another way than to a receiver.
    var dropped: UInt64 = 0
    /// The sum of the costs, while elements may cost something else than 1.
    var weight = 0
    var peakCount = 0
    let isWeighed: Bool
    /// Whether all elements are alike: each costs 1, lanes have no weights, and nobody asks when one arrived, neither for the
    /// order between lanes nor for a merge.
    let isUniform: Bool
    let capacity: Int
    let maxElements: Int
    let laneCount: Int
    var store: CellStore
    /// The order in which lanes are received from.
    var departures: BufferTurns
    /// The order in which lanes' waiting senders are let in.
    var admissions: BufferTurns

    var waiting: UInt64 = 0
    var receivers = WaiterList(tag: receiverTag)
    /// Who waits for the buffer to be closed.
    var watchers = WaiterList(tag: watcherTag)
    /// Who waits for the buffer to be closed and empty.
    var drainers = WaiterList(tag: drainerTag)
    var closure = ChannelClosure.open
    var failure: (any Error)?

    /// Of waiters; the timer is the alarm's, which knows both kinds.
    var deadlines = Deadlines(armedFor: .min)
    /// Of elements in lanes, by the number of their cell.
    var expiries = DueHeap()
    var cellsByNumber: [CellPointer?] = []
    /// How long elements stay; nil when standing queues are left alone.
    var delays: BufferDelays?
    var alarm = Alarm()
    var registrations: UInt64 = 0
    var counters = BufferCounters()

    init(_ plan: BufferPlan, layout: CellLayout) {
        isWeighed = plan.isWeighed
        isUniform =
            !plan.isWeighed && plan.order != .weighted && (plan.order == .strict || plan.lanes.count == 1)
            && plan.policy.action != .conflate
        capacity = plan.capacity
        maxElements = plan.maxElements
        laneCount = plan.lanes.count
        lanes = .allocate(capacity: plan.lanes.count)
        for (index, lane) in plan.lanes.enumerated() {
            (lanes + index).initialize(to: BufferLane(index: index, bound: lane.bound, isWeighed: plan.isWeighed))
        }
        store = CellStore(limit: plan.maxElements, layout: layout)
        let weights = plan.lanes.map(\.weight)
        departures = BufferTurns(order: plan.order, aging: plan.aging, weights: weights)
        admissions = BufferTurns(order: plan.order, aging: plan.aging, weights: weights)
        delays = plan.shedding.map { BufferDelays($0, lanes: plan.lanes.count) }
        isPlain = delays == nil && !plan.isExpiring
    }

    deinit { lanes.deallocate() }

    /// Elements that receivers got.
    @inline(__always)
    var received: UInt64 { departures.served }

    @inline(__always)
    var count: Int { Int(truncatingIfNeeded: entered &- departures.served &- dropped) }

    /// The sum of the costs.
    @inline(__always)
    var cost: Int { isWeighed ? weight : count }

    /// When the timer must ring next.
    var earliest: Int64 { min(deadlines.earliest, expiries.earliest) }
}

/// Where the state is: what the lock guards, as far as the inlined fast path is concerned.
///
/// Not the state itself: a caller's module can neither destroy one nor know how. The address never changes, so it is
/// read before the lock is taken: a load that comes after it waits for it.
@usableFromInline
struct BufferStateRef: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<BufferState>
}

/// How a buffer is made.
struct BufferPlan: Sendable {
    struct Lane: Sendable {
        var bound: Int
        var weight = 1
    }

    var capacity: Int
    var maxElements: Int
    /// Whether elements may cost something else than 1.
    var isWeighed = true
    var lanes: [Lane]
    var order = TurnOrder.arrival
    var aging = Int.max
    var policy: BufferPolicy
    /// Whether elements have a time to live that are not told otherwise.
    var isExpiring = false
    /// Sheds from queues that stand.
    var shedding: CoDel?
}

/// What a full buffer does with an arriving element.
struct BufferPolicy: Hashable, Sendable {
    enum Action: UInt8, Hashable, Sendable {
        case suspend
        case reject
        case dropNewest
        case dropOldest
        case conflate
    }

    /// Elements of less important lanes make room first.
    var evictsLower = false
    /// What happens if that does not help.
    var action: Action
    /// How long `suspend` waits before it drops.
    var patience: Duration?
}

/// What lanes do not count.
///
/// Written under the lock, on paths that are not the fast one.
struct BufferCounters: Sendable {
    var refused: UInt64 = 0
    var exceeded: UInt64 = 0
    var sendsExpired: UInt64 = 0
    var sendsTimedOut: UInt64 = 0
    var sendsCancelled: UInt64 = 0
    var receivesTimedOut: UInt64 = 0
    var receivesCancelled: UInt64 = 0
    var sendsParked: UInt64 = 0
    var receivesParked: UInt64 = 0
}

/// What is to be done once the lock is released.
struct BufferEffects {
    var wakes = WakeBatch()
    /// Memory of the caller for the first element that is dropped: evicting one for one takes no allocation.
    var scratch: UnsafeMutableRawPointer?
    /// Why the element in `scratch` was dropped; nil while there is none.
    var scratchReason: Rejection.Code?
    /// Further ones, each with its reason in its head.
    var undelivered = NodeChain()
    /// Elements of a cancelled buffer, still in their cells: nothing enters any more.
    var abandoned: CellPointer?
    var timer: TimerRequest?
}
