// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Operators that let some elements fall: for each one they ask upstream for another, so that downstream's demand is met.

extension Flow.Publisher {
    /// Publishes the elements that `isIncluded` accepts.
    ///
    /// For each element that it does not accept, one more is requested from upstream.
    ///
    /// ```
    /// upstream   --1---2---3---4--|
    /// output     ------2-------4--|      filter { $0.isMultiple(of: 2) }
    /// ```
    ///
    /// - Parameter isIncluded: Whether an element goes on.
    /// - Returns: A publisher of those elements.
    @inlinable
    public func filter(_ isIncluded: @escaping @Sendable (Output) -> Bool) -> Flow.Filter<Self> {
        Flow.Filter(self, isIncluded)
    }

    /// Publishes what `transform` makes of each element, without the nils.
    ///
    /// For each nil, one more element is requested from upstream.
    ///
    /// ```
    /// upstream   --1---x---3--|
    /// output     --1-------3--|          compactMap { Int($0) }
    /// ```
    ///
    /// - Parameter transform: Makes an output of an element, or nil to drop it.
    /// - Returns: A publisher of the results.
    @inlinable
    public func compactMap<Result>(
        _ transform: @escaping @Sendable (Output) -> Result?
    ) -> Flow.CompactMap<Self, Result> {
        Flow.CompactMap(self, transform)
    }
}

extension Flow {
    /// The publisher that `filter` makes.
    public struct Filter<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let isIncluded: @Sendable (Output) -> Bool

        @inlinable
        init(_ upstream: Upstream, _ isIncluded: @escaping @Sendable (Output) -> Bool) {
            self.upstream = upstream
            self.isIncluded = isIncluded
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let isIncluded = isIncluded
            upstream.subscribe(CompactMapSubscriber(subscriber) { isIncluded($0) ? $0 : nil })
        }
    }

    /// The publisher that `compactMap` makes.
    public struct CompactMap<Upstream: Publisher, Output>: Publisher {
        @usableFromInline let upstream: Upstream
        @usableFromInline let transform: @Sendable (Upstream.Output) -> Output?

        @inlinable
        init(_ upstream: Upstream, _ transform: @escaping @Sendable (Upstream.Output) -> Output?) {
            self.upstream = upstream
            self.transform = transform
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(CompactMapSubscriber(subscriber, transform))
        }
    }
}

@frozen
@usableFromInline
struct CompactMapSubscriber<Input, Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline var downstream: Downstream
    @usableFromInline let transform: @Sendable (Input) -> Downstream.Input?
    /// Nil after the end.
    @usableFromInline var upstream: (any Flow.Subscription)?

    @inlinable
    init(_ downstream: Downstream, _ transform: @escaping @Sendable (Input) -> Downstream.Input?) {
        self.downstream = downstream
        self.transform = transform
    }

    @inlinable
    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        guard upstream == nil else { return subscription.cancel() }
        upstream = subscription
        downstream.onSubscribe(subscription)
    }

    @inlinable @inline(__always)
    mutating func onNext(_ element: Input) {
        if let output = transform(element) { downstream.onNext(output) } else { upstream?.request(1) }
    }

    @inlinable
    mutating func onError(_ error: any Error) {
        upstream = nil
        downstream.onError(error)
    }

    @inlinable
    mutating func onComplete() {
        upstream = nil
        downstream.onComplete()
    }
}
