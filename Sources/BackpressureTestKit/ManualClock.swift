// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A clock that moves only when it is told to, and that says when somebody sleeps on it.
//
// ## Algorithm
// Sleepers stand in a binary heap that knows each one's place, so that cancelling one does not search. A sleeper is
// linked first and parked second: what decides about it in between leaves a verdict that it finds as it parks.
//
// ## Invariants
// I1. Whoever takes a suspension out of the state, under the lock, decides it; nobody else can.
// I2. No continuation is resumed, and none is entered, with the lock held.
// I3. A suspension that is decided before it is linked is never linked: nothing is kept of a task cancelled early.
//
// ## Cost
// Sleeping, waking and cancelling cost O(log n) with n sleepers; reading costs one lock.

/// A clock that stands still until a test moves it.
///
/// Time on a manual clock starts at an offset of zero and changes only by ``advance(by:)``, ``advance(to:)``,
/// ``set(to:)`` and ``run(limit:)``. Sleepers whose deadline has come wake in the order of their deadlines, and among
/// equal deadlines in the order in which they went to sleep. No method waits for a woken task to do its work.
///
/// A test must not move the clock before the task under test sleeps on it. ``sleepers(atLeast:)`` is the rendezvous for
/// that, and what makes real sleeps unnecessary:
///
/// ```swift
/// let clock = ManualClock()
/// let task = Task {
///     try await clock.sleep(for: .seconds(60))
///     return clock.now.offset
/// }
/// await clock.sleepers(atLeast: 1)
/// clock.advance(by: .seconds(60))
/// let woken = try await task.value
/// ```
///
/// Every method may be called from any task or thread. A sleeping task keeps its clock alive.
public final class ManualClock: Clock, Sendable {
    /// A point in time of a manual clock.
    ///
    /// Instants of different manual clocks compare by their offsets and have nothing else to do with each other.
    public struct Instant: InstantProtocol {
        /// The time since the start of the clock; negative for an instant before it.
        public let offset: Duration

        /// The instant that lies `offset` after the start of the clock.
        public init(offset: Duration = .zero) {
            self.offset = offset
        }

        /// The instant that lies `duration` later, or the last one there is where that would overflow.
        public func advanced(by duration: Duration) -> Instant {
            Instant(offset: offset.addingSaturating(duration))
        }

        /// The time from this instant to `other`, or the longest there is where that would overflow.
        public func duration(to other: Instant) -> Duration {
            other.offset.subtractingSaturating(offset)
        }

        /// Whether `lhs` is earlier than `rhs`.
        public static func < (lhs: Instant, rhs: Instant) -> Bool {
            lhs.offset < rhs.offset
        }
    }

    private let state: LockedState<ManualClockState>

    /// A clock that stands at `now` and has no sleepers.
    public init(now: Instant = Instant()) {
        state = LockedState(ManualClockState(now: now))
    }

    // MARK: - Reading

    /// The instant at which the clock stands.
    public var now: Instant {
        state.withLock { $0.now }
    }

    /// The shortest step that the clock can make: one attosecond.
    public var minimumResolution: Duration {
        Duration(attoseconds: 1)
    }

    /// The number of tasks that sleep on the clock.
    ///
    /// A task counts from the moment its deadline is registered until it is woken or cancelled.
    public var sleeperCount: Int {
        state.withLock { $0.sleepers.count }
    }

    /// The earliest instant for which a task sleeps, or nil when none does.
    ///
    /// It is later than ``now``: what is due is woken by the step that makes it due.
    public var nextDeadline: Instant? {
        state.withLock { $0.sleepers.first?.deadline }
    }

    // MARK: - Sleeping

