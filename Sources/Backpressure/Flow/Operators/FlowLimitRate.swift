// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded read-ahead, on the same thread or from there to an executor.

extension Flow.Publisher {
    /// Asks upstream for `high` elements at first, and for `low` more whenever that many have gone on.
    ///
    /// Downstream may ask as it likes, for one at a time or for all at once: upstream sees few, bounded requests, and
    /// never more than `high` elements are asked for or waiting.
    ///
    /// ```
    /// upstream   --1-2-3-4-------5-6-7--|
    /// request up --4-------------3------
    /// output     --1--2--3--4----5-6-7--|    limitRate(4)
    /// ```
    ///
    /// An error or the end comes after the elements that came before it.
    ///
    /// - Parameters:
    ///   - high: The bound, at least 1.
    ///   - low: The size of a top-up, 1 to `high`; by default three quarters of `high`, rounded up.
    /// - Returns: A publisher of the same elements.
    /// - Precondition: `1 <= low <= high`.
    @inlinable
    public func limitRate(_ high: Int, low: Int? = nil) -> Flow.LimitRate<Self> {
        Flow.LimitRate(self, high: high, low: low, executor: nil)
    }

    /// Sends the elements, and the end, on `executor`.
    ///
    /// Upstream runs where it ran; up to `prefetch` elements are asked for ahead and wait here. Signals stay serial and in
    /// order. Each time that elements come to an idle stage a task is started on the executor; under load one task sends
    /// many elements.
    ///
    /// ```
    /// upstream   --1-2-3--|
    ///                \ \ \
    /// output     -----1-2-3--|           receive(on: executor)
    /// ```
    ///
    /// The elements must be `Sendable`, because they go from one thread to another while both run.
    ///
    /// - Parameters:
    ///   - executor: Where downstream's signals run, `onSubscribe` excepted.
    ///   - prefetch: How many elements are asked for and held at most, at least 1.
    /// - Returns: A publisher of the same elements.
    /// - Precondition: `prefetch >= 1`.
    @inlinable
    public func receive(
        on executor: any TaskExecutor, prefetch: Int = 256
    ) -> Flow.LimitRate<Self> where Output: Sendable {
        Flow.LimitRate(self, high: prefetch, low: nil, executor: executor)
    }
}

extension Flow {
    /// The publisher that `limitRate` and `receive(on:)` make.
    public struct LimitRate<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let high: Int
        @usableFromInline let low: Int
        @usableFromInline let executor: (any TaskExecutor)?

        @inlinable
        init(_ upstream: Upstream, high: Int, low: Int?, executor: (any TaskExecutor)?) {
            let low = low ?? (high - high / 4)
            precondition(high >= 1, "a window of \(high) elements")
            precondition(low >= 1 && low <= high, "a top-up of \(low) elements in a window of \(high)")
            self.upstream = upstream
            self.high = high
            self.low = low
            self.executor = executor
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            upstream.subscribe(through: WindowMachine(Window(high: high, low: low)), executor: executor, subscriber)
        }
    }
}

/// A window and nothing else.
@usableFromInline
struct WindowMachine<Element>: InletMachine {
    @usableFromInline typealias Output = Element
    @usableFromInline typealias Input = Element

    @usableFromInline var window: Window<Element>

    @inlinable
    init(_ window: Window<Element>) { self.window = window }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool { window.connect(subscription) }

    @inlinable
    mutating func receive(_ element: Element) -> (any Flow.Subscription)? { window.receive(element) }

    @inlinable
    mutating func end(_ error: (any Error)?) { window.end(error) }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if window.isDrained { return .finish(window.error) }
        if let due = window.demand(upTo: .max) { return .request(due.upstream, due.demand) }
        if unmet > 0, let element = window.queue.popFirst() { return .emit(element) }
        return .idle
    }

    @inlinable
    func closed() -> Self { WindowMachine(.ended()) }

    @inlinable
    consuming func dispose() { window.upstream?.cancel() }
}
