// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements in batches, with a demand of the stage's own.

extension Flow.Publisher {
    /// Publishes arrays of `count` elements; the last one may be shorter.
    ///
    /// Upstream is asked for `count` elements for each array that downstream asks for, and for none before.
    ///
    /// ```
    /// request    --1---------1-----
    /// request up --3---------3-----
    /// upstream   --1-2-3-----4-5--|
    /// output     ------[1,2,3]----[4,5]|    buffer(3)
    /// ```
    ///
    /// When upstream fails, the elements so far are published, on demand, and then the error.
    ///
    /// - Parameter count: How many elements make an array, at least 1.
    /// - Returns: A publisher of arrays.
    /// - Precondition: `count >= 1`.
    @inlinable
    public func buffer(_ count: Int) -> Flow.Buffer<Self> {
        Flow.Buffer(self, count, linger: nil, timeSource: nil)
    }

    /// Publishes arrays of `count` elements, or of fewer when the first of them has waited for `linger`.
    ///
    /// As ``Flow/Publisher/buffer(_:)``, with a bound on the time that an element waits for others. An array whose time is
    /// up and for which there is no demand goes on filling until there is.
    ///
    /// ```
    /// upstream   --1-2-3---4-----------5-
    /// output     ------[1,2,3]---[4]---    buffer(3, linger: .seconds(1))
    /// ```
    ///
    /// - Parameters:
    ///   - count: How many elements make an array, at least 1.
    ///   - linger: How long the first element of an array waits, more than zero.
    ///   - clock: The clock of `linger`.
    /// - Returns: A publisher of arrays, none of them empty.
    /// - Precondition: `count >= 1`, and `linger` is more than zero.
    @inlinable
    public func buffer(
        _ count: Int, linger: Duration, clock: some Clock<Duration> = ContinuousClock()
    ) -> Flow.Buffer<Self> {
        precondition(linger > .zero, "a linger of \(linger)")
        return Flow.Buffer(self, count, linger: linger, timeSource: TimeSource(clock))
    }
}

extension Flow {
    /// The publisher that `buffer` makes.
    public struct Buffer<Upstream: Publisher>: Publisher {
        /// A batch.
        public typealias Output = [Upstream.Output]

        @usableFromInline let upstream: Upstream
        @usableFromInline let count: Int
        @usableFromInline let linger: Duration?
        @usableFromInline let timeSource: TimeSource?

        @inlinable
        init(_ upstream: Upstream, _ count: Int, linger: Duration?, timeSource: TimeSource?) {
            precondition(count >= 1, "batches of \(count) elements")
            self.upstream = upstream
            self.count = count
            self.linger = linger
            self.timeSource = timeSource
        }

        /// Subscribes to upstream in the name of `subscriber`.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            let alarm = timeSource.map { StageAlarm($0) }
            let stage = Stage(BatchMachine<Upstream.Output>(count: count, linger: linger, alarm: alarm), subscriber)
            alarm?.onRing { [weak stage] now in
                stage?.post { $0.rang(at: now) } ?? .max
            }
            stage.open { upstream.subscribe(StageSubscriber(stage)) }
        }
    }
}

@usableFromInline
struct BatchMachine<Element>: InletMachine {
    @usableFromInline typealias Output = [Element]

    @usableFromInline
    enum Effect {
        /// The first element of an array has come: set the alarm.
        case arm
    }

    @usableFromInline let count: Int
    @usableFromInline let linger: Duration?
    @usableFromInline let alarm: StageAlarm?
    @usableFromInline var upstream: (any Flow.Subscription)?
    @usableFromInline var batch: [Element] = []
    @usableFromInline var outstanding = 0
    /// When the array that fills is due; nil when the clock has not been read for it.
    @usableFromInline var deadline: Int64?
    @usableFromInline var isDue = false
    @usableFromInline var isEnded = false
    @usableFromInline var error: (any Error)?

    @inlinable
    init(count: Int, linger: Duration?, alarm: StageAlarm?) {
        self.count = count
        self.linger = linger
        self.alarm = alarm
    }

    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool {
        guard upstream == nil, !isEnded else { return false }
        upstream = subscription
        return true
    }

    @inlinable
    mutating func receive(_ element: Element) -> (any Flow.Subscription)? {
        guard !isEnded else { return nil }
        guard outstanding > 0 else {
            isEnded = true
            error = Rejection.full
            return upstream.take()
        }
        outstanding -= 1
        batch.append(element)
        return nil
    }

    @inlinable
    mutating func end(_ error: (any Error)?) {
        guard !isEnded else { return }
        isEnded = true
        self.error = error
        upstream = nil
    }

    /// - Returns: When to ring next.
    @inlinable
    mutating func rang(at now: Int64) -> Int64 {
        guard let deadline, !isDue, !batch.isEmpty else { return .max }
        if deadline <= now {
            isDue = true
            return .max
        }
        return deadline
    }

    @inlinable
    mutating func next(unmet: UInt64) -> StageOrder<Self> {
        if batch.isEmpty, isEnded { return .finish(error) }
        if unmet > 0, batch.count == count || !batch.isEmpty && (isEnded || isDue) {
            let full = batch
            batch = []
            deadline = nil
            isDue = false
            return .emit(full)
        }
        if linger != nil, deadline == nil, !batch.isEmpty {
            // Until the clock has been read: not now, and not again.
            deadline = .max
            return .perform(.arm)
        }
        let want = count - batch.count - outstanding
        if unmet > 0, want > 0, let upstream, !isEnded {
            outstanding += want
            return .request(upstream, Demand(want))
        }
        return .idle
    }

    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {
        let (alarm, linger) = stage.ask { ($0.alarm, $0.linger) }
        guard let alarm, let linger else { return }
        let deadline = alarm.timeSource.deadline(after: linger)
        stage.ask { $0.deadline = deadline }
        alarm.set(for: deadline)
    }

    @inlinable
    func closed() -> Self {
        var machine = BatchMachine(count: 1, linger: nil, alarm: nil)
        machine.isEnded = true
        return machine
    }

    @inlinable
    consuming func dispose() {
        alarm?.cancel()
        upstream?.cancel()
    }
}
