// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Folding, with every intermediate result published.

extension Flow.Publisher {
    /// Publishes, for each element, what all elements so far come to.
    ///
    /// Demand passes through unchanged. Each subscriber starts from `initial`.
    ///
    /// ```
    /// upstream   --1---2---3--|
    /// output     --1---3---6--|          scan(0, +)
    /// ```
    ///
    /// - Parameters:
    ///   - initial: What nothing comes to; it is not published.
    ///   - combine: What the result so far and an element come to.
    /// - Returns: A publisher of the results.
    @inlinable
    public func scan<Result: Sendable>(
        _ initial: Result, _ combine: @escaping @Sendable (Result, Output) -> Result
    ) -> Flow.Scan<Self, Result> {
        Flow.Scan(self, initial, combine)
    }
}

extension Flow {
    /// The publisher that `scan` makes.
    public struct Scan<Upstream: Publisher, Output: Sendable>: Publisher {
        @usableFromInline let upstream: Upstream
        @usableFromInline let initial: Output
        @usableFromInline let combine: @Sendable (Output, Upstream.Output) -> Output

        @inlinable
        init(
            _ upstream: Upstream, _ initial: Output, _ combine: @escaping @Sendable (Output, Upstream.Output) -> Output
        ) {
            self.upstream = upstream
            self.initial = initial
            self.combine = combine
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(ScanSubscriber(subscriber, initial, combine))
        }
    }
}

@frozen
@usableFromInline
struct ScanSubscriber<Input, Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline var downstream: Downstream
    @usableFromInline var result: Downstream.Input
    @usableFromInline let combine: @Sendable (Downstream.Input, Input) -> Downstream.Input

    @inlinable
    init(
        _ downstream: Downstream, _ initial: Downstream.Input,
        _ combine: @escaping @Sendable (Downstream.Input, Input) -> Downstream.Input
    ) {
        self.downstream = downstream
        result = initial
        self.combine = combine
    }

    @inlinable
    mutating func onSubscribe(_ subscription: any Flow.Subscription) { downstream.onSubscribe(subscription) }

    @inlinable @inline(__always)
    mutating func onNext(_ element: Input) {
        result = combine(result, element)
        downstream.onNext(result)
    }

    @inlinable
    mutating func onError(_ error: any Error) { downstream.onError(error) }

    @inlinable
    mutating func onComplete() { downstream.onComplete() }
}
