// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The verification of processors: one that relays, and ways to relay wrongly.

import Backpressure
import BackpressureTestKit
import Testing

/// A processor that hands on what it gets, as fast as it is asked for.
final class Relay: Flow.Processor, Sendable {
    typealias Input = Int
    typealias Output = Int

    enum Fault: String, CaseIterable, Sendable {
        /// 4.2
        case swallowsError
        /// 4.1, as a subscriber
        case keepsSecond
        /// 4.1, as a publisher
        case ignoresZero
        /// 4.1
        case forgetsOldDemand
        /// 1.4
        case servesOnlyTheFirst
    }

    private struct State: Sendable {
        var upstream: (any Flow.Subscription)?
        var owed: Demand = 0
        var isEnded = false
    }

    private let state = Shared(State())
    private let box = Shared<TestPublisher<Int>?>(nil)
    private let fault: Fault?

    init(_ fault: Fault? = nil) {
        self.fault = fault
        let state = state
        let publisher = TestPublisher<Int>(
            misbehaving: fault == .ignoresZero
                ? .ignoresZero : fault == .servesOnlyTheFirst ? .servesOnlyTheFirst : nil,
            onRequest: { demand in
                guard demand.isValid else { return }
                let upstream = state.update { state in
                    if state.upstream == nil { state.owed += demand }
                    return state.upstream
                }
                upstream?.request(demand)
            },
            onCancel: { state.update { $0.upstream.take() }?.cancel() })
        box.update { $0 = publisher }
    }

    func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Int {
        box.value?.subscribe(subscriber)
    }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        let (isFirst, owed) = state.update { state in
            guard state.upstream == nil, !state.isEnded else { return (false, Demand(0)) }
            state.upstream = subscription
            return (true, state.owed)
        }
        guard isFirst else {
            if fault != .keepsSecond { subscription.cancel() }
            return
        }
        if owed.isValid { subscription.request(fault == .forgetsOldDemand ? min(owed, 5) : owed) }
    }

    func onNext(_ element: Int) { box.value?.send(element) }

    func onComplete() {
        end()
        box.value?.complete()
    }

    func onError(_ error: any Error) {
        end()
        if fault == .swallowsError { return }
        box.value?.fail(error)
    }

    private func end() {
        state.update { state in
            state.upstream = nil
            state.isEnded = true
        }
    }
}

@Suite("conformance kit: processors", .timeLimit(.minutes(10)))
struct ProcessorSelfTests {
    private func outcomes(_ fault: Relay.Fault?, subscribers: Int = 1) async -> [CheckOutcome] {
        var verification = ProcessorVerification<Int>(
            .deterministic, makeElement: { $0 }, makeProcessor: { Relay(fault) })
        verification.maximumSubscribers = subscribers
        return await verification.outcomes()
    }

    @Test("a relay passes all checks of both sides, and its own")
    func orderly() async {
        let outcomes = await outcomes(nil)
        #expect(outcomes.flatMap(\.violations).isEmpty, "\(outcomes.flatMap(\.violations))")
        let names = outcomes.map(\.check)
        let all = PublisherCheck.allCases.map(\.rawValue) + SubscriberCheck.allCases.map(\.rawValue)
        #expect(names == all + ProcessorCheck.allCases.map(\.rawValue), "both contracts, completely")
    }

    static let faults: [(Relay.Fault, ProcessorCheck, String)] = [
        (.swallowsError, .errorIsPassedOn, "was not passed on before demand"),
        (.keepsSecond, .bothContractsAreObeyed, "broken are 2.5"),
        (.ignoresZero, .bothContractsAreObeyed, "broken are 3.9"),
        (
            .forgetsOldDemand, .oldDemandIsPassedOn,
            "elements of 40 that were asked for, upstream is asked for no more"
        ),
        (.servesOnlyTheFirst, .errorReachesAllSubscribers, "did not reach 1 of 2 subscribers"),
    ]

    @Test("each fault, and each check, is in the table")
    func table() {
        #expect(Set(Self.faults.map(\.0)) == Set(Relay.Fault.allCases))
        #expect(Set(Self.faults.map(\.1)) == Set(ProcessorCheck.allCases))
    }

    @Test("a fault is seen by its check, with the right message", arguments: faults)
    func fault(_ fault: Relay.Fault, _ check: ProcessorCheck, _ message: String) async {
        let outcomes = await outcomes(fault, subscribers: fault == .servesOnlyTheFirst ? 2 : 1)
        let violations = outcomes.first { $0.check == check.rawValue }?.violations ?? []
        #expect(
            violations.count == 1 && violations.allSatisfy { $0.message.contains(message) && $0.rule == check.rule },
            "\(violations) of \(outcomes.flatMap(\.violations))")
    }
}
