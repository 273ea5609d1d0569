// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A stage that asks for everything, or is fed by hand, in front of a source that brings only what is asked for below it:
// so that what it would drop under pressure is not there, and its rules can be checked like those of any other stage.

import Backpressure
import BackpressureTestKit

/// Makes a stage for each subscriber, and feeds it an element for each one requested below.
struct FedPublisher<Output: Sendable>: Flow.Publisher {
    /// Subscribes to a new stage, and says how to feed it.
    let attach: @Sendable (FedSubscriber<Output>) -> @Sendable (Int) -> Void

    func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Output {
        // A verification subscribes nothing but its own probes.
        guard let probe = subscriber as? TestSubscriber<Output> else { preconditionFailure("subscribed \(S.self)") }
        let middle = FedSubscriber(probe)
        middle.start(feed: attach(middle))
    }
}

/// Stands between the stage and the probe.
final class FedSubscriber<Input: Sendable>: Flow.Subscriber, Sendable {
    private let probe: TestSubscriber<Input>
    private let state = Shared<(feed: (@Sendable (Int) -> Void)?, owed: Int)>((nil, 0))

    init(_ probe: TestSubscriber<Input>) { self.probe = probe }

    func start(feed: @escaping @Sendable (Int) -> Void) {
        let owed = state.update { state in
            state.feed = feed
            return state.owed
        }
        feed(owed)
    }

    fileprivate func feed(_ count: Int) {
        let feed = state.update { state in
            if state.feed == nil { state.owed += count }
            return state.feed
        }
        feed?(count)
    }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        probe.onSubscribe(FedSubscription(stage: subscription, middle: self))
    }
    func onNext(_ element: Input) { probe.onNext(element) }
    func onError(_ error: any Error) { probe.onError(error) }
    func onComplete() { probe.onComplete() }

    private final class FedSubscription: Flow.Subscription, @unchecked Sendable {
        private let stage: any Flow.Subscription
        // Not strongly: the probe's release is one of the checks.
        private weak let middle: FedSubscriber?

        init(stage: any Flow.Subscription, middle: FedSubscriber) {
            self.stage = stage
            self.middle = middle
        }

        func request(_ demand: Demand) {
            stage.request(demand)
            if demand.isValid { middle?.feed(Int(clamping: min(demand.count, 100))) }
        }
        func cancel() { stage.cancel() }
    }
}

/// A source of `count` integers that sends one when it is told to.
final class Feeder: Sendable {
    private let sent = Shared(0)
    private let count: Int
    private let send: @Sendable (Int) -> Void
    private let finish: @Sendable () -> Void

    init(_ count: Int, send: @escaping @Sendable (Int) -> Void, finish: @escaping @Sendable () -> Void) {
        self.count = count
        self.send = send
        self.finish = finish
    }

    func feed(_ number: Int) {
        for _ in 0..<max(number, count == 0 ? 1 : 0) {
            let next = sent.update { sent in
                defer { sent += 1 }
                return sent
            }
            if next < count { send(next) }
            if next + 1 >= count {
                finish()
                return
            }
        }
    }
}
