// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// The readings of a semaphore at one instant.
///
/// At every instant `available - debt + inUse == limit`. Totals come from the word that the semaphore keeps anyway, so
/// they cost its operations nothing.
public struct SemaphoreSnapshot: Hashable, Sendable {
    /// The name that the semaphore was given.
    public let name: String?
    /// How many permits there are in all.
    public let limit: Int
    /// Permits that can be taken.
    public let available: Int
    /// Permits that are taken; the forgotten ones are among them.
    public let inUse: Int
    /// By how much ``inUse`` exceeds ``limit`` since the limit was lowered; 0 as a rule.
    public let debt: Int
    /// Permits taken whose ``AsyncSemaphore/Permit`` was forgotten.
    public let forgotten: Int
    /// The greatest ``inUse`` seen so far, sampled when somebody had to wait or was refused and at snapshots; not of every
    /// instant.
    public let peakInUse: Int
    /// Tasks waiting now.
    public let waiting: Int
    /// The greatest number of waiting tasks so far.
    public let peakWaiting: Int
    /// Acquisitions so far, of whatever number of permits.
    public let acquisitions: UInt64
    /// Acquisitions that had to wait, whatever became of them.
    public let parked: UInt64
    /// `tryAcquire` that found too few permits, or waiters that it may not pass.
    public let refused: UInt64
    /// Acquisitions turned away because as many tasks waited as may.
    public let rejected: UInt64
    /// Acquisitions of more permits than the limit.
    public let exceeded: UInt64
    /// Waits that ran out of time.
    public let timedOut: UInt64
    /// Waits whose task was cancelled.
    public let cancelled: UInt64
    /// Whether the semaphore was closed.
    public let isClosed: Bool
    /// How long the task that came first has been waiting; nil when none waits.
    public internal(set) var oldestWait: Duration?
    /// How long tasks waited whose wait is over, however it ended, until they ran again.
    public internal(set) var waits = WaitHistogram()

    /// ``inUse`` as a share of ``limit``, 0 to 1, or more while there is a debt.
    public var utilization: Double { Double(inUse) / Double(limit) }
}
