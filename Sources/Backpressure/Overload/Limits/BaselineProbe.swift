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
// halved for up to nine windows. The first is not looked at, because its calls still met the longer queue; the mean of
// the others is the baseline, upwards as well as downwards. If calls took much less time at half the limit, then the
// limit is far above what can be served: the halved limit stays, and is probed next. So a limit that is ten times too
// high comes down in a handful of probes. Envoy's gradient controller, which recalculates its minimum at low
// concurrency, has the idea; it is not tied to a concurrency of 3 here, which would starve a large service.
//
// ## How long a measurement is
// A baseline holds until the next probe, hundreds of windows later, so a chance reading costs a minute or more: where it
// is a quarter too low, a limit that should stand at 22 stands at 17. And the probe that ends a descent runs at the least
// limit of all, with the fewest calls: a window has four times the limit. Where times scatter as widely as those of a
// lognormal distribution with sigma 1, whose deviation is 1.3 times the mean, four windows at a limit of 9 leave a
// deviation of 11 % of the mean, and eight leave 8 %. So a measurement takes eight windows; it ends after four if calls
// take about as long as they did before, of which there are windows enough: what is low is looked at twice.
//
// The same scatter is in the question whether half was enough. A limit that stands right, a few calls above what can be
// served at once, brings calls to 0.7 of their time when it is halved; one that is twice that and more, to 0.5. Eight
// windows on either side, and a bound between the two, keep one from being taken for the other.
//
// That is for a limit that stands close to what can be served, as Vegas' does (`thorough`). One that tolerates more queue
// can do with less, and comes back sooner when everything has changed (`quick`): four windows, of which the later count
// for more, and 0.65.
//
// Between probes the baseline falls when calls take less than it for eight windows or so, on average. Were each window
// to count by itself, whose average scatters, the baseline would sink to the luckiest of them, and the limit with it.
//
// ## States
// resting    -> draining   `countdown` windows passed
// draining   -> measuring  one window passed
// measuring  -> resting    four to eight windows passed; or -> draining, at half of the halved limit
//
// ## Cost
// At most half of the goodput for five to nine windows out of `interval`, if the load is above capacity then.

/// When to turn the limit down, and what was learnt from it.
struct BaselineProbe: Sendable {
    enum State: Sendable, Equatable {
        case resting(Int)
        case draining
        case measuring(Int)
    }

    /// How long to measure, and what to make of it.
    struct Care: Sendable, Equatable {
        /// Windows that make a measurement.
        let windows: Int
        /// At half the limit, calls that take this part of the time or less show that half was enough.
        let congested: Double

        /// How many windows the measurement averages over; all of them count alike if it is twice as many as there are.
        let memory: Int
        /// Whether the first interval is drawn, as the others are.
        let isFirstDrawn: Bool

        static let quick = Care(windows: 4, congested: 0.65, memory: 4, isFirstDrawn: false)
        static let thorough = Care(windows: 8, congested: 0.6, memory: 16, isFirstDrawn: true)
    }

    /// So many windows are enough where calls take this part of the time before, or more.
    private static let (leastWindows, alike) = (4, 0.9)

    private let care: Care
    /// Nanoseconds; nil until the first sample.
    private(set) var baseline: Double?
    private(set) var state: State
    private var before: MovingAverage
    private var recent = MovingAverage(window: 8)
    private var measured: MovingAverage
    private var numbers: UInt64

    /// The first probe comes early: nobody knows how far off the initial limit is.
    private static let firstInterval = 8

    init(_ care: Care, seed: UInt64) {
        self.care = care
        before = MovingAverage(window: care.windows)
        measured = MovingAverage(window: care.memory)
        var numbers = seed
        // Drawn, it is 6 to 12.
        let drawn = Self.firstInterval * 3 / 2
        state = .resting(care.isFirstDrawn ? Self.jittered(drawn, &numbers) : Self.firstInterval)
        self.numbers = numbers
    }

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
            measured = MovingAverage(window: care.memory)
            state = .measuring(care.windows)
            return .probing
        case .measuring(let left):
            let mean = measured.add(sample)
            let count = care.windows - left + 1
            guard left <= 1 || (count >= Self.leastWindows && mean >= before.value * Self.alike) else {
                state = .measuring(left - 1)
                return .probing
            }
            baseline = mean
            let isCongested = mean <= before.value * care.congested
            before.reset(to: mean)
            recent.reset(to: mean)
            state = .resting(isCongested ? 1 : Self.jittered(interval, &numbers))
            return isCongested ? .lowered : .restored
        }
    }

    /// The limit fell, and what calls take did not: what they take without a queue has changed, so measure it soon.
    mutating func hasten() {
        if case .resting(let left) = state { state = .resting(min(left, 2)) }
    }

    /// So many windows, times a random 0.5 to 1.
    private static func jittered(_ interval: Int, _ numbers: inout UInt64) -> Int {
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
