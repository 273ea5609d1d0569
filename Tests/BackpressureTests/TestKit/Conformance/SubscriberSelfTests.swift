// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// For each check of a subscriber one that breaks what it looks at.

import Backpressure
import BackpressureTestKit
import BackpressureTestSupport
import Testing

/// A subscriber that asks for what it is told to, and gets one thing wrong.
final class FaultySubscriber: Flow.Subscriber, Sendable {
    typealias Input = Int

    enum Fault: String, CaseIterable, Sendable {
        case requestsNothing
        case isSlow
        case requestsInComplete
        case cancelsInError
        case callsAfterComplete
        case callsAfterError
        case keepsSecond
        case cancelsFirst
        case ignoresCancel
        case callsFromTwoThreads
        case requestsAfterCancel
        case losesCompleteAfterRequest
        case losesCompleteWithoutRequest
        case losesErrorAfterRequest
        case losesErrorWithoutRequest
        case reorders
        case isSlowAtError
        case usesSecond
        case keepsGreatest
        case requestsZero
        case losesElementInsideRequest
        case callsAfterEndInsideRequest
        case losesElement
    }

    private struct State: Sendable {
        var subscription: (any Flow.Subscription)?
        var spare: (any Flow.Subscription)?
        var hasRequested = false
        var requests: [Demand] = []
        var isRequesting = false
        var isCancelled = false
        var isEnded = false
        var held: Int?
        var elements = 0
    }

    private let state = Shared(State())
    private let fault: Fault?
    private let probe: SubscriberProbe<Int>?
    private let clock: ManualClock

    init(_ fault: Fault?, _ probe: SubscriberProbe<Int>?, _ clock: ManualClock) {
        self.fault = fault
        self.probe = probe
        self.clock = clock
    }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        let first = state.update { state in
            let first = state.subscription
            if first == nil { state.subscription = subscription }
            return first
        }
        guard let first else {
            if fault == .requestsZero { subscription.request(0) }
            probe?.onSubscribe()
            return
        }
        switch fault {
        case .keepsSecond: break
        case .cancelsFirst:
            first.cancel()
            subscription.cancel()
        case .usesSecond:
            subscription.request(1)
            subscription.cancel()
        default: subscription.cancel()
        }
    }

    func request(_ demand: Demand) {
        if fault == .requestsNothing { return }
        let (subscription, isEnded) = state.update { state in
            defer { state.requests.append(demand) }
            let isRepeated = fault == .keepsGreatest && !state.requests.isEmpty
            return (state.isCancelled || isRepeated ? nil : state.subscription, state.isEnded)
        }
        if isEnded { return }
        state.update {
            $0.hasRequested = true
            $0.isRequesting = true
        }
        subscription?.request(demand)
        let hasEnded = state.update { state in
            state.isRequesting = false
            return state.isEnded && !isEnded
        }
        if hasEnded, fault == .callsAfterEndInsideRequest { subscription?.cancel() }
    }

    func cancel() {
        if fault == .ignoresCancel { return }
        let subscription = state.update { state in
            state.isCancelled = true
            return state.isEnded ? nil : state.subscription
        }
        subscription?.cancel()
    }

    func onNext(_ element: Int) {
        let now = state.update { state in
            state.elements += 1
            return state
        }
        switch fault {
        case .isSlow: clock.advance(by: .seconds(1))
        case .requestsAfterCancel where now.isCancelled: now.subscription?.request(1)
        case .callsFromTwoThreads where now.isRequesting:
            Threads.run(1) { _ in now.subscription?.request(1) }
        case .losesElementInsideRequest where now.isRequesting: return
        case .losesElement where now.elements == 2: return
        case .reorders:
            let held = state.update { state in
                defer { state.held = state.held == nil ? element : nil }
                return state.held
            }
            guard let held else { return }
            probe?.onNext(element)
            probe?.onNext(held)
            return
        default: break
        }
        probe?.onNext(element)
    }

    func onComplete() {
        let now = state.value
        if fault == .requestsInComplete { now.subscription?.request(1) }
        if fault == .losesCompleteAfterRequest, now.hasRequested { return end() }
        if fault == .losesCompleteWithoutRequest, !now.hasRequested { return end() }
        if let held = now.held { probe?.onNext(held) }
        if fault != .callsAfterComplete { end() }
        probe?.onComplete()
    }

    func onError(_ error: any Error) {
        let now = state.value
        if fault == .cancelsInError { now.subscription?.cancel() }
        if fault == .isSlowAtError { clock.advance(by: .seconds(1)) }
        if fault == .losesErrorAfterRequest, now.hasRequested { return end() }
        if fault == .losesErrorWithoutRequest, !now.hasRequested { return end() }
        if fault != .callsAfterError { end() }
        probe?.onError(error)
    }

    private func end() { state.update { $0.isEnded = true } }
}

