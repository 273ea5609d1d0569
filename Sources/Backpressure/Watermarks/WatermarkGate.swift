// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// High and low marks for many keys: the public face. `WatermarkState` decides, `WatermarkCore` locks, tells and waits.
//
// ## Not promised
// That nothing arrives for a paused key: a client's pause concerns what it fetches next, and what it has fetched already
// still comes. So a level may rise above its high mark by what was on its way, and the gate refuses nothing.

/// Pauses and resumes keys of a client as what was fetched for them piles up and is worked off.
///
/// The keys are those the client can pause one by one: partitions of Kafka, queues, connections. Whoever fetches calls
/// ``add(_:to:)``, whoever is done calls ``remove(_:from:)``. A key whose level reaches the *high* mark is to be paused,
/// and to be resumed once it has come down to the *low* mark. A second pair of marks may bound the sum of all levels:
/// above it every key is to be paused.
///
/// What has to be told to the client are *edges*. They come one after the other, for each key alternately pause and
/// resume, outside locks: to the `onEdge` hook, or to whoever asks with ``takeEdges()`` or ``nextPoll()``. A pause and a
/// resume that follow each other before anybody was told cancel out.
///
/// The rules of brokers are built in:
///
/// - **New keys arrive un-paused.** After a rebalance the client fetches for every key it is given. ``assign(_:)`` tells
///   the pause again for those that are still to be paused.
/// - **Polling goes on while everything is paused**, or the client is taken for dead. ``nextPoll()`` waits for something
///   to fetch, but no longer than the heartbeat.
/// - **Pausing is not free**: it throws away what the client has prefetched. A pause lasts `minimumPause` at least, and
///   is made only when the level has been high for `pauseAfter`.
///
/// ```swift
/// let gate = WatermarkGate<Int>(low: 100, high: 500) { edge in
///     print("\(edge.action) \(edge.keys)")
/// }
/// gate.assign([0, 1])
/// gate.add(500, to: 1)  // pause [1]
/// gate.remove(350, from: 1)
/// gate.remove(50, from: 1)  // resume [1]
/// ```
///
/// All methods may be called from any thread; none but ``nextPoll()`` waits. `Key`'s `==` and `hash(into:)` run under
/// the gate's lock and must not use it.
///
/// Cost: a lock, a clock reading and a dictionary look-up an operation; O(number of keys) when the total crosses a mark.
public final class WatermarkGate<Key: Hashable & Sendable>: Sendable {
    /// A pair of marks.
    public struct Marks: Hashable, Sendable {
        /// At this level or below it goes on.
        public let low: Int
        /// At this level or above it pauses.
        public let high: Int

        /// Two marks.
        ///
        /// - Parameters:
        ///   - low: At this level or below it goes on; 0 or more.
        ///   - high: At this level or above it pauses; more than `low`.
        /// - Precondition: `0 <= low < high`.
        public init(low: Int, high: Int) {
            precondition(low >= 0 && low < high, "a low mark of \(low) and a high mark of \(high)")
            self.low = low
            self.high = high
        }
    }

    private let core: WatermarkCore<Key>

    /// A gate without keys.
    ///
    /// - Parameters:
    ///   - low: The mark at which a key is resumed; 0 or more.
    ///   - high: The mark at which a key is paused; more than `low`.
    ///   - total: The marks of the sum of all levels; nil for none.
    ///   - minimumPause: How long a pause lasts at least.
    ///   - pauseAfter: How long a level stays high before the pause. Meanwhile it may rise above the high mark.
    ///   - heartbeat: The longest time between two polls; nil for no limit. For Kafka, well below `max.poll.interval.ms`:
    ///     a third of it leaves room for two slow rounds.
    ///   - clock: Tells the time and wakes the waiting.
    ///   - onEdge: Is told of each edge, one after the other, outside locks, by the thread that caused it, by the timer or
    ///     by a thread that was telling already. It may use the gate: what it causes is told when it has returned. With
    ///     nil, edges wait for ``takeEdges()`` or ``nextPoll()``: for clients that are not thread-safe.
    /// - Precondition: `0 <= low < high`; `minimumPause` and `pauseAfter` are not negative, `heartbeat` is more than zero.
    public init(
        low: Int,
        high: Int,
        total: Marks? = nil,
        minimumPause: Duration = .zero,
        pauseAfter: Duration = .zero,
        heartbeat: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock(),
        onEdge: (@Sendable (WatermarkEdge<Key>) -> Void)? = nil
    ) {
        precondition(minimumPause >= .zero, "a minimum pause of \(minimumPause)")
        precondition(pauseAfter >= .zero, "a pause after \(pauseAfter)")
        if let heartbeat { precondition(heartbeat > .zero, "a heartbeat of \(heartbeat)") }
        let (dwell, patience) = (minimumPause.saturatingNanoseconds, pauseAfter.saturatingNanoseconds)
        let marks = Marks(low: low, high: high)
        core = WatermarkCore(
            rule: HysteresisRule(low: marks.low, high: marks.high, patience: patience, dwell: dwell),
            totalRule: total.map { HysteresisRule(low: $0.low, high: $0.high, patience: patience, dwell: dwell) },
            heartbeat: heartbeat?.saturatingNanoseconds ?? .max, timeSource: TimeSource(clock), onEdge: onEdge)
    }

