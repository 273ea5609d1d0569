// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A bulkhead whose callers are of several kinds: one ceiling for all, and a guaranteed share for each kind.
///
/// A kind, such as a tenant or a priority, always finds its share free, whatever the others do; what is guaranteed to nobody
/// is for everybody. So one tenant's flood fills the common places and its own share, and no other tenant's.
///
/// ```swift
/// let search = PartitionedBulkhead("search", limit: 10, shares: ["batch": 1, "interactive": 6])
/// let hits = try await search.run("interactive") {
///     await find()
/// }
/// ```
///
/// - **Bound**: never more than ``limit`` calls at once, in all; tested and taken in one step.
/// - **Kinds**: those named in `shares`. Calls of any other kind form one more partition together, without a share: the number
///   of partitions, and so the memory, does not grow with what callers send.
/// - **Order**: within a partition first in, first out, and nobody passes. A place that comes free goes to a partition below its
///   share first, then to the partitions in turn.
/// - **Cost**: one lock for entering and one for leaving, and a walk over the partitions when somebody waits.
public final class PartitionedBulkhead<Key: Hashable & Sendable>: Sendable {
    private let core: PartitionCore
    private let indices: [Key: Int]

    /// A bulkhead with all of its places free.
    ///
    /// - Parameters:
    ///   - name: What errors and snapshots call it.
    ///   - limit: How many calls run at once, in all.
    ///   - shares: How many places are guaranteed to each kind of caller; 0 is a kind with a queue of its own.
    ///   - waiterLimit: How many calls of each partition wait at most; the next is refused with ``Rejection/full``.
    ///   - maximumWait: The longest wait for a place; nil for no bound.
    ///   - clock: The clock of the wait; tests pass a manual one.
    /// - Precondition: `limit >= 1`; no share is negative, and together they do not exceed `limit`; `waiterLimit >= 0`.
    public init(
        _ name: String, limit: Int, shares: [Key: Int], waiterLimit: Int = 0, maximumWait: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        var indices: [Key: Int] = [:]
        var amounts: [Int] = []
        for (key, share) in shares {
            indices[key] = amounts.count
            amounts.append(share)
        }
        self.indices = indices
        // The last one is everybody else's.
        core = PartitionCore(
            name: name, limit: limit, shares: amounts + [0], waiterLimit: waiterLimit, maximumWait: maximumWait,
            timeSource: TimeSource(clock))
    }

    private func index(_ key: Key) -> Int { indices[key] ?? indices.count }

    /// What errors and snapshots call it.
    public var name: String { core.name }

    /// How many calls run at once, in all.
    public var limit: Int { core.state.withLock { $0.books.limit } }

    /// Runs `body` in a place of its own, waiting for one first.
    ///
    /// - Parameters:
    ///   - key: Which kind of caller this is.
    ///   - body: The call.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when there was no place, and `body` was not run; else what `body` throws.
    public nonisolated(nonsending) func run<Result: ~Copyable>(
        _ key: Key, _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        let index = index(key)
        if let rejection = await core.enterSlow(index) { throw AcquireError(rejection, name: core.name) }
        defer { core.leave(index) }
        return try await body()
    }

    /// Runs `body` in a place of its own if one is free now.
    ///
    /// - Parameters:
    ///   - key: Which kind of caller this is.
    ///   - body: The call.
    /// - Returns: What `body` returned, nil when there was no place and it was not run.
    /// - Throws: What `body` throws.
    public nonisolated(nonsending) func tryRun<Result: ~Copyable>(
        _ key: Key, _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result? {
        let index = index(key)
        guard case .entered = core.enter(index, times: nil) else { return nil }
        defer { core.leave(index) }
        return try await body()
    }

    /// Changes how many calls run at once, also below how many run now.
    ///
    /// - Parameter limit: The new limit.
    /// - Precondition: It is not below the sum of the shares, nor below 1.
    public func resize(to limit: Int) { core.resize(to: limit) }

    /// Changes what is guaranteed to a kind of caller.
    ///
    /// Places that others already hold are not taken away: the new share is whole once they have come back.
    ///
    /// - Parameters:
    ///   - share: The new share.
    ///   - key: A kind that the bulkhead was made with.
    /// - Returns: Whether there is such a kind.
    /// - Precondition: `share >= 0`, and the shares together do not exceed ``limit``.
    @discardableResult
    public func setShare(_ share: Int, for key: Key) -> Bool {
        guard let index = indices[key] else { return false }
        core.setShare(share, of: index)
        return true
    }

    /// Refuses all calls from now on, and those that wait.
    ///
    /// - Returns: Whether this call closed it.
    @discardableResult
    public func close() -> Bool { core.close() }

    /// The readings of this instant.
    ///
    /// - Returns: The readings of every partition, all of one instant; under nil the calls of all other kinds.
    public func snapshot() -> PartitionedBulkheadSnapshot<Key> {
        let (now, waits) = (core.timeSource.now(), core.waits.log.histogram)
        return core.state.withLock { state in
            func partition(_ index: Int) -> PartitionSnapshot {
                let (books, counters) = (state.books.partitions[index], state.counters[index])
                return PartitionSnapshot(
                    share: books.share, inUse: books.inUse, waiting: books.waiting, entered: counters.entered,
                    rejected: counters.rejected, timedOut: counters.timedOut, cancelled: counters.cancelled)
            }
            var partitions: [Key?: PartitionSnapshot] = [:]
            for (key, index) in indices { partitions[.some(key)] = partition(index) }
            partitions[Key?.none] = partition(indices.count)
            return PartitionedBulkheadSnapshot(
                name: core.name, limit: state.books.limit, inUse: state.books.total, isClosed: state.isClosed,
                partitions: partitions, oldestWait: state.lists.compactMap { $0.first?.age(at: now) }.max(),
                waits: waits)
        }
    }
}

/// The readings of a partitioned bulkhead at one instant.
public struct PartitionedBulkheadSnapshot<Key: Hashable & Sendable>: Hashable, Sendable {
    /// The name that the bulkhead was given.
    public let name: String
    /// How many calls run at once, in all.
    public let limit: Int
    /// Calls that run now.
    public let inUse: Int
    /// Whether the bulkhead was closed.
    public let isClosed: Bool
    /// The partitions by their keys; under nil the one of all other kinds.
    public let partitions: [Key?: PartitionSnapshot]
    /// How long the call that came first has been waiting; nil when none waits.
    public let oldestWait: Duration?
    /// How long calls waited whose wait is over, of all kinds, however it ended, until they ran again.
    public let waits: WaitHistogram
}

/// The readings of one partition.
public struct PartitionSnapshot: Hashable, Sendable {
    /// Places guaranteed to it.
    public let share: Int
    /// Calls that run now.
    public let inUse: Int
    /// Calls that wait now.
    public let waiting: Int
    /// Calls that got a place, so far.
    public let entered: UInt64
    /// Calls turned away because as many waited as may, or because they would not wait.
    public let rejected: UInt64
    /// Waits that ran out of time.
    public let timedOut: UInt64
    /// Waits whose task was cancelled.
    public let cancelled: UInt64
}