/// A fault, the check that is there for it, the others that see it as well, and what the first one says.
struct SubscriberFault: Sendable, CustomStringConvertible {
    let fault: FaultySubscriber.Fault
    let check: SubscriberCheck
    var others: Set<SubscriberCheck> = []
    let message: String

    var description: String { "\(fault) -> \(check)" }
}

@Suite("conformance kit: broken subscribers", .timeLimit(.minutes(10)))
struct SubscriberSelfTests {
    static func verification(_ fault: FaultySubscriber.Fault?, isWhiteBox: Bool = true) -> SubscriberVerification<Int> {
        let environment = VerificationEnvironment.deterministic
        let make: @Sendable (SubscriberProbe<Int>?) -> SubscriberSubject<Int> = { probe in
            let subscriber = FaultySubscriber(fault, probe, environment.clock)
            return SubscriberSubject(
                subscriber, request: { subscriber.request($0) }, cancel: { subscriber.cancel() })
        }
        guard isWhiteBox else {
            return SubscriberVerification(environment, makeElement: { $0 }, blackBox: { make(nil) })
        }
        return SubscriberVerification(environment, makeElement: { $0 }, whiteBox: { make($0) })
    }

    @Test("an orderly subscriber passes every check, as a white box and as a black one")
    func orderly() async {
        let white = await Self.verification(nil).outcomes()
        #expect(white.count == SubscriberCheck.allCases.count && white.flatMap(\.violations).isEmpty)
        #expect(white.filter { $0.skipped != nil }.map(\.check) == ["signalMethodsReturn"])
        let black = await Self.verification(nil, isWhiteBox: false).outcomes()
        #expect(black.flatMap(\.violations).isEmpty)
        #expect(black.count { $0.skipped == "only a white box can tell" } == 2)
    }

    @Test(
        "a fault is seen by its check, with the right message, and by no check that it does not concern",
        arguments: subscriberFaults)
    func fault(_ fault: SubscriberFault) async {
        let outcomes = await Self.verification(fault.fault).outcomes()
        let seen = Set(outcomes.filter { !$0.violations.isEmpty }.map(\.check))
        #expect(seen == Set([fault.check.rawValue] + fault.others.map(\.rawValue)))
        let violations = outcomes.first { $0.check == fault.check.rawValue }?.violations ?? []
        #expect(
            violations.contains { $0.message.contains(fault.message) && $0.rule == fault.check.rule }, "\(violations)")
    }

    @Test("a black box that calls what it must not is seen as well")
    func blackBox() async {
        for fault in [FaultySubscriber.Fault.requestsInComplete, .keepsSecond, .usesSecond, .callsFromTwoThreads] {
            let row = subscriberFaults.first { $0.fault == fault }
            let violations = await Self.verification(fault, isWhiteBox: false).verify()
            #expect(violations.contains { $0.check == row?.check.rawValue }, "\(fault): \(violations)")
        }
    }

    @Test("each fault, and each check, is in the table")
    func table() {
        #expect(Set(subscriberFaults.map(\.fault)) == Set(FaultySubscriber.Fault.allCases))
        #expect(Set(subscriberFaults.map(\.check)) == Set(SubscriberCheck.allCases))
    }
}

