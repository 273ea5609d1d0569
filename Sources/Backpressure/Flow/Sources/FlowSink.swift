// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A publisher that is fed by hand, from any number of threads.
//
// ## Algorithm
// Each subscriber has a stage with a bounded buffer. `emit` decides under the sink's lock, with every stage's own lock
// inside it, who gets the element, and puts it in; the stages are woken after, so that no signal runs under a lock.
// Between two emissions room only grows, so what was decided under the lock holds; except that a subscriber may cancel
// at any time: then its stage does not take the element, and what counts is who did.
//
// ## Invariants
// I1. All subscribers get elements in one order, that of the sink's lock; concurrent emitters are put into it.
// I2. All-or-nothing and buffered: an element is with all subscribers of that moment, or with none.

extension Flow {
    /// What became of an element that was emitted.
    public enum EmitResult: Hashable, Sendable {
        /// It is with its subscribers, or will be: as ``Flow/SinkDelivery`` says.
        case ok
        /// There was no room or no demand; nobody has it.
        case overflow
        /// The only subscriber has cancelled; nobody has it, and nobody will.
        case cancelled
        /// The sink was finished or failed before.
        case terminated
        /// A multicast sink has no subscriber at the moment; nobody has it.
        case noSubscriber
    }

    /// To whom a sink delivers, and when it says that it cannot.
    ///
    /// | delivery | subscribers | an element is taken when | who may miss it |
    /// |---|---|---|---|
    /// | ``unicast(capacity:)`` | one, ever | fewer than `capacity` wait, also before it subscribes | nobody |
    /// | ``bestEffort`` | any | at least one has asked for it | those who have not |
    /// | ``allOrNothing`` | any | all have asked for it | nobody |
    /// | ``buffered(capacity:)`` | any | fewer than `capacity` wait for each | nobody |
    public enum SinkDelivery: Hashable, Sendable {
        /// To one subscriber; what is emitted before it subscribes waits for it.
        case unicast(capacity: Int)
        /// To those subscribers that have asked for an element.
        case bestEffort
        /// To all subscribers, when all have asked for an element.
        case allOrNothing
        /// To all subscribers, each with a buffer; the slowest decides.
        case buffered(capacity: Int)
    }

    /// What a second subscriber of a unicast publisher gets [1.11].
    public struct AlreadySubscribed: Error, Hashable, Sendable {
        /// The error.
        public init() {}
    }

    /// A publisher that is fed by hand, from any number of threads at once.
    ///
    /// ``emit(_:)`` never waits: it says whether the element was taken, and if not, why. Concurrent emitters are serialised
    /// inside; the elements of one emitter keep their order, and all subscribers see one order. Elements are sent on the
    /// emitter's thread, or on that of a request.
    ///
    /// ```
    /// emit         --1-2-3-4------      delivery: .buffered(capacity: 2)
    /// request A    --4------------
    /// output A     --1-2-----------     3 and 4: .overflow, B has two waiting
    /// output B     ----------------
    /// ```
    ///
    /// Up to 256 elements that were asked for wait while a subscriber is busy on another thread.
    public final class Sink<Element: Sendable>: Publisher, Sendable {
        /// What is emitted.
        public typealias Output = Element

        /// How elements are delivered.
        public let delivery: SinkDelivery
        @usableFromInline let rules: OverflowRules<Element>
        @usableFromInline let state: LockedState<SinkState<Element>>

        /// A sink without subscribers.
        ///
        /// - Parameters:
        ///   - delivery: To whom, and when not.
        ///   - meter: Counts what best-effort delivery does not send to a subscriber, and what still waits for one that
        ///     cancels.
        ///   - onDropped: Gets each of those, once for each subscriber that misses it, outside all locks.
        /// - Precondition: A capacity is at least 1.
        @inlinable
        public convenience init(_ delivery: SinkDelivery, meter: DropMeter? = nil, onDropped: DropHook<Element>? = nil)
        {
            self.init(delivery, meter: meter, onDropped: onDropped, onRoom: nil)
        }

        // `onRoom` is called outside all locks when there may be more room than before.
        @inlinable
        init(
            _ delivery: SinkDelivery, meter: DropMeter?, onDropped: DropHook<Element>?,
            onRoom: (@Sendable () -> Void)?
        ) {
            self.delivery = delivery
            let (capacity, needsDemand) =
                switch delivery {
                case .unicast(let capacity), .buffered(let capacity): (capacity, false)
                case .bestEffort, .allOrNothing: (256, true)
                }
            precondition(capacity >= 1, "a buffer of \(capacity) elements")
            var rules = OverflowRules(
                capacity: capacity, overflow: .dropNewest, needsDemand: needsDemand, timeToLive: nil, timeSource: nil,
                meter: meter, onDropped: onDropped)
            rules.onRoom = onRoom
            self.rules = rules
            state = LockedState(SinkState())
        }

