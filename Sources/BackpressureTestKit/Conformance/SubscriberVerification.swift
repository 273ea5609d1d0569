// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Does a subscriber keep the rules? As a black box by what it calls, as a white box also by what it processes.

import Backpressure

/// Checks a subscriber against the rules of Reactive Streams.
///
/// As a *black box* it is judged by what it calls on its subscription; as a *white box* it also reports each signal to a
/// ``SubscriberProbe`` as it processes it, so that a signal that was lost is seen.
///
/// ```swift
/// let verification = SubscriberVerification<Int>(.deterministic, makeElement: { $0 }) {
///     let subscriber = TestSubscriber<Int>(initialDemand: 1, onNext: { subscriber, _ in subscriber.request(1) })
///     return SubscriberSubject(subscriber, cancel: { subscriber.cancel() })
/// }
/// print(await verification.verify())  // 2.5: a second subscription was not cancelled, ...
/// ```
public struct SubscriberVerification<Input: Sendable>: Sendable {
    private let environment: VerificationEnvironment
    private let makeElement: @Sendable (Int) -> Input
    private let make: @Sendable (SubscriberProbe<Input>) -> SubscriberSubject<Input>
    private let isWhiteBox: Bool
    /// How many elements it may ask for ahead of what it is told to request.
    public var prefetch = 0

    /// A verification of a black box.
    ///
    /// - Parameters:
    ///   - environment: Where it runs.
    ///   - makeElement: Makes an element of a number.
    ///   - blackBox: Makes a new subscriber.
    public init(
        _ environment: VerificationEnvironment, makeElement: @escaping @Sendable (Int) -> Input,
        blackBox: @escaping @Sendable () -> SubscriberSubject<Input>
    ) {
        self.environment = environment
        self.makeElement = makeElement
        make = { _ in blackBox() }
        isWhiteBox = false
    }

    /// A verification of a white box.
    ///
    /// - Parameters:
    ///   - environment: Where it runs.
    ///   - makeElement: Makes an element of a number.
    ///   - whiteBox: Makes a new subscriber that reports to the probe.
    public init(
        _ environment: VerificationEnvironment, makeElement: @escaping @Sendable (Int) -> Input,
        whiteBox: @escaping @Sendable (SubscriberProbe<Input>) -> SubscriberSubject<Input>
    ) {
        self.environment = environment
        self.makeElement = makeElement
        make = whiteBox
        isWhiteBox = true
    }

    /// Makes every check.
    ///
    /// - Returns: What was seen broken.
    public func verify() async -> [Violation] { await outcomes().flatMap(\.violations) }

    /// Makes every check.
    ///
    /// - Returns: What each came to.
    public func outcomes() async -> [CheckOutcome] {
        var outcomes: [CheckOutcome] = []
        for check in SubscriberCheck.allCases { outcomes.append(await run(check)) }
        return outcomes
    }

    /// Makes one check.
    ///
    /// - Parameter check: Which one.
    /// - Returns: What it came to.
    public func run(_ check: SubscriberCheck) async -> CheckOutcome {
        let log = CheckLog(check.rule, check.rawValue)
        let probe = SubscriberProbe<Input>()
        let stage = Stage(environment, make(probe), isWhiteBox ? probe : nil, makeElement)
        if check.needsProbe, !isWhiteBox {
            log.skip("only a white box can tell")
        } else if check.needsTrigger, stage.subject.triggerRequest == nil {
            log.skip("the subject cannot be told to request")
        } else if check.needsCancel, stage.subject.triggerCancel == nil {
            log.skip("the subject cannot be told to cancel")
        } else {
            await perform(check, stage, log)
        }
        return log.outcome
    }

    private func perform(_ check: SubscriberCheck, _ stage: Stage<Input>, _ log: CheckLog) async {
        switch check {
        case .orderlyStreamIsHandled: await orderlyStream(stage, log)
        case .demandIsRequested: await demandIsRequested(stage, log)
        case .signalsReturnSoon: await signalsReturnSoon(stage, log)
        case .completeCallsNothing: await terminalCallsNothing(stage, log, failing: false)
        case .errorCallsNothing: await terminalCallsNothing(stage, log, failing: true)
        case .nothingIsCalledAfterComplete: await nothingAfterTerminal(stage, log, failing: false)
        case .nothingIsCalledAfterError: await nothingAfterTerminal(stage, log, failing: true)
        case .secondSubscriptionIsCancelled: await secondSubscription(stage, log)
        case .unneededSubscriptionIsCancelled: await unneeded(stage, log)
        case .callsAreSerial: await callsAreSerial(stage, log)
        case .lateElementIsTolerated: await lateElement(stage, log)
        case .completeAfterRequestIsHandled: await terminal(stage, log, requesting: true, failing: false)
        case .completeWithoutRequestIsHandled: await terminal(stage, log, requesting: false, failing: false)
        case .errorAfterRequestIsHandled: await terminal(stage, log, requesting: true, failing: true)
        case .errorWithoutRequestIsHandled: await terminal(stage, log, requesting: false, failing: true)
        case .signalsAreProcessedInOrder: await processedInOrder(stage, log)
        case .signalMethodsReturn: await methodsReturn(stage, log)
        case .onlyItsOwnSubscriptionIsUsed: await onlyOwnSubscription(stage, log)
        case .requestsAddUp: await requestsAddUp(stage, log)
        case .demandIsValid: await demandIsValid(stage, log)
        case .elementsInsideRequestAreHandled: await insideRequest(stage, log, ending: false)
        case .endInsideRequestIsHandled: await insideRequest(stage, log, ending: true)
        }
    }
}

/// A subject on its subscription: what every check starts with.
struct Stage<Input: Sendable>: Sendable {
    let environment: VerificationEnvironment
    let subject: SubscriberSubject<Input>
    let probe: SubscriberProbe<Input>?
    let makeElement: @Sendable (Int) -> Input
    let subscription = WatchedSubscription()

    init(
        _ environment: VerificationEnvironment, _ subject: SubscriberSubject<Input>, _ probe: SubscriberProbe<Input>?,
        _ makeElement: @escaping @Sendable (Int) -> Input
    ) {
        self.environment = environment
        self.subject = subject
        self.probe = probe
        self.makeElement = makeElement
    }

    var target: SubscriberBox<Input> { subject.target }

    func subscribe() async {
        target.onSubscribe(subscription)
        await environment.settle()
    }

    /// Makes sure that something is asked for, as far as the subject can be told.
    func demand(_ count: Int) async -> Bool {
        if subscription.total < Demand(count) { subject.triggerRequest?(Demand(count)) }
        return await environment.settle { subscription.total >= Demand(count) }
    }

    /// Sends an element that was asked for; false when none was.
    func send(_ number: Int) async -> Bool {
        guard await demand(number) else { return false }
        target.onNext(makeElement(number))
        await environment.settle()
        return true
    }

    func end(failing: Bool) {
        if failing { target.onError(TestFailure()) } else { target.onComplete() }
    }
}
