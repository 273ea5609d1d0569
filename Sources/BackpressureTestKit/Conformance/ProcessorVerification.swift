// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Does a processor keep both contracts, and hand on what it must? It is run as the publisher that it is, behind a source
// that keeps the rules, and as the subscriber that it is, in front of a subscriber that does.

public import Backpressure

/// A check that ``ProcessorVerification`` makes beside those of its two sides.
public enum ProcessorCheck: String, CaseIterable, Hashable, Sendable {
    /// 4.1: it obeys the contracts of publishers and of subscribers.
    case bothContractsAreObeyed
    /// 4.2: an error from upstream reaches downstream at once, also without demand.
    case errorIsPassedOn
    /// 1.4: an error from upstream reaches every subscriber.
    case errorReachesAllSubscribers
    /// 4.1: demand that downstream has signalled long ago is passed on as long as it lasts.
    case oldDemandIsPassedOn

    /// The rule that it is about.
    public var rule: FlowRule {
        switch self {
        case .bothContractsAreObeyed, .oldDemandIsPassedOn: .rule4_1
        case .errorIsPassedOn: .rule4_2
        case .errorReachesAllSubscribers: .rule1_4
        }
    }
}

/// Checks a processor whose output is its input against the rules of Reactive Streams.
///
/// Every check of ``PublisherVerification`` and, as a white box, of ``SubscriberVerification`` is made of it, and those of
/// ``ProcessorCheck``.
public struct ProcessorVerification<Element: Sendable>: Sendable {
    private let environment: VerificationEnvironment
    private let makeElement: @Sendable (Int) -> Element
    private let make: @Sendable () -> Ends
    /// How many subscribers it serves at once.
    public var maximumSubscribers = 1
    /// How many elements beyond the demand it may take from upstream.
    public var prefetch = 16
    /// Whether nothing comes after a cancel from inside `onNext`, which is more than the rules ask.
    public var stopsAtOnce = true

    /// The two sides of one processor.
    private struct Ends: Sendable {
        let subscriber: @Sendable () -> SubscriberBox<Element>
        let attach: @Sendable (TestPublisher<Element>) -> Void
        let publisher: PublisherSubject<Element>
    }

    /// A verification.
    ///
    /// - Parameters:
    ///   - environment: Where it runs.
    ///   - makeElement: Makes an element of a number.
    ///   - makeProcessor: Makes a new processor, which sends what it receives.
    public init<P: Flow.Processor>(
        _ environment: VerificationEnvironment, makeElement: @escaping @Sendable (Int) -> Element,
        makeProcessor: @escaping @Sendable () -> P
    ) where P.Input == Element, P.Output == Element {
        self.environment = environment
        self.makeElement = makeElement
        make = {
            let processor = makeProcessor()
            return Ends(
                subscriber: { SubscriberBox(processor) }, attach: { $0.subscribe(processor) },
                publisher: PublisherSubject(processor))
        }
    }

    /// Makes every check.
    ///
    /// - Returns: What was seen broken.
    public func verify() async -> [Violation] { await outcomes().flatMap(\.violations) }

    /// Makes every check.
    ///
    /// - Returns: What each came to: those of the publisher's side, of the subscriber's, and the processor's own.
    public func outcomes() async -> [CheckOutcome] {
        let publisher = await publisherSide().outcomes()
        let subscriber = await subscriberSide().outcomes()
        var outcomes = publisher + subscriber
        for check in ProcessorCheck.allCases {
            let log = CheckLog(check.rule, check.rawValue)
            switch check {
            case .bothContractsAreObeyed:
                let broken = (publisher + subscriber).filter { !$0.violations.isEmpty }
                log.expect(broken.isEmpty, "broken are \(broken.map { "\($0.rule)" }.joined(separator: ", "))")
            case .errorIsPassedOn: await errorIsPassedOn(log)
            case .errorReachesAllSubscribers: await errorReachesAll(log)
            case .oldDemandIsPassedOn: await oldDemandIsPassedOn(log)
            }
            outcomes.append(log.outcome)
        }
        return outcomes
    }

    // MARK: The sides

    private func publisherSide() -> PublisherVerification<Element> {
        let (make, makeElement) = (make, makeElement)
        var verification = PublisherVerification<Element>(
            environment,
            makePublisher: { count in
                Chain(make(), TestPublisher((0..<Int(count)).map(makeElement), ending: .complete))
            },
            makeFailedPublisher: { Chain(make(), TestPublisher([], ending: .failure(TestFailure()))) })
        verification.maximumSubscribers = maximumSubscribers
        verification.prefetch = prefetch
        verification.stopsAtOnce = stopsAtOnce
        return verification
    }

    /// A source and the processor behind it, as a publisher.
    private struct Chain: Flow.Publisher, Sendable {
        typealias Output = Element
        let ends: Ends
        let source: TestPublisher<Element>

