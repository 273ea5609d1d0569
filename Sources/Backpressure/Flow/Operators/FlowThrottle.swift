// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Demand that waits for permission: the limiter is asked first, upstream after it.
//
// ## Algorithm
// A task awaits one admission after the other while downstream has unmet demand; each admission becomes a request for one
// element. The next one is awaited when that element has come, so admissions are not hoarded for a burst.

extension Flow.Publisher {
    /// Asks upstream for an element only after `admit` has returned, once for each element.
    ///
    /// With a rate limiter as `admit`, elements come no faster than its rate, and no element waits anywhere: upstream is
    /// slowed instead. Upstream is asked for one element at a time.
    ///
    /// ```
    /// request    --3--------------
    /// admit      ---t----t----t---
    /// output     ----1----2----3|        throttle { try await limiter.acquire() }
    /// ```
    ///
    /// What `admit` throws ends the stream and cancels upstream. When downstream cancels, or the stream ends, the task that
    /// awaits is cancelled; an admission that was given and not used is lost.
    ///
    /// - Parameters:
    ///   - executor: Where `admit` runs, and what follows from it; nil is the global one.
    ///   - admit: Returns when one more element may be asked for.
    /// - Returns: A publisher of the same elements.
    @inlinable
    public func throttle(
        on executor: (any TaskExecutor)? = nil, _ admit: @escaping @Sendable () async throws -> Void
    ) -> Flow.Throttle<Self> {
        Flow.Throttle(self, executor, admit)
    }

    /// Asks upstream for elements no faster than `limiter` allows: a token for each, taken before it is asked for.
    ///
    /// Elements do not wait for a token: upstream is slowed. Tokens are waited for in order with everybody else who uses
    /// the limiter. One that was taken for an element which upstream did not send any more is lost.
    ///
    /// ```
    /// request      --4-------------
    /// 1 per 5 ms   --t----t----t---
    /// output       --1----2----3|           throttle(by: TokenBucket(rate: .init(1, per: .milliseconds(5)), burst: 1))
    /// ```
    ///
    /// - Parameters:
    ///   - limiter: Whose tokens are taken; any kind.
    ///   - executor: Where its tokens are awaited, and what follows from it; nil is the global one.
    /// - Returns: A publisher of the same elements.
    @inlinable
    public func throttle(
        by limiter: some RateLimiter, on executor: (any TaskExecutor)? = nil
    ) -> Flow.Throttle<Self> {
        throttle(on: executor) { try await limiter.acquire(1) }
    }
}

extension Flow {
    /// The publisher that `throttle` makes.
    public struct Throttle<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let executor: (any TaskExecutor)?
        @usableFromInline let admit: @Sendable () async throws -> Void

        @inlinable
        init(
            _ upstream: Upstream, _ executor: (any TaskExecutor)?, _ admit: @escaping @Sendable () async throws -> Void
        ) {
            self.upstream = upstream
            self.executor = executor
            self.admit = admit
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(through: ThrottleMachine<Output>(executor, admit), subscriber)
        }
    }
}

@usableFromInline
struct ThrottleMachine<Element>: InletMachine {
    @usableFromInline typealias Output = Element
    @usableFromInline typealias Input = Element

    @usableFromInline
    enum Effect {
        /// Start a task that awaits admissions.
        case admit(ThrottleTask)
    }

    @usableFromInline let task: ThrottleTask
    @usableFromInline var window = Window<Element>(high: 1, low: 1)
    @usableFromInline var isAdmitting = false
    @usableFromInline var isAdmitted = false
    @usableFromInline var failure: (any Error)?

    @inlinable
    init(_ executor: (any TaskExecutor)?, _ admit: @escaping @Sendable () async throws -> Void) {
        task = ThrottleTask(executor, admit)
    }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool { window.connect(subscription) }

    @inlinable
    mutating func receive(_ element: Element) -> (any Flow.Subscription)? { window.receive(element) }

    @inlinable
    mutating func end(_ error: (any Error)?) { window.end(error) }

    @inlinable
    mutating func admitted(_ error: (any Error)?) {
        isAdmitting = false
        isAdmitted = error == nil
        failure = error
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if let failure, !window.isEnded { return .finish(failure) }
        if window.isDrained { return .finish(window.error) }
        if unmet > 0, let element = window.queue.popFirst() { return .emit(element) }
        guard unmet > 0, !window.isEnded, window.outstanding == 0 else { return .idle }
        if isAdmitted, let due = window.demand(upTo: 1) {
            isAdmitted = false
            return .request(due.upstream, due.demand)
        }
        guard !isAdmitting, !isAdmitted else { return .idle }
        isAdmitting = true
        return .perform(.admit(task))
    }

    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {
        guard case .admit(let task) = effect else { return }
        task.run { [weak stage] error in stage?.post { $0.admitted(error) } }
    }

    @inlinable
    func closed() -> Self {
        var machine = self
        machine.window = .ended()
        return machine
    }

    @inlinable
    consuming func dispose() {
        task.cancel()
        window.upstream?.cancel()
    }
}

/// The task that awaits an admission, whatever the stage's type.
@usableFromInline
final class ThrottleTask: Sendable {
    private struct State: Sendable {
        var task: Task<Void, Never>?
        var isCancelled = false
    }

    private let executor: (any TaskExecutor)?
    private let admit: @Sendable () async throws -> Void
    private let state = LockedState(State())

    @usableFromInline
    init(_ executor: (any TaskExecutor)?, _ admit: @escaping @Sendable () async throws -> Void) {
        self.executor = executor
        self.admit = admit
    }

    @usableFromInline
    func run(_ report: @escaping @Sendable ((any Error)?) -> Void) {
        let admit = admit
        let task = Task(executorPreference: executor) {
            do {
                try await admit()
                report(nil)
            } catch {
                report(error)
            }
        }
        let isCancelled = state.withLock { state in
            state.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    @usableFromInline
    func cancel() {
        let task = state.withLock { state in
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
    }
}
