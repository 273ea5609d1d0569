// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A channel with lanes: the typed surface, construction, close and readings. `+Verbs` are the verbs.

/// A bounded queue between tasks with lanes: what is critical comes first, what is bulk pays first, and nothing starves.
///
/// Lane 0 is the most important one. Each lane has a bound of its own, and all of them share the channel's.
///
/// ```swift
/// let requests = PriorityChannel<String, Never>(
///     capacity: 100,
///     lanes: [PriorityLane(capacity: 100), PriorityLane(capacity: 80)],
///     order: .strict(aging: 32)
/// )
/// _ = await requests.send("nightly report", lane: 1)
/// _ = await requests.send("checkout", lane: 0)
/// print(try await requests.receive() ?? "the end")  // checkout
/// ```
///
/// - **Bound**: at most `capacity` elements in all, and each lane at most its own, at any instant.
/// - **Order**: within a lane, the order in which elements were taken over; between lanes as ``PriorityOrder`` says, which
///   has a bound on how often a lane is passed over: critical traffic does not wait for bulk, and bulk does not wait for
///   ever. Tasks that wait to send are let in by the same rule, in each lane in the order in which they began to wait;
///   one that waits for room in its own lane holds up that lane only.
/// - **When full** the lowest lane pays first, unless ``PriorityOverflowPolicy`` says otherwise.
/// - **Expiry**: an element whose time to live is over goes to the `onUndelivered` hook with ``Rejection/expired``, is
///   counted, and never reaches a receive that began after that; a timer sees to it that its room is free in time.
/// - **Shedding**: with a ``CoDel``, what has stayed for too long in a lane whose queue stands goes to the hook with
///   ``Rejection/shed`` when its turn comes, is counted, and the next one has its turn.
/// - **Delivery**: an element is delivered to exactly one receiver, or it is back with its sender, or with the hook.
///   Cancelling a receive never loses an element.
/// - **Cancellation**: ends the wait of that task alone. An operation that need not wait succeeds in a cancelled task.
/// - **Close**: ``finish()`` by the producers lets the lanes drain; ``cancel()`` by the consumers drops them.
/// - **Cost**: an operation that need not wait takes one lock for a moment and no allocation. Where elements can expire
///   or be shed it also reads the clock.
///
/// Elements need be neither `Copyable` nor `Sendable`.
public final class PriorityChannel<Element: ~Copyable, Failure: Error>: Sendable {
    @usableFromInline let door: BufferDoor<Element, Failure>
    /// How many lanes there are; lane 0 is the most important.
    public let laneCount: Int

    /// A channel with these lanes, the most important first.
    ///
    /// - Parameters:
    ///   - capacity: The bound that all lanes share, in elements; at least 1.
    ///   - lanes: 1 to 64 of them.
    ///   - order: Whose turn it is.
    ///   - overflow: What a send does when there is no room.
    ///   - ttl: How long elements are of use that are sent without a time of their own; nil is for ever.
    ///   - shedding: Drops what stayed too long in a queue that stands to the hook, with ``Rejection/shed``; nil to leave
    ///     queues alone. Each lane is judged by itself.
    ///   - clock: The clock of every timeout and deadline; tests pass a manual one.
    ///   - onUndelivered: Gets every element that was taken over, or dropped on arrival, and reaches no receiver;
    ///     exactly once, with the reason. It runs outside all locks, on the task whose operation dropped the element (or
    ///     the timer's, or the one that let go of the channel last), and may use the channel.
    /// - Precondition: `1 <= capacity < 2^31`, 1 to 64 lanes, and `ttl > .zero`.
    public init(
        capacity: Int,
        lanes: [PriorityLane],
        order: PriorityOrder = .strict(),
        overflow: PriorityOverflowPolicy = .dropLowest(),
        ttl: Duration? = nil,
        shedding: CoDel? = nil,
        clock: some Clock<Duration> = ContinuousClock(),
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)? = nil
    ) {
        laneCount = lanes.count
        let plan = BufferPlan(
            capacity: capacity, maxElements: capacity, isWeighed: false,
            lanes: lanes.map { BufferPlan.Lane(bound: $0.capacity, weight: $0.weight) },
            order: order.order, aging: order.aging, policy: overflow.policy, shedding: shedding)
        door = BufferDoor(plan, ttl: ttl, costOf: nil, merger: nil, clock: clock, onUndelivered: onUndelivered)
    }

    /// The bound that all lanes share.
    public var capacity: Int { door.core.capacity }

    /// Elements sent and not yet received, in all lanes, 0 to ``capacity``.
    ///
    /// By the time it is read it may have changed. Elements count until they are received or found to have expired.
    public var count: Int { door.core.count }

    /// Whether the channel was finished or cancelled; elements may still be in it.
    public var isClosed: Bool { door.core.isClosed }

    /// Whether nothing will be received any more: the channel is closed, with nothing in it.
    ///
    /// Exact, and once true it stays so.
    public var isFinished: Bool { door.core.isFinished }

    /// The readings of this instant, of the whole and of each lane.
    ///
    /// - Returns: Depth, totals and waiting tasks, all of one instant.
    public func snapshot() -> BufferSnapshot { door.core.snapshot() }

    /// Ends the channel from its producing side: nothing more is accepted, what is in is still received, then comes the
    /// end.
    ///
    /// Waiting senders get their elements back with ``Rejection/finished``. Idempotent: the first close counts.
    ///
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish() -> Bool { door.core.finish(failure: nil) }

    /// Ends the channel from its producing side with an error, which every receive gets once the lanes are drained.
    ///
    /// - Parameter failure: The error. When the channel is closed already it is not used.
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish(throwing failure: Failure) -> Bool { door.core.finish(failure: failure) }

    /// Ends the channel from its consuming side: nothing more is accepted, and what is in is dropped to the hook.
    ///
    /// Waiting senders get their elements back with ``Rejection/abandoned``; receivers get the end, or the error of an
    /// earlier ``finish(throwing:)``. Idempotent.
    public func cancel() { door.core.abandon() }

    /// Waits until the channel accepts nothing more: it was finished or cancelled, by whichever side.
    ///
    /// Elements may still be in. Any number of tasks may wait.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilFinished() async throws(Rejection) { try await door.untilFinished() }

    /// Waits until the channel is closed and nothing is in it: see ``BoundedChannel/untilDrained()``.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilDrained() async throws(Rejection) { try await door.untilDrained() }

    @inlinable @inline(__always)
    func check(_ lane: Int) {
        precondition(lane >= 0 && lane < laneCount, "lane \(lane) of \(laneCount)")
    }
}
