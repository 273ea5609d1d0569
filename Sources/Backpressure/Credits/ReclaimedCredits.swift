// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Why credits were taken back from their holder.
public enum ReclaimReason: String, Hashable, Sendable {
    /// The deadline passed.
    case expired
    /// The holder went away without settling or giving back.
    case holderGone
    /// The window's owner took back everything: the peer is lost.
    case revoked
}

/// The report of one reclaim.
///
/// A lease or grant is reclaimed at most once, and what its holder says afterwards is refused; so reports can be added
/// up.
public struct ReclaimedCredits: Hashable, Sendable {
    /// The lease, or the grant, that was reclaimed.
    public let id: CreditLease.ID
    /// How many credits came back by it.
    public let count: Int
    /// Whether they had been spent: true for a lease, false for what was left of a grant.
    public let wasSpent: Bool
    /// Why.
    public let reason: ReclaimReason
    /// How long they had been out, on the window's clock.
    public let heldFor: Duration
}

/// What a ``CreditWindow`` was doing at one instant, and what it has done so far.
///
/// All numbers are of one instant: `granted == settled + givenBack + reclaimed + out`.
public struct CreditSnapshot: Hashable, Sendable {
    /// The window.
    public let capacity: Int
    /// Credits that can be granted now.
    public let available: Int
    /// Credits in grants, not spent yet.
    public let unspent: Int
    /// Credits in leases.
    public let leased: Int
    /// The greatest number of credits that were ever out.
    public let peak: Int
    /// Credits granted so far.
    public let granted: UInt64
    /// Credits spent so far.
    public let spent: UInt64
    /// Credits that came back in settled leases.
    public let settled: UInt64
    /// Credits that came back unspent, by their holder's will.
    public let givenBack: UInt64
    /// Credits that were taken back.
    public let reclaimed: UInt64
    /// Credits that somebody tried to return too late or had never had, and that were refused.
    public let lateReturns: UInt64
    /// Credits that somebody tried to spend without having them.
    public let overruns: UInt64
    /// Tasks waiting for a grant.
    public let waiting: Int
    /// Whether grants are stopped, by a drain or by close.
    public let isStopped: Bool
    /// How long the task that came first has been waiting for a grant; nil when none waits.
    public let oldestWait: Duration?
    /// How long tasks waited for grants whose wait is over, however it ended, until they ran again.
    public let waits: WaitHistogram

    /// Credits that are out: ``unspent`` and ``leased``.
    public var out: Int { unspent + leased }
}