    // MARK: - Levels

    /// Adds to the level of a key, assigned or not.
    ///
    /// - Parameters:
    ///   - amount: How much; 0 or more.
    ///   - key: The key.
    /// - Precondition: `amount >= 0`, and the sum of all levels stays within an `Int`.
    public func add(_ amount: Int = 1, to key: Key) {
        precondition(amount >= 0, "\(amount) cannot be added to a level")
        let isDone = core.withState { state, _ in state.add(amount, to: key) }
        precondition(isDone, "the levels exceed \(Int.max)")
    }

    /// Takes from the level of a key, assigned or not.
    ///
    /// - Parameters:
    ///   - amount: How much; 0 or more.
    ///   - key: The key.
    /// - Precondition: `amount >= 0`, and no more is taken from the key than was added to it.
    public func remove(_ amount: Int = 1, from key: Key) {
        precondition(amount >= 0, "\(amount) cannot be taken from a level")
        let isDone = core.withState { state, _ in state.add(-amount, to: key) }
        precondition(isDone, "more is taken from the level of \(key) than was added to it")
    }

    /// Sets the level of a key to 0: what was fetched for it has been thrown away.
    ///
    /// - Parameter key: The key.
    /// - Returns: The level as it was.
    @discardableResult
    public func reset(_ key: Key) -> Int {
        core.withState { state, _ in
            let level = state.level(of: key)
            if level > 0 { _ = state.add(-level, to: key) }
            return level
        }
    }

    /// The level of a key; 0 for one that is not known.
    public func level(of key: Key) -> Int { core.withState { state, _ in state.level(of: key) } }

    /// Whether a key is to be paused, by its own level or by the total.
    public func isPaused(_ key: Key) -> Bool { core.withState { state, _ in state.isPaused(key) } }

    // MARK: - Keys

    /// The client has been given these keys, and fetches for them from now on.
    ///
    /// For each of them that is to be paused an edge tells it, also when the key was assigned and paused before: clients
    /// forget pauses when keys are assigned anew.
    ///
    /// - Parameter keys: All or only the new ones.
    public func assign(_ keys: some Sequence<Key>) {
        let keys = Array(keys)
        core.withState { state, _ in state.assign(keys) }
    }

    /// The client has lost these keys.
    ///
    /// Their levels stay until what was fetched has been removed, or ``reset(_:)``; after that nothing is kept of them.
    ///
    /// - Parameter keys: The keys; those that are not assigned are ignored.
    public func unassign(_ keys: some Sequence<Key>) {
        let keys = Array(keys)
        core.withState { state, _ in state.unassign(keys) }
    }

    // MARK: - Edges and polls

    /// What has to be told to the client since the last time somebody asked.
    ///
    /// - Returns: The edges, in order; none when the gate has an `onEdge` hook.
    public func takeEdges() -> [WatermarkEdge<Key>] { core.takeEdges() }

    /// Waits until it is time to poll: something can be fetched, edges have to be told, or the heartbeat is due.
    ///
    /// Returns at once while any assigned key is not paused, or none is assigned: then it is the poll itself that waits.
    /// The heartbeat counts from the return of the previous call. Cancelling the task ends the wait.
    ///
    /// - Returns: Why it is time, and the edges to tell first.
    /// - Throws: ``Rejection/cancelled``; ``Rejection/finished`` after ``close()``.
    public nonisolated(nonsending) func nextPoll() async throws(Rejection) -> WatermarkPoll<Key> {
        while true {
            switch core.pollOrWait() {
            case .poll(let poll): return poll
            case .finished: throw .finished
            case .registered(let waiter):
                await waiter.sleep(cancelling: core)
                switch core.verdict(of: waiter) {
                case .cancelled: throw .cancelled
                case .finished, .abandoned: throw .finished
                case .granted, .timedOut, .none: continue
                }
            }
        }
    }

    /// Ends ``nextPoll()`` for those who wait and for all later calls; idempotent.
    public func close() { core.close() }

    /// What the gate is doing and has done, at one instant.
    public func snapshot() -> WatermarkSnapshot {
        core.withState { state, _ in
            WatermarkSnapshot(
                total: state.total, assigned: state.assignedCount, paused: state.pausedAssigned,
                isTotalPaused: state.totalGate.isPaused, known: state.knownCount, pauses: state.pauses,
                totalPauses: state.totalPauses)
        }
    }
}
