// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The surface of a semaphore: construction, resizing, close and readings. `+Acquire` has the verbs, with the fenced
// inlinable fast path; `+Permit` what is acquired.

/// A number of permits that tasks take before they use something scarce, and give back after.
///
/// Whoever finds too few waits, as a task and never as a thread. So no more than ``limit`` permits are in use at any
/// instant, whatever fails, is cancelled or times out.
///
/// ```swift
/// let connections = AsyncSemaphore(permits: 4)
/// let answer = try await connections.withPermits {
///     await query()  // at most 4 at a time
/// }
/// ```
///
/// - **Weights**: an acquisition may ask for several permits and gets all of them at once, when it is its turn. Permits
///   gather for it meanwhile, so a large request is not starved by small ones, and no two tasks can each hold half of
///   what the other needs. The price is that small requests behind it wait too. More than ``limit`` is refused at once.
/// - **Order**: tasks that wait are served in the order of ``WaiterOrder``; newcomers, `tryAcquire` among them, pass
///   them only as ``Fairness`` allows.
/// - **Cancellation**: ends the wait of that task alone, in O(1), and whoever now fits is served. If the permits were
///   granted first, the acquisition succeeds, and a scoped body can ask `Task.isCancelled`. An acquisition that need not
///   wait succeeds in a cancelled task.
/// - **Bounded**: as many tasks wait as `waiterLimit` says; the next is refused.
/// - **Memory visibility**: what a holder did before it gave a permit back happens before what the next holder does.
/// - **Cost**: an acquisition that need not wait is one compare-and-swap, a release is one atomic add; no allocation, no
///   lock. A wait costs one allocation of 64 bytes and a task switch.
///
/// A semaphore is shared by reference: two variables that hold it share its permits. It may go away while permits are out.
public final class AsyncSemaphore: Sendable {
    @usableFromInline let word: PermitWord
    @usableFromInline let core: SemaphoreCore

    /// A semaphore with all of its permits free.
    ///
    /// - Parameters:
    ///   - permits: How many there are: 1 to 2^44, so that permits may stand for bytes.
    ///   - fairness: How far newcomers may pass waiting tasks.
    ///   - order: Which of the waiting tasks is next.
    ///   - waiterLimit: How many tasks may wait, 0 or more; the next is refused with ``Rejection/full``.
    ///   - name: What errors and snapshots call it.
    ///   - clock: The clock of every timeout and deadline; tests pass a manual one.
    /// - Precondition: `1 <= permits <= 2^44`, `waiterLimit >= 0`.
    public init(
        permits: Int,
        fairness: Fairness = .default,
        order: WaiterOrder = .fifo,
        waiterLimit: Int = .max,
        name: String? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        core = SemaphoreCore(
            limit: permits, fairness: fairness, order: order, waiterLimit: waiterLimit, name: name,
            timeSource: TimeSource(clock))
        word = core.word
    }

    deinit { core.orphan() }

    /// What errors and snapshots call it.
    public var name: String? { core.name }

    /// How many permits there are in all.
    public var limit: Int { core.limit }

    /// Permits that are free, 0 or more.
    ///
    /// By the time it is read it may have changed.
    public var available: Int { max(core.available, 0) }

    /// Permits that are taken, forgotten ones among them.
    ///
    /// Right after a ``resize(to:)`` it may exceed the limit.
    public var inUse: Int { core.snapshot().inUse }

    /// How many tasks wait.
    public var waiting: Int { core.waiting }

    /// The greatest number of permits in use that was seen: when somebody had to wait or was refused, and at snapshots.
    public var peak: Int { core.snapshot().peakInUse }

    /// The readings of this instant.
    ///
    /// It costs the operations of that moment nothing that do not take the lock.
    ///
    /// - Returns: Permits, totals and waiting tasks, all of one instant.
    public func snapshot() -> SemaphoreSnapshot { core.snapshot() }

    // MARK: Resizing

    /// Changes how many permits there are, also below what is in use.
    ///
    /// Permits are never taken from their holders. When more are in use than `limit`, the difference is a debt: nobody
    /// gets a permit until so many have been given back that it fits the new limit. When the limit grows, waiting tasks
    /// that now fit are served. Tasks that wait for more than `limit` get ``Rejection/exceedsLimit``, because they could
    /// never be served. Costs a lock, and a walk over the waiting tasks if one of them asks for more than `limit`.
    ///
    /// - Parameter limit: The new number of permits in all.
    /// - Precondition: `1 <= limit <= 2^44`.
    public func resize(to limit: Int) { core.resize(to: limit) }

    // MARK: Closing

    /// Grants nothing more: waiting tasks and all later acquisitions get ``Rejection/closed``.
    ///
    /// Permits that are out stay valid and are given back as ever. Idempotent: the first close counts.
    ///
    /// - Returns: Whether this call closed it.
    @discardableResult
    public func close() -> Bool { core.close(failure: nil) }

    /// Grants nothing more, and says why: as ``close()``, with an error that goes into every ``AcquireError``.
    ///
    /// - Parameter error: The error. When the semaphore is closed already it is not used.
    /// - Returns: Whether this call closed it.
    @discardableResult
    public func close(throwing error: any Error) -> Bool { core.close(failure: error) }

    /// Whether the semaphore was closed; permits may still be out.
    public var isClosed: Bool { core.isClosed }
}
