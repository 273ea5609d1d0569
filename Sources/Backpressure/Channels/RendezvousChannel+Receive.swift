// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Receiving from a rendezvous.

extension RendezvousChannel where Element: ~Copyable {
    /// Receives the element of the sender that has waited longest, waiting while there is none.
    ///
    /// Cancelling the task ends the wait, unless an element was handed over first: then that element is returned. Now
    /// and then a task that never has to wait yields.
    ///
    /// - Returns: The element, or nil once the channel was closed.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/cancelled``; ``ReceiveError/failed(_:)`` in place of
    ///   the end when the channel was finished with an error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive() async throws(ReceiveError<Failure>) -> sending Element? {
        try await receive(limit: .none)
    }

    /// Receives an element, waiting no longer than `timeout`.
    ///
    /// As ``receive()``; a timeout of zero or less never waits.
    ///
    /// - Parameter timeout: The longest wait, on the channel's clock.
    /// - Returns: The element, or nil once the channel was closed.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/timedOut`` or ``Rejection/cancelled``;
    ///   ``ReceiveError/failed(_:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive(
        timeout: Duration
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        try await receive(limit: .timeout(timeout))
    }

    /// Receives an element, waiting no longer than until `deadline`.
    ///
    /// - Parameter deadline: An instant of the channel's clock.
    /// - Returns: The element, or nil once the channel was closed.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/timedOut`` or ``Rejection/cancelled``;
    ///   ``ReceiveError/failed(_:)``.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive(
        deadline: some InstantProtocol<Duration>
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        try await receive(limit: core.waitLimit(until: deadline))
    }

    /// Receives the element of a sender that waits already.
    ///
    /// Synchronous, callable from anywhere. Every answer is exact.
    ///
    /// - Returns: The element, `.empty` when no sender waits, or `.finished`.
    /// - Throws: The error the channel was finished with, in place of `.finished`.
    @inlinable
    public func tryReceive() throws(Failure) -> TryReceiveResult<Element> {
        var slot: Element?
        switch poll(&slot, times: nil).outcome {
        case .done, .doneYieldDue:
            guard let element = slot.take() else { preconditionFailure("an element was lost on its way out") }
            return .received(element)
        case .finished, .abandoned:
            if let failure = core.failure as? Failure { throw failure }
            return .finished
        case .wouldWait, .timedOut, .dropped, .registered, .registeredPending:
            return .empty
        }
    }

    // MARK: The rest of the way

    @inlinable
    @inline(never)
    nonisolated(nonsending) func receive(
        limit: WaitLimit
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        nonisolated(unsafe) var slot: Element?
        let (outcome, waiter) = poll(&slot, times: core.waitTimes(limit))
        guard let waiter else {
            if outcome == .doneYieldDue { await Task.yield() }
            if outcome == .done || outcome == .doneYieldDue { return slot }
            if outcome == .timedOut { throw .rejected(.timedOut) }
            if let failure = core.failure as? Failure { throw .failed(failure) }
            return nil
        }
        if !core.lookForPartner(waiter, isSender: false) {
            await core.wait(waiter, isSender: false)
        } else if core.isYieldDue(waiter) {
            await Task.yield()
        }
        let verdict = waiter.verdict
        if verdict == .granted {
            slot = core.payload(of: waiter).assumingMemoryBound(to: Element.self).move()
        }
        core.release(waiter, isSender: false)
        switch verdict {
        case .granted: return slot
        case .cancelled: throw .rejected(.cancelled)
        case .timedOut: throw .rejected(.timedOut)
        case .finished, .abandoned:
            if let failure = core.failure as? Failure { throw .failed(failure) }
            return nil
        case .none: preconditionFailure("a receiver woke without a verdict")
        }
    }

    /// Asks the core for an element, and puts it into `slot` if there was one.
    @inlinable
    func poll(
        _ slot: inout Element?, times: WaitTimes?
    ) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            let result = core.receive(into: start, times: times)
            if result.0 == .done || result.0 == .doneYieldDue {
                slot = start.bindMemory(to: Element.self, capacity: 1).move()
            }
            return result
        }
    }
}
