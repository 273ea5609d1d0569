// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Streams that end when nothing moves: no first element, no next element, no demand.

extension Flow.Publisher {
    /// Fails with ``Rejection/timedOut`` when one of the given times passes.
    ///
    /// | time | begins | ends |
    /// |---|---|---|
    /// | `initial` | when downstream subscribes | with the first element |
    /// | `idle` | when upstream owes an element: it was asked, or has sent one and owes more | with the next element |
    /// | `backpressure` | when downstream has been sent all it asked for, or has subscribed | with its next request |
    ///
    /// So a slow downstream does not make upstream look idle. When a time has passed, upstream is cancelled and downstream
    /// gets the error at once.
    ///
    /// ```
    /// upstream   --1--2---------
    /// output     --1--2-----X            timeout(idle: .seconds(5))
    /// ```
    ///
    /// Demand passes through, in requests for 256 elements at most.
    ///
    /// - Parameters:
    ///   - initial: How long the first element may take; nil is for ever.
    ///   - idle: How long an element that was asked for may take; nil is for ever.
    ///   - backpressure: How long downstream may ask for nothing; nil is for ever.
    ///   - clock: The clock of all three.
    /// - Returns: A publisher of the same elements.
    /// - Precondition: Each time is more than zero.
    @inlinable
    public func timeout(
        initial: Duration? = nil, idle: Duration? = nil, backpressure: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) -> Flow.Timeout<Self> {
        for time in [initial, idle, backpressure] {
            if let time { precondition(time > .zero, "a timeout of \(time)") }
        }
        return Flow.Timeout(
            self, TimeoutLimits(initial: initial, idle: idle, backpressure: backpressure), TimeSource(clock))
    }
}

extension Flow {
    /// The publisher that `timeout` makes.
    public struct Timeout<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let limits: TimeoutLimits
        @usableFromInline let timeSource: TimeSource

        @inlinable
        init(_ upstream: Upstream, _ limits: TimeoutLimits, _ timeSource: TimeSource) {
            self.upstream = upstream
            self.limits = limits
            self.timeSource = timeSource
        }

        /// Subscribes to upstream in the name of `subscriber`, and starts the times.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let alarm = StageAlarm(timeSource)
            let stage = Stage(TimeoutMachine<Output>(limits, alarm), subscriber)
            alarm.onRing { [weak stage] now in stage?.post { $0.rang(at: now) } ?? .max }
            stage.open { upstream.subscribe(StageSubscriber(stage)) }
        }
    }
}

@usableFromInline
struct TimeoutLimits: Sendable {
    @usableFromInline let initial: Duration?
    @usableFromInline let idle: Duration?
    @usableFromInline let backpressure: Duration?

    @inlinable
    init(initial: Duration?, idle: Duration?, backpressure: Duration?) {
        self.initial = initial
        self.idle = idle
        self.backpressure = backpressure
    }
}

/// A window that never asks for more than downstream has, and three deadlines beside it.
///
/// The clock is read by the owner of the word, outside the lock, after something happened that moves a deadline.
@usableFromInline
struct TimeoutMachine<Element>: InletMachine {
    @usableFromInline typealias Output = Element
    @usableFromInline typealias Input = Element

    @usableFromInline
    enum Effect {
        /// Read the clock, and set the deadlines that something has moved.
        case readClock
    }

    @usableFromInline let limits: TimeoutLimits
    @usableFromInline let alarm: StageAlarm?
    @usableFromInline var window = Window<Element>(high: 256)
    @usableFromInline var hasStarted = false
    @usableFromInline var hasElement = false
    @usableFromInline var hasDemand = true
    /// Something moved the idle or the demand deadline since the clock was read.
    @usableFromInline var hasMoved = false
    @usableFromInline var isOwed = false
    @usableFromInline var initialDeadline = Int64.max
    @usableFromInline var idleDeadline = Int64.max
    @usableFromInline var demandDeadline = Int64.max
    @usableFromInline var isTimedOut = false

    @inlinable
    init(_ limits: TimeoutLimits, _ alarm: StageAlarm?) {
        self.limits = limits
        self.alarm = alarm
    }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool { window.connect(subscription) }

    @inlinable
    mutating func receive(_ element: Element) -> (any Flow.Subscription)? {
        hasElement = true
        initialDeadline = .max
        idleDeadline = .max
        isOwed = false
        return window.receive(element)
    }

    @inlinable
    mutating func end(_ error: (any Error)?) {
        window.end(error)
        initialDeadline = .max
        idleDeadline = .max
    }

    /// - Returns: When to ring next.
    @inlinable
    mutating func rang(at now: Int64) -> Int64 {
        let earliest = min(initialDeadline, idleDeadline, demandDeadline)
        if earliest <= now { isTimedOut = true }
        return isTimedOut ? .max : earliest
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if isTimedOut { return .finish(Rejection.timedOut) }
        if window.isDrained { return .finish(window.error) }
        if let due = window.demand(upTo: unmet) { return .request(due.upstream, due.demand) }
        note(unmet)
        if hasMoved {
            hasMoved = false
            return .perform(.readClock)
        }
        if unmet > 0, let element = window.queue.popFirst() { return .emit(element) }
        return .idle
    }

    /// Notices what began or ended since the last look.
    @inlinable
    mutating func note(_ unmet: UInt64) {
        if !hasStarted {
            hasStarted = true
            hasMoved = true
        }
        if (unmet > 0) != hasDemand {
            hasDemand = unmet > 0
            demandDeadline = .max
            if limits.backpressure != nil { hasMoved = true }
        }
        let isOwed = window.outstanding > 0 && !window.isEnded
        if isOwed != self.isOwed {
            self.isOwed = isOwed
            idleDeadline = .max
            if limits.idle != nil { hasMoved = true }
        }
    }

    /// The owner has read the clock; what is not running and should be starts now.
    @inlinable
    mutating func start(_ initial: Int64, _ idle: Int64, _ demand: Int64) -> Int64 {
        if !hasElement, !window.isEnded, initialDeadline == .max { initialDeadline = initial }
        if isOwed, idleDeadline == .max { idleDeadline = idle }
        if !hasDemand, demandDeadline == .max { demandDeadline = demand }
        return min(initialDeadline, idleDeadline, demandDeadline)
    }

    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {
        let (alarm, limits) = stage.ask { ($0.alarm, $0.limits) }
        guard let alarm else { return }
        func deadline(_ limit: Duration?) -> Int64 { limit.map { alarm.timeSource.deadline(after: $0) } ?? .max }
        let (initial, idle, demand) = (deadline(limits.initial), deadline(limits.idle), deadline(limits.backpressure))
        let earliest = stage.ask { $0.start(initial, idle, demand) }
        if earliest < .max { alarm.set(for: earliest) }
    }

    @inlinable
    func closed() -> Self {
        var machine = TimeoutMachine(limits, nil)
        machine.window = .ended()
        return machine
    }

    @inlinable
    consuming func dispose() {
        alarm?.cancel()
        window.upstream?.cancel()
    }
}
