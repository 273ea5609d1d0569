// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Watches a queue, and says how fast to go: as ever, slower, or not at all.
//
// ## Algorithm
// Of a reading (how full the queue is, how long its elements wait) the pressure is the greater of the two ratios: depth to
// capacity, and latency to the bound for it. `slowAt` and `stopAt` are thresholds of pressure; both are left `hysteresis` lower than
// they are entered, and a milder answer is given only after `dwell`. Predictive, the pressure is that of the near future: the depth
// that the trend of the last readings leads to within `horizon`. So it acts while the queue fills, not when it is full.
//
// ## Transitions
// normal <-> slow <-> stop, and normal <-> stop; a stricter answer at once, a milder one after `dwell`.
//
// ## Invariants
// C1  Readings that are no numbers, negative or without time change nothing: the last answer stays.
// C2  Two changes towards milder lie `dwell` apart at least.
// C3  `isApplying` => one thread puts answers into force, outside the lock, and goes on until the one in force is the
//     present one. So with nobody inside, every driven bucket has the rate of the present answer: a thread that was held up
//     between deciding and setting cannot put an older answer in the place of a newer.

/// What a controller watches.
public struct PressureReading: Hashable, Sendable {
    /// How full the queue is, 0 to 1.
    public var depthRatio: Double
    /// How long elements wait; nil if that is not measured.
    public var latency: Duration?

    /// A reading.
    ///
    /// - Parameters:
    ///   - depthRatio: How full the queue is, 0 to 1; any other load that is 1 when there is too much, such as that of the processor.
    ///   - latency: How long elements wait; nil if that is not measured.
    public init(depthRatio: Double, latency: Duration? = nil) {
        self.depthRatio = depthRatio
        self.latency = latency
    }
}

/// What a controller answers.
public enum PressureSignal: Hashable, Sendable {
    /// Go on.
    case normal
    /// Go on at this part of the pace.
    case slow(Double)
    /// Stop, until it says otherwise.
    case stop

    /// The part of the pace: 1, the factor, or 0.
    public var factor: Double {
        switch self {
        case .normal: 1
        case .slow(let factor): factor
        case .stop: 0
        }
    }
}

/// When a controller says what.
public struct PressureRules: Hashable, Sendable {
    /// From this pressure on it says slow.
    public var slowAt = 0.8
    /// From this pressure on it says stop.
    public var stopAt = 1.0
    /// The pace while it says slow.
    public var slowFactor = 0.5
    /// Each threshold is left so much lower than it is entered.
    public var hysteresis = 0.1
    /// How long an answer stays before a milder one.
    public var dwell = Duration.zero
    /// A latency that is a pressure of 1; nil to leave latency alone.
    public var latencyBound: Duration?
    /// How far ahead the trend is followed; nil for no prediction.
    public var horizon: Duration?

    /// Slow at 80 %, to half of the pace; stop when full; no prediction.
    public init() {}

    func check() {
        precondition(slowAt > 0 && slowAt <= stopAt && stopAt.isFinite, "thresholds of \(slowAt) and \(stopAt)")
        precondition(slowFactor > 0 && slowFactor < 1, "a factor of \(slowFactor) does not lie between 0 and 1")
        precondition(hysteresis >= 0 && hysteresis < slowAt, "a hysteresis of \(hysteresis)")
        precondition(dwell >= .zero, "a dwell of \(dwell) is negative")
        precondition(latencyBound.map { $0 > .zero } ?? true, "a latency bound that is not positive")
        precondition(horizon.map { $0 > .zero } ?? true, "a horizon that is not positive")
    }
}

/// The maths of the controller; time is an argument.
struct PressureMachine: Sendable {
    private enum Level: Int, Sendable { case normal, slow, stop }

    let rules: PressureRules
    private var level = Level.normal
    private var since: Int64 = .min
    private var last: (depth: Double, time: Int64)?
    /// Depth per second.
    private var trend = MovingAverage(window: 4)

