// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Receiving. The inlinable part is the claim in the ring; everything else is one call away and never inlined.

extension BoundedChannel where Element: ~Copyable {
    /// Receives the oldest element, waiting while there is none.
    ///
    /// Cancelling the task ends the wait, unless an element was granted first: then that element is returned. Now and
    /// then a task that never has to wait yields.
    ///
    /// - Returns: The element, or nil once the channel was finished and all elements have been received.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/cancelled``; ``ReceiveError/failed(_:)`` in place of
    ///   the end when the channel was finished with an error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive() async throws(ReceiveError<Failure>) -> sending Element? {
        switch ring.claimForReceive(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            nonisolated(unsafe) let element = take(from: slot, stamp: stamp)
            return element
        case .empty, .finished, .locked:
            return try await receiveSlow(limit: .none)
        }
    }

    /// Receives the oldest element, waiting no longer than `timeout`.
    ///
    /// As ``receive()``; a timeout of zero or less never waits. The clock is read only if the task has to wait.
    ///
    /// - Parameter timeout: The longest wait, on the channel's clock.
    /// - Returns: The element, or nil once the channel was finished and all elements have been received.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/timedOut`` or ``Rejection/cancelled``;
    ///   ``ReceiveError/failed(_:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive(
        timeout: Duration
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        switch ring.claimForReceive(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            nonisolated(unsafe) let element = take(from: slot, stamp: stamp)
            return element
        case .empty, .finished, .locked:
            return try await receiveSlow(limit: .timeout(timeout))
        }
    }

    /// Receives the oldest element, waiting no longer than until `deadline`.
    ///
    /// - Parameter deadline: An instant of the channel's clock.
    /// - Returns: The element, or nil once the channel was finished and all elements have been received.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/timedOut`` or ``Rejection/cancelled``;
    ///   ``ReceiveError/failed(_:)``.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive(
        deadline: some InstantProtocol<Duration>
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        switch ring.claimForReceive(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            nonisolated(unsafe) let element = take(from: slot, stamp: stamp)
            return element
        case .empty, .finished, .locked:
            return try await receiveSlow(limit: core.waitLimit(until: deadline))
        }
    }

    /// Receives the oldest element if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere.
    ///
    /// `.finished` is exact. `.empty` may also be answered while another task is in the middle of sending: that its
    /// `trySend` of an element returned somewhere is no proof that a `tryReceive` finds it, if another send began
    /// earlier and is not done. Under
    /// ``Fairness/eventual(bypass:)`` the element of a task that still waits to send counts as not yet sent while the
    /// task served before it is on its way to a thread. So never write a drain loop that takes `.empty` for the end.
    ///
    /// - Returns: The element, `.empty` or `.finished`.
    /// - Throws: The error the channel was finished with, in place of `.finished`.
    @inlinable @inline(__always)
    public func tryReceive() throws(Failure) -> TryReceiveResult<Element> {
        switch ring.claimForReceive(stride: SlotLayout(of: Element.self).stride) {
        case .claimed(let slot, let stamp):
            return .received(take(from: slot, stamp: stamp))
        case .empty:
            return .empty
        case .finished, .locked:
            return try tryReceiveSlow()
        }
    }

    // MARK: The rest of the way

    @inlinable @inline(__always)
    func take(from slot: UnsafeMutableRawPointer, stamp: UInt64) -> Element {
        let place = slot + SlotLayout(of: Element.self).elementOffset
        PlainAccess.read(place)
        let element = place.assumingMemoryBound(to: Element.self).move()
        AtomicWord(at: slot).storeReleasing(stamp)
        return element
    }

    @inlinable
    @inline(never)
    func tryReceiveSlow() throws(Failure) -> TryReceiveResult<Element> {
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

    @inlinable
    @inline(never)
    nonisolated(nonsending) func receiveSlow(
        limit: WaitLimit
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        if core.lookForElement(),
            case .claimed(let slot, let stamp) = ring.claimForReceive(stride: SlotLayout(of: Element.self).stride)
        {
            nonisolated(unsafe) let element = take(from: slot, stamp: stamp)
            return element
        }
        nonisolated(unsafe) var slot: Element?
        let times = core.waitTimes(limit)
        var (outcome, waiter) = poll(&slot, times: times, defers: true)
        if outcome == .wouldWait {
            await Task.yield()
            (outcome, waiter) = poll(&slot, times: times)
        }
        if outcome == .doneYieldDue { await Task.yield() }
        guard let waiter else {
            if outcome == .timedOut { throw .rejected(.timedOut) }
            if outcome == .done || outcome == .doneYieldDue { return slot }
            if let failure = core.failure as? Failure { throw .failed(failure) }
            return nil
        }
        await core.wait(waiter, isSender: false, polling: outcome == .registeredPending)
        let verdict = waiter.verdict
        if verdict == .granted {
            slot = core.payload(of: waiter).assumingMemoryBound(to: Element.self).move()
        }
        core.release(waiter)
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
        _ slot: inout Element?, times: WaitTimes?, defers: Bool = false
    ) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            let result = core.receive(into: start, times: times, defers: defers)
            if result.0 == .done || result.0 == .doneYieldDue {
                slot = start.bindMemory(to: Element.self, capacity: 1).move()
            }
            return result
        }
    }
}
