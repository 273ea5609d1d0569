// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What is sent and when: decided before the run, from a seed, and the same for every variant. Arrivals do not wait for
// answers; a generator that is late sends at once, and its lateness is on record.

/// Arrivals at one multiple of the capacity, for so long.
struct LoadPhase: Sendable {
    let factor: Double
    let seconds: Double
}

/// A request that is due.
struct Arrival: Sendable, Equatable {
    /// Nanoseconds after the start.
    let at: Int
    let request: ServiceRequest

    static func == (left: Arrival, right: Arrival) -> Bool {
        left.at == right.at && left.request.isCritical == right.request.isCritical
            && left.request.user == right.request.user
    }
}

/// The arrivals of a run, and which part of it counts.
struct LoadPlan: Sendable {
    let arrivals: [Arrival]
    /// Requests that are due in it make the figures; nanoseconds after the start.
    let measured: Range<Int>
    /// The end of the spike, from which recovery counts; nil without one.
    let spikeEnd: Int?
    let length: Int

    /// The same load all the time, of which the first part is for warming up.
    static func steady(_ settings: ServiceSettings, factor: Double, warmUp: Double, seconds: Double, seed: UInt64)
        -> LoadPlan
    {
        let phases = [LoadPhase(factor: factor, seconds: warmUp + seconds)]
        return LoadPlan(settings, phases, measuredFrom: warmUp, spikeEnd: nil, seed: seed)
    }

    /// Half of the capacity, then four times the capacity, then half again; the warm-up is not measured.
    static func spike(_ settings: ServiceSettings, warmUp: Double, seconds: Double, after: Double, seed: UInt64)
        -> LoadPlan
    {
        // A tenth of the warm-up is shown, for the eye.
        LoadPlan(
            settings,
            [
                LoadPhase(factor: 0.5, seconds: warmUp), LoadPhase(factor: 4, seconds: seconds),
                LoadPhase(factor: 0.5, seconds: after),
            ],
            measuredFrom: warmUp - min(warmUp, seconds) / 2, spikeEnd: warmUp + seconds, seed: seed)
    }

    private init(
        _ settings: ServiceSettings, _ phases: [LoadPhase], measuredFrom: Double, spikeEnd: Double?, seed: UInt64
    ) {
        var random = SeededRandom(seed: seed)
        var arrivals: [Arrival] = []
        var start = 0.0
        for phase in phases {
            // Times between arrivals are exponential: a Poisson process.
            let rate = settings.capacity * phase.factor
            var time = start
            while rate > 0 {
                time += Self.exponential(random.part()) / rate
                guard time < start + phase.seconds else { break }
                let isCritical = random.part() < settings.criticalPart
                let user = random.part() < 0.2 ? 0 : Int(random.part() * Double(settings.users))
                arrivals.append(
                    Arrival(at: Int(time * 1e9), request: ServiceRequest(isCritical: isCritical, user: user)))
            }
            start += phase.seconds
        }
        self.arrivals = arrivals
        length = Int((start * 1e9).rounded())
        measured = Int((measuredFrom * 1e9).rounded())..<length
        self.spikeEnd = spikeEnd.map { Int(($0 * 1e9).rounded()) }
    }

    /// The time to the next arrival at a rate of 1, from a number that is evenly spread from 0 up to 1.
    private static func exponential(_ part: Double) -> Double { -Logarithm.natural(1 - part) }
}
