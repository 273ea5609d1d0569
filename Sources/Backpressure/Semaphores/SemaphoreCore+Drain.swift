// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting until a closed semaphore has all its permits back.
//
// ## Why the event is not missed
// A release is one add, and looks no further unless `queued` is in the word. While somebody waits for the last permit of
// a closed semaphore the flag stays set, so every release comes to the lock. Setting it is an operation on the very word
// that a release adds to: permits that came back before are in what is read after it, and who comes later sees the flag.
//
// ## Invariants
// D1  Drainers, and the semaphore is closed => `queued` is set, and permits are out or their giver is on the way.
// D2  Closed, nobody waits for the last permit, and the semaphore is not gone => `queued` is clear.

extension AsyncSemaphore {
    /// Waits until the semaphore is closed and all permits are back, the forgotten ones among them.
    ///
    /// ```swift
    /// let slots = AsyncSemaphore(permits: 2)
    /// let work = Task { try await slots.withPermits { await query() } }
    /// slots.close()
    /// try await slots.untilDrained()
    /// print(slots.inUse)  // 0
    /// ```
    ///
    /// For a shutdown that lets what runs end. Any number of tasks may wait.
    ///
    /// - **Cost**: while somebody waits, each release of a closed semaphore takes its lock.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilDrained() async throws(Rejection) {
        guard let waiter = core.watchDrain() else { return }
        await waiter.sleep(cancelling: core)
        if let rejection = core.conclude(waiter) { throw rejection }
    }
}

extension SemaphoreCore {
    /// Registers a waiter that is granted when the semaphore is closed and all permits are back; nil when it is so.
    func watchDrain() -> WaiterRef? {
        withState { state, _ in
            if state.isClosed {
                let seen = word.word.fetchOrAcquiringAndReleasing(PermitLayout.queued)
                if !state.isCounting { startCounting(seen, &state) }
                if isWhole(state) {
                    stopLooking(&state)
                    return nil
                }
            }
            let waiter = WaiterRef.allocate(payload: Self.layout)
            waiter.payload(Self.layout).initializeMemory(as: Int.self, to: 0)
            state.drainers.append(waiter)
            return waiter
        }
    }

    /// Ends the waits for the last permit if it is back.
    func endDrains(_ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        guard state.isClosed, !state.drainers.isEmpty, isWhole(state) else { return }
        while let drainer = state.drainers.popFirst() {
            drainer.end(.granted)
            effects.wakes.append(drainer)
        }
        stopLooking(&state)
    }

    func cancelDrain(_ waiter: WaiterRef, _ state: inout SemaphoreState, _ effects: inout SemaphoreEffects) {
        state.drainers.remove(waiter)
        waiter.end(.cancelled)
        effects.wakes.append(waiter)
        stopLooking(&state)
    }

    /// Lets permits of a closed semaphore be given back without a look, once nobody waits for the last of them (D2).
    func stopLooking(_ state: inout SemaphoreState) {
        guard state.isClosed, state.isCounting, state.drainers.isEmpty else { return }
        stopCounting(word.word.fetchAndAcquiringAndReleasing(~PermitLayout.queued), &state)
    }

    @inline(__always)
    private func isWhole(_ state: borrowing SemaphoreState) -> Bool { decide(available == state.limit) }
}
