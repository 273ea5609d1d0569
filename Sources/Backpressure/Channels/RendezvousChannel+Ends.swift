// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Ends of a rendezvous that close it when the last of their kind is gone; as those of `BoundedChannel`, whose counts
// (`ChannelEnds`) they share.

extension RendezvousChannel where Element: ~Copyable {
    /// A producing end: as long as one is alive the channel stays open; when the last goes, the channel finishes.
    ///
    /// Hand references to one end around, or make an end for each producer: both count. A channel that never had a
    /// `Sender` is closed only by hand.
    public final class Sender: Sendable {
        /// The channel it sends to.
        public let channel: RendezvousChannel

        init(_ channel: RendezvousChannel) {
            self.channel = channel
            channel.ends.addSender()
        }

        deinit {
            if channel.ends.removeSender() { channel.finish() }
        }

        /// Sends `element`: see ``RendezvousChannel/send(_:)``.
        ///
        /// - Parameter element: The element; the caller gives it away.
        /// - Returns: `.sent`, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func send(_ element: consuming sending Element) async -> SendResult<Element> {
            await channel.send(element)
        }

        /// Sends `element`, waiting no longer than `timeout`: see ``RendezvousChannel/send(_:timeout:)``.
        ///
        /// - Parameters:
        ///   - element: The element; the caller gives it away.
        ///   - timeout: The longest wait, on the channel's clock.
        /// - Returns: `.sent`, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func send(
            _ element: consuming sending Element, timeout: Duration
        ) async -> SendResult<Element> {
            await channel.send(element, timeout: timeout)
        }

        /// Sends `element` if that takes no waiting: see ``RendezvousChannel/trySend(_:)``.
        ///
        /// - Parameter element: The element; the caller gives it away.
        /// - Returns: `.sent`, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public func trySend(_ element: consuming sending Element) -> SendResult<Element> {
            channel.trySend(element)
        }
    }

    /// A consuming end: when the last goes, the channel is cancelled, and waiting senders get their elements back.
    public final class Receiver: Sendable {
        /// The channel it receives from.
        public let channel: RendezvousChannel

        init(_ channel: RendezvousChannel) {
            self.channel = channel
            channel.ends.addReceiver()
        }

        deinit {
            if channel.ends.removeReceiver() { channel.cancel() }
        }

        /// Receives the oldest element: see ``RendezvousChannel/receive()``.
        ///
        /// - Returns: The element, or nil at the end.
        /// - Throws: ``ReceiveError``.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func receive() async throws(ReceiveError<Failure>) -> sending Element? {
            try await channel.receive()
        }

        /// Receives the oldest element, waiting no longer than `timeout`: see ``RendezvousChannel/receive(timeout:)``.
        ///
        /// - Parameter timeout: The longest wait, on the channel's clock.
        /// - Returns: The element, or nil at the end.
        /// - Throws: ``ReceiveError``.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func receive(
            timeout: Duration
        ) async throws(ReceiveError<Failure>) -> sending Element? {
            try await channel.receive(timeout: timeout)
        }

        /// Receives the oldest element if that takes no waiting: see ``RendezvousChannel/tryReceive()``.
        ///
        /// - Returns: The element, `.empty` or `.finished`.
        /// - Throws: The error the channel was finished with, in place of `.finished`.
        @inlinable @inline(__always)
        public func tryReceive() throws(Failure) -> TryReceiveResult<Element> { try channel.tryReceive() }
    }

    /// A new producing end of this channel.
    ///
    /// Once all producing ends are gone the channel finishes.
    ///
    /// - Returns: An end that counts.
    public func makeSender() -> Sender { Sender(self) }

    /// A new consuming end of this channel.
    ///
    /// Once all consuming ends are gone the channel is cancelled.
    ///
    /// - Returns: An end that counts.
    public func makeReceiver() -> Receiver { Receiver(self) }

    /// How many producing ends are alive.
    public var senderCount: Int { ends.senders }

    /// How many consuming ends are alive.
    public var receiverCount: Int { ends.receivers }
}

extension RendezvousChannel.Receiver: AsyncSequence where Element: Copyable {
    /// Receives elements one by one and keeps its end alive.
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let receiver: RendezvousChannel.Receiver
        @usableFromInline var base: RendezvousChannel.AsyncIterator

        @inlinable
        init(receiver: RendezvousChannel.Receiver) {
            self.receiver = receiver
            base = receiver.channel.makeAsyncIterator()
        }

        /// The next element: see ``RendezvousChannel/AsyncIterator/next(isolation:)``.
        ///
        /// - Parameter actor: The caller's isolation.
        /// - Returns: The element; nil at the end or on cancellation.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(Failure) -> Element? {
            try await base.next(isolation: actor)
        }

        /// The next element: see ``RendezvousChannel/AsyncIterator/next(isolation:)``.
        ///
        /// - Returns: The element; nil at the end or on cancellation.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next() async throws(Failure) -> Element? {
            try await base.next(isolation: #isolation)
        }
    }

    /// An iterator that keeps this end alive.
    ///
    /// - Returns: An iterator over the elements that this loop receives.
    @inlinable
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(receiver: self) }
}
