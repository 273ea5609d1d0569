// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The surface of the adaptive limiter: construction, partitions, the live swap, readings. `+Permit` has the verbs.

/// A limit on how many calls run at once that finds its number by itself.
///
/// How many calls a service can do at once is seldom known, and changes. The limiter measures how long admitted calls
/// take and how many are dropped, and a ``ConcurrencyLimit`` algorithm moves the limit: more would only queue somewhere
/// further down, fewer would leave capacity unused. What is beyond the limit waits here, in a bounded queue, or is turned
/// away at once, while the caller can still go elsewhere.
///
/// ```swift
/// let limiter = ConcurrencyLimiter(VegasLimit(), waiterLimit: 100, maximumWait: .milliseconds(200))
/// let answer = try await limiter.run {
///     await query()
/// }
/// ```
///
/// - **Settled once**: an admitted call ends as ``CallOutcome/success``, ``CallOutcome/ignored`` or
///   ``CallOutcome/dropped``. A ``Permit`` cannot be copied, so it is settled exactly once; one that goes out of scope
///   unsettled counts as ignored.
/// - **Bound**: never more than ``limit`` calls, tested and taken in one step. When the limit falls below what runs,
///   nobody is admitted until it fits; nothing that runs is stopped.
/// - **Partitions**: classes of callers with a share of the limit. Below its share a class is served before others;
///   the reserved part of a share is kept free for it.
/// - **Waiting**: in the order of ``WaiterOrder``, no newcomer passes who waits. With ``CoDel`` a queue that stands is shed from.
///   Cancelling a task ends its wait in O(1), or O(log n) with a deadline; who was admitted first is admitted.
/// - **Bypass**: health checks and the like run beside the limit and teach it nothing.
/// - **Cost**: two readings of the clock and two locks for a call, no allocation unless it waits.
///
/// It is shared by reference: two variables that hold it share its places.
public final class ConcurrencyLimiter: Sendable {
    let core: AdmissionCore
    private let names: [String]

    /// A class of callers.
    public struct Class: Hashable, Sendable {
        /// What calls name it by.
        public let name: String
        /// The part of the limit up to which it is served before others, 0 to 1.
        public let share: Double
        /// The part of the limit that is kept free for it, 0 to `share`.
        public let reserved: Double

        /// A class of callers.
        ///
        /// - Parameters:
        ///   - name: What calls name it by.
        ///   - share: The part of the limit up to which it is served before others, 0 to 1.
        ///   - reserved: The part of the limit that nobody else uses even while it lies idle, 0 to `share`.
        /// - Precondition: `0 <= reserved <= share <= 1`.
        public init(_ name: String, share: Double, reserved: Double = 0) {
            precondition(share >= 0 && share <= 1, "a share of \(share) does not lie between 0 and 1")
            precondition(reserved >= 0 && reserved <= share, "\(reserved) of a share of \(share) cannot be reserved")
            self.name = name
            self.share = share
            self.reserved = reserved
        }
    }

    /// The place of a class in a limiter: what the verbs take.
    public struct Partition: Hashable, Sendable {
        let index: Int
        let owner: ObjectIdentifier?

        /// The partition of all callers of no class.
        public static let common = Partition(index: 0, owner: nil)
    }

    /// A limiter with all of its places free.
    ///
    /// - Parameters:
    ///   - limit: The algorithm, with its first limit.
    ///   - name: What errors and snapshots call it.
    ///   - classes: Classes of callers with shares of their own; callers of none of them share the rest.
    ///   - order: Which of the waiting calls of a class is next.
    ///   - waiterLimit: How many calls of each class wait at most; the next is refused with ``Rejection/overLimit``.
    ///   - maximumWait: The longest wait; nil for no bound, zero for none at all.
    ///   - shedding: Sheds from a queue that stands; nil to let everybody wait for `maximumWait`.
    ///   - clock: The clock of waits and round trips; tests pass a manual one.
    /// - Precondition: `waiterLimit >= 0`; no two classes have one name, and all shares together do not exceed 1.
    public init(
        _ limit: some ConcurrencyLimit, name: String? = nil, classes: [Class] = [], order: WaiterOrder = .fifo,
        waiterLimit: Int = 0, maximumWait: Duration? = nil, shedding: CoDel? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(Set(classes.map(\.name)).count == classes.count, "two classes have one name")
        // Shares are decimal fractions, whose sum may miss 1 by a rounding.
        precondition(classes.reduce(0) { $0 + $1.share } <= 1.000_001, "the shares exceed the limit")
        names = classes.map(\.name)
        core = AdmissionCore(
            limit, name: name,
            shares: [AdmissionShare(share: 0, reserved: 0)]
                + classes.map { AdmissionShare(share: $0.share, reserved: $0.reserved) },
            order: order, waiterLimit: waiterLimit, maximumWait: maximumWait, codel: shedding,
            timeSource: TimeSource(clock))
    }

