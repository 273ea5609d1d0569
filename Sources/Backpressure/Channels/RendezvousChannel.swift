// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The typed surface of a rendezvous: construction, close and readings. `+Send` and `+Receive` are the verbs,
// `+AsyncSequence` the loop, `+Ends` the ends that close by themselves; `RendezvousCore` does the work.

/// A channel without a buffer: each element goes straight from the hands of its sender into those of a receiver.
///
/// A send returns only once a receiver has the element, a receive only once it has one; whoever comes first waits for
/// the other. Use it where a queue would only hide that nobody is there: to hand a request to a worker that is free now,
/// to pace a producer exactly by its consumer, to know at the return of ``send(_:)`` that somebody has taken over.
/// Elsewhere a ``BoundedChannel`` of even a small capacity moves elements faster, because its two sides need not meet.
///
/// ```swift
/// let counter = RendezvousChannel<String, Never>()
/// let clerk = Task {
///     for await customer in counter { print("serving \(customer)") }
/// }
/// _ = await counter.send("Ada")  // returns when the clerk has taken over
/// counter.finish()
/// await clerk.value
/// ```
///
/// - **Bound**: holds nothing. An element is with its sender until it is with its receiver.
/// - **Order**: senders are served in the order in which they began to wait, and so are receivers; nobody passes anybody.
/// - **Delivery**: an element is delivered to exactly one receiver, or it is back with its sender. Cancelling a receive
///   never loses an element: if one was handed over first, it is returned.
/// - **Cancellation**: ends the wait of that task alone. An operation that finds a partner waiting succeeds in a
///   cancelled task.
/// - **Close**: ``finish()`` and ``cancel()`` give waiting senders their elements back and receivers the end. They differ
///   in the reason that senders get. Both are idempotent and wake everybody.
/// - **Memory visibility**: what a task did before it sent an element happens before what its receiver does with it.
/// - **Cost**: one compare-and-swap on each side while at most one task waits, a lock otherwise; O(1) with any number of
///   waiting tasks. Before a task sleeps it looks for its partner for a bounded moment: two tasks that run on two cores
///   meet without a task switch.
///
/// Elements need be neither `Copyable` nor `Sendable`: they are sent away and not touched again.
public final class RendezvousChannel<Element: ~Copyable, Failure: Error>: Sendable {
    @usableFromInline let core: RendezvousCore
    let ends = ChannelEnds()

    /// A channel between tasks that meet.
    ///
    /// - Parameter clock: The clock of every timeout and deadline; tests pass a manual one.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        core = TypedRendezvousCore<Element>(timeSource: TimeSource(clock))
    }

    /// Whether the channel was finished or cancelled.
    public var isClosed: Bool { core.isClosed }

    /// The readings of this instant.
    ///
    /// - Returns: Totals and waiting tasks, all of one instant.
    public func snapshot() -> RendezvousSnapshot { core.snapshot() }

    /// Ends the channel from its producing side.
    ///
    /// Waiting senders get their elements back with ``Rejection/finished``, receivers get nil. Idempotent: the first
    /// close counts.
    ///
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish() -> Bool { core.close(.finished, failure: nil) }

    /// Ends the channel from its producing side with an error, which every receive gets from now on.
    ///
    /// - Parameter failure: The error. When the channel is closed already it is not used.
    /// - Returns: Whether this call is what closed the channel.
    @discardableResult
    public func finish(throwing failure: Failure) -> Bool { core.close(.finished, failure: failure) }

    /// Ends the channel from its consuming side.
    ///
    /// Waiting senders get their elements back with ``Rejection/abandoned``; receivers get the end, or the error of an
    /// earlier ``finish(throwing:)``. Idempotent.
    public func cancel() { core.close(.abandoned, failure: nil) }

    /// Waits until the channel is closed, by whichever side.
    ///
    /// Any number of tasks may wait.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilFinished() async throws(Rejection) {
        guard let waiter = core.watch() else { return }
        await waiter.sleep(cancelling: core)
        let verdict = waiter.verdict
        waiter.deallocate(payload: WaiterRef.reservationLayout)
        if verdict == .cancelled { throw .cancelled }
    }
}
