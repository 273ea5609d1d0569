// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One task that waits in several queues at once, and is served by one of them: the decision that its waiters share.
//
// ## Protocol
// A select links one waiter, a *case*, in each of its queues; all of them point to one `Selection`. Whoever wants to end
// the wait (a granter, close, the timer, the canceller, the selecting task itself, which finds a case ready while it is
// still linking others) must first *take* the decision, and it can be taken once:
//
//   under the lock of the case's queue:  take the decision
//       won   serve the case, unlink it, give its verdict; after the unlock wake the task, by way of `home`
//       lost  unlink the case and go on to the next waiter: it is dead, and nobody else needs to know
//   a cancellation takes the decision without any queue's lock: all cases are dead then.
//
// The task, once it is awake, withdraws its remaining cases queue by queue, never holding two locks of queues, and frees
// them all. A queue promotes whoever fits when a case is withdrawn from it, as when any other waiter leaves.
//
// ## Two selects meet
// In a rendezvous both sides may be cases, and the pair needs both decisions or none. The decision is therefore no bare
// word: a compare-and-swap on the first could not be taken back when the second fails, for who meets the first meanwhile
// has unlinked its case already. Each decision has a lock instead, and a pair is taken under both, in the order of
// `rank`. Nobody who holds one of these locks takes any other lock than the one of a higher rank, so there is no
// circle; nobody ever sees a pair half taken, so no pairing is lost, and none has to be tried again.
// A task is never paired with itself, although it may wait on both sides of one rendezvous.
//
// ## Invariants
// I1  The decision changes once. Who took it, and nobody else, gives a verdict; it gives one.
// I2  A verdict is given to the case that the decision was taken for, and none to the others.
// I3  A case is linked only by its task, and unlinked under its queue's lock by whoever took the decision, by whoever
//     met the case after that, or by its task. Only the task frees it, after it has held that lock.
// I4  `home` is in no list and is woken at most once: by who took the decision, if that is not the task itself.
//
// ## Lock order
// queue -> decision of lower rank -> decision of higher rank. The canceller takes the decision's lock alone.

/// What several waiters of one task have in common: who may serve it, and where it sleeps.
final class Selection: WaitCanceller, @unchecked Sendable {
    enum Decision: Sendable {
        /// Any case may still be served.
        case open
        /// It is this case's.
        case taken(WaiterRef)
        /// The task was cancelled first.
        case cancelled
    }

    /// What came of taking two decisions at once.
    enum Pairing: Sendable {
        case both
        /// They are cases of one task, which cannot meet itself.
        case same
        case ownLost
        case otherLost
    }

    private let state = LockedState(Decision.open)
    /// On whose cell the task sleeps.
    let home = WaiterRef.allocate(reserving: 0)
    /// Different for any two that live at one time.
    private let rank: UInt

    /// - Parameter rank: Where its lock stands among those of other selects; by default that is its address.
    init(rank: UInt? = nil) { self.rank = rank ?? UInt(bitPattern: home.pointer) }

    deinit { home.deallocate(payload: WaiterRef.reservationLayout) }

    /// The decision as it is now.
    var decision: Decision { state.withLock { $0 } }

    /// Takes the decision for one of the cases; the caller holds the lock of that case's queue.
    ///
    /// - Returns: False when it is taken already.
    func take(for waiter: WaiterRef) -> Bool {
        state.withLock { decision in
            guard decide(decision.isOpen) else { return false }
            decision = .taken(waiter)
            return true
        }
    }

    /// Takes the decisions of two waiters that meet, or neither; the caller holds the lock of their queue.
    ///
    /// - Parameters:
    ///   - own: The case that arrives, of a task that is awake.
    ///   - other: A waiter in the queue, a case or not.
    /// - Returns: Whether the pair may meet, and if not, whose wait is over.
    static func take(_ own: WaiterRef, meeting other: WaiterRef) -> Pairing {
        guard let mine = own.selection else { return other.claim() ? .both : .otherLost }
        guard let theirs = other.selection else { return mine.take(for: own) ? .both : .ownLost }
        if decide(mine === theirs) { return .same }
        if decide(mine.rank < theirs.rank) {
            return mine.state.withLock { mine in
                theirs.state.withLock { theirs in take(&mine, own, &theirs, other) }
            }
        }
        return theirs.state.withLock { theirs in
            mine.state.withLock { mine in take(&mine, own, &theirs, other) }
        }
    }

    private static func take(
        _ mine: inout Decision, _ own: WaiterRef, _ theirs: inout Decision, _ other: WaiterRef
    ) -> Pairing {
        guard decide(mine.isOpen) else { return .ownLost }
        guard decide(theirs.isOpen) else { return .otherLost }
        mine = .taken(own)
        theirs = .taken(other)
        return .both
    }

    /// The task was cancelled: no case is served any more.
    func cancel(_ waiter: WaiterRef) {
        let isFirst = state.withLock { decision in
            guard decide(decision.isOpen) else { return false }
            decision = .cancelled
            return true
        }
        if isFirst { home.wake() }
    }
}

extension Selection.Decision {
    var isOpen: Bool {
        if case .open = self { true } else { false }
    }
}

extension WaiterRef {
    /// The decision that it shares with other waiters, if it is a case of a select.
    var selection: Selection? { pointer.pointee.selection?.takeUnretainedValue() }

    /// Makes it a case of a select; it is not linked yet.
    func join(_ selection: Selection) { pointer.pointee.selection = Unmanaged.passUnretained(selection) }

    /// Wins the right to end its wait; the caller holds the lock of its queue.
    ///
    /// A waiter of its own is won by unlinking it, so this says true.
    func claim() -> Bool {
        guard let selection = pointer.pointee.selection else { return true }
        return selection._withUnsafeGuaranteedRef { $0.take(for: self) }
    }

    /// On whose cell its task sleeps.
    var sleeper: WaiterRef {
        guard let selection = pointer.pointee.selection else { return self }
        return selection._withUnsafeGuaranteedRef { $0.home }
    }
}
