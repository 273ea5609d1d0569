// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A subscriber under verification, what it can be told to do, and the subscription that watches it.

public import Backpressure

/// A subscriber that is to be checked, and what a check may tell it to do.
public struct SubscriberSubject<Input: Sendable>: Sendable {
    let target: SubscriberBox<Input>
    let triggerRequest: (@Sendable (Demand) -> Void)?
    let triggerCancel: (@Sendable () -> Void)?

    /// A subject.
    ///
    /// - Parameters:
    ///   - subscriber: A new subscriber, which has had no signal.
    ///   - request: Makes it request so many elements; nil if it requests by itself.
    ///   - cancel: Makes it cancel; nil if that cannot be.
    public init<S: Flow.Subscriber>(
        _ subscriber: sending S, request: (@Sendable (Demand) -> Void)? = nil, cancel: (@Sendable () -> Void)? = nil
    ) where S.Input == Input {
        target = SubscriberBox(subscriber)
        triggerRequest = request
        triggerCancel = cancel
    }
}

/// Where the subscriber of a white box reports each signal as it processes it.
public final class SubscriberProbe<Input: Sendable>: Sendable {
    enum Report: Sendable {
        case subscribe
        case next(Input)
        case error
        case complete

        var text: String {
            switch self {
            case .subscribe: "onSubscribe"
            case .next(let element): "onNext(\(element))"
            case .error: "onError"
            case .complete: "onComplete"
            }
        }
    }

    private let reports = LockedState<[Report]>([])

    /// A probe without reports.
    public init() {}

    /// `onSubscribe` was processed.
    public func onSubscribe() { reports.withLock { $0.append(.subscribe) } }

    /// An element was processed.
    public func onNext(_ element: Input) { reports.withLock { $0.append(.next(element)) } }

    /// `onError` was processed.
    public func onError(_ error: any Error) { reports.withLock { $0.append(.error) } }

    /// `onComplete` was processed.
    public func onComplete() { reports.withLock { $0.append(.complete) } }

    var texts: [String] { reports.withLock { $0 }.map(\.text) }
}

/// The subscription that a check gives to its subject: it writes down every call.
final class WatchedSubscription: Flow.Subscription, Sendable {
    struct State: Sendable {
        var demands: [Demand] = []
        var cancels = 0
        var running: [ThreadIdentity] = []
        var overlaps: [String] = []
        /// The thread that is in a terminal signal now, and what was called from it.
        var terminalThread: ThreadIdentity?
        var inTerminal: [String] = []
    }

    private let state = LockedState(State())
    private let onRequest: @Sendable (Demand) -> Void

    init(onRequest: @escaping @Sendable (Demand) -> Void = { _ in }) { self.onRequest = onRequest }

    var demands: [Demand] { state.withLock { $0.demands } }
    var total: Demand { demands.reduce(0) { $0 + ($1.isValid ? $1 : 0) } }
    var cancels: Int { state.withLock { $0.cancels } }
    var calls: Int { state.withLock { $0.demands.count + $0.cancels } }
    var overlaps: [String] { state.withLock { $0.overlaps } }
    var callsInTerminal: [String] { state.withLock { $0.inTerminal } }

    /// Runs a terminal signal; calls that come from it, on its thread, are noted apart.
    func duringTerminal(_ body: () -> Void) {
        state.withLock { $0.terminalThread = .current }
        body()
        state.withLock { $0.terminalThread = nil }
    }

    func request(_ demand: Demand) {
        enter("request(\(demand))") { $0.demands.append(demand) }
        onRequest(demand)
        leave()
    }

    func cancel() {
        enter("cancel") { $0.cancels += 1 }
        leave()
    }

    private func enter(_ name: String, _ note: (inout State) -> Void) {
        let thread = ThreadIdentity.current
        state.withLock { state in
            note(&state)
            if state.terminalThread == thread { state.inTerminal.append(name) }
            if state.running.contains(where: { $0 != thread }) { state.overlaps.append(name) }
            state.running.append(thread)
        }
    }

    private func leave() {
        let thread = ThreadIdentity.current
        state.withLock { state in
            if let index = state.running.lastIndex(of: thread) { state.running.remove(at: index) }
        }
    }
}
