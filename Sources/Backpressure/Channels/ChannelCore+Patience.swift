// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A wait that the policy bounds: `OverflowPolicy.suspend(for:then:)`.
//
// The sender waits as under `suspend`, with the policy's deadline instead of its own if that is the earlier one. When
// the timer finds it still waiting, the verdict is given there and then, under the lock: so grant, cancel, close and
// the end of patience race for one thing, the unlinking of the waiter, and each element has one fate.
//
// ## Invariants
// T1  Who can be let in when its patience ends is let in: nothing is dropped for a sender that has room.
// T2  One element at most is dropped for one sender: the room goes to it, and not to others that wait.

extension ChannelCore {
    /// The policy's patience with `due` is over; the caller asks again as long as anybody is due.
    func fallBack(_ due: WaiterRef, _ state: inout ChannelState, _ effects: inout ChannelEffects) {
        gate(&state)
        defer { settle(&state) }
        pump(&state, &effects, thorough: true)
        guard decide(state.senders.contains(due)) else { return }
        let waiter = firstDue(state, instead: due)
        if overflow.atOnce == .dropOldest, !waiter.pointer.pointee.isReservation, makeRoom(&state, &effects) {
            takeOver(&state, from: waiter.payload(layout))
            grant(waiter, &state, &effects)
        } else {
            if wasDropped(waiter) { state.counters.droppedNewest += 1 } else { noteRefusal() }
            unlink(waiter, &state, &effects, verdict: .timedOut)
        }
        pump(&state, &effects, thorough: false)
    }

    /// The sender that has waited longest, if its patience is over, too: deadlines alone do not tell those apart that
    /// began to wait at one instant.
    @inline(__always)
    private func firstDue(_ state: borrowing ChannelState, instead due: WaiterRef) -> WaiterRef {
        guard let first = state.senders.first?.pointer, first.pointee.fallsBack else { return due }
        return first.pointee.deadline <= due.pointer.pointee.deadline ? WaiterRef(first) : due
    }

    /// Whether the element of a sender whose wait ended by time is to be dropped.
    @usableFromInline
    func wasDropped(_ waiter: WaiterRef) -> Bool {
        waiter.pointer.pointee.fallsBack && overflow.atOnce == .dropNewest && !waiter.pointer.pointee.isReservation
    }

    /// Why a wait for room that ended by time was turned away: its own timeout, or a policy that waits no longer.
    @usableFromInline
    func reasonOfTimeout(_ waiter: WaiterRef) -> Rejection {
        waiter.pointer.pointee.fallsBack ? .full : .timedOut
    }
}