    /// What errors and snapshots call it.
    public var name: String? { core.name }

    /// How many calls may run at once, at this moment.
    public var limit: Int { core.state.withLock { $0.books.limit } }

    /// The partition of a class.
    ///
    /// - Parameter name: The name of the class.
    /// - Returns: The partition, nil when the limiter has no class of that name.
    public func partition(_ name: String) -> Partition? {
        names.firstIndex(of: name).map { Partition(index: $0 + 1, owner: ObjectIdentifier(core)) }
    }

    func index(of partition: Partition) -> Int {
        precondition(
            partition.owner == nil || partition.owner == ObjectIdentifier(core), "a partition of another limiter")
        return partition.index
    }

    /// Puts another algorithm in the place of the present one, with its limit.
    ///
    /// Calls that run or wait stay; what the former algorithm learnt is forgotten.
    ///
    /// - Parameter limit: The algorithm from now on.
    public func replaceLimit(_ limit: some ConcurrencyLimit) { core.replace(limit) }

    /// Admits nothing more, and ends every wait with ``Rejection/closed``.
    ///
    /// Idempotent. Calls that run go on.
    ///
    /// - Returns: Whether this call closed it.
    @discardableResult
    public func close() -> Bool { core.close() }

    /// The readings of this instant.
    ///
    /// - Returns: Calls, totals and partitions, all of one instant.
    public func snapshot() -> ConcurrencyLimiterSnapshot {
        let (now, waits) = (core.timeSource.now(), core.waits.log.histogram)
        return core.state.withLock { state in
            func partition(_ index: Int) -> ConcurrencyLimiterSnapshot.Partition {
                let books = state.books.partitions[index]
                return .init(
                    share: books.share, reserved: books.reserved, inFlight: books.inUse, waiting: books.waiting)
            }
            var classes: [String: ConcurrencyLimiterSnapshot.Partition] = [:]
            for (index, name) in names.enumerated() { classes[name] = partition(index + 1) }
            return ConcurrencyLimiterSnapshot(
                name: core.name, limit: state.books.limit, inFlight: state.books.total, waiting: state.waiting,
                parked: state.counters.parked, bypassing: state.bypassing,
                isShedding: state.codel?.isOverloaded ?? false,
                admitted: state.counters.admitted, succeeded: state.counters.succeeded,
                ignored: state.counters.ignored, dropped: state.counters.dropped,
                overLimit: state.counters.overLimit, shed: state.counters.shed, timedOut: state.counters.timedOut,
                cancelled: state.counters.cancelled, samples: state.counters.samples, isClosed: state.isClosed,
                common: partition(0), classes: classes,
                oldestWait: state.lists.compactMap { $0.first?.age(at: now) }.max(), waits: waits)
        }
    }
}

/// The readings of a concurrency limiter at one instant.
public struct ConcurrencyLimiterSnapshot: Hashable, Sendable {
    /// The readings of one partition.
    public struct Partition: Hashable, Sendable {
        /// Places up to which it is served before others.
        public let share: Int
        /// Places that are kept free for it.
        public let reserved: Int
        /// Calls that run now.
        public let inFlight: Int
        /// Calls that wait now.
        public let waiting: Int
    }

    /// The name that the limiter was given.
    public let name: String?
    /// How many calls may run at once.
    public let limit: Int
    /// Calls that run now; after the limit fell it may exceed it.
    public let inFlight: Int
    /// Calls that wait now.
    public let waiting: Int
    /// Calls that had to wait, so far, whatever became of them.
    public let parked: UInt64
    /// Calls that run beside the limit.
    public let bypassing: Int
    /// Whether the queue stands, and is shed from.
    public let isShedding: Bool
    /// Calls admitted so far.
    public let admitted: UInt64
    /// Calls settled as success, so far.
    public let succeeded: UInt64
    /// Calls settled as ignored, so far, among them those that were never settled.
    public let ignored: UInt64
    /// Calls settled as dropped, so far.
    public let dropped: UInt64
    /// Calls turned away because the limit was reached and they could not wait, so far.
    public let overLimit: UInt64
    /// Calls shed from a standing queue, so far.
    public let shed: UInt64
    /// Waits that ran out of time, so far.
    public let timedOut: UInt64
    /// Waits whose task was cancelled, so far.
    public let cancelled: UInt64
    /// Windows that the algorithm has learnt from, so far.
    public let samples: UInt64
    /// Whether the limiter was closed.
    public let isClosed: Bool
    /// The partition of callers of no class.
    public let common: Partition
    /// The partitions of the classes, by name.
    public let classes: [String: Partition]
    /// How long the call that came first has been waiting; nil when none waits.
    public let oldestWait: Duration?
    /// How long calls waited whose wait is over, however it ended, until they ran again.
    public let waits: WaitHistogram
}
