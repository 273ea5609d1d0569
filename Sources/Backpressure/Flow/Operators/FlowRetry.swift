// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Subscribing again after an error, as far as a budget allows.

extension Flow {
    /// What a `retry` hook is told of a failure.
    public struct Failure: Sendable {
        /// What upstream failed with.
        public let error: any Error
        /// How many times upstream has failed since it last sent an element, this time included.
        public let consecutive: Int
        /// How many times it has failed since downstream subscribed, this time included.
        public let total: Int

        @inlinable
        init(error: any Error, consecutive: Int, total: Int) {
            self.error = error
            self.consecutive = consecutive
            self.total = total
        }
    }

    /// What a `retry` hook answers.
    public enum RetryDecision: Hashable, Sendable {
        /// Downstream gets the error.
        case giveUp
        /// Upstream is subscribed to again at once.
        case retry
        /// Upstream is subscribed to again after a time.
        case retryAfter(Duration)
    }
}

extension Flow.Publisher {
    /// Subscribes to upstream again when it fails, up to `attempts` times in a row.
    ///
    /// An element starts the count anew. As ``Flow/Publisher/retry(clock:_:)``.
    ///
    /// - Parameter attempts: How many further attempts there are, 0 or more.
    /// - Returns: A publisher of the elements of all attempts.
    /// - Precondition: `attempts >= 0`.
    @inlinable
    public func retry(_ attempts: Int) -> Flow.Retry<Self> {
        precondition(attempts >= 0, "\(attempts) attempts")
        return retry { failure in failure.consecutive <= attempts ? .retry : .giveUp }
    }

    /// Subscribes to upstream again when it fails, if `budget` says so.
    ///
    /// What downstream has asked for and not got is asked of the new subscription: elements are neither asked for twice nor
    /// forgotten. Elements of the failed attempt that wait are still sent. However many attempts fail in a row, they do
    /// not nest.
    ///
    /// ```
    /// upstream 1 --1--2--X
    /// upstream 2          --1--2--3--|
    /// output     --1--2----1--2--3--|    retry(1)
    /// ```
    ///
    /// Demand passes through, in requests for 256 elements at most.
    ///
    /// - Parameters:
    ///   - clock: The clock of ``Flow/RetryDecision/retryAfter(_:)``.
    ///   - budget: Asked at each failure, once, on the thread of the failure; a shared retry budget is spent here.
    /// - Returns: A publisher of the elements of all attempts.
    @inlinable
    public func retry(
        clock: some Clock<Duration> = ContinuousClock(),
        _ budget: @escaping @Sendable (Flow.Failure) -> Flow.RetryDecision
    ) -> Flow.Retry<Self> {
        Flow.Retry(self, budget, TimeSource(clock))
    }
}

extension Flow {
    /// The publisher that `retry` makes.
    public struct Retry<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let budget: @Sendable (Failure) -> RetryDecision
        @usableFromInline let timeSource: TimeSource

        @inlinable
        init(
            _ upstream: Upstream, _ budget: @escaping @Sendable (Failure) -> RetryDecision, _ timeSource: TimeSource
        ) {
            self.upstream = upstream
            self.budget = budget
            self.timeSource = timeSource
        }

        /// Subscribes to upstream in the name of `subscriber`, for the first time.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let alarm = StageAlarm(timeSource)
            let stage = Stage(RetryMachine(upstream, budget, alarm), subscriber)
            alarm.onRing { [weak stage] now in stage?.post { $0.rang(at: now) } ?? .max }
            stage.open {}
        }
    }
}

/// A window over one attempt after the other.
@usableFromInline
struct RetryMachine<Upstream: Flow.Publisher>: StageMachine {
    @usableFromInline typealias Output = Upstream.Output

    @usableFromInline
    enum Effect {
        case subscribe(Upstream, attempt: Int)
        case wait(StageAlarm, Duration)
    }

    /// What stands between this attempt and the next.
    @usableFromInline
    enum Pause {
        case none
        case subscribe
        case wait(Duration)
        case until(Int64)
    }