        // MARK: Emitting

        /// Emits `element`, if it can be taken at once.
        ///
        /// Synchronous, callable from anywhere, also from inside a subscriber's signal.
        ///
        /// - Parameter element: The element; unless the answer is ``EmitResult/ok`` the caller still has it to itself.
        /// - Returns: Whether it was taken, and if not, why.
        @inlinable
        @discardableResult
        public func emit(_ element: Element) -> EmitResult {
            let outcome = state.withLock { Guarded($0.emit(element, delivery, rules.capacity)) }.value
            for target in outcome.wake { target.wake() }
            for _ in 0..<outcome.missed { rules.drop(element, .full) }
            return outcome.result
        }

        /// Ends the stream of every subscriber, now and later, once it has got what waits for it.
        ///
        /// Idempotent: the first end counts.
        @inlinable
        public func finish() { end(nil) }

        /// Ends the stream of every subscriber, now and later, with an error, once it has got what waits for it.
        ///
        /// - Parameter error: The error. When the sink has ended already it is not used.
        @inlinable
        public func finish(throwing error: any Error) { end(error) }

        @inlinable
        func end(_ error: (any Error)?) {
            let targets = state.withLock { Guarded($0.end(error)) }.value
            for target in targets { target.end(error) }
        }

        // MARK: Reading

        /// How many subscribers there are that have not cancelled.
        public var subscriberCount: Int {
            state.withLock {
                $0.prune(); return $0.targets.count
            }
        }

        /// The greatest number of elements that wait for one subscriber.
        public var maximumLag: Int {
            state.withLock { state in
                state.prune()
                return state.targets.map(\.lag).max() ?? state.early.count
            }
        }

        /// The least demand that any one subscriber has beyond what was emitted to it; nil without subscribers.
        public var minimumDemand: Demand? {
            state.withLock { state in
                state.prune()
                return state.targets.map(\.unmetDemand).min()
            }
        }

        /// Whether a subscriber has asked for anything yet.
        var isAsked: Bool { state.withLock { $0.targets.contains { $0.isAsked } } }

        /// Whether an element emitted now would be taken.
        @usableFromInline
        var hasRoom: Bool { state.withLock { $0.hasRoom(delivery, rules.capacity) } }

        // MARK: Subscribing

        /// Adds a subscriber, which gets what is emitted from now on; the one of a unicast sink gets what waits for it too.
        ///
        /// A second subscriber of a unicast sink gets ``AlreadySubscribed``.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Element {
            if case .unicast = delivery, !state.withLock({ $0.claim() }) {
                return Fail(AlreadySubscribed()).subscribe(subscriber)
            }
            let stage = Stage(OverflowMachine(rules), subscriber)
            stage.open {
                state.withLock { state in state.add(stage) }
            }
            if decide(stage.word.look().isCancelled) {
                // It may have cancelled before it was added: then what waits for it still waits here.
                var early = state.withLock { Guarded($0.abandon()) }.value
                while let element = early.popFirst() { rules.drop(element, .abandoned) }
            }
            rules.onRoom?()
        }
    }
}

/// A subscriber of a sink, whatever its type.
@usableFromInline
protocol SinkTarget<Element>: AnyObject, Sendable {
    associatedtype Element

    var isGone: Bool { get }
    var hasRoom: Bool { get }
    var lag: Int { get }
    var unmetDemand: Demand { get }
    var isAsked: Bool { get }
    /// Puts an element in, without a signal; there is room, or it is gone.
    ///
    /// - Returns: Whether it was there to take it.
    func put(_ element: Element) -> Bool
    /// Puts the end in, without a signal.
    func putEnd(_ error: (any Error)?)
    /// Sends what was put in; the caller holds no lock.
    func wake()
    func end(_ error: (any Error)?)
}

extension Stage: SinkTarget where Machine == OverflowMachine<Downstream.Input> {
    @inlinable var isGone: Bool { ask { $0.isClosed } }

    @inlinable var hasRoom: Bool {
        let requested = word.look().requested
        return ask { $0.hasRoom(requested: requested) }
    }

    @inlinable var lag: Int { ask { $0.queue.count } }

    @inlinable var isAsked: Bool { ask { $0.isAsked } }

