// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// `for await` over a rendezvous.

extension RendezvousChannel: AsyncSequence where Element: Copyable {
    /// Receives the channel's elements one by one; several iterators share them.
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let channel: RendezvousChannel

        @inlinable
        init(channel: RendezvousChannel) { self.channel = channel }

        /// The next element, waiting for a sender.
        ///
        /// It never hops off the caller's actor.
        ///
        /// - Parameter actor: The caller's isolation.
        /// - Returns: The element; nil at the end, or when the task was cancelled while it waited. A loop over a
        ///   channel therefore ends on cancellation; use ``RendezvousChannel/receive()`` to tell the two apart.
        /// - Throws: The error the channel was finished with.
        @inlinable @inline(__always)
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(Failure) -> Element? {
            try await channel.nextElement()
        }

        /// The next element, waiting for a sender: as ``next(isolation:)``.
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

    @inlinable
    @inline(never)
    nonisolated(nonsending) func nextElement() async throws(Failure) -> Element? {
        do throws(ReceiveError<Failure>) {
            return try await receive(limit: .none)
        } catch {
            switch error {
            case .failed(let failure): throw failure
            case .rejected: return nil
            }
        }
    }
}
