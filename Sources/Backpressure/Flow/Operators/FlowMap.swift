// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Operators that change an element and nothing else: the demand goes straight to upstream, whose subscription downstream
// holds. No object of their own, no atomic.

extension Flow.Publisher {
    /// Publishes what `transform` makes of each element.
    ///
    /// Demand passes through unchanged, and downstream's cancellation reaches upstream directly.
    ///
    /// ```
    /// upstream   --1---2---3--|
    /// output     --A---B---C--|          map { letter($0) }
    /// ```
    ///
    /// - Parameter transform: Makes an output of an element; it runs where the element is sent.
    /// - Returns: A publisher of the results.
    @inlinable
    public func map<Result>(_ transform: @escaping @Sendable (Output) -> Result) -> Flow.Map<Self, Result> {
        Flow.Map(self, transform)
    }

    /// Publishes what `transform` makes of each element; what it throws ends the stream.
    ///
    /// Demand passes through unchanged. When `transform` throws, upstream is cancelled and downstream gets the error.
    ///
    /// ```
    /// upstream   --1---2---3--|
    /// output     --A---X                 tryMap throws at 2
    /// ```
    ///
    /// - Parameter transform: Makes an output of an element, or throws.
    /// - Returns: A publisher of the results.
    @inlinable
    public func tryMap<Result>(
        _ transform: @escaping @Sendable (Output) throws -> Result
    ) -> Flow.TryMap<Self, Result> {
        Flow.TryMap(self, transform)
    }
}

extension Flow {
    /// The publisher that `map` makes.
    public struct Map<Upstream: Publisher, Output>: Publisher {
        @usableFromInline let upstream: Upstream
        @usableFromInline let transform: @Sendable (Upstream.Output) -> Output

        @inlinable
        init(_ upstream: Upstream, _ transform: @escaping @Sendable (Upstream.Output) -> Output) {
            self.upstream = upstream
            self.transform = transform
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(MapSubscriber(subscriber, transform))
        }
    }

    /// The publisher that `tryMap` makes.
    public struct TryMap<Upstream: Publisher, Output>: Publisher {
        @usableFromInline let upstream: Upstream
        @usableFromInline let transform: @Sendable (Upstream.Output) throws -> Output

        @inlinable
        init(_ upstream: Upstream, _ transform: @escaping @Sendable (Upstream.Output) throws -> Output) {
            self.upstream = upstream
            self.transform = transform
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(TryMapSubscriber(subscriber, transform))
        }
    }
}

@frozen
@usableFromInline
struct MapSubscriber<Input, Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline var downstream: Downstream
    @usableFromInline let transform: @Sendable (Input) -> Downstream.Input

    @inlinable
    init(_ downstream: Downstream, _ transform: @escaping @Sendable (Input) -> Downstream.Input) {
        self.downstream = downstream
        self.transform = transform
    }

    @inlinable
    mutating func onSubscribe(_ subscription: any Flow.Subscription) { downstream.onSubscribe(subscription) }

    @inlinable @inline(__always)
    mutating func onNext(_ element: Input) { downstream.onNext(transform(element)) }

    @inlinable
    mutating func onError(_ error: any Error) { downstream.onError(error) }

    @inlinable
    mutating func onComplete() { downstream.onComplete() }
}

@frozen
@usableFromInline
struct TryMapSubscriber<Input, Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline var downstream: Downstream
    @usableFromInline let transform: @Sendable (Input) throws -> Downstream.Input
    /// Nil after the end.
    @usableFromInline var upstream: (any Flow.Subscription)?

    @inlinable
    init(_ downstream: Downstream, _ transform: @escaping @Sendable (Input) throws -> Downstream.Input) {
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
        guard let upstream else { return }
        do {
            let output = try transform(element)
            downstream.onNext(output)
        } catch {
            self.upstream = nil
            upstream.cancel()
            downstream.onError(error)
        }
    }

    @inlinable
    mutating func onError(_ error: any Error) {
        guard upstream.take() != nil else { return }
        downstream.onError(error)
    }

    @inlinable
    mutating func onComplete() {
        guard upstream.take() != nil else { return }
        downstream.onComplete()
    }
}
