// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A subscriber that writes down what it gets and checks the contract on the way, and a publisher that is played by hand.

import Testing

@testable import Backpressure

/// Records every signal; a signal that breaks the contract is an issue of the test.
final class Probe<Input: Sendable>: Flow.Subscriber, Sendable {
    struct Log: Sendable {
        var subscription: (any Flow.Subscription)?
        var requested = Demand(0)
        var elements: [Input] = []
        var error: (any Error)?
        var isComplete = false
        var isCancelled = false
        /// Signals that run at this moment.
        var depth = 0
        var greatestDepth = 0
        var violations: [String] = []

        var hasEnded: Bool { isComplete || error != nil }
    }

    let log = Shared(Log())
    /// What is asked for in `onSubscribe`; 0 is nothing.
    let first: Demand
    /// What is asked for in each `onNext`; 0 is nothing.
    let each: Demand
    private let onElement: @Sendable (Probe, Input) -> Void

    init(
        _ first: Demand = 0, each: Demand = 0, onElement: @escaping @Sendable (Probe, Input) -> Void = { _, _ in }
    ) {
        self.first = first
        self.each = each
        self.onElement = onElement
    }

    var elements: [Input] { log.value.elements }
    var hasEnded: Bool { log.value.hasEnded }
    var isComplete: Bool { log.value.isComplete }
    var error: (any Error)? { log.value.error }

    func request(_ demand: Demand) {
        let subscription = log.update { log in
            if demand.isValid { log.requested += demand }
            return log.subscription
        }
        subscription?.request(demand)
    }

    func cancel() {
        let subscription = log.update { log in
            log.isCancelled = true
            return log.subscription
        }
        subscription?.cancel()
    }

    /// All that was seen to break the contract.
    func expectContract(_ location: SourceLocation = #_sourceLocation) {
        let log = log.value
        #expect(log.violations.isEmpty, "\(log.violations)", sourceLocation: location)
        #expect(log.greatestDepth <= 1, "signals ran inside signals", sourceLocation: location)
    }

    private func enter(_ signal: String, _ change: (inout Log) -> Void) {
        log.update { log in
            log.depth += 1
            log.greatestDepth = max(log.greatestDepth, log.depth)
            if log.hasEnded { log.violations.append("\(signal) after the end [1.7]") }
            if signal != "onSubscribe", log.subscription == nil {
                log.violations.append("\(signal) before onSubscribe [1.9]")
            }
            change(&log)
        }
    }

    private func leave() { log.update { $0.depth -= 1 } }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        enter("onSubscribe") { log in
            if log.subscription != nil { log.violations.append("onSubscribe twice [2.12]") }
            log.subscription = subscription
        }
        if first != 0 { request(first) }
        leave()
    }

    func onNext(_ element: Input) {
        enter("onNext") { log in
            log.elements.append(element)
            if Demand(log.elements.count) > log.requested { log.violations.append("more than requested [1.1]") }
        }
        onElement(self, element)
        if each != 0 { request(each) }
        leave()
    }

    func onError(_ error: any Error) {
        enter("onError") { $0.error = error }
        leave()
    }

    func onComplete() {
        enter("onComplete") { $0.isComplete = true }
        leave()
    }
}

/// A publisher whose one subscription a test plays by hand.
final class Hand<Output: Sendable>: Flow.Publisher, Sendable {
    struct Log: Sendable {
        var requests: [Int64] = []
        var isCancelled = false
        var subscriptions = 0
    }

    final class Link: Flow.Subscription {
        let hand: Hand

        init(_ hand: Hand) { self.hand = hand }

        func request(_ demand: Demand) { hand.log.update { $0.requests.append(demand.count) } }
        func cancel() { hand.log.update { $0.isCancelled = true } }
    }

    let log = Shared(Log())
    private let box = Shared<AnySubscriber?>(nil)

    struct AnySubscriber: Sendable {
        let next: @Sendable (Output) -> Void
        let fail: @Sendable (any Error) -> Void
        let complete: @Sendable () -> Void
    }

    var requests: [Int64] { log.value.requests }
    var requestedInAll: Int64 { log.value.requests.reduce(0) { $0.addingSaturating($1) } }
    var isCancelled: Bool { log.value.isCancelled }

    func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Output {
        nonisolated(unsafe) var subscriber = subscriber
        subscriber.onSubscribe(Link(self))
        let held = Held(subscriber)
        log.update { $0.subscriptions += 1 }
        box.update {
            $0 = AnySubscriber(
                next: { held.subscriber.onNext($0) }, fail: { held.subscriber.onError($0) },
                complete: { held.subscriber.onComplete() })
        }
    }

    func send(_ elements: Output...) { for element in elements { box.value?.next(element) } }
    func fail(_ error: any Error) { box.value?.fail(error) }
    func complete() { box.value?.complete() }
}

/// A subscriber that one thread at a time uses.
private final class Held<Subscriber>: @unchecked Sendable {
    var subscriber: Subscriber

    init(_ subscriber: Subscriber) { self.subscriber = subscriber }
}

struct Boom: Error, Equatable {}
