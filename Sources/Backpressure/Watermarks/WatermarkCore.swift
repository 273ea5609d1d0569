// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The storage behind a watermark gate: lock, decide, unlock, act; and who tells.
//
// ## Telling
// The hook runs outside the lock, and still its calls must be in order: a pause that overtakes the resume before it
// would leave a client paused for ever. So at most one thread tells at a time. Whoever changes something and finds a
// thread telling leaves the change in the state; the teller looks again, under the lock, before it stops:
//
//     teller                              other
//     lock, take edges, unlock
//     hook(edges)                         lock, change, isTelling: leave it, unlock
//     lock, take edges: finds the change
//
// A hook that uses the gate finds itself telling, so its changes wait for its return: the depth is one.

/// What guards a gate's state, and performs what the state decides.
final class WatermarkCore<Key: Hashable & Sendable>: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    typealias Edge = WatermarkEdge<Key>

    /// What a look for the next poll came to.
    enum PollOutcome {
        case poll(WatermarkPoll<Key>)
        case finished
        case registered(WaiterRef)
    }

    let state: LockedState<WatermarkState<Key>>
    let timeSource: TimeSource
    private let heartbeat: Int64
    private let onEdge: (@Sendable (Edge) -> Void)?
    private let timer = DeadlineTimer()
    private static var waiterLayout: SlotLayout { SlotLayout(of: UInt8.self) }

    init(
        rule: HysteresisRule, totalRule: HysteresisRule?, heartbeat: Int64, timeSource: TimeSource,
        onEdge: (@Sendable (Edge) -> Void)?
    ) {
        state = LockedState(WatermarkState(rule: rule, totalRule: totalRule))
        self.heartbeat = heartbeat
        self.timeSource = timeSource
        self.onEdge = onEdge
    }

    deinit { timer.cancel() }

    // MARK: - Lock, decide, unlock, act

    func withState<Result>(_ body: (inout WatermarkState<Key>, inout WakeBatch) -> Result) -> Result {
        let reading = timeSource.now()
        var (wakes, request, edges) = (WakeBatch(), TimerRequest?.none, [Edge]())
        let result = state.withLock { state in
            state.advance(to: reading)
            let result = body(&state, &wakes)
            if mayPoll(state) { endWaits(.granted, &state, &wakes) }
            request = state.alarm.request(state.earliest)
            if onEdge != nil, decide(!state.isTelling) {
                edges = state.takeEdges()
                state.isTelling = !edges.isEmpty
            }
            verify(state.knownCount > 16 || state.checkInvariants(), "an invariant of the watermark gate is broken")
            return result
        }
        if !wakes.isEmpty { wakes.wakeAll() }
        if let request { timer.arm(request, for: self) }
        if !edges.isEmpty { tell(edges) }
        return result
    }

    /// Calls the hook for these edges, and for all that come up meanwhile.
    private func tell(_ first: [Edge]) {
        guard let onEdge else { return }
        var edges = first
        while !edges.isEmpty {
            for edge in edges { onEdge(edge) }
            edges = state.withLock { state in
                let edges = state.takeEdges()
                state.isTelling = decide(!edges.isEmpty)
                return edges
            }
        }
    }

    /// What is to be told; always empty when the gate has a hook.
    func takeEdges() -> [Edge] {
        withState { state, _ in onEdge == nil ? state.takeEdges() : [] }
    }

    // MARK: - Polling

    private func mayPoll(_ state: WatermarkState<Key>) -> Bool {
        state.isReady || (onEdge == nil && state.hasChanges)
    }

    /// What to do about the next poll now.
    func pollOrWait() -> PollOutcome {
        withState { state, _ in
            guard !state.isClosed else { return .finished }
            if state.lastPoll == .min { state.lastPoll = state.now }
            let deadline = heartbeat == .max ? .max : state.lastPoll.addingSaturating(heartbeat)
            if mayPoll(state) || decide(state.now >= deadline) {
                state.lastPoll = state.now
                return .poll(
                    WatermarkPoll(
                        reason: state.isReady ? .ready : .heartbeat, edges: onEdge == nil ? state.takeEdges() : []))
            }
            let waiter = WaiterRef.allocate(payload: Self.waiterLayout)
            waiter.pointer.pointee.deadline = deadline
            // The request for a timer is the alarm's, which knows all kinds of deadlines.
            _ = state.deadlines.insert(waiter)
            state.pollers.append(waiter)
            return .registered(waiter)
        }
    }

    /// How a wait for the next poll ended; frees its waiter.
    func verdict(of waiter: WaiterRef) -> Verdict {
        let verdict = waiter.verdict
        waiter.deallocate(payload: Self.waiterLayout)
        return verdict
    }

    private func end(
        _ waiter: WaiterRef, _ verdict: Verdict, _ state: inout WatermarkState<Key>, _ wakes: inout WakeBatch
    ) {
        state.pollers.remove(waiter)
        state.deadlines.remove(waiter)
        waiter.end(verdict)
        wakes.append(waiter)
    }

    private func endWaits(_ verdict: Verdict, _ state: inout WatermarkState<Key>, _ wakes: inout WakeBatch) {
        while let waiter = state.pollers.first { end(waiter, verdict, &state, &wakes) }
    }

    func close() {
        withState { state, wakes in
            state.isClosed = true
            endWaits(.finished, &state, &wakes)
        }
    }

    /// The waiter's task was cancelled.
    func cancel(_ waiter: WaiterRef) {
        withState { state, wakes in
            // Unlinked: somebody else has ended the wait, and that verdict stands.
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            end(waiter, .cancelled, &state, &wakes)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        withState { state, wakes in
            while let waiter = state.deadlines.due(at: state.now) { end(waiter, .timedOut, &state, &wakes) }
            if mayPoll(state) { endWaits(.granted, &state, &wakes) }
            return state.alarm.rearm(state.earliest, generation: generation)
        }
    }
}
