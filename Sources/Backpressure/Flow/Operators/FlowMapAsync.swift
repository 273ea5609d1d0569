// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded number of tasks between upstream and downstream.

extension Flow.Publisher where Output: Sendable {
    /// Publishes what `transform` makes of each element, running up to `limit` of them at a time, each in a task.
    ///
    /// Upstream is asked for as many elements as may run: running and finished results that wait come to `limit` at most.
    /// Ordered, results keep the order of their elements, and a slow one holds those behind it; unordered, they come as
    /// they are ready. What a transform throws, or an error of upstream, ends the stream at once; then, and when downstream
    /// cancels, running tasks are cancelled.
    ///
    /// ```
    /// upstream   --1--2--3----|
    /// running      [--1--]
    ///                 [2]
    ///                    [3]             limit: 2, 3 waits for room
    /// output     --------1-2-3|          ordered
    /// ```
    ///
    /// - Parameters:
    ///   - limit: How many transforms run at a time at most, at least 1.
    ///   - ordered: Whether results keep the order of their elements.
    ///   - executor: Where the tasks run, and downstream's signals with them; nil is the global one.
    ///   - transform: Makes an output of an element.
    /// - Returns: A publisher of the results.
    /// - Precondition: `limit >= 1`.
    @inlinable
    public func mapAsync<Result: Sendable>(
        limit: Int, ordered: Bool = true, on executor: (any TaskExecutor)? = nil,
        _ transform: @escaping @Sendable (Output) async throws -> Result
    ) -> Flow.MapAsync<Self, Result> {
        Flow.MapAsync(self, limit, ordered, executor, transform)
    }
}

extension Flow {
    /// The publisher that `mapAsync` makes.
    public struct MapAsync<Upstream: Publisher, Output: Sendable>: Publisher where Upstream.Output: Sendable {
        @usableFromInline let upstream: Upstream
        @usableFromInline let limit: Int
        @usableFromInline let isOrdered: Bool
        @usableFromInline let executor: (any TaskExecutor)?
        @usableFromInline let transform: @Sendable (Upstream.Output) async throws -> Output

        @inlinable
        init(
            _ upstream: Upstream, _ limit: Int, _ isOrdered: Bool, _ executor: (any TaskExecutor)?,
            _ transform: @escaping @Sendable (Upstream.Output) async throws -> Output
        ) {
            precondition(limit >= 1, "\(limit) transforms at a time")
            self.upstream = upstream
            self.limit = limit
            self.isOrdered = isOrdered
            self.executor = executor
            self.transform = transform
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let stage = Stage(MapAsyncMachine<Output>(limit: limit, isOrdered: isOrdered), subscriber)
            stage.open { upstream.subscribe(MapAsyncSubscriber(stage, executor, transform)) }
        }
    }
}

@usableFromInline
struct MapAsyncMachine<Output: Sendable>: StageMachine {
    /// A task and its end are entered in either order; whoever comes second removes the entry.
    @usableFromInline
    enum Entry {
        case started(Task<Void, Never>)
        case finished
    }

    /// What is asked of upstream; its queue is not used, only its account.
    @usableFromInline var inlet: Window<Void>
    @usableFromInline let isOrdered: Bool
    /// The number of the next element to come.
    @usableFromInline var nextIn: UInt64 = 0
    /// Ordered: the number of the next result to go.
    @usableFromInline var nextOut: UInt64 = 0
    @usableFromInline var running = 0
    @usableFromInline var tasks: [UInt64: Entry] = [:]
    /// Ordered: results that wait for their turn.
    @usableFromInline var results: [UInt64: Output] = [:]
    /// Unordered: results.
    @usableFromInline var ready = FlowQueue<Output>()
    @usableFromInline var failure: (any Error)?
    @usableFromInline var isClosed = false

    @inlinable
    init(limit: Int, isOrdered: Bool) {
        inlet = Window(high: limit, low: 1)
        self.isOrdered = isOrdered
    }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool { !isClosed && inlet.connect(subscription) }

    /// An element has come: its number, or nil when no task is to be started for it.
    @inlinable
    mutating func receive() -> (number: UInt64?, offender: (any Flow.Subscription)?) {
        guard !isClosed, !inlet.isEnded else { return (nil, nil) }
        guard inlet.outstanding > 0 else {
            failure = Rejection.full
            return (nil, inlet.upstream.take())
        }
        inlet.outstanding &-= 1
        running += 1
        nextIn &+= 1
        return (nextIn &- 1, nil)
    }

    @inlinable
    mutating func end(_ error: (any Error)?) {
        inlet.end(error)
        if let error, failure == nil { failure = error }
    }

    /// The task of `number` has been started; false when it is to be cancelled.
    @inlinable
    mutating func started(_ task: Task<Void, Never>, _ number: UInt64) -> Bool {
        if isClosed { return false }
        if tasks.removeValue(forKey: number) == nil { tasks[number] = .started(task) }
        return true
    }

    @inlinable
    mutating func finished(_ result: Result<Output, any Error>, _ number: UInt64) {
        if isClosed { return }
        running -= 1
        if tasks.removeValue(forKey: number) == nil { tasks[number] = .finished }
        switch result {
        case .success(let output): if isOrdered { results[number] = output } else { ready.append(output) }
        case .failure(let error): if failure == nil { failure = error }
        }
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if let failure { return .finish(failure) }
        let waiting = results.count + ready.count
        if inlet.isEnded, running == 0, waiting == 0 { return .finish(nil) }
        let held = UInt64(running + waiting)
        if let due = inlet.demand(upTo: inlet.high > held ? inlet.high &- held : 0) {
            return .request(due.upstream, due.demand)
        }
        guard unmet > 0 else { return .idle }
        if isOrdered {
            guard let output = results.removeValue(forKey: nextOut) else { return .idle }
            nextOut &+= 1
            return .emit(output)
        }
        return ready.popFirst().map { .emit($0) } ?? .idle
    }

    @inlinable
    func closed() -> Self {
        var machine = MapAsyncMachine(limit: 1, isOrdered: true)
        machine.inlet = .ended()
        machine.isClosed = true
        return machine
    }

    @inlinable
    consuming func dispose() {
        inlet.upstream?.cancel()
        for case .started(let task) in tasks.values { task.cancel() }
    }
}

@frozen
@usableFromInline
struct MapAsyncSubscriber<Input: Sendable, Downstream: Flow.Subscriber>: Flow.Subscriber
where Downstream.Input: Sendable {
    @usableFromInline let stage: Stage<MapAsyncMachine<Downstream.Input>, Downstream>
    @usableFromInline let executor: (any TaskExecutor)?
    @usableFromInline let transform: @Sendable (Input) async throws -> Downstream.Input

    @inlinable
    init(
        _ stage: Stage<MapAsyncMachine<Downstream.Input>, Downstream>, _ executor: (any TaskExecutor)?,
        _ transform: @escaping @Sendable (Input) async throws -> Downstream.Input
    ) {
        self.stage = stage
        self.executor = executor
        self.transform = transform
    }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connect(subscription) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Input) {
        let (number, offender) = stage.post { $0.receive() }
        offender?.cancel()
        guard let number else { return }
        let task = Task(executorPreference: executor) { [stage, transform] in
            let result: Result<Downstream.Input, any Error>
            do {
                result = .success(try await transform(element))
            } catch {
                result = .failure(error)
            }
            stage.post { $0.finished(result, number) }
        }
        if !stage.ask({ $0.started(task, number) }) { task.cancel() }
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.end(error) } }

    @inlinable
    func onComplete() { stage.post { $0.end(nil) } }
}
