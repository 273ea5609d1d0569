// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sending whatever it takes, and waiting for the end.

/// What became of an element that was sent by force.
public enum ForceSendResult<Element: ~Copyable>: ~Copyable {
    /// The channel has the element, and the caller got nothing back.
    case sent
    /// The channel has the element; this one, the oldest, had to go.
    case evicted(Element)
    /// The channel does not have the element: here it is.
    case returned(Rejected<Element>)
}

extension ForceSendResult: Copyable where Element: Copyable {}
extension ForceSendResult: Sendable where Element: Sendable & ~Copyable {}

extension BoundedChannel where Element: ~Copyable {
    /// Sends `element` without waiting, whatever the policy: a full channel gives its oldest element back for it.
    ///
    /// Synchronous, callable from anywhere. Waiting senders keep waiting, and this element passes them. When the oldest
    /// element is still being written by its sender at this moment, it goes to the `onUndelivered` hook a moment later
    /// instead of to the caller, and the answer is `.sent`.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`; `.evicted` with the oldest element; `.returned` when the channel is closed, or with
    ///   ``Rejection/full`` when all of its room is reserved.
    public func forceSend(_ element: consuming sending Element) -> ForceSendResult<Element> {
        if case .claimed(let slot, let stamp) = ring.claimForSend(stride: SlotLayout(of: Element.self).stride) {
            publish(element, in: slot, stamp: stamp)
            return .sent
        }
        var slot: Element? = consume element
        var evicted: Element?
        let outcome = withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride * 2, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress, let element = slot.take() else {
                preconditionFailure("no element to send")
            }
            let place = start.bindMemory(to: Element.self, capacity: 2)
            place.initialize(to: element)
            let outcome = core.force(from: start, evictingTo: start + MemoryLayout<Element>.stride)
            switch outcome {
            case .sent: break
            case .evicted: evicted = (place + 1).move()
            case .full, .finished, .abandoned: slot = place.move()
            }
            return outcome
        }
        switch outcome {
        case .sent: return .sent
        case .evicted:
            guard let evicted = evicted.take() else { preconditionFailure("an element was lost on its way out") }
            return .evicted(evicted)
        case .full: return .returned(rejected(&slot, .full))
        case .finished: return .returned(rejected(&slot, .finished))
        case .abandoned: return .returned(rejected(&slot, .abandoned))
        }
    }

    /// Waits until the channel accepts nothing more: it was finished or cancelled, by whichever side.
    ///
    /// For a producer that learns that its consumers are gone, and a consumer that prepares for the end. Elements may
    /// still be in. Any number of tasks may wait.
    ///
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled first.
    public nonisolated(nonsending) func untilFinished() async throws(Rejection) {
        try await core.waitOut(core.watch())
    }
}

/// What an eviction by force came to.
enum ForceOutcome {
    case sent
    case evicted
    case full
    case finished
    case abandoned
}

extension ChannelCore {
    /// Sends the element at `source`, moving the oldest one to `destination` if there is no room.
    func force(from source: UnsafeMutableRawPointer, evictingTo destination: UnsafeMutableRawPointer) -> ForceOutcome {
        withState { state, effects in
            guard state.closure == .open else { return state.closure == .abandoned ? .abandoned : .finished }
            gate(&state)
            defer { settle(&state) }
            pump(&state, &effects, thorough: true)
            var outcome = ForceOutcome.sent
            if !hasRoom(state) {
                guard state.reserved < state.capacity else { return .full }
                // After a shrink: what is too much goes to the hook, the last to the caller.
                while decide(logicalCount(state) > state.capacity), evictOldest(&state, &effects) {}
                if decide(claimed(state) > state.debt) {
                    if state.debt == 0, isHeadPublished(state) {
                        pop(&state, to: destination)
                        outcome = .evicted
                    } else {
                        state.debt += 1
                    }
                } else if popSpill(&state, to: destination) {
                    outcome = .evicted
                } else {
                    return .full
                }
            }
            if outcome == .evicted { state.counters.evicted += 1 }
            // Before the pump, or a waiting sender would take the room.
            takeOver(&state, from: source)
            pump(&state, &effects, thorough: false)
            return outcome
        }
    }

    /// Registers a waiter that is granted when the channel is closed; nil when it is closed already.
    func watch() -> WaiterRef? {
        withState { state, _ in
            guard state.closure == .open else { return nil }
            let waiter = WaiterRef.allocate(reserving: 0)
            state.watchers.append(waiter)
            return waiter
        }
    }

    /// Suspends until a watcher's event, if there is one to wait for.
    nonisolated(nonsending) func waitOut(_ watcher: WaiterRef?) async throws(Rejection) {
        guard let watcher else { return }
        await watcher.sleep(cancelling: self)
        let verdict = watcher.verdict
        releaseReserving(watcher)
        if verdict == .cancelled { throw .cancelled }
    }
}
