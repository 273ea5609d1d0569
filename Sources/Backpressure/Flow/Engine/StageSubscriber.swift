// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a stage with one upstream subscribes with: every signal is told to the machine.

/// A machine with one upstream.
@usableFromInline
protocol InletMachine: StageMachine {
    associatedtype Input

    /// False when the subscription must be cancelled.
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool

    /// Takes an element; answers with an upstream that must be cancelled, because it sends what was not asked for.
    mutating func receive(_ element: Input) -> (any Flow.Subscription)?

    mutating func end(_ error: (any Error)?)
}

@frozen
@usableFromInline
struct StageSubscriber<Machine: InletMachine, Downstream: Flow.Subscriber>: Flow.Subscriber
where Downstream.Input == Machine.Output {
    @usableFromInline let stage: Stage<Machine, Downstream>

    @inlinable
    init(_ stage: Stage<Machine, Downstream>) { self.stage = stage }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connect(subscription) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Machine.Input) {
        if let offender = stage.post({ $0.receive(element) }) { offender.cancel() }
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.end(error) } }

    @inlinable
    func onComplete() { stage.post { $0.end(nil) } }
}

extension Flow.Publisher {
    /// Subscribes to this publisher for `subscriber`, by way of a stage with `machine`.
    @inlinable
    func subscribe<Machine: InletMachine, S: Flow.Subscriber>(
        through machine: Machine, executor: (any TaskExecutor)? = nil, _ subscriber: sending S
    ) where Machine.Input == Output, S.Input == Machine.Output {
        let stage = Stage(machine, subscriber, executor: executor)
        stage.open { subscribe(StageSubscriber(stage)) }
    }
}
