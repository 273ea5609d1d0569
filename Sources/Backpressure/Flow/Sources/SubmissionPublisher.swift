// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A publisher whose producers wait for their subscribers.
//
// ## Algorithm
// A channel of one element is the queue of the producers: it makes them wait in order, with time-outs and cancellation.
// Behind it is a buffered sink. The pump moves elements from the channel to the sink while the slowest subscriber has
// room; it runs after every send, whenever a subscriber has taken an element or has come or gone, and, by the rule of
// `DrainWord`, on one thread at a time. A channel may say "empty" while a send is half-way: that sender runs the pump
// when it is done.

extension Flow {
    /// A publisher with subscribers of different speed, whose producers wait for the slowest.
    ///
    /// Every subscriber gets every element that is submitted after it subscribed, each from a buffer of its own of `capacity`
    /// elements; one more element waits in front of them. Without subscribers elements wait, none is lost.
    ///
    /// ```
    /// submit     --1-2-3.......3---      capacity: 2; the third waits until A takes one
    /// request A  --------------1---
    /// output A   --------------1---
    /// ```
    ///
    /// Elements are sent on a producer's thread or on that of a request; to keep a slow subscriber off them, use
    /// ``Flow/Publisher/receive(on:prefetch:)``.
    public final class SubmissionPublisher<Element: Sendable>: Publisher, Sendable {
        /// What is submitted.
        public typealias Output = Element

        private let front: BoundedChannel<Element, Never>
        private let pump: SubmissionPump<Element>

        /// A publisher without subscribers.
        ///
        /// - Parameters:
        ///   - capacity: How many elements wait for one subscriber at most, at least 1.
        ///   - clock: The clock of time-outs.
        ///   - onUndelivered: Gets what waits for a subscriber that cancels, with ``Rejection/abandoned``, once for each.
        /// - Precondition: `capacity >= 1`.
        public init(
            capacity: Int, clock: some Clock<Duration> = ContinuousClock(), onUndelivered: DropHook<Element>? = nil
        ) {
            front = BoundedChannel(capacity: 1, fairness: .fifo, clock: clock)
            pump = SubmissionPump(front, capacity: capacity, onDropped: onUndelivered)
        }

        /// Finishes it: nobody can submit any more.
        deinit { finish() }

        /// Submits `element`, waiting until it is taken over.
        ///
        /// Producers are served in order. Cancelling the task ends the wait and brings the element back with
        /// ``Rejection/cancelled``, unless it was taken over first.
        ///
        /// - Parameter element: The element.
        /// - Returns: `.sent`, or `.returned` with the element and the reason.
        public nonisolated(nonsending) func submit(_ element: Element) async -> SendResult<Element> {
            let result = await front.send(element)
            pump.run()
            return result
        }

        /// Submits `element`, waiting no longer than `timeout`, and asks what to do when the time is up.
        ///
        /// - Parameters:
        ///   - element: The element.
        ///   - timeout: The longest wait; zero or less is none.
        ///   - onDrop: Called when the element was not taken over in time; true tries once more, without waiting.
        /// - Returns: `.sent`, `.dropped` when the time was up, or `.returned` with the element and the reason.
        public nonisolated(nonsending) func offer(
            _ element: Element, timeout: Duration = .zero, onDrop: (Element) -> Bool = { _ in false }
        ) async -> SendResult<Element> {
            var result = await front.send(element, timeout: timeout)
            pump.run()
            if result.reason == .timedOut || result.reason == .full {
                guard onDrop(element) else { return .dropped }
                result = front.trySend(element)
                pump.run()
                if result.reason == .full { return .dropped }
            }
            return result
        }

        /// Ends every subscriber's stream once it has got what was submitted; later submissions come back.
        public func finish() {
            front.finish()
            pump.run()
        }

        /// Ends every subscriber's stream with an error once it has got what was submitted; later submissions come back.
        ///
        /// - Parameter error: The error; only the first end counts.
        public func finish(throwing error: any Error) {
            pump.error.withLock { if $0 == nil { $0 = error } }
            finish()
        }

        /// How many subscribers there are that have not cancelled.
        public var subscriberCount: Int { pump.sink.subscriberCount }

        /// The greatest number of elements that wait for one subscriber.
        public var estimatedMaximumLag: Int { pump.sink.maximumLag }

        /// The least demand that any one subscriber has beyond what waits for it; nil without subscribers.
        public var estimatedMinimumDemand: Demand? { pump.sink.minimumDemand }

        /// Adds a subscriber, which gets what is submitted from now on.
        ///
        /// - Parameter subscriber: Gets the signals.
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Element {
            pump.sink.subscribe(subscriber)
        }
    }
}

/// Moves elements from the producers' channel to the subscribers' buffers.
final class SubmissionPump<Element: Sendable>: @unchecked Sendable {
    private let word = DrainWord()
    private let front: BoundedChannel<Element, Never>
    let sink: Flow.Sink<Element>
    let error = LockedState<(any Error)?>(nil)
    /// Taken from the channel when there was room, which was gone when it was emitted; the owner of the word's.
    private var pending: Element?

    init(_ front: BoundedChannel<Element, Never>, capacity: Int, onDropped: Flow.DropHook<Element>?) {
        self.front = front
        let bell = RoomBell()
        sink = Flow.Sink(
            .buffered(capacity: capacity), meter: nil, onDropped: onDropped, onRoom: { bell.ring() })
        bell.answer { [weak self] in self?.run() }
        var look = word.look()
        _ = word.leave(&look)
    }

    deinit { word.deallocate() }

    func run() {
        guard word.signal() else { return }
        var look = word.look()
        while true {
            if look.isSignalled { look = word.clearSignal() }
            move()
            if word.leave(&look) { return }
        }
    }

    private func move() {
        while true {
            let hasRoom = sink.hasRoom
            if pending == nil {
                guard hasRoom || front.isClosed && front.count == 0 else { return }
                switch front.tryReceive() {
                case .received(let element): pending = element
                case .empty: return
                case .finished: return sink.end(error.withLock { $0 })
                }
            }
            guard hasRoom, let element = pending else { return }
            switch sink.emit(element) {
            case .ok, .terminated: pending = nil
            case .overflow, .cancelled, .noSubscriber: return
            }
        }
    }
}

/// Rings at whoever answers, once there is somebody.
private final class RoomBell: Sendable {
    private let answer = LockedState<(@Sendable () -> Void)?>(nil)

    func answer(_ body: @escaping @Sendable () -> Void) { answer.withLock { $0 = body } }

    func ring() { answer.withLock { $0 }?() }
}
