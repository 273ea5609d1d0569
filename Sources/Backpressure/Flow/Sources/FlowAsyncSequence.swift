// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A publisher of what an asynchronous sequence gives, a channel included: it is asked for what was requested, no more.
//
// ## Algorithm
// A task owns the word while there is demand: it awaits an element, sends it, and looks at the word. Without demand it
// leaves, and the next request starts another; a request from inside `onNext` finds the task still there. Cancelling a
// subscription cancels the task that awaits.

extension AsyncSequence where Self: Sendable {
    /// Publishes the elements of this sequence; each subscriber makes an iterator of its own.
    ///
    /// The iterator is asked for an element only against demand, one at a time, in a task that lives while there is demand.
    /// So the end is noticed with the request after the last element. What the sequence throws ends the stream.
    ///
    /// Subscribers of a ``BoundedChannel`` share its elements, each of which goes to one of them. Cancelling a subscription
    /// cancels the await; an element that had already been taken from the sequence is still sent [2.8], so that none is lost.
    ///
    /// ```
    /// request    --2---------1----------
    ///              |         |
    /// elements   ----a--b------c-----|
    /// output     ----a--b------c--------    the end comes with the next request
    /// ```
    public var publisher: Flow.AsyncSequencePublisher<Self> { Flow.AsyncSequencePublisher(self, executor: nil) }

    /// Publishes the elements of this sequence from tasks on `executor`.
    ///
    /// As ``AsyncSequence/publisher``.
    ///
    /// - Parameter executor: Where the iterator is awaited and downstream's signals run, `onSubscribe` excepted.
    /// - Returns: A publisher of the elements.
    public func publisher(on executor: any TaskExecutor) -> Flow.AsyncSequencePublisher<Self> {
        Flow.AsyncSequencePublisher(self, executor: executor)
    }
}

extension Flow {
    /// The publisher of an asynchronous sequence.
    public struct AsyncSequencePublisher<Base: AsyncSequence & Sendable>: Publisher, Sendable {
        /// The sequence's elements.
        public typealias Output = Base.Element

        @usableFromInline let base: Base
        @usableFromInline let executor: (any TaskExecutor)?

        @inlinable
        init(_ base: Base, executor: (any TaskExecutor)?) {
            self.base = base
            self.executor = executor
        }

        /// Makes an iterator for `subscriber`, and a subscription.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            AsyncPullSubscription(base, subscriber, executor).start()
        }
    }
}

/// What the owner of the word alone touches.
@usableFromInline
struct AsyncPullState<Base: AsyncSequence, Downstream: Flow.Subscriber> where Downstream.Input == Base.Element {
    @usableFromInline var iterator: Base.AsyncIterator?
    @usableFromInline var emitted: UInt64 = 0
    @usableFromInline var downstream: Downstream?

    @inlinable
    init(iterator: Base.AsyncIterator, downstream: Downstream) {
        self.iterator = iterator
        self.downstream = downstream
    }
}

@usableFromInline
final class AsyncPullSubscription<Base: AsyncSequence & Sendable, Downstream: Flow.Subscriber>: Flow.Subscription,
    @unchecked Sendable
where Downstream.Input == Base.Element {
    @usableFromInline let word = DrainWord()
    @usableFromInline let state: UnsafeMutablePointer<AsyncPullState<Base, Downstream>>
    @usableFromInline let executor: (any TaskExecutor)?
    /// The latest task; it may have ended.
    @usableFromInline let task = LockedState<Task<Void, Never>?>(nil)

    @inlinable
    init(_ base: Base, _ downstream: Downstream, _ executor: (any TaskExecutor)?) {
        self.executor = executor
        state = .allocate(capacity: 1)
        state.initialize(to: AsyncPullState(iterator: base.makeAsyncIterator(), downstream: downstream))
    }

    @inlinable
    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
        word.deallocate()
    }

    @inlinable
    func start() {
        state.pointee.downstream?.onSubscribe(self)
        run()
    }

    @inlinable
    func request(_ demand: Demand) {
        if word.request(demand) { run() }
    }

    @inlinable
    func cancel() {
        if word.cancel() { return run() }
        // Somebody owns the word: a task that may await, or one that is being started and will look.
        task.withLock { $0 }?.cancel()
    }

    /// The caller owns the word: hands it to a task if there is demand, else gives it up.
    @inlinable
    func run() {
        PlainAccess.write(state)
        var look = word.look()
        while true {
            if look.mustStop { return end(look, .success(())) }
            if state.pointee.emitted < look.requested { return startTask() }
            if word.leave(&look) { return }
        }
    }

    @inlinable
    func startTask() {
        let task = Task(executorPreference: executor) { await self.pull() }
        self.task.withLock { $0 = task }
        if word.look().isCancelled { task.cancel() }
    }

    @inlinable
    func pull() async {
        let state = self.state
        var look = word.look()
        while true {
            if look.mustStop { return end(look, .success(())) }
            guard state.pointee.emitted < look.requested else {
                if word.leave(&look) { return }
                continue
            }
            do {
                guard let element = try await state.pointee.iterator?.next(isolation: #isolation) else {
                    return end(word.look(), .success(()))
                }
                state.pointee.emitted &+= 1
                state.pointee.downstream?.onNext(element)
            } catch {
                return end(word.look(), .failure(error))
            }
            look = word.look()
        }
    }

    /// Lets go of the iterator and the subscriber, and tells it why unless it cancelled.
    @inlinable
    func end(_ look: DrainLook, _ result: Result<Void, any Error>) {
        word.close()
        task.withLock { $0 = nil }
        state.pointee.iterator = nil
        guard var downstream = state.pointee.downstream.take() else { return }
        if look.isCancelled { return }
        if look.isInvalid { return downstream.onError(Flow.InvalidDemand(word.invalidDemand)) }
        switch result {
        case .success: downstream.onComplete()
        case .failure(let error): downstream.onError(error)
        }
    }
}
