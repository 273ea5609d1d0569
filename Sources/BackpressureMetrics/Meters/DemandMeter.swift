// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the subscribers of a publisher ask for and get: it stands between the two, and counts both ways.
//
// ## Invariants
// D1  outstanding of a subscription = requested - delivered, held to the range of a demand; unbounded stays unbounded.
// D2  A subscription counts from its `onSubscribe` to the first of end, error and cancel, once.

public import Backpressure
import Synchronization

/// Counts the demand of a publisher's subscribers.
///
/// ```swift
/// let meter = DemandMeter()
/// let numbers = Flow.sequence([1, 2, 3]).metered(by: meter)
/// for try await number in numbers.values(prefetch: 2) { print(number) }
/// print(meter.snapshot().delivered, meter.snapshot().subscribers)  // 3 0
/// ```
///
/// One meter may serve several publishers. It costs a lock for each request and each element, so it belongs where elements
/// are batches, messages or requests, or where a stream is to be looked into.
public final class DemandMeter: Sendable {
    /// What a meter counted up to one instant.
    public struct Snapshot: Hashable, Sendable {
        /// Elements asked for and not yet delivered, of all subscribers.
        public internal(set) var outstanding: Demand = 0
        /// Elements asked for so far; unbounded as soon as one subscriber asks for all.
        public internal(set) var requested: Demand = 0
        /// Elements delivered so far.
        public internal(set) var delivered: UInt64 = 0
        /// Subscribers that are neither done nor cancelled.
        public internal(set) var subscribers = 0
        /// Those of them that have nothing outstanding: they ask for nothing now.
        public internal(set) var idle = 0
    }

    private struct State: Sendable {
        var requested: Demand = 0
        var delivered: UInt64 = 0
        /// Of the subscriptions that live.
        var outstanding: [UInt64: Demand] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    /// A meter that has counted nothing.
    public init() {}

    /// Everything that was counted, of one instant.
    public func snapshot() -> Snapshot {
        state.withLock { state in
            Snapshot(
                outstanding: state.outstanding.values.reduce(0, +), requested: state.requested,
                delivered: state.delivered, subscribers: state.outstanding.count,
                idle: state.outstanding.values.count { $0.count == 0 })
        }
    }

    fileprivate func begin() -> UInt64 {
        state.withLock { state in
            state.next += 1
            state.outstanding[state.next] = 0
            return state.next
        }
    }

    fileprivate func end(_ subscription: UInt64) { state.withLock { $0.outstanding[subscription] = nil } }

    fileprivate func note(request: Demand, of subscription: UInt64) {
        guard request.isValid else { return }
        state.withLock { state in
            guard let outstanding = state.outstanding[subscription] else { return }
            state.outstanding[subscription] = outstanding + request
            state.requested += request
        }
    }

    fileprivate func noteDelivery(to subscription: UInt64) {
        state.withLock { state in
            state.delivered += 1
            guard let outstanding = state.outstanding[subscription], !outstanding.isUnbounded else { return }
            state.outstanding[subscription] = outstanding - 1
        }
    }
}

extension DemandMeter: MetricSource {
    /// Demand outstanding and so far, elements delivered, subscribers and those that ask for nothing, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.demand, Double(now.outstanding.count)), Reading(.requested, Double(now.requested.count)),
            Reading(.received, now.delivered), Reading(.subscribers, now.subscribers),
            Reading(.idleSubscribers, now.idle),
        ]
    }
}

extension Flow.Publisher {
    /// Publishes what this publisher does, and has `meter` count what is asked for and what comes.
    ///
    /// - Parameter meter: Counts, for as many publishers as you like.
    /// - Returns: A publisher of the same elements.
    public func metered(by meter: DemandMeter) -> MeteredPublisher<Self> {
        MeteredPublisher(upstream: self, meter: meter)
    }
}

/// The publisher that `metered(by:)` makes.
public struct MeteredPublisher<Upstream: Flow.Publisher>: Flow.Publisher {
    /// Upstream's elements.
    public typealias Output = Upstream.Output

    fileprivate let upstream: Upstream
    fileprivate let meter: DemandMeter

    /// Subscribes to upstream in the name of `subscriber`.
    ///
    /// - Parameter subscriber: Gets the signals.
    public func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Output {
        upstream.subscribe(MeteredSubscriber(downstream: subscriber, meter: meter))
    }
}

extension MeteredPublisher: Sendable where Upstream: Sendable {}

private struct MeteredSubscriber<Downstream: Flow.Subscriber>: Flow.Subscriber {
    var downstream: Downstream
    let meter: DemandMeter
    /// Nil before the first signal.
    var subscription: MeteredSubscription?

    init(downstream: Downstream, meter: DemandMeter) {
        self.downstream = downstream
        self.meter = meter
    }

    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        guard self.subscription == nil else { return subscription.cancel() }
        let metered = MeteredSubscription(upstream: subscription, meter: meter)
        self.subscription = metered
        downstream.onSubscribe(metered)
    }

    mutating func onNext(_ element: Downstream.Input) {
        if let subscription { meter.noteDelivery(to: subscription.identifier) }
        downstream.onNext(element)
    }

    mutating func onError(_ error: any Error) {
        if let subscription { meter.end(subscription.identifier) }
        downstream.onError(error)
    }

    mutating func onComplete() {
        if let subscription { meter.end(subscription.identifier) }
        downstream.onComplete()
    }
}

private final class MeteredSubscription: Flow.Subscription {
    let identifier: UInt64
    private let upstream: any Flow.Subscription
    private let meter: DemandMeter

    init(upstream: any Flow.Subscription, meter: DemandMeter) {
        self.upstream = upstream
        self.meter = meter
        identifier = meter.begin()
    }

    func request(_ demand: Demand) {
        // Before the elements that it brings, which may come inside.
        meter.note(request: demand, of: identifier)
        upstream.request(demand)
    }

    func cancel() {
        meter.end(identifier)
        upstream.cancel()
    }
}
