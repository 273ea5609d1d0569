// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One subscriber's tie to a test publisher: a drain loop under a lock, and every way to get it wrong.

import Backpressure

final class TestSubscription<Output: Sendable>: Flow.Subscription, Sendable {
    private enum Step: Sendable {
        case next(Output)
        case complete
        case fail(any Error)
        case rest
    }

    /// What a request asks of its caller, once the lock is released.
    private enum Answer: Sendable {
        case drain
        case nested
        case nothing
        case error(any Error)
        case complete
        case next(Output)
    }

    private struct State: Sendable {
        var target: SubscriberBox<Output>?
        var queue: [Output]
        var sent = 0
        var ending: TestEnding
        var unmet: Demand = 0
        var requests: [Demand] = []
        var invalid: Demand?
        var isCancelled = false
        var isEnded = false
        var isDraining = true
        var excess = 0
        var hasDroppedSum = false
        /// What a publisher that must not, holds on to.
        var leaked: SubscriberBox<Output>?
    }

    private let state: LockedState<State>
    private let fault: Misbehaviour?
    private let onRequest: (@Sendable (Demand) -> Void)?
    private let onCancel: (@Sendable () -> Void)?

    init(
        _ target: SubscriberBox<Output>, _ elements: [Output], _ ending: TestEnding, _ fault: Misbehaviour?,
        _ onRequest: (@Sendable (Demand) -> Void)?, _ onCancel: (@Sendable () -> Void)?
    ) {
        state = LockedState(State(target: target, queue: elements, ending: ending))
        self.fault = fault
        self.onRequest = onRequest
        self.onCancel = onCancel
    }

    var demand: Demand { state.withLock { $0.unmet } }
    var requests: [Demand] { state.withLock { $0.requests } }
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func start() {
        guard let target = state.withLock({ $0.target }) else { return }
        if fault == .signalsBeforeSubscribe, let first = state.withLock({ $0.queue.first }) { target.onNext(first) }
        if fault == .failsWithoutSubscribe, case .failure(let error) = state.withLock({ $0.ending }) {
            return target.onError(error)
        }
        target.onSubscribe(self)
        if fault == .subscribesTwice { target.onSubscribe(self) }
        drain(isOwner: true)
    }

    func add(_ element: Output) {
        state.withLock { $0.queue.append(element) }
        drain()
    }

    func end(_ ending: TestEnding) {
        state.withLock { $0.ending = ending }
        drain()
    }

    // MARK: The subscriber's calls

    func request(_ demand: Demand) {
        onRequest?(demand)
        let answer: Answer = state.withLock { state in
            state.requests.append(demand)
            if state.isEnded {
                return fault == .answersAfterEnd && !demand.isValid ? .error(Flow.InvalidDemand(demand)) : .nothing
            }
            if state.isCancelled {
                if !demand.isValid, fault == .failsAtLateInvalidRequest { return .error(Flow.InvalidDemand(demand)) }
                guard demand.isValid, fault == .servesAfterCancel, state.sent < state.queue.count else {
                    return .nothing
                }
                state.sent += 1
                return .next(state.queue[state.sent - 1])
            }
            guard demand.isValid else {
                if fault == .ignoresZero, demand == 0 { return .nothing }
                if fault == .ignoresNegative, demand < 0 { return .nothing }
                state.invalid = demand
                return .drain
            }
            if state.isDraining, fault == .ignoresNestedRequests { return .nothing }
            if state.isDraining, fault == .endsInsideOnNext, state.sent == state.queue.count, state.sent > 0,
                case .complete = state.ending
            {
                state.isEnded = true
                return .complete
            }
            if fault == .ignoresUnboundedDemand, demand.isUnbounded { return .nothing }
            let sum = state.unmet + demand
            if state.hasDroppedSum { return .nothing }
            if fault == .failsAtGreatSums, sum.isUnbounded, !demand.isUnbounded { state.invalid = demand }
            if fault == .dropsGreatSums, sum.isUnbounded, !demand.isUnbounded {
                state.unmet = 0
                state.hasDroppedSum = true
            } else {
                state.unmet = fault == .keepsOnlyTheGreatestRequest ? max(state.unmet, demand) : sum
            }
            if fault == .exceedsDemand, state.excess == 0, !sum.isUnbounded {
                state.excess = 1
                state.unmet += 1
            }
            return state.isDraining && fault == .sendsRecursively ? .nested : .drain
        }
        // Misbehaviour needs a target that an orderly publisher has given up.
        let target = state.withLock { $0.target ?? $0.leaked }
        switch answer {
        case .drain: drain()
        case .nested: drain(isOwner: true)
        case .nothing: break
        case .error(let error): target?.onError(error)
        case .complete: target?.onComplete()
        case .next(let element): target?.onNext(element)
        }
    }

