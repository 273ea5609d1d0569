// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The typed surface of a channel: construction, close and readings. `+Send` and `+Receive` are the verbs, with the
// fenced inlinable fast path; `+AsyncSequence` the loop; `+Ends` the ends that close by themselves.

/// A bounded queue between tasks: any number may send, any number may receive, each element reaches exactly one.
///
/// When the channel is full, a sender waits (or is turned away, or something is dropped: see ``OverflowPolicy``), so a
/// fast producer runs at the pace of its consumers and memory stays bounded. Waiting suspends the task and never blocks
/// a thread.
///
/// ```swift
/// let channel = BoundedChannel<Int, Never>(capacity: 8)
/// async let total = channel.reduce(0, +)
/// for number in 1...100 { _ = await channel.send(number) }
/// channel.finish()
/// print(await total)  // 5050
/// ```
///
/// - **Bound**: holds at most `capacity` elements at any instant, for any capacity of 1 or more.
/// - **Order**: elements come out in the order in which they were taken over; the elements of one sender never pass
///   each other. Waiting tasks are served in the order in which they began to wait; newcomers pass them only as
///   ``Fairness`` allows.
/// - **Delivery**: an element is delivered to exactly one receiver, or it is back with its sender, or with the
///   `onUndelivered` hook. Cancelling a receive never loses an element.
/// - **Cancellation**: ends the wait of that task alone. An operation that need not wait succeeds in a cancelled task.
/// - **Close**: ``finish()`` by the producers lets the buffer drain; ``cancel()`` by the consumers drops it. Both are
///   idempotent and wake everybody.
/// - **Memory visibility**: what a task did before it sent an element happens before what its receiver does with it.
/// - **Cost**: an operation that need not wait is one compare-and-swap on a ring, with no allocation and no lock.
///   A wait costs one allocation and a task switch.
///
/// Elements need be neither `Copyable` nor `Sendable`: they are sent away and not touched again.
public final class BoundedChannel<Element: ~Copyable, Failure: Error>: Sendable {
    @usableFromInline let ring: Ring
    @usableFromInline let core: ChannelCore
    let ends = ChannelEnds()

    /// A channel that holds up to `capacity` elements.
    ///
    /// - Parameters:
    ///   - capacity: The bound, in elements; at least 1.
    ///   - maximumCapacity: How large ``resize(capacity:)`` can make it; nil for `capacity`. Memory is laid out for it,
    ///     and committed as it is touched.
    ///   - overflow: What a send does when the channel is full.
    ///   - watermarks: Marks between which senders are held back, and who is told of it; nil for none.
    ///   - fairness: How far newcomers may pass waiting tasks.
    ///   - clock: The clock of every timeout and deadline; tests pass a manual one.
    ///   - onUndelivered: Gets every element that was taken over, or dropped on arrival, and reaches no receiver;
    ///     exactly once, with the reason. It runs outside all locks, on the task whose operation dropped the element
    ///     (or the one that let go of the channel last), and may use the channel. An element that goes back to its
    ///     sender does not go here.
    /// - Precondition: `1 <= capacity <= maximumCapacity <= 2^40`, and the high mark is not above `maximumCapacity`.
    public init(
        capacity: Int,
        maximumCapacity: Int? = nil,
        overflow: OverflowPolicy = .suspend,
        watermarks: Watermarks? = nil,
        fairness: Fairness = .default,
        clock: some Clock<Duration> = ContinuousClock(),
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)? = nil
    ) {
        core = TypedChannelCore<Element>(
            capacity: capacity, maximumCapacity: maximumCapacity ?? capacity, overflow: overflow,
            watermarks: watermarks, fairness: fairness, timeSource: TimeSource(clock), onUndelivered: onUndelivered)
        ring = core.fastRing
    }

    /// Elements sent and not yet received, 0 to ``capacity``; more only after a resize below what was in.
    ///
    /// By the time it is read it may have changed.
    public var count: Int { core.count }

    /// Whether the channel was finished or cancelled; elements may still be in it.
    public var isClosed: Bool { core.isClosed }

    /// Whether nothing will be received any more: the channel is closed, with nothing in it and no room reserved.
    ///
    /// Exact, and once true it stays so.
    public var isFinished: Bool { core.isFinished }

    /// The readings of this instant.
    ///
    /// It makes the operations of that moment take the lock, and costs them nothing else.
    ///
    /// - Returns: Depth, totals and waiting tasks, all of one instant.
    public func snapshot() -> ChannelSnapshot { core.snapshot() }

    /// Ends the channel from its producing side: nothing more is accepted, what is in is still received, then comes
    /// the end.
    ///
    /// Waiting senders get their elements back with ``Rejection/finished``; receivers drain the buffer and then get
    /// nil. Idempotent: the first close counts. Callable from anywhere, also from the hook.
    ///
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish() -> Bool { core.finish(failure: nil) }

    /// Ends the channel from its producing side with an error, which every receive gets once the buffer is drained.
    ///
    /// - Parameter failure: The error. When the channel is closed already it is not used.
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish(throwing failure: Failure) -> Bool { core.finish(failure: failure) }

    /// Ends the channel from its consuming side: nothing more is accepted, and what is in is dropped to the hook.
    ///
    /// Waiting senders get their elements back with ``Rejection/abandoned``; receivers get the end, or the error of an
    /// earlier ``finish(throwing:)``. An element whose sender is between claiming its place and filling it goes to the
    /// hook with the next operation on the channel. Idempotent.
    public func cancel() { core.abandon() }
}
