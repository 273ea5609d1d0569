// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Ends of a channel that close it when the last of their kind is gone.
//
// ## Invariants
// I1  The channel holds no end; an end holds the channel. A parked task holds the channel, and an end only if the
//     caller does.
// I2  The count of a side is changed by `init` and `deinit` of its ends alone; the step to zero closes, once.

/// How many ends of each side are alive.
final class ChannelEnds: Sendable {
    private struct Counts: Sendable {
        var senders = 0
        var receivers = 0
    }

    private let counts = LockedState(Counts())

    var senders: Int { counts.withLock { $0.senders } }
    var receivers: Int { counts.withLock { $0.receivers } }

    func addSender() { counts.withLock { $0.senders += 1 } }
    func addReceiver() { counts.withLock { $0.receivers += 1 } }

    /// Whether that was the last.
    func removeSender() -> Bool {
        counts.withLock {
            $0.senders -= 1
            return $0.senders == 0
        }
    }

    /// Whether that was the last.
    func removeReceiver() -> Bool {
        counts.withLock {
            $0.receivers -= 1
            return $0.receivers == 0
        }
    }
}

extension BoundedChannel where Element: ~Copyable {
    /// A producing end: as long as one is alive the channel stays open; when the last goes, the channel finishes.
    ///
    /// Hand references to one end around, or make an end for each producer: both count. A channel that never had a
    /// `Sender` is closed only by hand.
    public final class Sender: Sendable {
        /// The channel it sends to.
        public let channel: BoundedChannel

        init(_ channel: BoundedChannel) {
            self.channel = channel
            channel.ends.addSender()
        }

        deinit {
            if channel.ends.removeSender() { channel.finish() }
        }

        /// Sends `element`: see ``BoundedChannel/send(_:)``.
        ///
        /// - Parameter element: The element; the caller gives it away.
        /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func send(_ element: consuming sending Element) async -> SendResult<Element> {
            await channel.send(element)
        }

        /// Sends `element`, waiting no longer than `timeout`: see ``BoundedChannel/send(_:timeout:)``.
        ///
        /// - Parameters:
        ///   - element: The element; the caller gives it away.
        ///   - timeout: The longest wait, on the channel's clock.
        /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func send(
            _ element: consuming sending Element, timeout: Duration
        ) async -> SendResult<Element> {
            await channel.send(element, timeout: timeout)
        }

        /// Sends `element` if that takes no waiting: see ``BoundedChannel/trySend(_:)``.
        ///
        /// - Parameter element: The element; the caller gives it away.
        /// - Returns: `.sent`, `.dropped` by the policy, or `.returned` with the element and the reason.
        @inlinable @inline(__always)
        public func trySend(_ element: consuming sending Element) -> SendResult<Element> {
            channel.trySend(element)
        }
    }

    /// A consuming end: when the last goes, the channel is cancelled, and waiting senders get their elements back.
    public final class Receiver: Sendable {
        /// The channel it receives from.
        public let channel: BoundedChannel

        init(_ channel: BoundedChannel) {
            self.channel = channel
            channel.ends.addReceiver()
        }

        deinit {
            if channel.ends.removeReceiver() { channel.cancel() }
        }

        /// Receives the oldest element: see ``BoundedChannel/receive()``.
        ///
        /// - Returns: The element, or nil at the end.
        /// - Throws: ``ReceiveError``.
        @inlinable @inline(__always)
        public nonisolated(nonsending) func receive() async throws(ReceiveError<Failure>) -> sending Element? {
            try await channel.receive()
        }

        /// Receives the oldest element, waiting no longer than `timeout`: see ``BoundedChannel/receive(timeout:)``.
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

        /// Receives the oldest element if that takes no waiting: see ``BoundedChannel/tryReceive()``.
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

extension BoundedChannel.Receiver: AsyncSequence where Element: Copyable {
    /// Receives elements one by one and keeps its end alive.
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let receiver: BoundedChannel.Receiver
        @usableFromInline var base: BoundedChannel.AsyncIterator

        @inlinable
        init(receiver: BoundedChannel.Receiver) {
            self.receiver = receiver
            base = receiver.channel.makeAsyncIterator()
        }

        /// The next element: see ``BoundedChannel/AsyncIterator/next(isolation:)``.
        ///
        /// - Parameter actor: The caller's isolation.
        /// - Returns: The element; nil at the end or on cancellation.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(Failure) -> Element? {
            try await base.next(isolation: actor)
        }

        /// The next element: see ``BoundedChannel/AsyncIterator/next(isolation:)``.
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
