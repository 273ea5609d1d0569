// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Two publishers side by side.

extension Flow.Publisher {
    /// Publishes pairs of this publisher's and `other`'s elements: the first of each, the second of each, and so on.
    ///
    /// Each side is asked for `prefetch` elements ahead. When one side has ended and its elements are paired, the other is
    /// cancelled and the stream ends; an error of either ends it at once and drops what waits.
    ///
    /// ```
    /// upstream   --1-----2-----3--|
    /// other      ----a-b---|
    /// output     ----1a--2b|             zip(with: other)
    /// ```
    ///
    /// - Parameters:
    ///   - other: A publisher.
    ///   - prefetch: How many elements are asked of each side ahead, at least 1.
    /// - Returns: A publisher of pairs.
    /// - Precondition: `prefetch >= 1`.
    @inlinable
    public func zip<Other: Flow.Publisher>(with other: Other, prefetch: Int = 32) -> Flow.Zip<Self, Other> {
        Flow.Zip(self, other, prefetch)
    }
}

extension Flow {
    /// The publisher that `zip(with:)` makes.
    public struct Zip<First: Publisher, Second: Publisher>: Publisher {
        /// An element of each.
        public typealias Output = (First.Output, Second.Output)

        @usableFromInline let first: First
        @usableFromInline let second: Second
        @usableFromInline let prefetch: Int

        @inlinable
        init(_ first: First, _ second: Second, _ prefetch: Int) {
            precondition(prefetch >= 1, "a prefetch of \(prefetch) elements")
            self.first = first
            self.second = second
            self.prefetch = prefetch
        }

        /// Subscribes to both in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let stage = Stage(ZipMachine<First.Output, Second.Output>(prefetch: prefetch), subscriber)
            stage.open {
                first.subscribe(ZipSubscriber<FirstSide<First.Output, Second.Output>, S>(stage))
                second.subscribe(ZipSubscriber<SecondSide<First.Output, Second.Output>, S>(stage))
            }
        }
    }
}

@usableFromInline
struct ZipMachine<First, Second>: StageMachine {
    @usableFromInline typealias Output = (First, Second)

    @usableFromInline var first: Window<First>
    @usableFromInline var second: Window<Second>

    @inlinable
    init(prefetch: Int) {
        first = Window(high: prefetch)
        second = Window(high: prefetch)
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if let error = first.error ?? second.error { return .finish(error) }
        if first.isDrained || second.isDrained { return .finish(nil) }
        if let due = first.demand(upTo: .max) { return .request(due.upstream, due.demand) }
        if let due = second.demand(upTo: .max) { return .request(due.upstream, due.demand) }
        guard unmet > 0, !first.queue.isEmpty, !second.queue.isEmpty,
            let one = first.queue.popFirst(), let other = second.queue.popFirst()
        else { return .idle }
        return .emit((one, other))
    }

    @inlinable
    func closed() -> Self {
        var machine = ZipMachine(prefetch: 1)
        machine.first = .ended()
        machine.second = .ended()
        return machine
    }

    @inlinable
    consuming func dispose() {
        first.upstream?.cancel()
        second.upstream?.cancel()
    }
}

/// One of the two windows of a `ZipMachine`.
@usableFromInline
protocol ZipSide: SendableMetatype {
    associatedtype First
    associatedtype Second
    associatedtype Input

    static func update<Result>(
        _ machine: inout ZipMachine<First, Second>, _ body: (inout Window<Input>) -> Result
    ) -> Result
}

@usableFromInline
enum FirstSide<First, Second>: ZipSide {
    @inlinable
    static func update<Result>(
        _ machine: inout ZipMachine<First, Second>, _ body: (inout Window<First>) -> Result
    ) -> Result { body(&machine.first) }
}

@usableFromInline
enum SecondSide<First, Second>: ZipSide {
    @inlinable
    static func update<Result>(
        _ machine: inout ZipMachine<First, Second>, _ body: (inout Window<Second>) -> Result
    ) -> Result { body(&machine.second) }
}

/// Subscribed to one side.
@frozen
@usableFromInline
struct ZipSubscriber<Side: ZipSide, Downstream: Flow.Subscriber>: Flow.Subscriber
where Downstream.Input == (Side.First, Side.Second) {
    @usableFromInline let stage: Stage<ZipMachine<Side.First, Side.Second>, Downstream>

    @inlinable
    init(_ stage: Stage<ZipMachine<Side.First, Side.Second>, Downstream>) { self.stage = stage }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        let isAccepted = stage.post { Side.update(&$0) { $0.connect(subscription) } }
        if !isAccepted { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Side.Input) {
        let offender = stage.post { Side.update(&$0) { $0.receive(element) } }
        offender?.cancel()
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { Side.update(&$0) { $0.end(error) } } }

    @inlinable
    func onComplete() { stage.post { Side.update(&$0) { $0.end(nil) } } }
}
