// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A verification that passes everything is worth nothing: for each check a publisher that breaks what it looks at.

import Backpressure
import BackpressureTestKit
import Testing

/// A fault, the check that is there for it, the others that cannot but see it as well, and what the first one says.
struct PublisherFault: Sendable, CustomStringConvertible {
    let fault: Misbehaviour
    let check: PublisherCheck
    let others: Set<PublisherCheck>
    let message: String

    init(_ fault: Misbehaviour, _ check: PublisherCheck, also others: Set<PublisherCheck>, says message: String) {
        self.fault = fault
        self.check = check
        self.others = others
        self.message = message
    }

    var description: String { "\(fault) -> \(check)" }
}

let publisherFaults: [PublisherFault] = [
    PublisherFault(
        .exceedsDemand, .demandIsNeverExceeded,
        also: [],
        says: "elements came for a demand of 1 in all"),
    PublisherFault(
        .fabricatesElements, .mayEndBeforeDemandIsMet,
        also: [.greatSumIsServed, .nestedRequestsCount, .unboundedDemandIsServed, .sameElementsAndEnd],
        says: "elements came of a stream of 3, for a demand of 10"),
    PublisherFault(
        .endsInsideOnNext, .signalsAreSerial,
        also: [],
        says: "onComplete came inside onNext"),
    PublisherFault(
        .swallowsFailure, .failureIsSignalled,
        also: [],
        says: "did not call onError"),
    PublisherFault(
        .neverCompletes, .endIsSignalled,
        also: [.emptyStreamCompletes, .sameElementsAndEnd, .subscriptionEndsWithStream],
        says: "no onComplete came after all 1 elements"),
    PublisherFault(
        .answersAfterEnd, .subscriptionEndsWithStream,
        also: [.cancelDropsSubscriber],
        says: "calls after the end were answered: onError"),
    PublisherFault(
        .completesTwice, .nothingFollowsComplete,
        also: [.cancelDropsSubscriber, .emptyStreamCompletes],
        says: "signals followed the end: onComplete"),
    PublisherFault(
        .failsTwice, .nothingFollowsError,
        also: [.cancelDropsSubscriber],
        says: "signals followed onError: onError"),
    PublisherFault(
        .completesAfterCancel, .cancelledSubscriberHearsNoEnd,
        also: [],
        says: "a cancelled subscriber got onComplete"),
    PublisherFault(
        .signalsBeforeSubscribe, .subscribeComesFirst,
        also: [
            .cancelStopsElements, .demandIsNeverExceeded, .earlyCancelIsSilent, .endIsSignalled, .greatSumIsServed,
            .lastCancelIsOrderly, .mayEndBeforeDemandIsMet, .nestedRequestsCount, .otherSubscribersAreAnswered,
            .sameElementsAndEnd, .sameElementsManyUpfront, .sameElementsOneByOne, .unboundedDemandIsServed,
        ],
        says: "the first signal was onNext"),
    PublisherFault(
        .failsWithoutSubscribe, .refusalComesAfterSubscribe,
        also: [],
        says: "first got onError, not onSubscribe"),
    PublisherFault(
        .servesOnlyTheFirst, .otherSubscribersAreAnswered,
        also: [
            .lastCancelIsOrderly, .manySubscribersAreServed, .sameElementsAndEnd, .sameElementsManyUpfront,
            .sameElementsOneByOne,
        ],
        says: "subscriber 2 got no signal"),
    PublisherFault(
        .servesOnlyTheFirst, .manySubscribersAreServed,
        also: [
            .lastCancelIsOrderly, .otherSubscribersAreAnswered, .sameElementsAndEnd, .sameElementsManyUpfront,
            .sameElementsOneByOne,
        ],
        says: "subscriber 2 of 2 got neither"),
    PublisherFault(
        .reversesForOthers, .sameElementsOneByOne,
        also: [.sameElementsAndEnd, .sameElementsManyUpfront],
        says: "subscriber 2 got [\"4\", \"3\", \"2\", \"1\", \"0\"]"),
    PublisherFault(
        .subscribesTwice, .subscribesOnce,
        also: [.earlyCancelIsSilent, .emptyStreamCompletes],
        says: "onSubscribe was called 2 times"),
    PublisherFault(
        .ignoresNestedRequests, .nestedRequestsCount,
        also: [.requestsAddUp, .unboundedDemandIsServed, .greatSumIsServed],
        says: "brought 0 elements, not 6"),
    PublisherFault(
        .sendsRecursively, .recursionIsBounded,
        also: [.signalsAreSerial],
        says: "deep inside itself, where 1 is allowed"),
    PublisherFault(
        .servesAfterCancel, .requestAfterCancelIsNop,
        also: [.cancelDropsSubscriber, .cancelStopsElements],
        says: "requests after cancel were answered: onNext"),
    PublisherFault(
        .failsAtSecondCancel, .cancelAfterCancelIsNop,
        also: [.cancelDropsSubscriber],
        says: "further cancels were answered: onError"),
    PublisherFault(
        .keepsOnlyTheGreatestRequest, .requestsAddUp,
        also: [],
        says: "brought 2 elements, not 4"),
    PublisherFault(
        .ignoresZero, .zeroIsInvalid,
        also: [],
        says: "request(0) was not answered by onError"),
    PublisherFault(
        .ignoresNegative, .negativeIsInvalid,
        also: [],
        says: "request(-1) was not answered by onError"),
    PublisherFault(
        .hidesInvalidDemand, .invalidDemandIsNamed,
        also: [],
        says: "not with InvalidDemand(0)"),
    PublisherFault(
        .ignoresCancel, .cancelStopsElements,
        also: [.cancelDropsSubscriber, .cancelledSubscriberHearsNoEnd],
        says: "elements came after cancel was called"),
    PublisherFault(
        .keepsSubscriber, .cancelDropsSubscriber,
        also: [],
        says: "still held after its cancel"),
    PublisherFault(
        .shutsDownSilently, .lastCancelIsOrderly,
        also: [],
        says: "after the last cancel a new subscriber got no signal"),
    PublisherFault(
        .failsAtEarlyCancel, .earlyCancelIsSilent,
        also: [],
        says: "a cancel before any request was answered: onError"),
    PublisherFault(
        .failsAtLateInvalidRequest, .anyRequestAfterCancelIsSilent,
        also: [.cancelDropsSubscriber],
        says: "invalid requests after cancel were answered: onError"),
    PublisherFault(
        .ignoresUnboundedDemand, .unboundedDemandIsServed,
        also: [],
        says: "a demand of unbounded brought 0 elements of 3"),
    PublisherFault(
        .dropsGreatSums, .greatSumIsServed,
        also: [],
        says: "brought 0 elements of 3"),
    PublisherFault(
        .failsAtGreatSums, .greaterSumIsNoError,
        also: [.greatSumIsServed],
        says: "demand above 2^63 - 1 ended with an error"),
]

