// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// `for await` over a publisher: a subscriber that fills a channel, and an iterator that empties it and asks for more.

extension Flow.Publisher where Output: Sendable {
    /// The elements as an asynchronous sequence, of which `prefetch` are asked for ahead.
    ///
    /// Each iterator subscribes when it is made, and asks for three quarters of `prefetch` whenever that many have been taken.
    /// When the loop is left, in whatever way, the iterator goes away and the subscription is cancelled; what was
    /// prefetched is dropped. A cancelled task ends the loop. An error of the publisher is thrown after the elements before
    /// it.
    ///
    /// ```swift
    /// var sum = 0
    /// for try await number in Flow.range(0..<1_000).values(prefetch: 16) {
    ///     sum += number
    ///     if number == 4 { break }  // the publisher is cancelled
    /// }
    /// print(sum)  // 10
    /// ```
    ///
    /// - Parameter prefetch: How many elements are asked for and held at most, at least 1.
    /// - Returns: A sequence; each loop over it is a subscription.
    /// - Precondition: `prefetch >= 1`.
    @inlinable
    public func values(prefetch: Int = 16) -> Flow.Values<Self> { Flow.Values(self, prefetch) }
}

extension Flow {
    /// The asynchronous sequence of a publisher's elements.
    public struct Values<Upstream: Publisher>: AsyncSequence where Upstream.Output: Sendable {
        /// Upstream's elements.
        public typealias Element = Upstream.Output
        /// Upstream's error.
        public typealias Failure = any Error

        @usableFromInline let upstream: Upstream
        @usableFromInline let prefetch: Int

        @inlinable
        init(_ upstream: Upstream, _ prefetch: Int) {
            precondition(prefetch >= 1, "a prefetch of \(prefetch) elements")
            self.upstream = upstream
            self.prefetch = prefetch
        }

        /// Subscribes to the publisher.
        ///
        /// - Returns: An iterator; when its last copy goes away, the subscription is cancelled.
        @inlinable
        public func makeAsyncIterator() -> AsyncIterator {
            let inbox = ValuesInbox<Element>(prefetch: prefetch)
            upstream.subscribe(ValuesSubscriber(inbox))
            return AsyncIterator(inbox)
        }

        /// Takes what the publisher sends.
        public struct AsyncIterator: AsyncIteratorProtocol {
            @usableFromInline let handle: ValuesHandle<Element>

            @inlinable
            init(_ inbox: ValuesInbox<Element>) { handle = ValuesHandle(inbox) }

            /// The next element, waiting while there is none.
            ///
            /// - Parameter actor: The caller's isolation.
            /// - Returns: The element; nil at the end or when the task was cancelled while it waited.
            /// - Throws: The publisher's error.
            @inlinable
            public mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Element? {
                guard let element = try await handle.inbox.channel.nextSlowOrFast() else {
                    handle.inbox.close()
                    return nil
                }
                handle.inbox.tookOne()
                return element
            }

            /// The next element: as ``next(isolation:)``.
            ///
            /// - Returns: The element; nil at the end or on cancellation.
            /// - Throws: The publisher's error.
            @inlinable
            public mutating func next() async throws(any Error) -> Element? { try await next(isolation: #isolation) }
        }
    }
}

extension BoundedChannel where Element: Copyable {
    @inlinable @inline(__always)
    nonisolated(nonsending) func nextSlowOrFast() async throws(Failure) -> Element? {
        if case .claimed(let slot, let stamp) = ring.claimForReceive(stride: SlotLayout(of: Element.self).stride) {
            return take(from: slot, stamp: stamp)
        }
        return try await nextSlow()
    }
}

/// Goes away with the loop.
@usableFromInline
final class ValuesHandle<Element: Sendable>: Sendable {
    @usableFromInline let inbox: ValuesInbox<Element>

    @inlinable
    init(_ inbox: ValuesInbox<Element>) { self.inbox = inbox }

    @inlinable
    deinit { inbox.close() }
}

/// What the subscriber and the iterator share.
@usableFromInline
final class ValuesInbox<Element: Sendable>: @unchecked Sendable {
    @usableFromInline let channel: BoundedChannel<Element, any Error>
    private let prefetch: Int
    private let batch: Int
    private let upstream = LockedState<Upstream>(.none)
    /// Taken since the last request; the iterator's.
    private var taken = 0

    private enum Upstream: Sendable {
        case none
        case subscribed(any Flow.Subscription)
        case closed
    }

    @usableFromInline
    init(prefetch: Int) {
        self.prefetch = prefetch
        batch = max(1, prefetch - prefetch / 4)
        channel = BoundedChannel(capacity: prefetch, overflow: .reject)
    }

    @usableFromInline
    func connect(_ subscription: any Flow.Subscription) {
        let isAccepted = upstream.withLock { upstream in
            guard case .none = upstream else { return false }
            upstream = .subscribed(subscription)
            return true
        }
        if isAccepted { subscription.request(Demand(prefetch)) } else { subscription.cancel() }
    }

    @usableFromInline
    func tookOne() {
        taken += 1
        guard taken == batch else { return }
        taken = 0
        if case .subscribed(let subscription) = upstream.withLock({ $0 }) { subscription.request(Demand(batch)) }
    }

    /// An upstream that sends more than it was asked for is cut off.
    @usableFromInline
    func receive(_ element: Element) {
        if channel.trySend(element).reason == .full {
            channel.finish(throwing: Rejection.full)
            disconnect()?.cancel()
        }
    }

    @usableFromInline
    func end(_ error: (any Error)?) {
        _ = disconnect()
        if let error { channel.finish(throwing: error) } else { channel.finish() }
    }

    /// Nobody will take anything any more.
    @usableFromInline
    func close() {
        disconnect()?.cancel()
        channel.cancel()
    }

    private func disconnect() -> (any Flow.Subscription)? {
        upstream.withLock { upstream in
            let old = upstream
            upstream = .closed
            if case .subscribed(let subscription) = old { return subscription }
            return nil
        }
    }
}

@frozen
@usableFromInline
struct ValuesSubscriber<Element: Sendable>: Flow.Subscriber {
    @usableFromInline let inbox: ValuesInbox<Element>

    @inlinable
    init(_ inbox: ValuesInbox<Element>) { self.inbox = inbox }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) { inbox.connect(subscription) }

    @inlinable
    func onNext(_ element: Element) { inbox.receive(element) }

    @inlinable
    func onError(_ error: any Error) { inbox.end(error) }

    @inlinable
    func onComplete() { inbox.end(nil) }
}
