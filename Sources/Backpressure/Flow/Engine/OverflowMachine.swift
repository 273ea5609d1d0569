// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded buffer that somebody pushes into: the machine of `onBackpressure...` and of the sinks.
//
// ## Invariants
// I1. `capacity` elements wait at most; where only what was asked for is kept, no more than was asked for and not sent.
// I2. An element is sent, or it is handed to `drop` once, with a reason; never both.
// I3. `drop` runs outside the lock, by whoever took the element out of the machine or was refused by it.

/// What a bounded buffer does; the same for every subscription of a stage.
@usableFromInline
struct OverflowRules<Element>: Sendable {
    @usableFromInline let capacity: Int
    @usableFromInline let overflow: Flow.BufferOverflow
    /// Whether only elements are kept that downstream has asked for already.
    @usableFromInline let needsDemand: Bool
    @usableFromInline let timeToLive: Duration?
    @usableFromInline let timeSource: TimeSource?
    @usableFromInline let meter: Flow.DropMeter?
    @usableFromInline let onDropped: Flow.DropHook<Element>?
    /// Told, outside all locks, when there is room for one element more, when downstream has asked for the first time, or
    /// when the buffer is gone.
    @usableFromInline var onRoom: (@Sendable () -> Void)?

    @inlinable
    init(
        capacity: Int, overflow: Flow.BufferOverflow, needsDemand: Bool, timeToLive: Duration?,
        timeSource: TimeSource?, meter: Flow.DropMeter?, onDropped: Flow.DropHook<Element>?
    ) {
        self.capacity = capacity
        self.overflow = overflow
        self.needsDemand = needsDemand
        self.timeToLive = timeToLive
        self.timeSource = timeSource
        self.meter = meter
        self.onDropped = onDropped
    }

    @inlinable
    func drop(_ element: Element, _ reason: Rejection) {
        meter?.add(reason)
        onDropped?(element, reason)
    }

    /// Until when an element that arrives now may wait; the caller holds no lock.
    @inlinable
    func expiry() -> Int64 {
        guard let timeToLive, let timeSource else { return .max }
        return timeSource.deadline(after: timeToLive)
    }
}

@usableFromInline
struct OverflowMachine<Output>: StageMachine {
    @usableFromInline
    struct Entry {
        @usableFromInline let element: Output
        @usableFromInline let expiry: Int64

        @inlinable
        init(element: Output, expiry: Int64) {
            self.element = element
            self.expiry = expiry
        }
    }

    /// What became of an element that was pushed.
    @usableFromInline
    enum Verdict {
        case kept
        /// It was kept, and an older one has gone for it.
        case evicted(Output)
        case refused(Rejection)
    }

    @usableFromInline
    enum Effect {
        /// Look at the clock, and drop what has waited too long.
        case expire
        /// An element has gone, or the first request has come.
        case tellRoom
    }

    @usableFromInline let rules: OverflowRules<Output>
    @usableFromInline var upstream: (any Flow.Subscription)?
    @usableFromInline var mustRequest = false
    @usableFromInline var queue = FlowQueue<Entry>()
    /// How many elements were ever kept: the total to hold against the total requested.
    @usableFromInline var admitted: UInt64 = 0
    @usableFromInline var mustTellRoom = false
    /// Whether downstream has asked for anything yet.
    @usableFromInline var isAsked = false
    /// Whether the first element was just found fresh.
    @usableFromInline var isFresh = false
    @usableFromInline var isEnded = false
    @usableFromInline var error: (any Error)?
    @usableFromInline var isClosed = false

    @inlinable
    init(_ rules: OverflowRules<Output>) { self.rules = rules }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool {
        guard upstream == nil, !isEnded, !isClosed else { return false }
        upstream = subscription
        mustRequest = true
        return true
    }

    @inlinable
    mutating func end(_ error: (any Error)?) {
        guard !isEnded else { return }
        isEnded = true
        self.error = error
        upstream = nil
    }

    /// Whether `push` would keep an element without dropping another.
    @inlinable
    func hasRoom(requested: UInt64) -> Bool {
        !isClosed && !isEnded && queue.count < rules.capacity && (!rules.needsDemand || admitted < requested)
    }

