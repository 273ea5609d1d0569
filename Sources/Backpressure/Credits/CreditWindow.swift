// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A window of credits with leases: the public face. `CreditState` decides, `CreditCore` locks and acts.
//
// ## Algorithm
// Credit-based flow control as in link-credit of AMQP 1.0 (OASIS, 2012, part 2.6.7) and HTTP/2's windows, with leases
// (C. G. Gray, D. R. Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache Consistency",
// 1989): a credit is either in the window, or in a grant, or in a lease, and everything that is out has an owner, a
// deadline, or both. Differs from AMQP in: credits that were lost come back by themselves.
//
// ## Cost
// One lock and one clock reading an operation, O(log n) with n holds that have deadlines. Memory: 40 bytes for each hold
// at the peak, and 24 more if it has a deadline. One timer task while anything has a deadline.
//
// ## Not promised
// Which of two racing operations comes first. That a hook is called before the next operation of another thread begins.

/// A bound on what may be delivered and not yet dealt with, in credits that come back even if they are lost.
///
/// A consumer grants its peer credits; each delivery spends one; the credit is back when the consumer is done with the
/// delivery. So never more than `capacity` deliveries are on their way or in work. Credits go round like this:
///
/// ```
///  window --grant--> CreditGrant --spend--> CreditLease --settle--> window
///     ^                   |                      |
///     +----- giveBack, reclaimed ----- reclaimed +
/// ```
///
/// Grants are batched: ``grant(atLeast:atMost:)`` answers nil until half of the window can be granted at once, so that
/// not every acknowledgement costs a message to the peer. ``nextGrant(atLeast:atMost:timeout:)`` waits for that.
///
/// A lease has a deadline, which its holder can extend. When the deadline passes, or the holder is gone, its credits are
/// reclaimed, once, and reported to `onReclaim`; what the holder says afterwards is refused. So the sum of all credits
/// never exceeds the window, and none is lost for ever.
///
/// ```swift
/// let window = CreditWindow(capacity: 8, leaseTime: .seconds(30)) { lost in
///     print("\(lost.count) \(lost.reason)")
/// }
/// guard var grant = window.grant() else { return }
/// print("the peer may send \(grant.count)")  // 8
///
/// if let lease = grant.spend() {  // a delivery arrives
///     lease.settle()  // and is done with
/// }
/// grant.giveBack()  // the peer has no more
/// ```
///
/// All methods may be called from any thread; none but those marked `async` waits. The hook is called outside locks, on
/// the thread whose operation reclaimed or on the timer's, and may use the window. Once neither the window nor a grant or
/// lease of it has an owner, nothing is reported any more.
public final class CreditWindow: Sendable {
    let core: CreditCore

    /// A window whose credits are all in it.
    ///
    /// - Parameters:
    ///   - capacity: How many credits there are; 1 to 2^31 - 1.
    ///   - batch: How many credits a grant has at least, unless its caller says otherwise; nil for half of the window,
    ///     rounded up. Long-held leases may keep a batch from coming together: then ask for less, or wait with a timeout.
    ///   - leaseTime: How long a lease lives unless it is extended; nil for ever.
    ///   - grantTime: How long credits stay granted without being spent; nil for ever.
    ///   - clock: Tells the time and wakes the waiting.
    ///   - onReclaim: Is told of each lease and grant that was reclaimed, once, outside locks.
    /// - Precondition: `capacity` and `batch` are as said, `batch` no more than `capacity`; times are more than zero.
    public init(
        capacity: Int,
        batch: Int? = nil,
        leaseTime: Duration? = nil,
        grantTime: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock(),
        onReclaim: (@Sendable (ReclaimedCredits) -> Void)? = nil
    ) {
        Self.check(capacity)
        let batch = batch ?? (capacity - capacity / 2)
        precondition(batch >= 1 && batch <= capacity, "a batch of \(batch) credits in a window of \(capacity)")
        core = CreditCore(
            capacity: capacity, batch: batch,
            leaseTime: leaseTime.map(CreditCore.lifetime) ?? .max,
            grantTime: grantTime.map(CreditCore.lifetime) ?? .max,
            timeSource: TimeSource(clock), onReclaim: onReclaim)
    }

    private static func check(_ capacity: Int) {
        precondition(capacity >= 1, "a credit window has at least 1 credit, not \(capacity)")
        precondition(capacity <= Int(Int32.max), "a window of \(capacity) credits exceeds \(Int32.max)")
    }

    // MARK: - Granting

    /// Grants credits if enough are in the window.
    ///
    /// - Parameters:
    ///   - atLeast: The fewest credits worth a grant; nil for the window's batch.
    ///   - atMost: The most that are wanted.
    /// - Returns: The grant; nil when fewer credits are in the window, when tasks wait for a grant (they come first),
    ///   and after ``drain(timeout:)`` or ``close()``.
    /// - Precondition: `1 <= atLeast <= atMost`.
    public func grant(atLeast: Int? = nil, atMost: Int = .max) -> CreditGrant? {
        let (least, most) = bounds(atLeast, atMost)
        let lifetime = core.grantTime
        guard let made = core.withState({ state, _ in state.grant(atLeast: least, atMost: most, lifetime: lifetime) })
        else { return nil }
        return CreditGrant(core: core, key: made.key, count: made.count)
    }

