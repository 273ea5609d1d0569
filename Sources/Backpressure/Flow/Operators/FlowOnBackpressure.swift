// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What to do with a publisher that cannot be slowed: ask it for everything, and hold to a bound by dropping or failing.

extension Flow {
    /// What a bounded buffer of a stage does with an element for which it has no room, named by what is lost.
    public enum BufferOverflow: Hashable, Sendable {
        /// The element that waited longest is dropped, with ``Rejection/evicted``.
        case dropOldest
        /// The arriving element is dropped, with ``Rejection/full``.
        case dropNewest
        /// Nothing is dropped: upstream is cancelled, and the stream ends with ``Rejection/full`` once what waits has been
        /// sent. The arriving element goes to the hook.
        case fail
    }

    /// Gets each dropped element, once, with the reason.
    public typealias DropHook<Element> = @Sendable (_ element: Element, _ reason: Rejection) -> Void
}

extension Flow.Publisher {
    /// Asks upstream for everything and keeps what downstream is not ready for, up to `capacity` elements.
    ///
    /// ```
    /// upstream   --1-2-3-4-5-----------|
    /// request    --1---------1-1-------
    /// output     --1---------4-5-------|    onBackpressureBuffer(2, overflow: .dropOldest)
    /// dropped    ----------2-3
    /// ```
    ///
    /// An error or the end of upstream comes after what waits. When downstream cancels, what waits is dropped with
    /// ``Rejection/abandoned``, and so is what upstream still sends then. With a `timeToLive`, elements that waited longer are dropped with ``Rejection/timedOut``; that
    /// is noticed when the next element arrives or is asked for.
    ///
    /// - Parameters:
    ///   - capacity: How many elements wait at most, at least 1.
    ///   - overflow: What is lost when there is no room.
    ///   - timeToLive: How long an element may wait, more than zero; nil is for ever.
    ///   - clock: The clock of `timeToLive`.
    ///   - meter: Counts the drops.
    ///   - onDropped: Gets each dropped element once. It runs outside all locks, on the thread whose signal or request
    ///     dropped the element.
    /// - Returns: A publisher of the elements that are not dropped, in order.
    /// - Precondition: `capacity >= 1`, and `timeToLive` is more than zero.
    @inlinable
    public func onBackpressureBuffer(
        _ capacity: Int, overflow: Flow.BufferOverflow, timeToLive: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock(), meter: Flow.DropMeter? = nil,
        onDropped: Flow.DropHook<Output>? = nil
    ) -> Flow.OnBackpressure<Self> {
        precondition(capacity >= 1, "a buffer of \(capacity) elements")
        if let timeToLive { precondition(timeToLive > .zero, "a time to live of \(timeToLive)") }
        return Flow.OnBackpressure(
            self,
            OverflowRules(
                capacity: capacity, overflow: overflow, needsDemand: false,
                timeToLive: timeToLive, timeSource: timeToLive.map { _ in TimeSource(clock) },
                meter: meter, onDropped: onDropped))
    }

    /// Asks upstream for everything and drops what arrives while downstream has asked for nothing.
    ///
    /// ```
    /// upstream   --1-2-3-4-5-|
    /// request    --1---1-----
    /// output     --1---3-----|           onBackpressureDrop()
    /// dropped    ----2---4-5
    /// ```
    ///
    /// Elements that downstream has asked for are not dropped, except that no more than 256 of them wait while downstream
    /// is busy on another thread; those beyond are dropped too.
    ///
    /// - Parameters:
    ///   - meter: Counts the drops.
    ///   - onDropped: Gets each dropped element once, with ``Rejection/full``, on upstream's thread.
    /// - Returns: A publisher of the elements that are not dropped.
    @inlinable
    public func onBackpressureDrop(
        meter: Flow.DropMeter? = nil, onDropped: Flow.DropHook<Output>? = nil
    ) -> Flow.OnBackpressure<Self> {
        Flow.OnBackpressure(
            self,
            OverflowRules(
                capacity: 256, overflow: .dropNewest, needsDemand: true, timeToLive: nil, timeSource: nil,
                meter: meter, onDropped: onDropped))
    }

    /// Asks upstream for everything and keeps the newest element that downstream is not ready for.
    ///
    /// ```
    /// upstream   --1-2-3-4-----5-|
    /// request    --1-------1-----
    /// output     --1-------4-----5|      onBackpressureLatest()
    /// dropped    ------2-3
    /// ```
    ///
    /// - Parameters:
    ///   - meter: Counts the drops.
    ///   - onDropped: Gets each dropped element once, with ``Rejection/evicted``.
    /// - Returns: A publisher of the elements that are not dropped.
    @inlinable
    public func onBackpressureLatest(
        meter: Flow.DropMeter? = nil, onDropped: Flow.DropHook<Output>? = nil
    ) -> Flow.OnBackpressure<Self> {
        onBackpressureBuffer(1, overflow: .dropOldest, meter: meter, onDropped: onDropped)
    }

    /// Asks upstream for everything and fails with ``Rejection/full`` when an element arrives that downstream has not asked
    /// for.
    ///
    /// ```
    /// upstream   --1-2-3---
    /// request    --2-------
    /// output     --1-2-X                 onBackpressureError()
    /// ```
    ///
    /// No more than 256 elements that were asked for wait while downstream is busy on another thread; one more is a
    /// failure too.
    ///
    /// - Parameters:
    ///   - meter: Counts the element that arrived too early.
    ///   - onDropped: Gets that element, with ``Rejection/full``.
    /// - Returns: A publisher of the elements that were asked for.
    @inlinable
    public func onBackpressureError(
        meter: Flow.DropMeter? = nil, onDropped: Flow.DropHook<Output>? = nil
    ) -> Flow.OnBackpressure<Self> {
        Flow.OnBackpressure(
            self,
            OverflowRules(
                capacity: 256, overflow: .fail, needsDemand: true, timeToLive: nil, timeSource: nil,
                meter: meter, onDropped: onDropped))
    }
}

extension Flow {
    /// The publisher that the `onBackpressure...` operators make.
    public struct OnBackpressure<Upstream: Publisher>: Publisher {
        /// Upstream's elements.
        public typealias Output = Upstream.Output

        @usableFromInline let upstream: Upstream
        @usableFromInline let rules: OverflowRules<Output>

        @inlinable
        init(_ upstream: Upstream, _ rules: OverflowRules<Output>) {
            self.upstream = upstream
            self.rules = rules
        }

        /// Subscribes to upstream in the name of `subscriber`, and asks for everything.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let stage = Stage(OverflowMachine(rules), subscriber)
            stage.open { upstream.subscribe(OverflowSubscriber(stage, rules)) }
        }
    }
}
