// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The other side of every operator: what it is to its upstream, a subscriber, against every rule of section 2 and those
// of section 3 that bind a subscriber.
//
// An operator's subscriber has no name outside, so a publisher catches it: the operator subscribes, and what it subscribed
// is the subject. Each operator is set up so that it changes nothing; what comes out below it is the white box's report.

import BackpressureTestKit
import Testing

@testable import Backpressure

/// A publisher whose subscriber a check plays with.
private final class Catcher: Flow.Publisher, Sendable {
    typealias Output = Int

    private final class Box<S: Flow.Subscriber>: @unchecked Sendable where S.Input == Int {
        var subscriber: S
        init(_ subscriber: S) { self.subscriber = subscriber }
    }

    struct Caught: Flow.Subscriber {
        let subscribe: @Sendable (any Flow.Subscription) -> Void
        let next: @Sendable (Int) -> Void
        let fail: @Sendable (any Error) -> Void
        let complete: @Sendable () -> Void

        func onSubscribe(_ subscription: any Flow.Subscription) { subscribe(subscription) }
        func onNext(_ element: Int) { next(element) }
        func onError(_ error: any Error) { fail(error) }
        func onComplete() { complete() }
    }

    let caught = Shared<Caught?>(nil)

    func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Int {
        let box = Box(subscriber)
        caught.update {
            $0 = Caught(
                subscribe: { box.subscriber.onSubscribe($0) }, next: { box.subscriber.onNext($0) },
                fail: { box.subscriber.onError($0) }, complete: { box.subscriber.onComplete() })
        }
    }
}

/// What is below the operator: it asks when it is told to, or for everything, and reports what it gets.
private final class Below: Flow.Subscriber, Sendable {
    typealias Input = Int
    private let subscription = Shared<(any Flow.Subscription)?>(nil)
    private let probe: SubscriberProbe<Int>
    private let asksForAll: Bool

    init(_ probe: SubscriberProbe<Int>, asksForAll: Bool) {
        self.probe = probe
        self.asksForAll = asksForAll
    }

    func request(_ demand: Demand) { subscription.value?.request(demand) }
    func cancel() { subscription.value?.cancel() }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        let isFirst = self.subscription.update { first in
            guard first == nil else { return false }
            first = subscription
            return true
        }
        // Some operators only hand on what they get: then this is the subscriber that has to keep 2.5.
        guard isFirst else { return subscription.cancel() }
        probe.onSubscribe()
        if asksForAll { subscription.request(.unbounded) }
    }
    func onNext(_ element: Int) { probe.onNext(element) }
    func onError(_ error: any Error) { probe.onError(error) }
    func onComplete() { probe.onComplete() }
}

/// An operator as a subscriber.
private struct OperatorSubject: Sendable {
    /// It asks upstream for what fits and not for what it is asked for: then everything is asked of it.
    var asksAhead = false
    /// Checks that it cannot pass, by its row in the table.
    var exempt: Set<SubscriberCheck> = []
    let attach: @Sendable (Catcher, Below, VerificationEnvironment) -> Void

    /// Downstream has the subscription of upstream itself: who calls it after the end is downstream, which the checks of
    /// 2.4 make do so.
    static func passing(_ attach: @escaping @Sendable (Catcher, Below, VerificationEnvironment) -> Void) -> Self {
        OperatorSubject(exempt: [.nothingIsCalledAfterComplete, .nothingIsCalledAfterError], attach: attach)
    }

    /// With a subscription of its own, that asks for as much as it is asked for.
    static func asIs(_ attach: @escaping @Sendable (Catcher, Below, VerificationEnvironment) -> Void) -> Self {
        OperatorSubject(attach: attach)
    }

    /// Asks for one array after the other.
    static func oneByOne(_ attach: @escaping @Sendable (Catcher, Below, VerificationEnvironment) -> Void) -> Self {
        OperatorSubject(exempt: [.requestsAddUp], attach: attach)
    }

    /// With a bound of its own on what it asks for.
    static func ahead(
        _ bound: Int, also exempt: Set<SubscriberCheck> = [],
        _ attach: @escaping @Sendable (Catcher, Below, VerificationEnvironment) -> Void
    ) -> Self {
        // A demand of 1 and of 2 more need not reach 3 upstream.
        let few: Set<SubscriberCheck> = bound < 3 ? [.requestsAddUp] : []
        return OperatorSubject(asksAhead: true, exempt: exempt.union(few), attach: attach)
    }

