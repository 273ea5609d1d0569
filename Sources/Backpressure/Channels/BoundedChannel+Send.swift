// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sending. The inlinable part is the claim in the ring; everything else is one call away and never inlined.

extension BoundedChannel where Element: ~Copyable {
    /// Sends `element`, waiting for room as the overflow policy says.
    ///
    /// Under ``OverflowPolicy/suspend`` the task waits while the channel is full; under the other policies it never
    /// waits. Cancelling the task ends the wait and brings the element back with ``Rejection/cancelled``, unless the
    /// element was taken over first: then it is sent. Now and then a task that never has to wait yields.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(_ element: consuming sending Element) async -> SendResult<Element> {
        switch ring.claimForSend(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            publish(element, in: slot, stamp: stamp)
            return .sent
        case .full, .locked:
            return await sendSlow(element, limit: .none)
        }
    }

    /// Sends `element`, waiting for room no longer than `timeout`.
    ///
    /// As ``send(_:)``; when the time is up first, the element comes back with ``Rejection/timedOut``. A timeout of
    /// zero or less never waits. The clock is read only if the task has to wait.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - timeout: The longest wait, on the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, timeout: Duration
    ) async -> SendResult<Element> {
        switch ring.claimForSend(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            publish(element, in: slot, stamp: stamp)
            return .sent
        case .full, .locked:
            return await sendSlow(element, limit: .timeout(timeout))
        }
    }

    /// Sends `element`, waiting for room no longer than until `deadline`.
    ///
    /// As ``send(_:)``; when the deadline passes first, the element comes back with ``Rejection/timedOut``.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - deadline: An instant of the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, deadline: some InstantProtocol<Duration>
    ) async -> SendResult<Element> {
        switch ring.claimForSend(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            publish(element, in: slot, stamp: stamp)
            return .sent
        case .full, .locked:
            return await sendSlow(element, limit: core.waitLimit(until: deadline))
        }
    }

    /// Sends `element` if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere.
    ///
    /// The answer "full" is exact: at some instant during the call the channel held `capacity` elements.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and ``Rejection/full``,
    ///   ``Rejection/finished`` or ``Rejection/abandoned``.
    @inlinable @inline(__always)
    public func trySend(_ element: consuming sending Element) -> SendResult<Element> {
        switch ring.claimForSend(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            publish(element, in: slot, stamp: stamp)
            return .sent
        case .full:
            return trySendToFull(element)
        case .locked:
            return trySendSlow(element)
        }
    }

    // MARK: The rest of the way

    @inlinable @inline(__always)
    func publish(_ element: consuming Element, in slot: UnsafeMutableRawPointer, stamp: UInt64) {
        let place = slot + SlotLayout(of: Element.self).elementOffset
        PlainAccess.write(place)
        place.bindMemory(to: Element.self, capacity: 1).initialize(to: element)
        AtomicWord(at: slot).storeReleasing(stamp)
    }

    /// "Full" is exact, so a refusal needs no lock; only a policy that drops something does.
    @inlinable
    @inline(never)
    func trySendToFull(_ element: consuming Element) -> SendResult<Element> {
        guard core.refusesWhenFull else { return trySendSlow(element) }
        core.noteRefusal()
        return .returned(Rejected(element: element, reason: .full))
    }

    @inlinable
    @inline(never)
    func trySendSlow(_ element: consuming Element) -> SendResult<Element> {
        var slot: Element? = consume element
        let outcome = offer(&slot, times: nil).outcome
        return answer(outcome, &slot, refusal: .full)
    }

    @inlinable
    @inline(never)
    nonisolated(nonsending) func sendSlow(
        _ element: consuming Element, limit: WaitLimit
    ) async -> SendResult<Element> {
        if core.isSuspending, core.lookForRoom(),
            case .claimed(let slot, let stamp) = ring.claimForSend(stride: SlotLayout(of: Element.self).stride)
        {
            publish(element, in: slot, stamp: stamp)
            return .sent
        }
        var slot: Element? = consume element
        let times = core.isSuspending ? core.sendTimes(limit) : nil
        var (outcome, waiter) = offer(&slot, times: times, defers: true)
        if outcome == .wouldWait, times != nil {
            await Task.yield()
            (outcome, waiter) = offer(&slot, times: times)
        }
        if outcome == .doneYieldDue { await Task.yield() }
        guard let waiter else { return answer(outcome, &slot, refusal: .full) }
        await core.wait(waiter, isSender: true, polling: false)
        return conclude(waiter)
    }

    /// What became of the element of a sender that waited; frees the waiter.
    @inlinable
    func conclude(_ waiter: WaiterRef) -> SendResult<Element> {
        let verdict = waiter.verdict
        var slot: Element?
        if verdict != .granted {
            let place = core.payload(of: waiter)
            PlainAccess.read(place)
            if verdict == .timedOut, core.wasDropped(waiter) {
                core.discard(place, .full)
                core.release(waiter)
                return .dropped
            }
            slot = place.assumingMemoryBound(to: Element.self).move()
        }
        let reason = verdict == .timedOut ? core.reasonOfTimeout(waiter) : .timedOut
        core.release(waiter)
        if reason == .full { return returned(&slot, .full) }
        return answer(verdict, &slot)
    }

    /// Shows the core the element in `slot`, and takes it out of there if the core took it over.
    @inlinable
    func offer(
        _ slot: inout Element?, times: WaitTimes?, defers: Bool = false
    ) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress, let element = slot.take() else {
                preconditionFailure("no element to send")
            }
            let place = start.bindMemory(to: Element.self, capacity: 1)
            place.initialize(to: element)
            let result = core.send(from: start, times: times, defers: defers)
            switch result.0 {
            case .done, .doneYieldDue, .registered, .registeredPending: break
            case .dropped: core.discard(start, .full)
            case .wouldWait, .timedOut, .finished, .abandoned: slot = place.move()
            }
            return result
        }
    }

    @inlinable
    func answer(_ outcome: ChannelOutcome, _ slot: inout Element?, refusal: Rejection) -> SendResult<Element> {
        switch outcome {
        case .done, .doneYieldDue, .registered, .registeredPending: return .sent
        case .dropped: return .dropped
        case .wouldWait:
            core.noteRefusal()
            return returned(&slot, refusal)
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
        .returned(rejected(&slot, reason))
    }

    @inlinable
    func rejected(_ slot: inout Element?, _ reason: Rejection) -> Rejected<Element> {
        guard let element = slot.take() else { preconditionFailure("an element was lost on its way back") }
        return Rejected(element: element, reason: reason)
    }
}

// MARK: - Throwing twins

extension BoundedChannel where Element: Sendable {
    /// As ``send(_:)``, throwing the element back when it was not sent.
    ///
    /// - Parameter element: The element.
    /// - Throws: ``SendError`` with the element and the reason. An element dropped by the policy is no error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func sendOrThrow(_ element: Element) async throws(SendError<Element>) {
        try await send(element).get()
    }

    /// As ``send(_:timeout:)``, throwing the element back when it was not sent.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - timeout: The longest wait, on the channel's clock.
    /// - Throws: ``SendError`` with the element and the reason. An element dropped by the policy is no error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func sendOrThrow(
        _ element: Element, timeout: Duration
    ) async throws(SendError<Element>) {
        try await send(element, timeout: timeout).get()
    }
}