    /// Takes an element, or says why not; `requested` is what downstream has asked for in total.
    @inlinable
    mutating func push(_ element: Output, expiry: Int64, requested: UInt64) -> Verdict {
        if isClosed { return .refused(.abandoned) }
        if isEnded { return .refused(.finished) }
        let isWanted = !rules.needsDemand || admitted < requested
        if isWanted, queue.count < rules.capacity {
            keep(element, expiry)
            return .kept
        }
        switch rules.overflow {
        case .dropNewest: return .refused(.full)
        case .fail:
            isEnded = true
            error = Rejection.full
            return .refused(.full)
        case .dropOldest:
            guard let oldest = queue.popFirst() else { return .refused(.full) }
            keep(element, expiry)
            return .evicted(oldest.element)
        }
    }

    @inlinable @inline(__always)
    mutating func keep(_ element: Output, _ expiry: Int64) {
        admitted &+= 1
        queue.append(Entry(element: element, expiry: expiry))
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if mustRequest, let upstream {
            mustRequest = false
            return .request(upstream, .unbounded)
        }
        if isEnded, queue.isEmpty { return .finish(error) }
        if unmet > 0, !isAsked {
            isAsked = true
            mustTellRoom = rules.onRoom != nil
        }
        if mustTellRoom {
            mustTellRoom = false
            return .perform(.tellRoom)
        }
        guard unmet > 0, !queue.isEmpty else { return .idle }
        if rules.timeToLive != nil, !isFresh { return .perform(.expire) }
        isFresh = false
        guard let entry = queue.popFirst() else { return .idle }
        mustTellRoom = rules.onRoom != nil
        return .emit(entry.element)
    }

    /// Takes out the first element if it has waited too long.
    @inlinable
    mutating func popExpired(at now: Int64) -> Output? {
        guard let first = queue.first, first.expiry <= now else {
            isFresh = true
            return nil
        }
        return queue.popFirst()?.element
    }

    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {
        let rules = stage.ask { $0.rules }
        if case .tellRoom = effect {
            rules.onRoom?()
            return
        }
        guard let now = rules.timeSource?.now() else { return }
        while let stale = stage.ask({ $0.popExpired(at: now) }) {
            rules.drop(stale, .timedOut)
        }
    }

    @inlinable
    func closed() -> Self {
        var machine = OverflowMachine(rules)
        machine.isClosed = true
        return machine
    }

    @inlinable
    consuming func dispose() {
        upstream?.cancel()
        defer { rules.onRoom?() }
        while let entry = queue.popFirst() { rules.drop(entry.element, .abandoned) }
    }
}

/// Pushes what upstream sends.
@frozen
@usableFromInline
struct OverflowSubscriber<Downstream: Flow.Subscriber>: Flow.Subscriber {
    @usableFromInline let stage: Stage<OverflowMachine<Downstream.Input>, Downstream>
    @usableFromInline let rules: OverflowRules<Downstream.Input>

    @inlinable
    init(
        _ stage: Stage<OverflowMachine<Downstream.Input>, Downstream>, _ rules: OverflowRules<Downstream.Input>
    ) {
        self.stage = stage
        self.rules = rules
    }

    @inlinable
    func onSubscribe(_ subscription: any Flow.Subscription) {
        if !stage.post({ $0.connect(subscription) }) { subscription.cancel() }
    }

    @inlinable
    func onNext(_ element: Downstream.Input) {
        let expiry = rules.expiry()
        let requested = stage.word.look().requested
        let verdict = stage.post { $0.push(element, expiry: expiry, requested: requested) }
        switch verdict {
        case .kept: break
        case .evicted(let oldest): rules.drop(oldest, .evicted)
        case .refused(.full):
            rules.drop(element, .full)
            if rules.overflow == .fail { stage.ask { $0.upstream.take() }?.cancel() }
        // It was on its way when the stage had ended already.
        case .refused: rules.drop(element, .abandoned)
        }
    }

    @inlinable
    func onError(_ error: any Error) { stage.post { $0.end(error) } }

    @inlinable
    func onComplete() { stage.post { $0.end(nil) } }
}
