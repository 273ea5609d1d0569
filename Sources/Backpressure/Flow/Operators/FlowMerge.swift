// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Several publishers into one stream: flatMap, concatMap, merge, on one machine.
//
// ## Algorithm
// Each inner publisher has a slot with a window of its own. Slots with elements stand in a queue; the first gives one
// element and goes to the back, so that all are served in turn. What a window needs to replenish is a chore, done first.
//
// ## Invariants
// I1. Outer elements asked for and slots open come to `maxConcurrency` at most; so at most maxConcurrency x prefetch
//     elements are held.
// I2. A slot is in `ready` once if it has elements, else not at all.

extension Flow.Publisher {
    /// Subscribes to a publisher made of each element, to several at a time, and publishes what they all send.
    ///
    /// Upstream is asked for `maxConcurrency` elements and for one more whenever an inner publisher has ended. Each inner
    /// publisher is asked for `prefetch` elements and topped up at three quarters; those with elements waiting are served
    /// in turn. An error of any of them ends the stream at once and drops what waits.
    ///
    /// ```
    /// upstream   --1-----2------|
    /// inner 1      a---b---c|
    /// inner 2            x---y|
    /// output     --a---b-x-c-y--|        flatMap(maxConcurrency: 2) { ... }
    /// ```
    ///
    /// - Parameters:
    ///   - maxConcurrency: How many inner publishers are subscribed to at a time, at least 1.
    ///   - prefetch: How many elements are asked of each ahead, at least 1.
    ///   - transform: Makes a publisher of an element.
    /// - Returns: A publisher of all inner elements.
    /// - Precondition: Both numbers are at least 1.
    @inlinable
    public func flatMap<Inner: Flow.Publisher>(
        maxConcurrency: Int, prefetch: Int = 32, _ transform: @escaping @Sendable (Output) -> Inner
    ) -> Flow.FlatMap<Self, Inner> {
        Flow.FlatMap(self, maxConcurrency, prefetch, transform)
    }

    /// Subscribes to a publisher made of each element, to one after the other, and publishes what they send, in order.
    ///
    /// As ``Flow/Publisher/flatMap(maxConcurrency:prefetch:_:)`` with a `maxConcurrency` of 1.
    ///
    /// ```
    /// upstream   --1-----2----|
    /// inner 1      a---b---c|
    /// inner 2                x---y|
    /// output     --a---b---c-x---y|      concatMap { ... }
    /// ```
    ///
    /// - Parameters:
    ///   - prefetch: How many elements are asked of the inner publisher ahead, at least 1.
    ///   - transform: Makes a publisher of an element.
    /// - Returns: A publisher of all inner elements.
    /// - Precondition: `prefetch >= 1`.
    @inlinable
    public func concatMap<Inner: Flow.Publisher>(
        prefetch: Int = 32, _ transform: @escaping @Sendable (Output) -> Inner
    ) -> Flow.FlatMap<Self, Inner> {
        Flow.FlatMap(self, 1, prefetch, transform)
    }

    /// Publishes what this publisher and `other` send, as it comes.
    ///
    /// Each is asked for `prefetch` elements ahead; when both have elements they take turns. The stream ends when both
    /// have ended; an error of either ends it at once, cancels the other and drops what waits.
    ///
    /// ```
    /// upstream   --1-----2--|
    /// other      ----a-b------c--|
    /// output     --1-a-b-2----c--|       merge(with: other)
    /// ```
    ///
    /// - Parameters:
    ///   - other: A publisher of elements of the same type.
    ///   - prefetch: How many elements are asked of each ahead, at least 1.
    /// - Returns: A publisher of both.
    /// - Precondition: `prefetch >= 1`.
    @inlinable
    public func merge<Other: Flow.Publisher>(
        with other: Other, prefetch: Int = 32
    ) -> Flow.Merge<Self, Other> where Other.Output == Output {
        Flow.Merge(self, other, prefetch)
    }
}

