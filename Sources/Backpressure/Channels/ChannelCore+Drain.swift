// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting until a closed channel has nothing in it any more.
//
// ## Why the event is not missed
// The fast path of a receiver tells nobody what it took, so the last element could leave unnoticed. While somebody waits
// for the end of a closed channel its gate therefore stays closed: every receive comes to the lock and ends in `pump`,
// which knows when the channel has ended. An open channel is left alone: nobody looks before its close, which closes the
// gate and pumps.
//
// ## Invariants
// D1  Drainers, and the channel is closed => the gate is closed, and something is in or reserved.
// D2  A drainer that leaves, served or cancelled, is followed by `settle`: the last one lets the gate open.

extension BoundedChannel where Element: ~Copyable {
    /// Waits until the channel is closed and nothing is in it: for a shutdown that lets its consumers finish.
    ///
    /// ```swift
    /// let orders = BoundedChannel<Int, Never>(capacity: 8)
    /// _ = orders.trySend(1)
    /// let consumer = Task { for await order in orders { print(order) } }
    /// orders.finish()
    /// try await orders.untilDrained()  // the last order has been received
    /// await consumer.value
    /// ```
    ///
    /// It returns when the last element has been received or dropped, which is not when its receiver is done with it.
    /// Room that is reserved counts as an element until the ``Reservation`` is used or gone; a cancelled channel is
    /// empty at once. Any number of tasks may wait.
    ///
    /// - **Cost**: while somebody waits for the end of a closed channel, each receive takes its lock.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilDrained() async throws(Rejection) {
        try await core.waitOut(core.watchDrain())
    }
}

extension ChannelCore {
    /// Registers a waiter that is granted when the channel has ended; nil when it has.
    func watchDrain() -> WaiterRef? {
        withState { state, effects in
            let isOpen = state.closure == .open
            if !isOpen {
                gate(&state)
                pump(&state, &effects, thorough: false)
                if isEnded(state) {
                    settle(&state)
                    return nil
                }
            }
            let waiter = WaiterRef.allocate(reserving: 0)
            state.drainers.append(waiter)
            if !isOpen { settle(&state) }
            return waiter
        }
    }

    /// Whether the gate must stay closed for those who wait for the end (D1).
    @inline(__always)
    func isDraining(_ state: borrowing ChannelState) -> Bool {
        decide(state.closure != .open && !state.drainers.isEmpty)
    }
}