    func cancel() {
        onCancel?()
        let (target, wasCancelled, wasEnded, hadRequests) = state.withLock { state in
            let before = (state.target, state.isCancelled, state.isEnded, !state.requests.isEmpty)
            state.isCancelled = true
            if keepsTarget { state.leaked = state.leaked ?? state.target }
            return before
        }
        let late = target ?? state.withLock { $0.leaked }
        switch fault {
        case .completesAfterCancel where !wasCancelled && !wasEnded && hadRequests: late?.onComplete()
        case .failsAtEarlyCancel where !wasCancelled && !wasEnded && !hadRequests:
            late?.onError(TestFailure("cancelled"))
        case .failsAtSecondCancel where wasCancelled: late?.onError(TestFailure("cancelled twice"))
        default: break
        }
        drain()
    }

    private var keepsTarget: Bool {
        switch fault {
        case .keepsSubscriber, .servesAfterCancel, .failsAtSecondCancel, .failsAtLateInvalidRequest, .ignoresCancel:
            true
        default: false
        }
    }

    // MARK: Draining

    /// Sends what can be sent, unless somebody is at it.
    private func drain(isOwner: Bool = false) {
        var isOwner = isOwner
        while true {
            let (step, target): (Step, SubscriberBox<Output>?) = state.withLock { state in
                if !isOwner {
                    if state.isDraining { return (.rest, nil) }
                    state.isDraining = true
                }
                let step = nextStep(&state)
                if case .rest = step { state.isDraining = false }
                let target = state.target
                // The references are dropped by whoever stops draining.
                if state.isEnded || (state.isCancelled && fault != .ignoresCancel) {
                    if fault == .answersAfterEnd || fault == .completesTwice || fault == .failsTwice {
                        state.leaked = state.leaked ?? state.target
                    }
                    state.target = nil
                }
                return (step, target)
            }
            isOwner = true
            switch step {
            case .rest: return
            case .next(let element): target?.onNext(element)
            case .complete:
                target?.onComplete()
                if fault == .completesTwice { target?.onComplete() }
            case .fail(let error):
                target?.onError(error)
                if fault == .failsTwice { target?.onError(error) }
            }
        }
    }

    private func nextStep(_ state: inout State) -> Step {
        if state.isEnded || (state.isCancelled && fault != .ignoresCancel) { return .rest }
        if let invalid = state.invalid {
            state.isEnded = true
            return .fail(fault == .hidesInvalidDemand ? TestFailure("something") : Flow.InvalidDemand(invalid))
        }
        if state.sent < state.queue.count {
            guard state.unmet > 0 else { return .rest }
            state.unmet -= 1
            state.sent += 1
            return .next(state.queue[state.sent - 1])
        }
        switch state.ending {
        case .open: return .rest
        case .complete:
            if fault == .neverCompletes { return .rest }
            if fault == .fabricatesElements, state.unmet > 0, state.excess < 16, let last = state.queue.last {
                state.unmet -= 1
                state.excess += 1
                return .next(last)
            }
            state.isEnded = true
            return .complete
        case .failure(let error):
            state.isEnded = true
            return fault == .swallowsFailure ? .complete : .fail(error)
        }
    }
}
