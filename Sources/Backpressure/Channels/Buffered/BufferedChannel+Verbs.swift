// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The verbs of a buffered channel. All of them are `BufferDoor`'s.

extension BufferedChannel where Element: ~Copyable {
    /// Sends `element`, waiting for room as the overflow policy says.
    ///
    /// Under a policy that suspends, the task waits while the channel is full; under the others it never waits.
    /// Cancelling the task ends the wait and brings the element back with ``Rejection/cancelled``, unless it was taken
    /// over first: then it is sent. Now and then a task that never has to wait yields.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - ttl: How long it is of use, from now; nil is what the channel says. Zero or less is over already: the element
    ///     comes back with ``Rejection/expired``.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, ttl: Duration? = nil
    ) async -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        return await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .none)
    }

    /// Sends `element`, waiting for room no longer than `timeout`.
    ///
    /// As ``send(_:ttl:)``; when the time is up first, the element comes back with ``Rejection/timedOut``. A timeout of
    /// zero or less never waits.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - ttl: How long it is of use, from now; nil is what the channel says.
    ///   - timeout: The longest wait, on the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, ttl: Duration? = nil, timeout: Duration
    ) async -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        return await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .timeout(timeout))
    }

    /// Sends `element`, waiting for room no longer than until `deadline`.
    ///
    /// As ``send(_:ttl:)``; when the deadline passes first, the element comes back with ``Rejection/timedOut``.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - ttl: How long it is of use, from now; nil is what the channel says.
    ///   - deadline: An instant of the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, ttl: Duration? = nil, deadline: some InstantProtocol<Duration>
    ) async -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        let limit = door.core.waitLimit(until: deadline)
        return await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: limit)
    }

    /// Sends `element`, which is of use until `expiry`, waiting for room as the overflow policy says.
    ///
    /// For work that has a deadline of its own, which it keeps wherever it is queued. As ``send(_:ttl:)``.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - expiry: An instant of the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    /// - Precondition: `expiry` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func send(
        _ element: consuming sending Element, expiresAt expiry: some InstantProtocol<Duration>
    ) async -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        let life = door.core.waitLimit(until: expiry)
        return await door.sendSlow(element, lane: lane, cost: cost, life: life, limit: .none)
    }

    /// Sends `element` if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere. The answer "full" is exact.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - ttl: How long it is of use, from now; nil is what the channel says.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and ``Rejection/full``,
    ///   ``Rejection/expired``, ``Rejection/exceedsLimit``, ``Rejection/finished`` or ``Rejection/abandoned``.
    @inlinable @inline(__always)
    public func trySend(_ element: consuming sending Element, ttl: Duration? = nil) -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        return door.trySend(element, lane: lane, cost: cost, ttl: ttl)
    }

    /// Sends `element`, which is of use until `expiry`, if that takes no waiting: as ``trySend(_:ttl:)``.
    ///
    /// - Parameters:
    ///   - element: The element; the caller gives it away.
    ///   - expiry: An instant of the channel's clock.
    /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
    /// - Precondition: `expiry` is an instant of the type of the channel's clock.
    @inlinable @inline(__always)
    public func trySend(
        _ element: consuming sending Element, expiresAt expiry: some InstantProtocol<Duration>
    ) -> SendResult<Element> {
        let (lane, cost) = (lane(of: element), door.cost(of: element))
        return door.trySendSlow(element, lane: lane, cost: cost, life: door.core.waitLimit(until: expiry))
    }

    // MARK: Receiving

    /// Receives the next element, waiting while there is none.
    ///
    /// Cancelling the task ends the wait, unless an element was granted first: then that element is returned. Now and
    /// then a task that never has to wait yields.
    ///
    /// - Returns: The element, or nil once the channel was finished and all elements have been received.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/cancelled``; ``ReceiveError/failed(_:)`` in place of
    ///   the end when the channel was finished with an error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive() async throws(ReceiveError<Failure>) -> sending Element? {
        try await door.receive(limit: .none)
    }

    /// Receives the next element, waiting no longer than `timeout`.
    ///
    /// As ``receive()``; a timeout of zero or less never waits.
    ///
    /// - Parameter timeout: The longest wait, on the channel's clock.
    /// - Returns: The element, or nil once the channel was finished and all elements have been received.
    /// - Throws: ``ReceiveError/rejected(_:)`` with ``Rejection/timedOut`` or ``Rejection/cancelled``;
    ///   ``ReceiveError/failed(_:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func receive(
        timeout: Duration
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        try await door.receive(limit: .timeout(timeout))
    }

    /// Receives the next element, waiting no longer than until `deadline`.
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
        try await door.receive(limit: door.core.waitLimit(until: deadline))
    }

    /// Receives the next element if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere. Both `.empty` and `.finished` are exact.
    ///
    /// - Returns: The element, `.empty` or `.finished`.
    /// - Throws: The error the channel was finished with, in place of `.finished`.
    @inlinable @inline(__always)
    public func tryReceive() throws(Failure) -> TryReceiveResult<Element> { try door.tryReceive() }
}

extension BufferedChannel where Element: Sendable {
    /// As ``send(_:ttl:)``, throwing the element back when it was not sent.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - ttl: How long it is of use, from now; nil is what the channel says.
    /// - Throws: ``SendError`` with the element and the reason. An element dropped by the policy is no error.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func sendOrThrow(
        _ element: Element, ttl: Duration? = nil
    ) async throws(SendError<Element>) {
        try await send(element, ttl: ttl).get()
    }
}

// MARK: - A loop

extension BufferedChannel: AsyncSequence where Element: Copyable {
    /// Receives the channel's elements one by one; several iterators share them.
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let channel: BufferedChannel

        @inlinable
        init(channel: BufferedChannel) { self.channel = channel }

        /// The next element, waiting while there is none.
        ///
        /// It never hops off the caller's actor.
        ///
        /// - Parameter actor: The caller's isolation.
        /// - Returns: The element; nil at the end, or when the task was cancelled while it waited. Use
        ///   ``BufferedChannel/receive()`` to tell the two apart.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(Failure) -> Element? {
            var slot: Element?
            if channel.door.leave(&slot) { return slot }
            return try await channel.door.nextSlow()
        }

        /// The next element, waiting while there is none: as ``next(isolation:)``.
        ///
        /// - Returns: The element; nil at the end or on cancellation.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next() async throws(Failure) -> Element? {
            try await next(isolation: #isolation)
        }
    }

    /// An iterator over the elements that this loop receives; other receivers get others.
    ///
    /// - Returns: An iterator. Dropping it neither ends the channel nor loses an element.
    @inlinable
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(channel: self) }
}
