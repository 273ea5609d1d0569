// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The first elements, and never a request for more than those.
//
// What may still be requested is one atomic word, because `request` comes from any thread:
// [ not yet requested : 63 | cancelled : 1 ]

extension Flow.Publisher {
    /// Publishes the first `count` elements and then ends.
    ///
    /// Upstream is never asked for more than `count` elements in total. With the last one it is cancelled.
    ///
    /// ```
    /// upstream   --a---b---c---d--|
    /// output     --a---b|                prefix(2)
    /// ```
    ///
    /// - Parameter count: How many elements at most, 0 or more. With 0 the stream ends at once.
    /// - Returns: A publisher of those elements.
    /// - Precondition: `count >= 0`.
    @inlinable
    public func prefix(_ count: Int) -> Flow.Prefix<Self> { Flow.Prefix(self, count) }
}

extension Flow {
    /// The publisher that `prefix` makes.
    public struct Prefix<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let count: Int

        @inlinable
        init(_ upstream: Upstream, _ count: Int) {
            precondition(count >= 0, "a prefix of \(count) elements")
            self.upstream = upstream
            self.count = count
        }

        /// Subscribes to upstream in the name of `subscriber`; for no elements at all, not even that.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            if count == 0 {
                Empty().subscribe(subscriber)
            } else {
                upstream.subscribe(PrefixSubscriber(subscriber, count))
            }
        }
    }
}

@frozen
@usableFromInline
struct PrefixSubscriber<Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline var downstream: Downstream
    @usableFromInline var left: Int
    @usableFromInline var limit: PrefixSubscription?

    @inlinable
    init(_ downstream: Downstream, _ count: Int) {
        self.downstream = downstream
        left = count
    }

    @inlinable
    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        guard limit == nil else { return subscription.cancel() }
        let limit = PrefixSubscription(subscription, UInt64(left))
        self.limit = limit
        downstream.onSubscribe(limit)
    }

    @inlinable
    mutating func onNext(_ element: Downstream.Input) {
        guard left > 0 else { return }
        left -= 1
        downstream.onNext(element)
        guard left == 0, let limit else { return }
        self.limit = nil
        if limit.finish() { downstream.onComplete() }
    }

    @inlinable
    mutating func onError(_ error: any Error) {
        guard limit.take() != nil else { return }
        left = 0
        downstream.onError(error)
    }

    @inlinable
    mutating func onComplete() {
        guard limit.take() != nil else { return }
        left = 0
        downstream.onComplete()
    }
}

/// Holds the requests of all times together to a number.
@usableFromInline
final class PrefixSubscription: Flow.Subscription {
    private let upstream: any Flow.Subscription
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer

    private static let cancelled: UInt64 = 1

    @usableFromInline
    init(_ upstream: any Flow.Subscription, _ count: UInt64) {
        self.upstream = upstream
        base = .allocate(byteCount: 8, alignment: 8)
        base.storeBytes(of: count << 1, as: UInt64.self)
    }

    deinit { PlainAccess.deallocate(base, byteCount: 8) }

    private var word: AtomicWord { AtomicWord(at: base) }

    @usableFromInline
    func request(_ demand: Demand) {
        // Invalid: upstream says so.
        guard demand.isValid else { return upstream.request(demand) }
        var seen = word.loadRelaxed()
        while true {
            guard seen & Self.cancelled == 0 else { return }
            let granted = min(seen >> 1, UInt64(demand.count))
            guard granted > 0 else { return }
            let (exchanged, original) = word.weakCompareExchangeAcquiringAndReleasing(
                expected: seen, desired: seen - granted << 1)
            if exchanged { return upstream.request(Demand(granted)) }
            seen = original
        }
    }

    @usableFromInline
    func cancel() {
        _ = word.fetchOrAcquiringAndReleasing(Self.cancelled)
        upstream.cancel()
    }

    /// Cancels upstream after the last element; false when downstream has cancelled already.
    @usableFromInline
    func finish() -> Bool {
        let isFirst = word.fetchOrAcquiringAndReleasing(Self.cancelled) & Self.cancelled == 0
        if isFirst { upstream.cancel() }
        return isFirst
    }
}