    func outcomes() async -> [CheckOutcome] {
        let environment = VerificationEnvironment.deterministic
        var verification = SubscriberVerification<Int>(
            environment, makeElement: { $0 },
            whiteBox: { probe in
                let (catcher, below) = (Catcher(), Below(probe, asksForAll: asksAhead))
                attach(catcher, below, environment)
                guard let caught = catcher.caught.value else { preconditionFailure("the operator did not subscribe") }
                return SubscriberSubject(caught, request: { below.request($0) }, cancel: { below.cancel() })
            })
        // What was asked for ahead serves the demand of the check as well.
        if asksAhead { verification.prefetch = .max }
        return await verification.outcomes()
    }
}

private let operatorSubjects: [String: OperatorSubject] = [
    "map": .passing { source, below, _ in source.map { $0 }.subscribe(below) },
    "tryMap": .passing { source, below, _ in source.tryMap { $0 }.subscribe(below) },
    "compactMap": .passing { source, below, _ in source.compactMap { $0 }.subscribe(below) },
    "filter": .passing { source, below, _ in source.filter { _ in true }.subscribe(below) },
    "scan": .passing { source, below, _ in source.scan(0) { $1 }.subscribe(below) },
    "prefix": .passing { source, below, _ in source.prefix(100).subscribe(below) },
    "flatMap": .ahead(8) { source, below, _ in
        source.flatMap(maxConcurrency: 8, prefetch: 2) { Flow.just($0) }.subscribe(below)
    },
    "concatMap": .ahead(1) { source, below, _ in source.concatMap(prefetch: 2) { Flow.just($0) }.subscribe(below) },
    "merge": .ahead(8) { source, below, _ in
        source.merge(with: Flow.empty(Int.self), prefetch: 8).subscribe(below)
    },
    "zip": .ahead(8) { source, below, _ in
        source.zip(with: Flow.range(0..<100), prefetch: 8).map { $0.0 }.subscribe(below)
    },
    "buffer": .oneByOne { source, below, _ in source.buffer(1).map { $0[0] }.subscribe(below) },
    "buffer(linger:)": .oneByOne { source, below, environment in
        source.buffer(1, linger: .seconds(1), clock: environment.clock).map { $0[0] }.subscribe(below)
    },
    "limitRate": .ahead(8) { source, below, _ in source.limitRate(8).subscribe(below) },
    "receive(on:)": .ahead(8) { source, below, environment in
        source.receive(on: environment.executor, prefetch: 8).subscribe(below)
    },
    "onBackpressureBuffer": .ahead(.max) { source, below, _ in
        source.onBackpressureBuffer(8, overflow: .fail).subscribe(below)
    },
    "onBackpressureDrop": .ahead(.max) { source, below, _ in source.onBackpressureDrop().subscribe(below) },
    "onBackpressureLatest": .ahead(.max) { source, below, _ in source.onBackpressureLatest().subscribe(below) },
    "onBackpressureError": .ahead(.max) { source, below, _ in source.onBackpressureError().subscribe(below) },
    "conflate": .ahead(.max) { source, below, _ in source.conflate { $1 }.subscribe(below) },
    // An error comes at once, and what still runs is dropped.
    "mapAsync": .ahead(8, also: [.signalsAreProcessedInOrder]) { source, below, environment in
        source.mapAsync(limit: 8, on: environment.executor) { $0 }.subscribe(below)
    },
    "throttle": .ahead(1) { source, below, environment in
        source.throttle(on: environment.executor) {}.subscribe(below)
    },
    "timeout": .asIs { source, below, environment in
        source.timeout(idle: .seconds(10), clock: environment.clock).subscribe(below)
    },
    "retry": .asIs { source, below, _ in source.retry(0).subscribe(below) },
]

@Suite("flow: operators as subscribers", .timeLimit(.minutes(10)))
struct OperatorSubscriberTests {
    @Test("every rule of a subscriber, for every operator", arguments: OperatorTable.operators.map(\.name))
    func row(_ name: String) async throws {
        let subject = try #require(operatorSubjects[name], "no subject for \(name)")
        let outcomes = await subject.outcomes()
        let broken = Set(outcomes.filter { !$0.violations.isEmpty }.map(\.check))
        let violations = outcomes.flatMap(\.violations).filter { violation in
            !subject.exempt.contains { $0.rawValue == violation.check }
        }
        #expect(violations.isEmpty, "\(name): \(violations.map(\.description).joined(separator: "; "))")
        #expect(broken.isSubset(of: Set(subject.exempt.map(\.rawValue))))
        let made = outcomes.count { $0.skipped == nil }
        print("conformance of \(name) as a subscriber: \(made) checks made, \(outcomes.count - made) do not apply")
        #expect(outcomes.count == SubscriberCheck.allCases.count && made >= SubscriberCheck.allCases.count - 1)
    }

    @Test("no subject is of an operator without a row")
    func everySubjectHasARow() {
        #expect(Set(operatorSubjects.keys) == Set(OperatorTable.operators.map(\.name)))
    }
}
