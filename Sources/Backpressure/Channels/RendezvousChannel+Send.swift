// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sending through a rendezvous.

extension RendezvousChannel where Element: ~Copyable {
    /// Hands `element` to a receiver, waiting for one.
    ///
    /// Cancelling the task ends the wait and brings the element back with ``Rejection/cancelled``, unless a receiver has
    /// it already: then it is sent. Now and then a task that never has to wait yields.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent` once a receiver has the element, or `.returned` with the element and the reason. Never
    ///   `.dropped`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(_ element: consuming sending Element) async -> SendResult<Element> {
        await send(element, limit: .none)
    }

    /// Hands `element` to a receiver, waiting for one no longer than `timeout`.
    ///
    /// As ``send(_:)``; when the time is up first, the element comes back with ``Rejection/timedOut``. A timeout of
    /// zero or less never waits.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - timeout: The longest wait, on the channel's clock.
    /// - Returns: `.sent` once a receiver has the element, or `.returned` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, timeout: Duration
    ) async -> SendResult<Element> {
        await send(element, limit: .timeout(timeout))
    }

    /// Hands `element` to a receiver, waiting for one no longer than until `deadline`.
    ///
    /// As ``send(_:)``; when the deadline passes first, the element comes back with ``Rejection/timedOut``.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - deadline: An instant of the channel's clock.
    /// - Returns: `.sent` once a receiver has the element, or `.returned` with the element and the reason.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, deadline: some InstantProtocol<Duration>
    ) async -> SendResult<Element> {
        await send(element, limit: core.waitLimit(until: deadline))
    }

    /// Hands `element` to a receiver that waits already.
    ///
    /// Synchronous, callable from anywhere.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`, or `.returned` with the element and ``Rejection/full`` when no receiver waits,
    ///   ``Rejection/finished`` or ``Rejection/abandoned``.
    @inlinable
    public func trySend(_ element: consuming sending Element) -> SendResult<Element> {
        var slot: Element? = consume element
        let outcome = offer(&slot, times: nil).outcome
        return answer(outcome, &slot)
    }

    // MARK: The rest of the way

    @inlinable
    @inline(never)
    nonisolated(nonsending) func send(_ element: consuming Element, limit: WaitLimit) async -> SendResult<Element> {
        var slot: Element? = consume element
        let (outcome, waiter) = offer(&slot, times: core.waitTimes(limit))
        guard let waiter else {
            if outcome == .doneYieldDue { await Task.yield() }
            return answer(outcome, &slot)
        }
        if !core.lookForPartner(waiter, isSender: true) {
            await core.wait(waiter, isSender: true)
        } else if core.isYieldDue(waiter) {
            await Task.yield()
        }
        let verdict = waiter.verdict
        if verdict != .granted {
            slot = core.payload(of: waiter).assumingMemoryBound(to: Element.self).move()
        }
        core.release(waiter, isSender: true)
        return answer(verdict, &slot)
    }

    /// Shows the core the element in `slot`, and takes it out of there if the core took it over.
    @inlinable
    func offer(
        _ slot: inout Element?, times: WaitTimes?
    ) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress, let element = slot.take() else {
                preconditionFailure("no element to send")
            }
            let place = start.bindMemory(to: Element.self, capacity: 1)
            place.initialize(to: element)
            let result = core.send(from: start, times: times)
            switch result.0 {
            case .done, .doneYieldDue, .registered, .registeredPending: break
            case .dropped, .wouldWait, .timedOut, .finished, .abandoned: slot = place.move()
            }
            return result
        }
    }

    @inlinable
    func answer(_ outcome: ChannelOutcome, _ slot: inout Element?) -> SendResult<Element> {
        switch outcome {
        case .done, .doneYieldDue, .registered, .registeredPending: return .sent
        case .dropped, .wouldWait: return returned(&slot, .full)
        case .timedOut: return returned(&slot, .timedOut)
        case .finished: return returned(&slot, .finished)
        case .abandoned: return returned(&slot, .abandoned)
        }
    }

    @inlinable
    func answer(_ verdict: Verdict, _ slot: inout Element?) -> SendResult<Element> {
        switch verdict {
        case .granted: return .sent
        case .cancelled: return returned(&slot, .cancelled)
        case .timedOut: return returned(&slot, .timedOut)
        case .finished: return returned(&slot, .finished)
        case .abandoned: return returned(&slot, .abandoned)
        case .none: preconditionFailure("a sender woke without a verdict")
        }
    }

    @inlinable
    func returned(_ slot: inout Element?, _ reason: Rejection) -> SendResult<Element> {
        guard let element = slot.take() else { preconditionFailure("an element was lost on its way back") }
        return .returned(Rejected(element: element, reason: reason))
    }
}

// MARK: - Throwing twins

extension RendezvousChannel where Element: Sendable {
    /// As ``send(_:)``, throwing the element back when it was not sent.
    ///
    /// - Parameter element: The element.
    /// - Throws: ``SendError`` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func sendOrThrow(_ element: Element) async throws(SendError<Element>) {
        try await send(element).get()
    }

    /// As ``send(_:timeout:)``, throwing the element back when it was not sent.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - timeout: The longest wait, on the channel's clock.
    /// - Throws: ``SendError`` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func sendOrThrow(
        _ element: Element, timeout: Duration
    ) async throws(SendError<Element>) {
        try await send(element, timeout: timeout).get()
    }
}
