// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A processor: a subscriber to one publisher, a publisher to many subscribers.
//
// ## Algorithm
// What comes is put into a queue; a pump moves it on to a buffered sink while the slowest subscriber has room, and asks
// upstream for what then fits. Like the pump of `SubmissionPublisher` it runs whenever something happened, on one thread
// at a time by the rule of `DrainWord`.
//
// ## Invariants
// I1. outstanding + parked + the greatest lag of a subscriber <= capacity: an element that was asked for has a place.

extension Flow {
    /// Hands what it receives to all its subscribers, each with a buffer, at the pace of the slowest.
    ///
    /// Upstream is asked for elements once a subscriber has asked, `capacity` at most ahead of the slowest one, and topped
    /// up at three quarters. A subscriber gets what comes after it has subscribed.
    ///
    /// When the last subscriber has cancelled, upstream is cancelled [2.6], and who subscribes later gets
    /// ``Rejection/cancelled``. Without `cancelsWithLastSubscriber` upstream stays, and what was asked for waits for the
    /// next subscriber.
    ///
    /// ```
    /// upstream   --1-2-3--|
    /// output A   --1-2-3--|
    /// output B   ------3--|              B subscribed after 2
    /// ```
    ///
    /// An error or the end goes to every subscriber once it has got what came before; later subscribers get it at once.
    public final class MulticastProcessor<Element: Sendable>: Processor {
        /// What it receives.
        public typealias Input = Element
        /// What it sends: the same.
        public typealias Output = Element

        private let hub: ProcessorHub<Element>

        /// A processor without upstream and without subscribers.
        ///
        /// - Parameters:
        ///   - capacity: How many elements are asked for and held at most, at least 1.
        ///   - cancelsWithLastSubscriber: Whether upstream is cancelled once there were subscribers and all have cancelled.
        /// - Precondition: `capacity >= 1`.
        public init(capacity: Int = 256, cancelsWithLastSubscriber: Bool = true) {
            hub = ProcessorHub(capacity: capacity, cancelsWithLast: cancelsWithLastSubscriber)
        }

        /// How many subscribers there are that have not cancelled.
        public var subscriberCount: Int { hub.sink.subscriberCount }

        /// Adds a subscriber, which gets what comes from now on.
        ///
        /// - Parameter subscriber: Gets the signals.
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Element {
            hub.sink.subscribe(subscriber)
            hub.noteSubscriber()
        }

        /// Takes an upstream; a second one is cancelled [2.5].
        ///
        /// - Parameter subscription: Upstream's subscription.
        public func onSubscribe(_ subscription: any Subscription) { hub.connect(subscription) }

        /// Takes an element.
        ///
        /// - Parameter element: The element.
        public func onNext(_ element: Element) { hub.receive(element) }

        /// Fails every subscriber [4.2].
        ///
        /// - Parameter error: What upstream failed with.
        public func onError(_ error: any Error) { hub.end(error) }

        /// Ends every subscriber.
        public func onComplete() { hub.end(nil) }
    }
}

private final class ProcessorHub<Element: Sendable>: Sendable {
    private struct State: Sendable {
        var upstream: (any Flow.Subscription)?
        var isConnected = false
        var outstanding = 0
        var parked = FlowQueue<Element>()
        var hadSubscriber = false
        var isEnded = false
        var error: (any Error)?
    }

    private let word = DrainWord()
    private let capacity: Int
    private let cancelsWithLast: Bool
    private let state = LockedState(State())
    let sink: Flow.Sink<Element>

    init(capacity: Int, cancelsWithLast: Bool) {
        self.capacity = capacity
        self.cancelsWithLast = cancelsWithLast
        let bell = RoomBell()
        sink = Flow.Sink(.buffered(capacity: capacity), meter: nil, onDropped: nil, onRoom: { bell.ring() })
        bell.answer { [weak self] in self?.run() }
        var look = word.look()
        _ = word.leave(&look)
    }

    deinit { word.deallocate() }

    func connect(_ subscription: any Flow.Subscription) {
        let isAccepted = state.withLock { state in
            if state.isConnected || state.isEnded { return false }
            state.isConnected = true
            state.upstream = subscription
            return true
        }
        if isAccepted { run() } else { subscription.cancel() }
    }

    /// There was a subscriber from now on; it may have cancelled already.
    func noteSubscriber() {
        state.withLock { $0.hadSubscriber = true }
        run()
    }

    /// Cancels upstream if there were subscribers and all have gone.
    private func leaveIfDeserted() {
        guard cancelsWithLast, state.withLock({ $0.hadSubscriber }), sink.subscriberCount == 0 else { return }
        let left: (upstream: (any Flow.Subscription)?, parked: FlowQueue<Element>)? = state.withLock { state in
            if state.isEnded { return nil }
            state.isEnded = true
            state.error = Rejection.cancelled
            let parked = state.parked
            state.parked = FlowQueue()
            return (state.upstream.take(), parked)
        }
        left?.upstream?.cancel()
    }

    /// An upstream that sends what was not asked for is cut off.
    func receive(_ element: Element) {
        let offender: (any Flow.Subscription)? = state.withLock { state in
            if state.isEnded { return nil }
            guard state.outstanding > 0 else {
                state.isEnded = true
                state.error = Rejection.full
                return state.upstream.take()
            }
            state.outstanding -= 1
            state.parked.append(element)
            return nil
        }
        offender?.cancel()
        run()
    }

    func end(_ error: (any Error)?) {
        state.withLock { state in
            if state.isEnded { return }
            state.isEnded = true
            state.error = error
            state.upstream = nil
        }
        run()
    }

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
        leaveIfDeserted()
        while let element = state.withLock({ $0.parked.first }) {
            switch sink.emit(element) {
            case .ok, .terminated: _ = state.withLock { $0.parked.popFirst() }
            case .overflow, .cancelled, .noSubscriber: return
            }
        }
        let (isEnded, error) = state.withLock { ($0.isEnded, $0.error) }
        if isEnded { return sink.end(error) }
        guard sink.isAsked else { return }
        // Only this loop adds to the lag.
        let lag = sink.maximumLag
        let due: (upstream: any Flow.Subscription, demand: Int)? = state.withLock { state in
            let want = capacity - state.outstanding - state.parked.count - lag
            guard let upstream = state.upstream, want > 0 else { return nil }
            guard want >= capacity - capacity / 4 || state.outstanding == 0 else { return nil }
            state.outstanding += want
            return (upstream, want)
        }
        if let due { due.upstream.request(Demand(due.demand)) }
    }
}