@Suite("conformance kit: broken publishers", .timeLimit(.minutes(10)))
struct PublisherSelfTests {
    static func verification(
        _ fault: Misbehaviour?, in environment: VerificationEnvironment = .deterministic,
        onRequest: (@Sendable (Demand) -> Void)? = nil, onCancel: (@Sendable () -> Void)? = nil
    ) -> PublisherVerification<Int> {
        PublisherVerification(
            environment,
            makePublisher: { count in
                TestPublisher(
                    Array(0..<Int(count)), ending: .complete, misbehaving: fault, onRequest: onRequest,
                    onCancel: onCancel)
            },
            makeFailedPublisher: { TestPublisher<Int>([], ending: .failure(TestFailure()), misbehaving: fault) })
    }

    @Test("an orderly publisher passes every check, none skipped")
    func orderly() async {
        let outcomes = await Self.verification(nil).outcomes()
        #expect(outcomes.count == PublisherCheck.allCases.count)
        #expect(outcomes.flatMap(\.violations).isEmpty && outcomes.allSatisfy { $0.skipped == nil })
    }

    @Test(
        "a fault is seen by its check, with the right message, and by no check that it does not concern",
        arguments: publisherFaults)
    func fault(_ fault: PublisherFault) async {
        let outcomes = await Self.verification(fault.fault).outcomes()
        let seen = Set(outcomes.filter { !$0.violations.isEmpty }.map(\.check))
        #expect(seen == Set([fault.check.rawValue] + fault.others.map(\.rawValue)))
        let violations = outcomes.first { $0.check == fault.check.rawValue }?.violations ?? []
        #expect(
            violations.contains { $0.message.contains(fault.message) && $0.rule == fault.check.rule }, "\(violations)")
    }

    @Test("each fault of the test publisher, and each check, is in the table")
    func table() {
        #expect(Set(publisherFaults.map(\.fault)) == Set(Misbehaviour.allCases))
        let checks = publisherFaults.reduce(into: Set<PublisherCheck>()) { checks, fault in
            checks.formUnion(fault.others)
            checks.insert(fault.check)
        }
        // The other two have tests of their own, below.
        #expect(checks.union([.requestIsQuick, .cancelIsQuick]) == Set(PublisherCheck.allCases))
    }

    @Test("3.4, 3.5: a call that takes time, or works ahead, is seen")
    func slowCalls() async {
        let environment = VerificationEnvironment.deterministic
        let slow = Self.verification(
            nil, in: environment, onRequest: { _ in environment.clock.advance(by: .seconds(1)) })
        #expect(await slow.run(.requestIsQuick).violations.first?.message == "request(1) took its time")
        let slowCancel = Self.verification(
            nil, in: environment, onCancel: { environment.clock.advance(by: .seconds(1)) })
        #expect(await slowCancel.run(.cancelIsQuick).violations.first?.message == "cancel took its time")
        #expect(await slowCancel.run(.requestIsQuick).violations.isEmpty)

        let work = Shared(0)
        var busy = Self.verification(
            nil, onRequest: { _ in work.update { $0 += 1_000 } }, onCancel: { work.update { $0 += 7 } })
        busy.work = { work.value }
        let request = await busy.run(.requestIsQuick).violations.map(\.message)
        #expect(request == ["request(1) took 1000 elements from the source, 2 are allowed"])
        let cancel = await busy.run(.cancelIsQuick).violations.map(\.message)
        #expect(cancel == ["cancel took 7 elements from the source"])
    }

    @Test("what a publisher cannot give is skipped, and the reason is told")
    func skips() async {
        var verification = PublisherVerification<Int>(.deterministic) { Flow.range(0..<Int($0)) }
        verification.maximumElements = 1
        verification.maximumSubscribers = 1
        let skipped = await verification.outcomes().filter { $0.skipped != nil }
        let reasons = Set(skipped.compactMap(\.skipped))
        #expect(reasons.contains("no failed publisher was given"))
        #expect(reasons.contains("it takes 5 elements and there are 1"))
        #expect(skipped.first { $0.check == "manySubscribersAreServed" }?.skipped?.contains("2 subscribers") == true)
        #expect(await verification.verify().isEmpty)
    }

    @Test("real time: a publisher with a task of its own, orderly and not")
    func realTime() async {
        struct Tasked: Flow.Publisher {
            typealias Output = Int
            let count: Int
            let fault: Misbehaviour?

            func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Int {
                let publisher = TestPublisher<Int>(misbehaving: fault)
                publisher.subscribe(subscriber)
                let count = count
                Task.detached {
                    for number in 0..<count { publisher.send(number) }
                    publisher.complete()
                }
            }
        }
        let environment = VerificationEnvironment.realTime(noSignal: .milliseconds(5))
        for (fault, isBroken) in [(Misbehaviour?.none, false), (.exceedsDemand, true)] {
            let verification = PublisherVerification<Int>(environment) { Tasked(count: Int($0), fault: fault) }
            for check in [PublisherCheck.demandIsNeverExceeded, .endIsSignalled, .signalsAreSerial] {
                let violations = await verification.run(check).violations
                #expect(violations.isEmpty != (isBroken && check == .demandIsNeverExceeded), "\(violations)")
            }
        }
    }
}
