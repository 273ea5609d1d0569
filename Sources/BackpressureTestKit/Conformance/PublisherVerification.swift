// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Does a publisher keep the rules? The subject, what it may be asked for, and the run over all checks.

public import Backpressure

/// Checks a publisher against the rules of Reactive Streams.
///
/// It imports no test framework: a verification returns what it saw broken, and a test says that this is nothing.
///
/// ```swift
/// let verification = PublisherVerification<Int>(.deterministic) { count in
///     Flow.range(0..<Int(count))
/// }
/// let violations = await verification.verify()
/// print(violations.isEmpty)  // true
/// ```
///
/// Each check makes publishers of its own. What a publisher cannot give, its initialiser's parameters say; the checks
/// that need it are skipped, and ``outcomes()`` tells which and why.
public struct PublisherVerification<Output: Sendable>: Sendable {
    let environment: VerificationEnvironment
    let make: @Sendable (Int64) -> PublisherSubject<Output>
    let makeFailed: (@Sendable () -> PublisherSubject<Output>)?
    /// How many elements it can give; `Int64.max` if it never ends.
    public var maximumElements = Int64.max - 1
    /// How many subscribers one publisher serves at once.
    public var maximumSubscribers = Int.max
    /// How many `onNext` may run inside each other; for publishers of this library 1.
    public var recursionDepth = 1
    /// How many elements beyond the demand it may take from its own source.
    public var prefetch = 1
    /// How many elements it has taken from its source so far; nil when that is not known.
    public var work: (@Sendable () -> Int)?
    /// Whether nothing comes after a cancel from inside `onNext`, which is more than the rules ask.
    public var stopsAtOnce = true
    /// Whether all its subscribers get the same elements, side by side.
    public var isMulticast = true
    /// Whether an empty publisher can be made.
    public var canBeEmpty = true

    /// A verification.
    ///
    /// - Parameters:
    ///   - environment: Where it runs.
    ///   - makePublisher: Makes a publisher of so many elements, which then completes.
    public init<P: Flow.Publisher>(
        _ environment: VerificationEnvironment, makePublisher: @escaping @Sendable (Int64) -> P
    ) where P.Output == Output {
        self.environment = environment
        make = { PublisherSubject(makePublisher($0)) }
        makeFailed = nil
    }

    /// A verification that also checks how the publisher fails.
    ///
    /// - Parameters:
    ///   - environment: Where it runs.
    ///   - makePublisher: Makes a publisher of so many elements, which then completes.
    ///   - makeFailedPublisher: Makes a publisher that fails without an element.
    public init<P: Flow.Publisher, F: Flow.Publisher>(
        _ environment: VerificationEnvironment,
        makePublisher: @escaping @Sendable (Int64) -> P,
        makeFailedPublisher: @escaping @Sendable () -> F
    ) where P.Output == Output, F.Output == Output {
        self.environment = environment
        make = { PublisherSubject(makePublisher($0)) }
        makeFailed = { PublisherSubject(makeFailedPublisher()) }
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
        for check in PublisherCheck.allCases { outcomes.append(await run(check)) }
        return outcomes
    }

    /// Makes one check.
    ///
    /// - Parameter check: Which one.
    /// - Returns: What it came to.
    public func run(_ check: PublisherCheck) async -> CheckOutcome {
        let log = CheckLog(check.rule, check.rawValue)
        if let reason = reasonToSkip(check) {
            log.skip(reason)
        } else {
            await perform(check, log)
        }
        return log.outcome
    }

