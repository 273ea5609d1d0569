// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A publisher that a test holds in its hands: it sends what it is told to, against demand, on the caller's thread.

public import Backpressure

/// A publisher that sends what a test tells it to, to each subscriber from the start, and can break the rules on purpose.
///
/// ```swift
/// let publisher = TestPublisher<Int>()
/// let subscriber = TestSubscriber<Int>(initialDemand: 2)
/// publisher.subscribe(subscriber)
/// for element in 1...3 { publisher.send(element) }
/// print(subscriber.elements, publisher.demand)  // [1, 2] 0
/// publisher.fail(TestFailure("gone"))
/// subscriber.request(1)
/// print(subscriber.elements, subscriber.failure != nil)  // [1, 2, 3] true
/// ```
///
/// Elements that were not asked for wait, without bound, until they are. Every method may be called from any thread.
public final class TestPublisher<Output: Sendable>: Flow.Publisher, Sendable {
    private struct State: Sendable {
        var script: [Output]
        var ending: TestEnding
        var subscriptions: [TestSubscription<Output>] = []
    }

    private let state: LockedState<State>
    private let misbehaviour: Misbehaviour?
    private let onRequest: (@Sendable (Demand) -> Void)?
    private let onCancel: (@Sendable () -> Void)?

    /// A publisher.
    ///
    /// - Parameters:
    ///   - elements: What each subscriber gets first.
    ///   - ending: What comes after that; nil for an open end without elements, and completion with some.
    ///   - misbehaving: Which rule it breaks; nil for none.
    ///   - onRequest: Is called inside each `request`.
    ///   - onCancel: Is called inside each `cancel`.
    public init(
        _ elements: [Output] = [], ending: TestEnding? = nil, misbehaving: Misbehaviour? = nil,
        onRequest: (@Sendable (Demand) -> Void)? = nil, onCancel: (@Sendable () -> Void)? = nil
    ) {
        let ending = ending ?? (elements.isEmpty ? .open : .complete)
        state = LockedState(State(script: elements, ending: ending))
        misbehaviour = misbehaving
        self.onRequest = onRequest
        self.onCancel = onCancel
    }

    /// Makes a subscription that starts with the first element.
    ///
    /// - Parameter subscriber: Gets the signals.
    public func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Output {
        let target = SubscriberBox(subscriber)
        let subscription: TestSubscription<Output>? = state.withLock { state in
            let isFirst = state.subscriptions.isEmpty
            if misbehaviour == .servesOnlyTheFirst, !isFirst { return nil }
            if misbehaviour == .shutsDownSilently, state.subscriptions.contains(where: \.isCancelled) { return nil }
            let reverses = misbehaviour == .reversesForOthers && !isFirst
            let subscription = TestSubscription(
                target, reverses ? state.script.reversed() : state.script, state.ending, misbehaviour, onRequest,
                onCancel)
            state.subscriptions.append(subscription)
            return subscription
        }
        subscription?.start()
    }

    // MARK: What a test does

    /// Sends an element to every subscriber, as soon as it has asked for it.
    public func send(_ element: Output) {
        for subscription in extend({ $0.script.append(element) }) { subscription.add(element) }
    }

    /// Completes, once all elements are sent.
    public func complete() {
        for subscription in extend({ $0.ending = .complete }) { subscription.end(.complete) }
    }

    /// Fails, once all elements are sent.
    public func fail(_ error: any Error) {
        for subscription in extend({ $0.ending = .failure(error) }) { subscription.end(.failure(error)) }
    }

    private func extend(_ body: (inout State) -> Void) -> [TestSubscription<Output>] {
        state.withLock { state in
            body(&state)
            return state.subscriptions
        }
    }

    // MARK: What a test asks

    private var subscriptions: [TestSubscription<Output>] { state.withLock { $0.subscriptions } }

    /// How many subscribers there were so far.
    public var subscriberCount: Int { subscriptions.count }

    /// What the first subscriber has asked for and not got yet; 0 before there is one.
    public var demand: Demand { subscriptions.first?.demand ?? 0 }

    /// Every request of the first subscriber, in order.
    public var requests: [Demand] { subscriptions.first?.requests ?? [] }

    /// Whether the first subscriber has cancelled.
    public var isCancelled: Bool { subscriptions.first?.isCancelled ?? false }
}

/// A subscriber of any type, behind one type.
final class SubscriberBox<Input>: Sendable {
    // Signals are serial, so nothing but the order of calls guards the subscriber.
    let onSubscribe: @Sendable (any Flow.Subscription) -> Void
    let onNext: @Sendable (Input) -> Void
    let onError: @Sendable (any Error) -> Void
    let onComplete: @Sendable () -> Void

    init<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Input {
        // A publisher that misbehaves signals inside a signal. An object can take that and tell of it; the access to a
        // subscriber that is a value stays exclusive, and so traps.
        if S.self is AnyObject.Type {
            nonisolated(unsafe) let subscriber = subscriber
            onSubscribe = {
                var object = subscriber
                object.onSubscribe($0)
            }
            onNext = {
                var object = subscriber
                object.onNext($0)
            }
            onError = {
                var object = subscriber
                object.onError($0)
            }
            onComplete = {
                var object = subscriber
                object.onComplete()
            }
            return
        }
        let storage = Storage(subscriber)
        onSubscribe = { storage.subscriber.onSubscribe($0) }
        onNext = { storage.subscriber.onNext($0) }
        onError = { storage.subscriber.onError($0) }
        onComplete = { storage.subscriber.onComplete() }
    }

    private final class Storage<S: Flow.Subscriber>: @unchecked Sendable {
        var subscriber: S

        init(_ subscriber: sending S) { self.subscriber = subscriber }
    }
}
