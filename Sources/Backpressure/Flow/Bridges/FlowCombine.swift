// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// To and from Combine, where it exists. Its demand is an `Int` and adds up in the answers of `receive`; its subscriptions
// need not be thread-safe, so requests to it go through a drain word of their own.

#if canImport(Combine)
    public import Combine

    extension Flow.Publisher {
        /// This publisher as one of Combine.
        ///
        /// Demand, cancellation and ends are passed on one to one; Combine's unlimited demand is ``Demand/unbounded``.
        public var combinePublisher: Flow.CombinePublisher<Self> { Flow.CombinePublisher(self) }
    }

    extension Flow {
        /// A publisher as one of Combine.
        public struct CombinePublisher<Upstream: Flow.Publisher>: Combine.Publisher {
            /// Upstream's elements.
            public typealias Output = Upstream.Output
            /// Upstream's error.
            public typealias Failure = any Error

            let upstream: Upstream

            init(_ upstream: Upstream) { self.upstream = upstream }

            /// Subscribes to the publisher in the name of `subscriber`.
            ///
            /// - Parameter subscriber: Combine's subscriber.
            public func receive<S: Combine.Subscriber>(subscriber: S) where S.Input == Output, S.Failure == Failure {
                nonisolated(unsafe) let target = CombineTarget(subscriber)
                upstream.subscribe(target)
            }
        }
    }

    /// A subscriber of ours that is a subscription of Combine's.
    private struct CombineTarget<S: Combine.Subscriber>: Flow.Subscriber where S.Failure == any Error {
        let subscriber: S
        var subscription: (any Flow.Subscription)?

        init(_ subscriber: S) { self.subscriber = subscriber }

        mutating func onSubscribe(_ subscription: any Flow.Subscription) {
            guard self.subscription == nil else { return subscription.cancel() }
            self.subscription = subscription
            subscriber.receive(subscription: CombineLink(subscription))
        }

        mutating func onNext(_ element: S.Input) {
            let more = subscriber.receive(element)
            if more > .none { subscription?.request(Demand(more)) }
        }

        mutating func onError(_ error: any Error) {
            subscription = nil
            subscriber.receive(completion: .failure(error))
        }

        mutating func onComplete() {
            subscription = nil
            subscriber.receive(completion: .finished)
        }
    }

    private final class CombineLink: Combine.Subscription {
        let upstream: any Flow.Subscription

        init(_ upstream: any Flow.Subscription) { self.upstream = upstream }

        func request(_ demand: Subscribers.Demand) {
            if demand > .none { upstream.request(Demand(demand)) }
        }

        func cancel() { upstream.cancel() }
    }

    extension Demand {
        fileprivate init(_ demand: Subscribers.Demand) { self = demand.max.map { Demand($0) } ?? .unbounded }
    }
#endif