    /// Grants credits, waiting until enough are in the window.
    ///
    /// Tasks are served in the order in which they began to wait; one that wants much is not passed by others that want
    /// less. Cancelling the task ends the wait, unless the grant was made first: then it is returned.
    ///
    /// - Parameters:
    ///   - atLeast: The fewest credits worth a grant; nil for the window's batch.
    ///   - atMost: The most that are wanted.
    ///   - timeout: The longest wait, on the window's clock; nil for ever.
    /// - Returns: The grant.
    /// - Throws: ``Rejection/timedOut``; ``Rejection/cancelled``; ``Rejection/finished`` after ``close()``;
    ///   ``Rejection/full`` when `atLeast` exceeds the capacity, now or after a ``resize(to:)``.
    /// - Precondition: `1 <= atLeast <= atMost`.
    public nonisolated(nonsending) func nextGrant(
        atLeast: Int? = nil, atMost: Int = .max, timeout: Duration? = nil
    ) async throws(Rejection) -> CreditGrant {
        let (least, most) = bounds(atLeast, atMost)
        var outcome = core.grantOrWait(
            atLeast: least, atMost: most, lifetime: core.grantTime, timeout: timeout)
        if case .registered(let waiter) = outcome {
            let watch = WaitWatch(.credits, waiter) { core.state.withLock { $0.grantees.count } }
            await waiter.sleep(cancelling: core)
            watch.end(waiter, core.waits.log, core.timeSource)
            outcome = core.outcome(of: waiter)
        }
        switch outcome {
        case .granted(let key, let count): return CreditGrant(core: core, key: key, count: count)
        case .rejected(let reason): throw reason
        case .registered: preconditionFailure("a task woke without a verdict")
        }
    }

    private func bounds(_ atLeast: Int?, _ atMost: Int) -> (least: Int, most: Int) {
        let least = atLeast ?? min(core.batch, atMost)
        precondition(least >= 1 && least <= atMost, "a grant of at least \(least) and at most \(atMost) credits")
        return (least, atMost)
    }

    // MARK: - Leases by name

    /// Settles a detached lease.
    ///
    /// - Parameter id: The name that ``CreditLease/detach()`` gave.
    /// - Returns: False when there is no such lease any more; then nothing is given back.
    @discardableResult
    public func settle(_ id: CreditLease.ID) -> Bool { core.settle(id.key, count: 1) }

    /// Settles every lease that was spent no later than this one, its owner still there or not.
    ///
    /// It is the acknowledgement of "everything up to here". O(number of leases settled).
    ///
    /// - Parameter id: The name of the last lease to settle.
    /// - Returns: The credits that came back.
    @discardableResult
    public func settle(through id: CreditLease.ID) -> Int {
        core.withState { state, _ in state.settle(through: id.key.sequence) }
    }

    /// Moves the deadline of a detached lease to `duration` from now.
    ///
    /// - Parameters:
    ///   - id: The name that ``CreditLease/detach()`` gave.
    ///   - duration: How long the holder still has; more than zero.
    /// - Returns: False when the lease has been settled or reclaimed.
    @discardableResult
    public func extend(_ id: CreditLease.ID, for duration: Duration) -> Bool { core.extend(id.key, for: duration) }

    // MARK: - The whole window

    /// Stops grants, and waits until all credits are back.
    ///
    /// Tasks that wait for a grant go on waiting. Grants and leases that are out stay valid; their holders settle or give
    /// back, or their deadlines come. Cancelled or timed out, the window stays drained; ``resume()`` ends that.
    ///
    /// - Parameter timeout: The longest wait, on the window's clock; nil for ever.
    /// - Throws: ``Rejection/timedOut``; ``Rejection/cancelled``; ``Rejection/abandoned`` when ``resume()`` called the
    ///   drain off.
    public nonisolated(nonsending) func drain(timeout: Duration? = nil) async throws(Rejection) {
        var outcome = core.drainOrWait(timeout: timeout)
        if case .registered(let waiter) = outcome {
            await waiter.sleep(cancelling: core)
            outcome = core.outcome(of: waiter)
        }
        if case .rejected(let reason) = outcome { throw reason }
    }

    /// Lets grants be made again after a drain; does nothing when the window is closed.
    public func resume() { core.withState { state, effects in state.setPhase(.open, &effects) } }

    /// Ends grants for good: waiting tasks get ``Rejection/finished``.
    ///
    /// Idempotent. What is out stays valid, and ``drain(timeout:)`` still waits for it.
    public func close() { core.withState { state, effects in state.setPhase(.closed, &effects) } }

    /// Takes back every credit that is out: the peer is lost, and what it was given is void.
    ///
    /// Each grant and lease is reported as ``ReclaimReason/revoked``. O(number of holds).
    ///
    /// - Returns: The credits that came back.
    @discardableResult
    public func reclaimAll() -> Int { core.withState { state, effects in state.reclaimAll(&effects) } }

    /// Changes the number of credits.
    ///
    /// Below what is out nothing is taken back: no grant is made until enough has come back. Waiting tasks that want at
    /// least more than the new capacity get ``Rejection/full``.
    ///
    /// - Parameter capacity: The new number.
    /// - Precondition: `1 <= capacity <= 2^31 - 1`.
    public func resize(to capacity: Int) {
        Self.check(capacity)
        core.withState { state, _ in state.setCapacity(capacity) }
    }

    /// What the window is doing and has done, at one instant.
    public func snapshot() -> CreditSnapshot {
        let waits = core.waits.log.histogram
        return core.withState { state, _ in
            CreditSnapshot(
                capacity: state.capacity, available: state.available, unspent: state.table.granted,
                leased: state.table.out - state.table.granted, peak: state.peak, granted: state.counters.granted,
                spent: state.counters.spent, settled: state.counters.settled, givenBack: state.counters.givenBack,
                reclaimed: state.counters.reclaimed, lateReturns: state.counters.lateReturns,
                overruns: state.counters.overruns, waiting: state.grantees.count, isStopped: state.phase != .open,
                oldestWait: state.grantees.first?.age(at: state.now), waits: waits)
        }
    }
}