    @inlinable var unmetDemand: Demand {
        let look = word.look()
        if look.requested == DrainLook.unbounded { return .unbounded }
        return ask { Demand(look.requested > $0.admitted ? look.requested - $0.admitted : 0) }
    }

    @inlinable
    func put(_ element: Downstream.Input) -> Bool {
        ask { machine in
            if decide(machine.isClosed) { return false }
            machine.keep(element, .max)
            return true
        }
    }

    @inlinable
    func putEnd(_ error: (any Error)?) { ask { $0.end(error) } }

    @inlinable
    func wake() {
        if word.signal() { run() }
    }

    @inlinable
    func end(_ error: (any Error)?) {
        putEnd(error)
        wake()
    }
}

/// What the sink's lock guards.
@usableFromInline
struct SinkState<Element: Sendable>: Sendable {
    @usableFromInline var targets: [any SinkTarget<Element>] = []
    /// Unicast: emitted before there was a subscriber.
    @usableFromInline var early = FlowQueue<Element>()
    @usableFromInline var isClaimed = false
    /// Unicast: the subscriber has cancelled.
    @usableFromInline var hasGone = false
    @usableFromInline var isEnded = false
    @usableFromInline var error: (any Error)?

    @usableFromInline
    struct Outcome {
        @usableFromInline let result: Flow.EmitResult
        @usableFromInline var wake: [any SinkTarget<Element>] = []
        @usableFromInline var missed = 0

        @inlinable
        init(_ result: Flow.EmitResult) { self.result = result }
    }

    @inlinable
    init() {}

    @inlinable
    mutating func claim() -> Bool {
        if decide(isClaimed) { return false }
        isClaimed = true
        return true
    }

    /// The only subscriber is gone; returns what waited for it.
    @inlinable
    mutating func abandon() -> FlowQueue<Element> {
        hasGone = true
        defer { early = FlowQueue() }
        return early
    }

    @inlinable
    mutating func prune() {
        guard targets.contains(where: { $0.isGone }) else { return }
        targets.removeAll { $0.isGone }
        if decide(isClaimed) { hasGone = true }
    }

    @inlinable
    mutating func add(_ target: some SinkTarget<Element>) {
        // The caller owns its word, so it is not gone.
        while let element = early.popFirst() { _ = target.put(element) }
        if decide(isEnded) { target.putEnd(error) } else { targets.append(target) }
    }

    @inlinable
    mutating func end(_ error: (any Error)?) -> [any SinkTarget<Element>] {
        if decide(isEnded) { return [] }
        isEnded = true
        self.error = error
        let targets = targets
        self.targets = []
        return targets
    }

    @inlinable
    mutating func hasRoom(_ delivery: Flow.SinkDelivery, _ capacity: Int) -> Bool {
        if isEnded { return false }
        prune()
        if targets.isEmpty {
            if case .unicast = delivery { return !hasGone && early.count < capacity }
            return false
        }
        if case .bestEffort = delivery { return targets.contains { $0.hasRoom } }
        return targets.allSatisfy { $0.hasRoom }
    }

    @inlinable
    mutating func emit(_ element: Element, _ delivery: Flow.SinkDelivery, _ capacity: Int) -> Outcome {
        if decide(isEnded) { return Outcome(.terminated) }
        prune()
        if targets.isEmpty {
            guard case .unicast = delivery else { return Outcome(.noSubscriber) }
            if decide(hasGone) { return Outcome(.cancelled) }
            guard decide(early.count < capacity) else { return Outcome(.overflow) }
            early.append(element)
            return Outcome(.ok)
        }
        var outcome = Outcome(.ok)
        var isTaken = false
        if case .bestEffort = delivery {
            guard decide(targets.contains { $0.hasRoom }) else { return Outcome(.overflow) }
            for target in targets {
                if decide(target.hasRoom) { isTaken = target.put(element) || isTaken } else { outcome.missed += 1 }
            }
        } else {
            for target in targets where decide(!target.hasRoom) { return Outcome(.overflow) }
            for target in targets { isTaken = target.put(element) || isTaken }
        }
        guard decide(isTaken) else { return refusal(delivery) }
        outcome.wake = targets
        return outcome
    }

    /// All that had room were gone by the time that they should have taken it.
    @inlinable
    mutating func refusal(_ delivery: Flow.SinkDelivery) -> Outcome {
        prune()
        if case .unicast = delivery { return Outcome(.cancelled) }
        return Outcome(targets.isEmpty ? .noSubscriber : .overflow)
    }
}