    private func reasonToSkip(_ check: PublisherCheck) -> String? {
        if check.needsFailure, makeFailed == nil { return "no failed publisher was given" }
        if check.needsEnd, maximumElements == .max { return "the publisher never ends" }
        if Int64(check.elements) > maximumElements {
            return "it takes \(check.elements) elements and there are \(maximumElements)"
        }
        if check == .emptyStreamCompletes, !canBeEmpty { return "the publisher cannot be empty" }
        if check.subscribers > maximumSubscribers {
            return "it takes \(check.subscribers) subscribers at once and \(maximumSubscribers) are served"
        }
        switch check {
        case .sameElementsOneByOne, .sameElementsManyUpfront, .sameElementsAndEnd:
            return isMulticast ? nil : "subscribers do not get the same elements"
        default: return nil
        }
    }

    private func perform(_ check: PublisherCheck, _ log: CheckLog) async {
        switch check {
        case .demandIsNeverExceeded: await demandIsNeverExceeded(log)
        case .mayEndBeforeDemandIsMet: await mayEndBeforeDemandIsMet(log)
        case .signalsAreSerial: await signalsAreSerial(log)
        case .failureIsSignalled: await failureIsSignalled(log)
        case .endIsSignalled: await endIsSignalled(log)
        case .emptyStreamCompletes: await emptyStreamCompletes(log)
        case .subscriptionEndsWithStream: await subscriptionEndsWithStream(log)
        case .nothingFollowsComplete: await nothingFollowsComplete(log)
        case .nothingFollowsError: await nothingFollowsError(log)
        case .cancelledSubscriberHearsNoEnd: await cancelledSubscriberHearsNoEnd(log)
        case .subscribeComesFirst: await subscribeComesFirst(log)
        case .refusalComesAfterSubscribe: await refusalComesAfterSubscribe(log)
        case .otherSubscribersAreAnswered: await otherSubscribersAreAnswered(log)
        case .manySubscribersAreServed: await manySubscribersAreServed(log)
        case .sameElementsOneByOne: await sameElements(log, stepwise: true, toTheEnd: false)
        case .sameElementsManyUpfront: await sameElements(log, stepwise: false, toTheEnd: false)
        case .sameElementsAndEnd: await sameElements(log, stepwise: false, toTheEnd: true)
        case .subscribesOnce: await subscribesOnce(log)
        case .nestedRequestsCount: await nestedRequestsCount(log)
        case .recursionIsBounded: await recursionIsBounded(log)
        case .requestIsQuick: await requestIsQuick(log)
        case .cancelIsQuick: await cancelIsQuick(log)
        case .requestAfterCancelIsNop: await requestAfterCancelIsNop(log)
        case .cancelAfterCancelIsNop: await cancelAfterCancelIsNop(log)
        case .requestsAddUp: await requestsAddUp(log)
        case .zeroIsInvalid: await invalidDemandFails(log, 0)
        case .negativeIsInvalid: await invalidDemandFails(log, -1)
        case .invalidDemandIsNamed: await invalidDemandIsNamed(log)
        case .cancelStopsElements: await cancelStopsElements(log)
        case .cancelDropsSubscriber: await cancelDropsSubscriber(log)
        case .lastCancelIsOrderly: await lastCancelIsOrderly(log)
        case .earlyCancelIsSilent: await earlyCancelIsSilent(log)
        case .anyRequestAfterCancelIsSilent: await anyRequestAfterCancelIsSilent(log)
        case .unboundedDemandIsServed: await demandIsServed(log, [.unbounded])
        case .greatSumIsServed: await demandIsServed(log, [Demand(Int64.max / 2), Demand(Int64.max / 2), 1])
        case .greaterSumIsNoError: await greaterSumIsNoError(log)
        }
    }
}

/// A publisher of any type, behind one type.
struct PublisherSubject<Output: Sendable>: Sendable {
    private let subscriber: @Sendable (TestSubscriber<Output>) -> Void

    init<P: Flow.Publisher>(_ publisher: P) where P.Output == Output {
        // One thread at a time: a verification calls it from its own task only.
        nonisolated(unsafe) let publisher = publisher
        subscriber = { publisher.subscribe($0) }
    }

    func subscribe(_ probe: TestSubscriber<Output>) { subscriber(probe) }
}