    init(_ rules: PressureRules) {
        rules.check()
        self.rules = rules
    }

    var signal: PressureSignal {
        switch level {
        case .normal: .normal
        case .slow: .slow(rules.slowFactor)
        case .stop: .stop
        }
    }

    /// When the queue is full if it goes on like this, in seconds; nil when it does not fill.
    var secondsToFull: Double? {
        guard let last, trend.value > 0 else { return nil }
        return max(0, (1 - last.depth) / trend.value)
    }

    mutating func update(_ reading: PressureReading, now: Int64) {
        guard reading.depthRatio.isFinite, reading.depthRatio >= 0 else { return }
        var pressure = reading.depthRatio
        if let last, now > last.time {
            trend.add((reading.depthRatio - last.depth) / (Double(now.subtractingSaturating(last.time)) / 1e9))
            self.last = (reading.depthRatio, now)
        } else if last == nil || now < last?.time ?? now {
            last = (reading.depthRatio, now)
        }
        if let horizon = rules.horizon {
            pressure = max(pressure, reading.depthRatio + trend.value * Double(horizon.saturatingNanoseconds) / 1e9)
        }
        if let bound = rules.latencyBound, let latency = reading.latency {
            pressure = max(
                pressure, Double(max(latency.saturatingNanoseconds, 0)) / Double(bound.saturatingNanoseconds))
        }
        change(to: wanted(pressure), now)
    }

    private func wanted(_ pressure: Double) -> Level {
        let stopAt = rules.stopAt - (level == .stop ? rules.hysteresis : 0)
        let slowAt = rules.slowAt - (level != .normal ? rules.hysteresis : 0)
        return pressure >= stopAt ? .stop : pressure >= slowAt ? .slow : .normal
    }

    private mutating func change(to next: Level, _ now: Int64) {
        guard next != level else { return }
        // A clock that stepped back must not make a dwell last for ever.
        since = min(since, now)
        if next.rawValue < level.rawValue, now.subtractingSaturating(since) < rules.dwell.saturatingNanoseconds {
            return
        }
        level = next
        since = now
    }
}

/// Turns readings of a queue, or of anything that is loaded, into the pace of a producer.
///
/// ```swift
/// let controller = BackpressureController()
/// let bucket = TokenBucket(rate: .perSecond(1_000), burst: 10)
/// controller.drive(bucket, normally: .perSecond(1_000))
/// controller.update(PressureReading(depthRatio: 0.85))
/// print(controller.signal, bucket.rate == .perSecond(500))  // slow(0.5) true
/// ```
///
/// - **Cost**: a lock and a reading of the clock for each reading.
public final class BackpressureController: Sendable {
    struct State: Sendable {
        var machine: PressureMachine
        var driven: [(bucket: TokenBucket, rate: Rate)] = []
        /// The answer that is in force.
        var applied = PressureSignal.normal
        /// How many of the buckets, from the first, have its rate.
        var appliedCount = 0
        var isApplying = false

        /// Whether the caller is to put the present answer into force, and is the only one from now on.
        mutating func claim() -> Bool {
            guard machine.signal != applied || appliedCount < driven.count, decide(!isApplying) else { return false }
            isApplying = true
            return true
        }
    }

    private let timeSource: TimeSource
    let state: LockedState<State>
    private let onChange: (@Sendable (PressureSignal) -> Void)?

    /// A controller that says normal.
    ///
    /// - Parameters:
    ///   - rules: When it says what.
    ///   - clock: The clock of trend and dwell; tests pass a manual one.
    ///   - onChange: Is told of new answers, outside the lock, by one of those who give readings: one answer at a time, the
    ///     present one last. While it runs, answers that are overtaken by newer ones are left out.
    /// - Precondition: `0 < slowAt <= stopAt`, `0 < slowFactor < 1`, `0 <= hysteresis < slowAt`, and no duration is negative.
    public init(
        rules: PressureRules = PressureRules(), clock: some Clock<Duration> = ContinuousClock(),
        onChange: (@Sendable (PressureSignal) -> Void)? = nil
    ) {
        timeSource = TimeSource(clock)
        state = LockedState(State(machine: PressureMachine(rules)))
        self.onChange = onChange
    }

