// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long elements are in a queue and how long they are worked on, exactly: opt-in, by stamps.

/// Stamps elements on their way into a queue, and measures them on their way through a stage.
///
/// ```swift
/// let meter = StageMeter()
/// let jobs = BoundedChannel<Timestamped<Int, ContinuousClock>, Never>(capacity: 16)
/// _ = await jobs.send(meter.stamp(7))
/// if let job = try await jobs.receive() {
///     let square = await meter.process(job) { $0 * $0 }
///     print(square, meter.snapshot().queueTimes.count)  // 49 1
/// }
/// ```
///
/// When most of the time is spent in the queue, more workers help; when most of it is spent on work, they do not wait for
/// anybody but themselves.
///
/// - **Cost**: a stamp reads the clock once. ``process(_:_:)`` reads it twice, and takes a lock of its own twice.
public final class StageMeter<C: Clock<Duration>>: Sendable {
    /// What a meter measured up to one instant.
    public struct Snapshot: Hashable, Sendable {
        /// How long elements were on their way from the stamp to the start of their work.
        public internal(set) var queueTimes = WaitHistogram()
        /// How long the work took that is over, whether it was done or threw.
        public internal(set) var processingTimes = WaitHistogram()
        /// How many elements are worked on now.
        public internal(set) var running = 0

        /// The share of the time that elements waited rather than were worked on, 0 to 1; nil before the first one.
        public var waitingShare: Double? {
            let (waited, worked) = (queueTimes.total, processingTimes.total)
            return waited + worked > .zero ? waited / (waited + worked) : nil
        }
    }

    private let clock: C
    private let state = LockedState(Snapshot())

    /// A meter that has seen nothing.
    ///
    /// - Parameter clock: The clock of every stamp and time.
    public init(clock: C) { self.clock = clock }

    /// Stamps an element; send it right away.
    ///
    /// - Parameter element: The element.
    /// - Returns: The element with the instant of now.
    public func stamp<Element: ~Copyable>(_ element: consuming sending Element) -> sending Timestamped<Element, C> {
        Timestamped(element, clock: clock)
    }

    /// Works on an element: records how long it was on its way, and how long `body` takes.
    ///
    /// - Parameters:
    ///   - stamped: The element, as it was received.
    ///   - body: The work; it runs in the caller's isolation.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public nonisolated(nonsending) func process<Element: ~Copyable, Result>(
        _ stamped: consuming Timestamped<Element, C>, _ body: (consuming Element) async throws -> Result
    ) async rethrows -> Result {
        let start = clock.now
        let waited = max(.zero, stamped.instant.duration(to: start))
        state.withLock { state in
            state.queueTimes.record(waited)
            state.running += 1
        }
        defer {
            let worked = max(.zero, start.duration(to: clock.now))
            state.withLock { state in
                state.processingTimes.record(worked)
                state.running -= 1
            }
        }
        return try await body(stamped.take())
    }

    /// Everything that was measured, of one instant.
    public func snapshot() -> Snapshot { state.withLock { $0 } }
}

extension StageMeter where C == ContinuousClock {
    /// A meter on the continuous clock that has seen nothing.
    public convenience init() { self.init(clock: ContinuousClock()) }
}
