// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A channel with rules: the typed surface, construction, close and readings. `+Send` and `+Receive` are the verbs.

/// A bounded queue between tasks for elements that are not all alike: by what they cost, by how long they are of use, by
/// which of them is lost first.
///
/// It does what a ``BoundedChannel`` does, with the same verbs and answers, and what a lock-free ring cannot decide alone:
///
/// ```swift
/// let frames = BufferedChannel<[UInt8], Never>(
///     capacity: 1_000_000,  // bytes
///     maxElements: 10_000,
///     cost: { $0.count },
///     ttl: .seconds(2)
/// )
/// _ = await frames.send([1, 2, 3])
/// print(frames.cost)  // 3
/// ```
///
/// - **Bound**: the sum of the costs is at most `capacity`, and the number of elements at most `maxElements`, at any
///   instant. An element that costs more than the capacity comes back at once with ``Rejection/exceedsLimit``.
/// - **Order**: elements come out in the order in which they were taken over. Tasks that wait are served in the order in
///   which they began to, and nobody passes them (as ``Fairness/fifo``): a large element that waits is not starved by
///   small ones.
/// - **Expiry**: an element with a time to live that is over goes to the `onUndelivered` hook with
///   ``Rejection/expired``, is counted, and never reaches a receive that began after that. A timer sees to it that its
///   room is free in time, and so does every send and receive. An element that expires while its sender waits comes back
///   to the sender.
/// - **Shedding**: with a ``CoDel``, what has stayed for too long when its turn comes goes to the hook with
///   ``Rejection/shed`` instead, is counted, and the next one has its turn; only while the queue stands, not in a burst.
///   How long it stays is counted from when it was taken over, not from when its sender began to wait.
/// - **Overflow**: ``BufferedOverflowPolicy`` says what is lost, and who learns of it.
/// - **Delivery**: an element is delivered to exactly one receiver, or it is back with its sender, or with the hook, or
///   merged into another. Cancelling a receive never loses an element.
/// - **Cancellation**: ends the wait of that task alone. An operation that need not wait succeeds in a cancelled task.
/// - **Close**: ``finish()`` by the producers lets the buffer drain; ``cancel()`` by the consumers drops it.
/// - **Cost**: an operation that need not wait takes one lock for a moment, and no allocation, unless it drops more than
///   one element (one allocation for each further one). Where elements can expire or be shed it also reads the clock. A channel that
///   needs no such rules is faster as a ``BoundedChannel``.
///
/// Elements need be neither `Copyable` nor `Sendable`.
public final class BufferedChannel<Element: ~Copyable, Failure: Error>: Sendable {
    @usableFromInline let door: BufferDoor<Element, Failure>
    @usableFromInline let classes: Int
    @usableFromInline let classOf: (@Sendable (borrowing Element) -> Int)?

    /// A channel whose elements cost no more than `capacity` together.
    ///
    /// - Parameters:
    ///   - capacity: The bound on the sum of the costs; at least 1.
    ///   - maxElements: The bound on their number, whatever they cost; `capacity` unless told otherwise. Address space
    ///     for so many is reserved at once, and memory used as they come. Give it when costs are bytes.
    ///   - cost: What an element costs, 0 or more; without it each costs 1. Called once for each send, outside all locks.
    ///   - overflow: What a send does when the channel is full.
    ///   - ttl: How long elements are of use that are sent without a time of their own; nil is for ever.
    ///   - shedding: Drops what stayed too long in a queue that stands to the hook, with ``Rejection/shed``; nil to leave
    ///     queues alone.
    ///   - clock: The clock of every timeout and deadline; tests pass a manual one.
    ///   - onUndelivered: Gets every element that was taken over, or dropped on arrival, and reaches no receiver;
    ///     exactly once, with the reason. It runs outside all locks, on the task whose operation dropped the element (or
    ///     the timer's, or the one that let go of the channel last), and may use the channel. An element that goes back
    ///     to its sender does not go here.
    /// - Precondition: `capacity >= 1`, `1 <= maxElements < 2^31`, `ttl > .zero`, and costs are not negative.
    public init(
        capacity: Int,
        maxElements: Int? = nil,
        cost: (@Sendable (borrowing Element) -> Int)? = nil,
        overflow: BufferedOverflowPolicy<Element> = .suspend,
        ttl: Duration? = nil,
        shedding: CoDel? = nil,
        clock: some Clock<Duration> = ContinuousClock(),
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)? = nil
    ) {
        classes = overflow.classes
        classOf = overflow.classOf
        let plan = BufferPlan(
            capacity: capacity, maxElements: maxElements ?? capacity, isWeighed: cost != nil,
            lanes: Array(repeating: BufferPlan.Lane(bound: capacity), count: overflow.classes),
            policy: overflow.policy, shedding: shedding)
        door = BufferDoor(
            plan, ttl: ttl, costOf: cost, merger: overflow.merger, clock: clock, onUndelivered: onUndelivered)
    }

    /// The bound on the sum of the costs.
    public var capacity: Int { door.core.capacity }

    /// Elements sent and not yet received.
    ///
    /// By the time it is read it may have changed. Elements count until they are received or found to have expired.
    public var count: Int { door.core.count }

    /// The sum of their costs, 0 to ``capacity``.
    public var cost: Int { door.core.cost }

    /// Whether the channel was finished or cancelled; elements may still be in it.
    public var isClosed: Bool { door.core.isClosed }

    /// Whether nothing will be received any more: the channel is closed, with nothing in it.
    ///
    /// Exact, and once true it stays so.
    public var isFinished: Bool { door.core.isFinished }

    /// The readings of this instant.
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

    /// Ends the channel from its producing side with an error, which every receive gets once the buffer is drained.
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

    /// The class of `element`, which is its lane; code of a user, so no lock is held.
    @inlinable @inline(__always)
    func lane(of element: borrowing Element) -> Int {
        guard let classOf else { return 0 }
        let lane = classOf(element)
        precondition(lane >= 0 && lane < classes, "an element's class is 0 to \(classes - 1), not \(lane)")
        return lane
    }
}