extension Flow {
    /// The publisher that `flatMap` and `concatMap` make.
    public struct FlatMap<Upstream: Publisher, Inner: Publisher>: Publisher {
        /// The inner publishers' elements.
        public typealias Output = Inner.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let maxConcurrency: Int
        @usableFromInline let prefetch: Int
        @usableFromInline let transform: @Sendable (Upstream.Output) -> Inner

        @inlinable
        init(
            _ upstream: Upstream, _ maxConcurrency: Int, _ prefetch: Int,
            _ transform: @escaping @Sendable (Upstream.Output) -> Inner
        ) {
            precondition(maxConcurrency >= 1, "\(maxConcurrency) publishers at a time")
            precondition(prefetch >= 1, "a prefetch of \(prefetch) elements")
            self.upstream = upstream
            self.maxConcurrency = maxConcurrency
            self.prefetch = prefetch
            self.transform = transform
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let stage = Stage(
                MergeMachine<Output>(outer: Window(high: maxConcurrency, low: 1), prefetch: prefetch), subscriber)
            stage.open { upstream.subscribe(OuterSubscriber(stage, transform)) }
        }
    }

    /// The publisher that `merge(with:)` makes.
    public struct Merge<First: Publisher, Second: Publisher>: Publisher where Second.Output == First.Output {
        /// The elements of both.
        public typealias Output = First.Output

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
            let stage = Stage(MergeMachine<Output>(outer: .ended(), prefetch: prefetch, slots: 2), subscriber)
            stage.open {
                first.subscribe(InnerSubscriber(stage, 0))
                second.subscribe(InnerSubscriber(stage, 1))
            }
        }
    }
}

@usableFromInline
struct MergeMachine<Output>: StageMachine {
    /// What is asked of the publisher of publishers; its queue is not used, only its account.
    @usableFromInline var outer: Window<Void>
    @usableFromInline let prefetch: Int
    @usableFromInline var slots: ContiguousArray<Window<Output>?> = []
    @usableFromInline var free: ContiguousArray<Int> = []
    @usableFromInline var open = 0
    @usableFromInline var ready = FlowQueue<Int>()
    @usableFromInline var chores = FlowQueue<Int>()
    @usableFromInline var failure: (any Error)?
    @usableFromInline var isClosed = false

    @inlinable
    init(outer: Window<Void>, prefetch: Int, slots count: Int = 0) {
        self.outer = outer
        self.prefetch = prefetch
        for _ in 0..<count { _ = openSlot() }
    }

    // MARK: The outer publisher

    @inlinable
    mutating func connectOuter(_ subscription: any Flow.Subscription) -> Bool {
        !isClosed && outer.connect(subscription)
    }

    /// An outer element has come: a slot for its publisher; or the offender to cancel; or neither, when it is too late.
    @inlinable
    mutating func receiveOuter() -> (slot: Int?, offender: (any Flow.Subscription)?) {
        guard !isClosed, !outer.isEnded else { return (nil, nil) }
        guard outer.outstanding > 0 else {
            failure = Rejection.full
            return (nil, outer.upstream.take())
        }
        outer.outstanding &-= 1
        return (openSlot(), nil)
    }

    @inlinable
    mutating func endOuter(_ error: (any Error)?) {
        outer.end(error)
        if let error, failure == nil { failure = error }
    }

    @inlinable
    mutating func openSlot() -> Int {
        open += 1
        let slot = free.popLast() ?? slots.count
        if slot == slots.count { slots.append(nil) }
        slots[slot] = Window(high: prefetch)
        return slot
    }