        init(_ ends: Ends, _ source: TestPublisher<Element>) {
            self.ends = ends
            self.source = source
            ends.attach(source)
        }

        func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Element {
            // A verification subscribes nothing but its own probes.
            guard let probe = subscriber as? TestSubscriber<Element> else {
                preconditionFailure("a verification subscribes \(S.self)")
            }
            ends.publisher.subscribe(probe)
        }
    }

    private func subscriberSide() -> SubscriberVerification<Element> {
        let make = make
        var verification = SubscriberVerification<Element>(environment, makeElement: makeElement) { probe in
            let ends = make()
            // How many elements downstream has asked for: what the processor took ahead of that is asked for as it comes.
            let asked = LockedState<Int64>(0)
            // What it makes of its own signals is what comes out below; its subscription alone is told from above.
            let downstream = TestSubscriber<Element>(initialDemand: nil, onSubscribe: nil, onNext: nil) { signal in
                switch signal {
                case .subscribe: break
                case .next(let element): probe.onNext(element)
                case .error(let error): probe.onError(error)
                case .complete: probe.onComplete()
                }
            }
            ends.publisher.subscribe(downstream)
            let request: @Sendable (Demand) -> Void = { demand in
                asked.withLock { $0 = $0.addingReportingOverflow(demand.count).partialValue }
                downstream.request(demand)
            }
            let upper = UpperSide(box: ends.subscriber(), probe: probe) { received in
                if asked.withLock({ $0 < received }) { request(1) }
            }
            return SubscriberSubject(upper, request: request, cancel: { downstream.cancel() })
        }
        verification.prefetch = prefetch
        return verification
    }

    /// The processor as a subscriber; it reports its first subscription.
    private final class UpperSide: Flow.Subscriber, Sendable {
        typealias Input = Element
        private let box: SubscriberBox<Element>
        private let probe: SubscriberProbe<Element>
        private let askFor: @Sendable (_ received: Int64) -> Void
        private let hasSubscription = LockedState(false)
        private let received = LockedState<Int64>(0)

        init(
            box: SubscriberBox<Element>, probe: SubscriberProbe<Element>,
            askFor: @escaping @Sendable (_ received: Int64) -> Void
        ) {
            self.box = box
            self.probe = probe
            self.askFor = askFor
        }

        func onSubscribe(_ subscription: any Flow.Subscription) {
            let isFirst = hasSubscription.withLock { has in
                defer { has = true }
                return !has
            }
            if isFirst { probe.onSubscribe() }
            box.onSubscribe(subscription)
        }
        func onNext(_ element: Element) {
            let count = received.withLock { received in
                received += 1
                return received
            }
            askFor(count)
            box.onNext(element)
        }
        func onError(_ error: any Error) { box.onError(error) }
        func onComplete() { box.onComplete() }
    }

    // MARK: The processor's own

    private func errorIsPassedOn(_ log: CheckLog) async {
        let ends = make()
        let probe = TestSubscriber<Element>()
        ends.publisher.subscribe(probe)
        let source = TestPublisher<Element>()
        ends.attach(source)
        await environment.settle()
        source.fail(TestFailure())
        _ = await environment.settle { probe.isTerminated }
        log.expect(probe.failure != nil, "an error from upstream was not passed on before demand")
    }

    private func errorReachesAll(_ log: CheckLog) async {
        guard maximumSubscribers > 1 else { return log.skip("it serves one subscriber at a time") }
        let ends = make()
        let probes = [TestSubscriber<Element>(), TestSubscriber<Element>()]
        for probe in probes { ends.publisher.subscribe(probe) }
        let source = TestPublisher<Element>()
        ends.attach(source)
        await environment.settle()
        source.fail(TestFailure())
        _ = await environment.settle { probes.allSatisfy(\.isTerminated) }
        let missed = probes.count { $0.failure == nil }
        log.expect(missed == 0, "an error from upstream did not reach \(missed) of 2 subscribers")
    }

    private func oldDemandIsPassedOn(_ log: CheckLog) async {
        let ends = make()
        let probe = TestSubscriber<Element>()
        ends.publisher.subscribe(probe)
        await environment.settle()
        // Half of it before there is an upstream, if the processor lets downstream ask by then.
        let isEarly = probe.subscription != nil
        probe.request(20)
        let source = TestPublisher<Element>()
        ends.attach(source)
        _ = await environment.settle { probe.subscription != nil }
        probe.request(isEarly ? 20 : 40)
        await environment.settle()
        for number in 0..<40 {
            guard await environment.settle(until: { source.demand > 0 }) else {
                return log.fail("after \(number) elements of 40 that were asked for, upstream is asked for no more")
            }
            source.send(makeElement(number))
        }
        _ = await environment.settle { probe.elementCount == 40 }
        log.expect(probe.elementCount == 40, "of 40 elements that were asked for \(probe.elementCount) came")
    }
}
