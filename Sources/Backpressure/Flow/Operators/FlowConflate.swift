// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements that downstream is not ready for are merged into one.
//
// The merge is a user's code and must not run under the lock. Upstream's signals are serial, so upstream takes what waits
// out of the machine, merges, and puts it back; the drain loop finds nothing meanwhile, and is signalled after.

extension Flow.Publisher {
    /// Asks upstream for everything and merges what downstream is not ready for into one element.
    ///
    /// ```
    /// upstream   --1-2-3-4-----5-|
    /// request    --1-------1-----
    /// output     --1-------9-----5|      conflate(+)
    /// ```
    ///
    /// One merged element waits at most; nothing is dropped. An error or the end comes after it.
    ///
    /// - Parameter merge: What the element that waits and a newer one come to; runs on upstream's thread.
    /// - Returns: A publisher of elements and merged elements.
    @inlinable
    public func conflate(_ merge: @escaping @Sendable (Output, Output) -> Output) -> Flow.Conflate<Self, Output> {
        Flow.Conflate(self, seed: { $0 }, merge)
    }

    /// Asks upstream for everything and folds what downstream is not ready for into one summary.
    ///
    /// ```
    /// upstream   --1-2-3-4------5--|
    /// request    --1-------1------1
    /// output     --[1]-----[2,3,4]-[5]|  conflate(seed: { [$0] }) { $0 + [$1] }
    /// ```
    ///
    /// - Parameters:
    ///   - seed: Makes a summary of one element.
    ///   - merge: What the summary that waits and a newer element come to; runs on upstream's thread.
    /// - Returns: A publisher of summaries.
    @inlinable
    public func conflate<Summary>(
        seed: @escaping @Sendable (Output) -> Summary, _ merge: @escaping @Sendable (Summary, Output) -> Summary
    ) -> Flow.Conflate<Self, Summary> {
        Flow.Conflate(self, seed: seed, merge)
    }
}

extension Flow {
    /// The publisher that `conflate` makes.
    public struct Conflate<Upstream: Publisher, Output>: Publisher {
        @usableFromInline let upstream: Upstream
        @usableFromInline let seed: @Sendable (Upstream.Output) -> Output
        @usableFromInline let merge: @Sendable (Output, Upstream.Output) -> Output

        @inlinable
        init(
            _ upstream: Upstream, seed: @escaping @Sendable (Upstream.Output) -> Output,
            _ merge: @escaping @Sendable (Output, Upstream.Output) -> Output
        ) {
            self.upstream = upstream
            self.seed = seed
            self.merge = merge
        }

        /// Subscribes to upstream in the name of `subscriber`, and asks for everything.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let stage = Stage(ConflateMachine<Output>(), subscriber)
            stage.open { upstream.subscribe(ConflateSubscriber(stage, seed, merge)) }
        }
    }
}

@usableFromInline
struct ConflateMachine<Output>: StageMachine {
    @usableFromInline var upstream: (any Flow.Subscription)?
    @usableFromInline var mustRequest = false
    @usableFromInline var waiting: Output?
    @usableFromInline var isEnded = false
    @usableFromInline var error: (any Error)?

    @inlinable
    init() {}

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool {
        guard upstream == nil, !isEnded else { return false }
        upstream = subscription
        mustRequest = true
        return true
    }

    @inlinable
    mutating func end(_ error: (any Error)?) {
        guard !isEnded else { return }
        isEnded = true
        self.error = error
        upstream = nil
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if mustRequest, let upstream {
            mustRequest = false
            return .request(upstream, .unbounded)
        }
        if unmet > 0, let element = waiting.take() { return .emit(element) }
        return isEnded && waiting == nil ? .finish(error) : .idle
    }

    @inlinable
    func closed() -> Self {
        var machine = ConflateMachine()
        machine.isEnded = true
        return machine
    }

    @inlinable
    consuming func dispose() { upstream?.cancel() }
}

@frozen
@usableFromInline
struct ConflateSubscriber<Input, Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline let stage: Stage<ConflateMachine<Downstream.Input>, Downstream>
    @usableFromInline let seed: @Sendable (Input) -> Downstream.Input
    @usableFromInline let merge: @Sendable (Downstream.Input, Input) -> Downstream.Input

    @inlinable
    init(
        _ stage: Stage<ConflateMachine<Downstream.Input>, Downstream>,
        _ seed: @escaping @Sendable (Input) -> Downstream.Input,
        _ merge: @escaping @Sendable (Downstream.Input, Input) -> Downstream.Input
    ) {
        self.stage = stage
        self.seed = seed
        self.merge = merge
    }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connect(subscription) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Input) {
        let waiting = stage.ask { $0.waiting.take() }
        let merged = waiting.map { merge($0, element) } ?? seed(element)
        // What a closed stage is given is given back, and dies outside the lock.
        _ = stage.post { machine -> Downstream.Input? in
            if machine.isEnded { return merged }
            machine.waiting = merged
            return nil
        }
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.end(error) } }

    @inlinable
    func onComplete() { stage.post { $0.end(nil) } }
}
