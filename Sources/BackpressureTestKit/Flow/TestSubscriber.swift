// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A subscriber that a test holds in its hands: it asks for what it is told to, and writes down everything.

public import Backpressure

/// A subscriber that requests what a test tells it to, and keeps every signal.
///
/// ```swift
/// let subscriber = TestSubscriber<Int>()
/// Flow.range(0..<3).subscribe(subscriber)
/// subscriber.request(2)
/// print(subscriber.elements)  // [0, 1]
/// subscriber.request(2)
/// print(subscriber.elements, subscriber.isCompleted)  // [0, 1, 2] true
/// ```
///
/// It watches its publisher: ``overlaps`` tells of signals that came while another one was not done. Every method may be
/// called from any thread.
public final class TestSubscriber<Input: Sendable>: Flow.Subscriber, Sendable {
    /// A signal that came.
    public enum Signal: Sendable {
        /// `onSubscribe`.
        case subscribe
        /// `onNext`.
        case next(Input)
        /// `onError`.
        case error(any Error)
        /// `onComplete`.
        case complete

        var isTerminal: Bool {
            switch self {
            case .error, .complete: true
            case .subscribe, .next: false
            }
        }

        var name: String {
            switch self {
            case .subscribe: "onSubscribe"
            case .next: "onNext"
            case .error: "onError"
            case .complete: "onComplete"
            }
        }
    }

    private struct State: Sendable {
        var signals: [Signal] = []
        var subscription: (any Flow.Subscription)?
        var running: [(name: String, thread: ThreadIdentity)] = []
        var overlaps: [String] = []
        var depth = 0
    }

    private let state = LockedState(State())
    private let initialDemand: Demand?
    private let onSubscribeAction: (@Sendable (TestSubscriber) -> Void)?
    private let onNextAction: (@Sendable (TestSubscriber, Input) -> Void)?
    /// Is told of each signal as it comes.
    private let watcher: (@Sendable (Signal) -> Void)?

    /// A subscriber.
    ///
    /// - Parameters:
    ///   - initialDemand: What it requests from inside `onSubscribe`; nil for nothing.
    ///   - onSubscribe: Is called from inside `onSubscribe`, after the initial demand was requested.
    ///   - onNext: Is called from inside each `onNext`.
    public convenience init(
        initialDemand: Demand? = nil,
        onSubscribe: (@Sendable (TestSubscriber) -> Void)? = nil,
        onNext: (@Sendable (TestSubscriber, Input) -> Void)? = nil
    ) {
        self.init(initialDemand: initialDemand, onSubscribe: onSubscribe, onNext: onNext, watcher: nil)
    }

    init(
        initialDemand: Demand?, onSubscribe: (@Sendable (TestSubscriber) -> Void)?,
        onNext: (@Sendable (TestSubscriber, Input) -> Void)?, watcher: (@Sendable (Signal) -> Void)?
    ) {
        self.initialDemand = initialDemand
        self.watcher = watcher
        onSubscribeAction = onSubscribe
        onNextAction = onNext
    }

    // MARK: What a test does

    /// Requests elements; does nothing before `onSubscribe`.
    public func request(_ demand: Demand) { subscription?.request(demand) }

    /// Cancels; does nothing before `onSubscribe`.
    public func cancel() { subscription?.cancel() }

    /// The first subscription that came.
    public var subscription: (any Flow.Subscription)? { state.withLock { $0.subscription } }

    /// Every signal, in order.
    public var signals: [Signal] { state.withLock { $0.signals } }

    /// The elements, in order.
    public var elements: [Input] {
        signals.compactMap { signal in if case .next(let element) = signal { element } else { nil } }
    }

    /// Whether `onComplete` came.
    public var isCompleted: Bool {
        signals.contains { signal in if case .complete = signal { true } else { false } }
    }

    /// The error, if `onError` came.
    public var failure: (any Error)? {
        for case .error(let error) in signals { return error }
        return nil
    }

    /// Whether the stream has ended.
    public var isTerminated: Bool { signals.contains { $0.isTerminal } }

    /// Signals that began while another one had not returned, in words.
    public var overlaps: [String] { state.withLock { $0.overlaps } }

    /// The greatest number of `onNext` that ran inside each other.
    public var greatestDepth: Int { state.withLock { $0.depth } }

    /// The number of signals.
    var count: Int { state.withLock { $0.signals.count } }

    var elementCount: Int { elements.count }

    /// Forgets the subscription, so that nothing but the publisher holds anything.
    func dropSubscription() { state.withLock { $0.subscription = nil } }

    // MARK: Signals

    /// Keeps the subscription, the first one, and requests the initial demand.
    public func onSubscribe(_ subscription: any Flow.Subscription) {
        enter(.subscribe)
        defer { leave() }
        state.withLock { state in
            if state.subscription == nil { state.subscription = subscription }
        }
        if let initialDemand { subscription.request(initialDemand) }
        onSubscribeAction?(self)
    }

    /// Keeps the element.
    public func onNext(_ element: Input) {
        enter(.next(element))
        defer { leave() }
        onNextAction?(self, element)
    }

    /// Keeps the error.
    public func onError(_ error: any Error) {
        enter(.error(error))
        leave()
    }

    /// Keeps the end.
    public func onComplete() {
        enter(.complete)
        leave()
    }

    private func enter(_ signal: Signal) {
        let thread = ThreadIdentity.current
        state.withLock { state in
            state.signals.append(signal)
            if let running = state.running.last {
                let how = running.thread == thread ? "inside" : "on another thread during"
                state.overlaps.append("\(signal.name) came \(how) \(running.name)")
            }
            state.running.append((signal.name, thread))
            state.depth = max(state.depth, state.running.count { $0.name == "onNext" && $0.thread == thread })
        }
        watcher?(signal)
    }

    private func leave() {
        let thread = ThreadIdentity.current
        state.withLock { state in
            guard let index = state.running.lastIndex(where: { $0.thread == thread }) else { return }
            state.running.remove(at: index)
        }
    }
}