    /// Suspends the calling task until the clock reaches `deadline`.
    ///
    /// Returns at once when the clock is already there. If the clock moves to the deadline and the task is cancelled at
    /// the same time, the first of the two decides.
    ///
    /// - Parameters:
    ///   - deadline: The instant to wake at.
    ///   - tolerance: Ignored: the clock is exact.
    /// - Throws: `CancellationError` when the task is cancelled before the clock reaches `deadline`.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try Task.checkCancellation()
        let sleeper = Sleeper(deadline: deadline)
        let verdict = await suspend(sleeper) { $0.register(sleeper) }
        if verdict == .cancelled { throw CancellationError() }
    }

    /// Suspends the calling task until at least `count` tasks sleep on the clock.
    ///
    /// Returns at once when they already do. It tells of the moment at which the last of them registered: any of them
    /// may be gone again when the caller runs. Returns early when the calling task is cancelled.
    ///
    /// - Parameter count: The number of sleepers to wait for.
    public func sleepers(atLeast count: Int) async {
        let observer = SleeperObserver(count: count)
        _ = await suspend(observer) { $0.register(observer) }
    }

    // MARK: - Moving

    /// Moves the clock forward by `duration` and wakes the sleepers that are then due.
    ///
    /// - Parameter duration: The time to add; zero or more. Beyond the last instant there is, the clock stays at it.
    public func advance(by duration: Duration) {
        precondition(duration >= .zero, "a clock advances by \(duration) only with set(to:), which may go back")
        resume(state.withLock { $0.move(to: $0.now.advanced(by: duration)) })
    }

    /// Moves the clock forward to `instant` and wakes the sleepers that are then due.
    ///
    /// - Parameter instant: The present instant of the clock or a later one.
    public func advance(to instant: Instant) {
        let woken = state.withLock { state in
            precondition(instant >= state.now, "a clock advances into the past only with set(to:), which may go back")
            return state.move(to: instant)
        }
        resume(woken)
    }

    /// Puts the clock to any instant, forward or back, and wakes the sleepers that are then due.
    ///
    /// This is the fault of a clock that jumps. A step back wakes nobody, and every sleeper keeps its deadline.
    ///
    /// - Parameter instant: The instant at which the clock then stands.
    public func set(to instant: Instant) {
        resume(state.withLock { $0.move(to: instant) })
    }

    /// Advances the clock from deadline to deadline until no task sleeps on it.
    ///
    /// After each step the woken tasks get some turns of the executor to go to sleep again, so that a task which sleeps
    /// in a loop is followed. How many turns a task needs is for the executor to say: where the exact order matters,
    /// step with ``sleepers(atLeast:)`` and ``advance(to:)``. Returns early when the calling task is cancelled.
    ///
    /// - Parameter limit: The greatest number of steps, which ends the run for tasks that never stop sleeping.
    /// - Returns: Whether no task sleeps on the clock any more.
    @discardableResult
    public func run(limit: Int = 10_000) async -> Bool {
        precondition(limit >= 0, "a run of \(limit) steps")
        var steps = 0
        while steps < limit, !Task.isCancelled {
            let (woken, registrations) = state.withLock { state in
                (state.moveToNextDeadline(), state.registrations)
            }
            guard let woken else { return true }
            resume(woken)
            await yield(until: registrations &+ UInt64(woken.count))
            steps += 1
        }
        return sleeperCount == 0
    }

    /// Gives way until that many sleepers have ever registered, or for a number of turns that is enough on most days.
    private func yield(until registrations: UInt64) async {
        for _ in 0..<64 {
            await Task.yield()
            if state.withLock({ $0.registrations >= registrations }) { return }
        }
    }

    // MARK: - Suspending

    /// Links `suspension`, waits for its verdict and returns it.
    private func suspend(
        _ suspension: Suspension,
        register: @Sendable (inout ManualClockState) -> [UnsafeContinuation<Void, Never>]
    ) async -> Suspension.Verdict {
        await withTaskCancellationHandler {
            resume(state.withLock { register(&$0) })
            await withUnsafeContinuation { continuation in
                let parked = state.withLock { _ in suspension.park(continuation) }
                if !parked { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.cancel(suspension) }?.resume()
        }
        // Read under the lock, so that all that was done before the wake-up has happened before what comes next.
        return state.withLock { _ in suspension.verdict }
    }

    private func resume(_ continuations: [UnsafeContinuation<Void, Never>]) {
        for continuation in continuations { continuation.resume() }
    }
}

// MARK: - Saturating durations

extension Duration {
    fileprivate func addingSaturating(_ other: Duration) -> Duration {
        let (sum, overflow) = attoseconds.addingReportingOverflow(other.attoseconds)
        guard overflow else { return Duration(attoseconds: sum) }
        return Duration(attoseconds: other < .zero ? .min : .max)
    }

    fileprivate func subtractingSaturating(_ other: Duration) -> Duration {
        let (difference, overflow) = attoseconds.subtractingReportingOverflow(other.attoseconds)
        guard overflow else { return Duration(attoseconds: difference) }
        return Duration(attoseconds: other < .zero ? .max : .min)
    }
}
