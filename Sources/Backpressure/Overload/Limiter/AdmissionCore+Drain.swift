// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting until the last call of a closed limiter has ended. Every call settles under the lock, so the event is seen
// there: `settle` and `close` are the two transitions by which a limiter can become empty for good.

extension ConcurrencyLimiter {
    /// Waits until the limiter is closed and no call runs: for a shutdown that lets what runs end.
    ///
    /// ```swift
    /// let limiter = ConcurrencyLimiter(FixedLimit(8))
    /// limiter.close()
    /// try await limiter.untilDrained()
    /// print(limiter.snapshot().inFlight)  // 0
    /// ```
    ///
    /// Calls that run beside the limit are not waited for. Any number of tasks may wait.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilDrained() async throws(Rejection) {
        guard let waiter = core.watchDrain() else { return }
        await waiter.sleep(cancelling: core)
        if let rejection = core.conclude(waiter) { throw rejection }
    }
}

extension AdmissionCore {
    /// Registers a waiter that is granted when the limiter is closed and no call runs; nil when it is so.
    func watchDrain() -> WaiterRef? {
        withState { state, _ in
            guard !isDrained(state) else { return nil }
            let waiter = WaiterRef.allocate(payload: Self.layout)
            waiter.payload(Self.layout).initializeMemory(as: Int.self, to: 0)
            state.drainers.append(waiter)
            return waiter
        }
    }

    /// Ends the waits for the last call if it has ended.
    func endDrains(_ state: inout AdmissionState, _ effects: inout AdmissionEffects) {
        guard isDrained(state) else { return }
        while let drainer = state.drainers.first { endDrain(drainer, .granted, &state, &effects) }
    }

    func endDrain(
        _ waiter: WaiterRef, _ verdict: Verdict, _ state: inout AdmissionState, _ effects: inout AdmissionEffects
    ) {
        state.drainers.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    private func isDrained(_ state: borrowing AdmissionState) -> Bool {
        state.isClosed && decide(state.books.total == 0)
    }
}