    // MARK: The inner publishers

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription, _ slot: Int) -> Bool {
        guard !isClosed, slots[slot]?.connect(subscription) == true else { return false }
        chores.append(slot)
        return true
    }

    @inlinable
    mutating func receive(_ element: Output, _ slot: Int) -> (any Flow.Subscription)? {
        guard !isClosed, slots[slot] != nil else { return nil }
        let wasEmpty = slots[slot]?.queue.isEmpty == true
        let offender = slots[slot]?.receive(element) ?? nil
        if let offender {
            failure = Rejection.full
            return offender
        }
        if wasEmpty, slots[slot]?.queue.isEmpty == false { ready.append(slot) }
        return nil
    }

    @inlinable
    mutating func end(_ error: (any Error)?, _ slot: Int) {
        guard !isClosed, slots[slot] != nil else { return }
        slots[slot]?.end(nil)
        if let error, failure == nil { failure = error }
        closeIfDrained(slot)
    }

    @inlinable
    mutating func closeIfDrained(_ slot: Int) {
        guard slots[slot]?.isDrained == true else { return }
        slots[slot] = nil
        free.append(slot)
        open -= 1
    }

    // MARK: Orders

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if let failure { return .finish(failure) }
        if open == 0, outer.isEnded { return .finish(nil) }
        let room = outer.high > UInt64(open) ? outer.high &- UInt64(open) : 0
        if let due = outer.demand(upTo: room) { return .request(due.upstream, due.demand) }
        while let slot = chores.popFirst() {
            if let due = slots[slot]?.demand(upTo: .max) { return .request(due.upstream, due.demand) }
        }
        guard unmet > 0, let slot = ready.popFirst(), let element = slots[slot]?.queue.popFirst() else { return .idle }
        if slots[slot]?.queue.isEmpty == false { ready.append(slot) }
        chores.append(slot)
        closeIfDrained(slot)
        return .emit(element)
    }

    @inlinable
    func closed() -> Self {
        var machine = MergeMachine(outer: .ended(), prefetch: 1)
        machine.isClosed = true
        return machine
    }

    @inlinable
    consuming func dispose() {
        outer.upstream?.cancel()
        for slot in slots { slot?.upstream?.cancel() }
    }
}

/// Subscribed to the publisher of publishers.
@frozen
@usableFromInline
struct OuterSubscriber<Input, Inner: Flow.Publisher, Downstream: Flow.Subscriber>: Flow.Subscriber
where Downstream.Input == Inner.Output {
    @usableFromInline let stage: Stage<MergeMachine<Inner.Output>, Downstream>
    @usableFromInline let transform: @Sendable (Input) -> Inner

    @inlinable
    init(
        _ stage: Stage<MergeMachine<Inner.Output>, Downstream>, _ transform: @escaping @Sendable (Input) -> Inner
    ) {
        self.stage = stage
        self.transform = transform
    }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connectOuter(subscription) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Input) {
        let (slot, offender) = stage.post { $0.receiveOuter() }
        offender?.cancel()
        guard let slot else { return }
        transform(element).subscribe(InnerSubscriber(stage, slot))
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.endOuter(error) } }

    @inlinable
    func onComplete() { stage.post { $0.endOuter(nil) } }
}

/// Subscribed to one of the publishers that are merged.
@frozen
@usableFromInline
struct InnerSubscriber<Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline let stage: Stage<MergeMachine<Downstream.Input>, Downstream>
    @usableFromInline let slot: Int
    /// Whether a subscription has come: a slot may have a new tenant after the end.
    @usableFromInline var isConnected = false

    @inlinable
    init(_ stage: Stage<MergeMachine<Downstream.Input>, Downstream>, _ slot: Int) {
        self.stage = stage
        self.slot = slot
    }

    @inlinable
    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        if isConnected || !stage.post({ [slot] in $0.connect(subscription, slot) }) { subscription.cancel() }
        isConnected = true
    }

    @inlinable
    func onNext(_ element: Downstream.Input) {
        if let offender = stage.post({ $0.receive(element, slot) }) { offender.cancel() }
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.end(error, slot) } }

    @inlinable
    func onComplete() { stage.post { $0.end(nil, slot) } }
}