let subscriberFaults: [SubscriberFault] = [
    SubscriberFault(
        fault: .losesElement, check: .orderlyStreamIsHandled,
        others: [.signalsAreProcessedInOrder, .elementsInsideRequestAreHandled],
        message: "processed [\"onSubscribe\", \"onNext(1)\", \"onNext(3)\""),
    SubscriberFault(
        fault: .requestsNothing, check: .demandIsRequested, others: [.orderlyStreamIsHandled, .requestsAddUp],
        message: "did not request anything"),
    SubscriberFault(fault: .isSlow, check: .signalsReturnSoon, message: "onNext took its time"),
    SubscriberFault(
        fault: .requestsInComplete, check: .completeCallsNothing, others: [.endInsideRequestIsHandled],
        message: "onComplete called request(1)"),
    SubscriberFault(fault: .cancelsInError, check: .errorCallsNothing, message: "onError called cancel"),
    SubscriberFault(
        fault: .callsAfterComplete, check: .nothingIsCalledAfterComplete,
        message: "2 calls on the subscription after onComplete"),
    SubscriberFault(
        fault: .callsAfterError, check: .nothingIsCalledAfterError,
        message: "2 calls on the subscription after onError"),
    SubscriberFault(
        fault: .keepsSecond, check: .secondSubscriptionIsCancelled, message: "a second subscription was not cancelled"),
    SubscriberFault(
        fault: .cancelsFirst, check: .secondSubscriptionIsCancelled, message: "the first subscription was cancelled"),
    SubscriberFault(
        fault: .ignoresCancel, check: .unneededSubscriptionIsCancelled, message: "the subscription was not cancelled"),
    SubscriberFault(
        fault: .callsFromTwoThreads, check: .callsAreSerial, message: "calls came on another thread during a call"),
    SubscriberFault(
        fault: .requestsAfterCancel, check: .lateElementIsTolerated,
        message: "an element after cancel made the subscriber request 1 times"),
    SubscriberFault(
        fault: .losesCompleteAfterRequest, check: .completeAfterRequestIsHandled,
        others: [.orderlyStreamIsHandled, .endInsideRequestIsHandled],
        message: "onComplete after a request was processed 0 times"),
    SubscriberFault(
        fault: .losesCompleteWithoutRequest, check: .completeWithoutRequestIsHandled,
        message: "onComplete without a request was processed 0 times"),
    SubscriberFault(
        fault: .losesErrorAfterRequest, check: .errorAfterRequestIsHandled, others: [.signalsAreProcessedInOrder],
        message: "onError after a request was processed 0 times"),
    SubscriberFault(
        fault: .losesErrorWithoutRequest, check: .errorWithoutRequestIsHandled,
        message: "onError without a request was processed 0 times"),
    SubscriberFault(
        fault: .reorders, check: .signalsAreProcessedInOrder, others: [.orderlyStreamIsHandled],
        message: "were processed as [\"onSubscribe\", \"onNext(2)\", \"onNext(1)\""),
    SubscriberFault(fault: .isSlowAtError, check: .signalMethodsReturn, message: "onError took its time"),
    SubscriberFault(
        fault: .usesSecond, check: .onlyItsOwnSubscriptionIsUsed,
        message: "a second subscription was asked for elements: [1]"),
    SubscriberFault(fault: .keepsGreatest, check: .requestsAddUp, message: "demand grew from 0 to 1"),
    SubscriberFault(fault: .requestsZero, check: .demandIsValid, message: "the subscriber requested 0"),
    SubscriberFault(
        fault: .losesElementInsideRequest, check: .elementsInsideRequestAreHandled,
        message: "2 elements came inside request, 0 were processed"),
    SubscriberFault(
        fault: .callsAfterEndInsideRequest, check: .endInsideRequestIsHandled,
        message: "1 calls on the subscription after an end inside request"),
]