    /// Nil in a closed stage.
    @usableFromInline let upstream: Upstream?
    @usableFromInline let budget: @Sendable (Flow.Failure) -> Flow.RetryDecision
    @usableFromInline let alarm: StageAlarm
    @usableFromInline var window = Window<Output>(high: 256)
    @usableFromInline var pause = Pause.subscribe
    /// Signals of an earlier attempt are ignored.
    @usableFromInline var attempt = 0
    @usableFromInline var consecutive = 0
    @usableFromInline var total = 0

    @inlinable
    init(
        _ upstream: Upstream?, _ budget: @escaping @Sendable (Flow.Failure) -> Flow.RetryDecision, _ alarm: StageAlarm
    ) {
        self.upstream = upstream
        self.budget = budget
        self.alarm = alarm
    }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription, _ attempt: Int) -> Bool {
        attempt == self.attempt && window.connect(subscription)
    }

    @inlinable
    mutating func receive(_ element: Output, _ attempt: Int) -> (any Flow.Subscription)? {
        guard attempt == self.attempt else { return nil }
        consecutive = 0
        return window.receive(element)
    }

    @inlinable
    mutating func complete(_ attempt: Int) {
        guard attempt == self.attempt else { return }
        window.end(nil)
    }

    /// Upstream has failed: what the hook is to be told, or nil when nobody cares.
    @inlinable
    mutating func fail(_ error: any Error, _ attempt: Int) -> Flow.Failure? {
        guard attempt == self.attempt, !window.isEnded else { return nil }
        consecutive += 1
        total += 1
        // What was asked of this attempt and did not come is asked of the next one.
        window.upstream = nil
        window.outstanding = 0
        self.attempt += 1
        return Flow.Failure(error: error, consecutive: consecutive, total: total)
    }

    @inlinable
    mutating func decided(_ decision: Flow.RetryDecision, _ error: any Error) {
        switch decision {
        case .giveUp: window.end(error)
        case .retry: pause = .subscribe
        case .retryAfter(let duration): pause = duration > .zero ? .wait(duration) : .subscribe
        }
    }

    /// - Returns: When to ring next.
    @inlinable
    mutating func rang(at now: Int64) -> Int64 {
        guard case .until(let deadline) = pause else { return .max }
        guard deadline <= now else { return deadline }
        pause = .subscribe
        return .max
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if window.isDrained { return .finish(window.error) }
        if !window.isEnded, let upstream {
            switch pause {
            case .subscribe:
                pause = .none
                return .perform(.subscribe(upstream, attempt: attempt))
            case .wait(let duration):
                pause = .until(.max)
                return .perform(.wait(alarm, duration))
            case .none, .until: break
            }
        }
        if let due = window.demand(upTo: unmet) { return .request(due.upstream, due.demand) }
        if unmet > 0, let element = window.queue.popFirst() { return .emit(element) }
        return .idle
    }

    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {
        switch effect {
        case .subscribe(let upstream, let attempt):
            upstream.subscribe(RetrySubscriber(stage, attempt))
        case .wait(let alarm, let duration):
            let deadline = alarm.timeSource.deadline(after: duration)
            stage.ask { $0.pause = .until(deadline) }
            alarm.set(for: deadline)
        }
    }

    @inlinable
    func closed() -> Self {
        var machine = RetryMachine(nil, { _ in .giveUp }, alarm)
        machine.window = .ended()
        return machine
    }

    @inlinable
    consuming func dispose() {
        alarm.cancel()
        window.upstream?.cancel()
    }
}

@frozen
@usableFromInline
struct RetrySubscriber<Upstream: Flow.Publisher, Downstream: Flow.Subscriber>: Flow.Subscriber
where Downstream.Input == Upstream.Output {
    @usableFromInline let stage: Stage<RetryMachine<Upstream>, Downstream>
    @usableFromInline let attempt: Int

    @inlinable
    init(_ stage: Stage<RetryMachine<Upstream>, Downstream>, _ attempt: Int) {
        self.stage = stage
        self.attempt = attempt
    }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connect(subscription, attempt) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Upstream.Output) {
        if let offender = stage.post({ $0.receive(element, attempt) }) { offender.cancel() }
    }

    @inlinable
    func onError(_ error: any Error) {
        guard let failure = stage.ask({ $0.fail(error, attempt) }) else { return }
        let decision = stage.ask { $0.budget }(failure)
        stage.post { $0.decided(decision, error) }
    }

    @inlinable
    func onComplete() { stage.post { $0.complete(attempt) } }
}
