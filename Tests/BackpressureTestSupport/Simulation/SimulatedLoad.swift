// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What comes in and what it meets: arrivals whose rate changes with time, and a downstream whose pace does.

/// How many requests arrive per second, as a function of time; the arrivals themselves are a Poisson process.
public struct SimulatedLoad: Sendable {
    private let rate: @Sendable (Int64) -> Double
    /// No rate is greater.
    let most: Double

    /// Arrivals at `rate` of the time in nanoseconds, which never exceeds `most`.
    public init(most: Double, rate: @escaping @Sendable (Int64) -> Double) {
        self.most = most
        self.rate = rate
    }

    /// The same rate always.
    public static func steady(_ rate: Double) -> SimulatedLoad { SimulatedLoad(most: rate) { _ in rate } }

    /// `factor` times the rate during a time.
    public static func spike(_ rate: Double, times factor: Double, from start: Int64, to end: Int64) -> SimulatedLoad {
        SimulatedLoad(most: rate * max(1, factor)) { $0 >= start && $0 < end ? rate * factor : rate }
    }

    /// From one rate to another, in a line, over a time.
    public static func ramp(from low: Double, to high: Double, from start: Int64, to end: Int64) -> SimulatedLoad {
        SimulatedLoad(most: max(low, high)) { time in
            let part = min(max(Double(time - start) / Double(end - start), 0), 1)
            return low + (high - low) * part
        }
    }

    /// `factor` times the rate for `length`, once every `period`.
    public static func bursts(_ rate: Double, times factor: Double, every period: Int64, for length: Int64)
        -> SimulatedLoad
    {
        SimulatedLoad(most: rate * max(1, factor)) { $0 % period < length ? rate * factor : rate }
    }

    /// When the next request arrives.
    ///
    /// Candidates come at the greatest rate, and the present rate's share of them is kept: thinning (P. A. W. Lewis and
    /// G. S. Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979).
    func next(after time: Int64, _ chance: inout SimulatedChance) -> Int64 {
        var time = time
        while true {
            time += chance.gap(rate: most)
            if time > Int64.max / 8 || chance.happens(rate(time) / most) { return time }
        }
    }
}

/// How fast the servers are, and how often they fail, by phases of time.
public struct SimulatedConditions: Sendable {
    /// A time during which the servers are not as ever.
    public struct Phase: Sendable {
        let start: Int64
        let end: Int64
        let pace: Double
        let failures: Double
        let servers: Int?

        /// From `start` to `end` work is done at `pace`, 1 being normal and 0 a stall, so many answers are failures, and
        /// there are so many servers, or as many as ever.
        public init(from start: Int64, to end: Int64, pace: Double = 1, failures: Double = 0, servers: Int? = nil) {
            precondition(start < end && pace >= 0, "a phase has a length and a pace")
            self.start = start
            self.end = end
            self.pace = pace
            self.failures = failures
            self.servers = servers
        }
    }

    private let phases: [Phase]

    /// The phases in order, without overlap; between them all is well.
    public init(_ phases: [Phase] = []) {
        precondition(
            zip(phases, phases.dropFirst()).allSatisfy { $0.end <= $1.start }, "phases are in order, without overlap")
        self.phases = phases
    }

    /// All is well, always.
    public static let normal = SimulatedConditions()

    /// One bad time after another, with as much good time between.
    public static func flapping(from start: Int64, to end: Int64, period: Int64, pace: Double, failures: Double = 0)
        -> SimulatedConditions
    {
        SimulatedConditions(
            stride(from: start, to: end, by: Int(2 * period)).map {
                Phase(from: $0, to: min($0 + period, end), pace: pace, failures: failures)
            })
    }

    /// When work that begins at `start`, and would take `work` at normal pace, is done.
    public func end(of work: Int64, from start: Int64) -> Int64 {
        var (time, left) = (start, Double(work))
        for phase in phases where phase.end > time {
            let before = Double(max(phase.start - time, 0))
            if left <= before { break }
            left -= before
            time = max(time, phase.start)
            let within = Double(phase.end - time) * phase.pace
            if phase.pace > 0, left <= within { return time + Int64(left / phase.pace) }
            left -= within
            time = phase.end
        }
        return time + Int64(left)
    }

    /// How many servers there are at `time`; nil for as many as ever.
    func servers(at time: Int64) -> Int? { phases.first { $0.start <= time && time < $0.end }?.servers }

    /// How likely an answer at `time` is a failure.
    func failures(at time: Int64) -> Double {
        phases.first { $0.start <= time && time < $0.end }?.failures ?? 0
    }
}
