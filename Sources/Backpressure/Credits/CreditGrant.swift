// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Credits that a peer may spend: so many deliveries may come.
///
/// A grant has one owner: whoever announced the credits to the peer and gets the deliveries. For each delivery it spends
/// a credit; what will not be used it gives back. A grant that goes away with credits in it is reclaimed, as is one that
/// outlives the window's `grantTime`.
///
/// A consumer that tops up its peer's credit again and again keeps one grant and lets it ``absorb(_:)`` the others.
public struct CreditGrant: ~Copyable, Sendable {
    /// The credits that are not spent yet, as far as the owner knows: 0 only after all were spent or given back.
    public private(set) var count: Int
    let core: CreditCore
    /// `CreditKey.none` while the grant holds nothing.
    private var key: CreditKey

    init(core: CreditCore, key: CreditKey, count: Int) {
        self.core = core
        self.key = key
        self.count = count
    }

    deinit {
        if key != .none { core.holderGone(key) }
    }

    /// Spends credits on a delivery.
    ///
    /// - Parameters:
    ///   - count: How many; at least 1.
    ///   - leaseTime: How long the lease lives unless it is extended; nil for the window's own.
    /// - Returns: The lease; nil when the grant holds fewer credits, because the peer sent more than it was allowed to, or
    ///   because the grant has been reclaimed. That is counted as an overrun.
    /// - Precondition: `count >= 1`, and `leaseTime` is more than zero.
    public mutating func spend(_ count: Int = 1, leaseTime: Duration? = nil) -> CreditLease? {
        precondition(count >= 1, "\(count) credits cannot be spent")
        let lifetime = leaseTime.map(CreditCore.lifetime) ?? core.leaseTime
        let key = key
        guard let lease = core.withState({ state, _ in state.spend(count, from: key, lifetime: lifetime) }) else {
            return nil
        }
        take(count)
        return CreditLease(core: core, key: lease, count: count)
    }

    /// Gives some credits back unspent.
    ///
    /// - Parameter count: How many; at least 1.
    /// - Returns: False when the grant holds fewer, or has been reclaimed; then none is given back.
    /// - Precondition: `count >= 1`.
    @discardableResult
    public mutating func giveBack(_ count: Int) -> Bool {
        precondition(count >= 1, "\(count) credits cannot be given back")
        let key = key
        guard core.withState({ state, _ in state.giveBack(count, of: key) }) else { return false }
        take(count)
        return true
    }

    /// Gives all unspent credits back, and ends the grant.
    ///
    /// - Returns: False when the grant had been reclaimed before.
    @discardableResult
    public consuming func giveBack() -> Bool {
        guard key != .none else { return true }
        let (core, key, count) = (core, key, count)
        self.key = .none
        return core.settle(key, count: count)
    }

    /// Takes over the credits of `other`, and its deadline.
    ///
    /// - Parameter other: A grant of the same window.
    /// - Returns: False when this grant had been reclaimed: it then holds what `other` held, and nothing else. Also false
    ///   when `other` had been reclaimed.
    /// - Precondition: Both are of one window.
    @discardableResult
    public mutating func absorb(_ other: consuming CreditGrant) -> Bool {
        precondition(core === other.core, "a grant can absorb only grants of its own window")
        let (mine, theirs, theirCount) = (key, other.key, other.count)
        guard theirs != .none else { return true }
        other.key = .none
        if mine == .none {
            (key, count) = (theirs, theirCount)
            return true
        }
        if core.withState({ state, _ in state.absorb(theirs, into: mine) }) {
            count += theirCount
            return true
        }
        // One of the two has ended. What is left is theirs, or mine as it was.
        if core.withState({ state, _ in state.table.find(mine) == nil }) { (key, count) = (theirs, theirCount) }
        return false
    }

    private mutating func take(_ count: Int) {
        self.count -= count
        if self.count == 0 { key = .none }
    }
}

extension CreditCore {
    /// A lifetime in nanoseconds; `Int64.max` is for ever.
    static func lifetime(_ duration: Duration) -> Int64 {
        precondition(duration > .zero, "credits are out for more than zero, not for \(duration)")
        return duration.saturatingNanoseconds
    }
}
