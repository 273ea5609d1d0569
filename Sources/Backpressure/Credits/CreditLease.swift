// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The holder's side of a hold: one owner, who ends it once. What ends it otherwise is the window's to decide.

/// Credits that were spent on something delivered and not yet dealt with.
///
/// A lease has one owner. It ends once, and whichever comes first decides:
///
/// - ``settle()``: the holder is done, and the credits are back in the window;
/// - its deadline, unless the holder moves it with ``extend(for:)`` in time;
/// - its owner lets it go without having settled it: the work was dropped;
/// - ``CreditWindow/reclaimAll()``.
///
/// In the last three cases the credits are *reclaimed*: they are back as well, and the window's `onReclaim` hook is told.
/// A later `settle` answers false. That is the moment not to acknowledge the message: it is somebody else's by now.
///
/// Where the holder is not a scope, because the acknowledgement comes over the wire, ``detach()`` gives a name that can
/// be kept in a dictionary; ``CreditWindow/settle(_:)`` takes it.
public struct CreditLease: ~Copyable, Sendable {
    /// The name of one lease, never given twice by one window; a later lease has a greater name.
    public struct ID: Hashable, Comparable, Sendable {
        let key: CreditKey

        init(key: CreditKey) { self.key = key }

        /// Whether `lhs` was spent before `rhs`, in one window.
        public static func < (lhs: ID, rhs: ID) -> Bool { lhs.key.sequence < rhs.key.sequence }
    }

    /// How many credits it holds.
    public let count: Int
    let core: CreditCore
    /// `CreditKey.none` once the lease is settled or detached.
    private var key: CreditKey

    init(core: CreditCore, key: CreditKey, count: Int) {
        self.core = core
        self.key = key
        self.count = count
    }

    deinit {
        if key != .none { core.holderGone(key) }
    }

    /// Its name.
    public var id: ID { ID(key: key) }

    /// Gives the credits back.
    ///
    /// - Returns: False when the lease had been reclaimed before: then nothing is given back a second time.
    @discardableResult
    public consuming func settle() -> Bool {
        let (core, key, count) = (core, key, count)
        self.key = .none
        return core.settle(key, count: count)
    }

    /// Moves the deadline to `duration` from now, sooner or later than it was.
    ///
    /// - Parameter duration: How long the holder still has; more than zero. Beyond 292 years it is for ever.
    /// - Returns: False when the lease has been reclaimed: the holder must give up its work.
    @discardableResult
    public borrowing func extend(for duration: Duration) -> Bool { core.extend(key, for: duration) }

    /// Lets go of the lease without ending it: from here on only its name, its deadline and the window end it.
    ///
    /// Without a deadline a detached lease whose name is lost stays out until ``CreditWindow/reclaimAll()``.
    ///
    /// - Returns: The name.
    public consuming func detach() -> ID {
        let id = ID(key: key)
        key = .none
        return id
    }
}

extension CreditCore {
    func settle(_ key: CreditKey, count: Int) -> Bool {
        withState { state, _ in state.settle(key, late: count) != nil }
    }

    func extend(_ key: CreditKey, for duration: Duration) -> Bool {
        precondition(duration > .zero, "a lease is extended by more than zero, not by \(duration)")
        let lifetime = duration.saturatingNanoseconds
        return withState { state, _ in state.extend(key, lifetime: lifetime) }
    }

    /// The owner of a hold went away.
    func holderGone(_ key: CreditKey) {
        withState { state, effects in
            // Reclaimed before, and reported then.
            guard let slot = state.table.find(key) else { return }
            state.reclaim(slot, .holderGone, &effects)
        }
    }
}