    /// The answer to the last reading.
    public var signal: PressureSignal { state.withLock { $0.machine.signal } }

    /// When the queue will be full if it goes on like this; nil when it does not fill.
    public var timeToFull: Duration? {
        state.withLock { $0.machine.secondsToFull }.map { .nanoseconds(Int64(min($0 * 1e9, 9e18))) }
    }

    /// Takes a reading.
    ///
    /// A reading that is no number, or negative, changes nothing.
    ///
    /// - Parameter reading: The reading.
    /// - Returns: The answer.
    @discardableResult
    public func update(_ reading: PressureReading) -> PressureSignal {
        let now = timeSource.now()
        let (signal, mayApply) = state.withLock { state in
            state.machine.update(reading, now: now)
            return (state.machine.signal, state.claim())
        }
        if mayApply { apply() }
        return signal
    }

    /// Puts the present answer into force, and the next, until nobody has given another; the caller has the claim.
    private func apply() {
        while true {
            let (signal, isNew, driven) = state.withLock { state in
                let isNew = state.machine.signal != state.applied
                let driven = isNew ? state.driven[...] : state.driven[state.appliedCount...]
                state.applied = state.machine.signal
                state.appliedCount = state.driven.count
                return (state.applied, isNew, driven)
            }
            for (bucket, rate) in driven { Self.set(bucket, rate, signal) }
            if isNew { onChange?(signal) }
            let isDone = state.withLock { state in
                state.isApplying = false
                return !state.claim()
            }
            if isDone { return }
        }
    }

    /// Takes readings until there are no more.
    ///
    /// For signals from outside the queues: load of the processor, memory, lag of an event loop.
    ///
    /// - Parameter readings: The readings.
    /// - Throws: What `readings` throws.
    public nonisolated(nonsending) func follow<Readings: AsyncSequence>(
        _ readings: Readings
    ) async throws where Readings.Element == PressureReading {
        for try await reading in readings { update(reading) }
    }

    /// Lets the answers set the rate of a bucket: its own, a part of it, or none.
    ///
    /// Whoever gives readings at the same time, the bucket ends with the rate of the present answer.
    ///
    /// - Parameters:
    ///   - bucket: The bucket.
    ///   - rate: Its rate when all is well.
    public func drive(_ bucket: TokenBucket, normally rate: Rate) {
        let mayApply = state.withLock { state in
            state.driven.append((bucket, rate))
            return state.claim()
        }
        if mayApply { apply() }
    }

    private static func set(_ bucket: TokenBucket, _ rate: Rate, _ signal: PressureSignal) {
        bucket.setRate(rate.scaled(permille: Int((signal.factor * 1_000).rounded(.down))))
    }
}

extension Rate {
    /// So many thousandths of this rate, exactly where the fraction allows it, else a little less.
    func scaled(permille: Int) -> Rate {
        guard permille < 1_000, !isUnlimited, !isZero else { return permille <= 0 ? .zero : self }
        guard permille > 0 else { return .zero }
        // units are nanoseconds times a count: tokens per period, as they are in lowest terms.
        let (count, overflow) = unitsPerNanosecond.multipliedReportingOverflow(by: UInt64(permille))
        let (period, isLong) = unitsPerToken.multipliedReportingOverflow(by: 1_000)
        if !overflow, !isLong, count <= UInt64(Rate.maximumCount), period < UInt64(Int64.max) {
            return Rate(Int(count), per: .nanoseconds(Int64(period)))
        }
        let slower = unitsPerNanosecond / 1_000 * UInt64(permille)
        return slower == 0
            ? .zero : Rate(Int(slower), per: .nanoseconds(Int64(min(unitsPerToken, UInt64(Int64.max - 1)))))
    }
}
