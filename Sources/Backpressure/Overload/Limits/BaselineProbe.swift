// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long calls take when nothing queues: measured again and again, with the limit turned down for a moment.
//
// A delay-based limit compares what calls take with what they take without a queue. The sources take that baseline from
// the stream of samples itself: the least one, one picked now and then, or a long average. Under lasting load every
// sample has the queue in it, so the baseline drifts up with the queue it should reveal, and the limit with it.
//
// ## Algorithm
// After so many windows (their number times a random 0.5 to 1, so that many servers do not do it at once) the limit is
// halved for five windows. The first is not looked at, because its calls still met the longer queue; the average of
// the others is the baseline, upwards as well as downwards. If calls took much less time at half the limit, then the
// limit is far above what can be served: the halved limit stays, and is probed next. So a limit that is ten times too
// high comes down in a handful of probes. Envoy's gradient controller, which recalculates its minimum at low
// concurrency, has the idea; it is not tied to a concurrency of 3 here, which would starve a large service.
//
// Between probes the baseline falls when calls take less than it for eight windows or so, on average. Were each window
// to count by itself, whose average scatters, the baseline would sink to the luckiest of them, and the limit with it.
//
// ## States
// resting    -> draining   `countdown` windows passed
// draining   -> measuring  one window passed
// measuring  -> resting    four windows passed; or -> draining, at half of the halved limit
//
// ## Cost
// Half of the goodput for five windows out of `interval`, if the load is above capacity then.

/// When to turn the limit down, and what was learnt from it.
struct BaselineProbe: Sendable {
    enum State: Sendable, Equatable {
        case resting(Int)
        case draining
        case measuring(Int)
    }

    /// Windows that make a measurement.
    private static let windows = 4

    /// At half the limit, calls that take this part of the time or less show that half was enough.
    private static let congested = 0.65

    /// Nanoseconds; nil until the first sample.
    private(set) var baseline: Double?
    private(set) var state = State.resting(firstInterval)
    private var before = MovingAverage(window: 4)
    private var recent = MovingAverage(window: 2 * windows)
    private var measured = MovingAverage(window: windows)
    private var numbers: UInt64

    /// The first probe comes early: nobody knows how far off the initial limit is.
    private static let firstInterval = 8

    init(seed: UInt64) { numbers = seed }

    var isActive: Bool {
        if case .resting = state { false } else { true }
    }

    /// What a window came to.
    enum Step: Sendable, Equatable {
        /// Go on as ever.
        case none
        /// The limit is halved, for now.
        case probing
        /// The probe is over, and the limit as it was.
        case restored
        /// The probe is over, and the halved limit is the limit from now on.
        case lowered
    }

    /// Takes note of what the calls of a window took on average: a positive number of nanoseconds.
    ///
    /// Calls that left half of the limit unused are idle: they met no queue, and there is nothing to drain. After a probe
    /// the next one is so many windows away.
    mutating func add(_ sample: Double, isIdle: Bool, interval: Int) -> Step {
        switch state {
        case .resting(let left):
            before.add(sample)
            guard let baseline else {
                baseline = sample
                return .none
            }
            if isIdle {
                // As good as a probe.
                self.baseline = baseline + (sample - baseline) * 0.25
                state = .resting(max(left, 2))
                return .none
            }
            recent.add(sample)
            if recent.value < baseline { self.baseline = baseline + (recent.value - baseline) * 0.25 }
            guard left <= 1 else {
                state = .resting(left - 1)
                return .none
            }
            state = .draining
            return .probing
        case .draining:
            measured = MovingAverage(window: Self.windows)
            state = .measuring(Self.windows)
            return .probing
        case .measuring(let left):
            measured.add(sample)
            if left > 1 {
                state = .measuring(left - 1)
                return .probing
            }
            baseline = measured.value
            let isCongested = measured.value <= before.value * Self.congested
            before.reset(to: measured.value)
            recent.reset(to: measured.value)
            state = .resting(isCongested ? 1 : jittered(interval))
            return isCongested ? .lowered : .restored
        }
    }

    /// The limit fell, and what calls take did not: what they take without a queue has changed, so measure it soon.
    mutating func hasten() {
        if case .resting(let left) = state { state = .resting(min(left, 2)) }
    }

    /// So many windows, times a random 0.5 to 1.
    private mutating func jittered(_ interval: Int) -> Int {
        let part = 0.5 + 0.5 * Double(nextRandom(&numbers) >> 11) / Double(UInt64(1) << 53)
        return max(2, Int(Double(min(interval, 1 << 20)) * part))
    }
}

/// Chance that a value carries with it: SplitMix64, by Steele, Lea and Flood, 2014.
func nextRandom(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
}
