// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The shipped limiter and retry budget through the scenarios of the simulator: what is promised of them is asked here.
//
// The limiter's core is driven without tasks: a waiter is looked at after each event, as its task would wake.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// The shipped `AdmissionCore`, on the clock of the simulation.
final class LimiterGate: Gatekeeper {
    private let clock = FaultClock()
    private let core: AdmissionCore
    private var began: [Int: Int64] = [:]
    private var waiting: [(call: SimulatedCall, waiter: WaiterRef)] = []

    init(
        _ limit: any ConcurrencyLimit, share: Double = 0.8, waiterLimit: Int = 16,
        maximumWait: Duration = .milliseconds(100)
    ) {
        core = AdmissionCore(
            limit, name: nil,
            shares: [AdmissionShare(share: 0, reserved: 0), AdmissionShare(share: share, reserved: 0)],
            order: .adaptiveLIFO(above: 8), waiterLimit: waiterLimit, maximumWait: maximumWait,
            codel: CoDel(target: .milliseconds(20), interval: .milliseconds(500)), timeSource: TimeSource(clock))
        // The simulation is the timer.
        core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
    }

    private let maximumWait: Int64 = 100_000_000

    deinit {
        _ = core.close()
        // The close has woken them all.
        for (_, waiter) in waiting { _ = core.conclude(waiter) }
    }

    var snapshot: (limit: Int, inFlight: Int) { core.state.withLock { ($0.books.limit, $0.books.total) } }

    func admit(_ call: SimulatedCall, now: Int64) -> Bool? {
        clock.reading = now
        switch core.enter(call.isCritical ? 1 : 0, now: now, deadline: now + maximumWait, mayWait: true) {
        case .entered:
            began[call.number] = now
            return true
        case .rejected: return false
        case .waits(let waiter):
            waiting.append((call, waiter))
            return nil
        }
    }

    func settle(_ call: SimulatedCall, _ outcome: SimulatedOutcome, now: Int64) {
        clock.reading = now
        guard let start = began.removeValue(forKey: call.number) else { return }
        let verdict: CallOutcome =
            switch outcome {
            case .answered: .success
            case .late: .dropped
            case .failed: .ignored
            }
        core.settle(call.isCritical ? 1 : 0, began: start, verdict)
    }

    func ended(now: Int64) -> [(call: SimulatedCall, isAdmitted: Bool)] {
        clock.reading = now
        if deadline <= now { _ = core.timerRang(generation: .max) }
        var ended: [(call: SimulatedCall, isAdmitted: Bool)] = []
        waiting.removeAll { call, waiter in
            guard waiter.isResumed else { return false }
            let isAdmitted = core.conclude(waiter) == nil
            if isAdmitted { began[call.number] = now }
            ended.append((call, isAdmitted))
            return true
        }
        return ended
    }

    var deadline: Int64 { core.state.withLock { $0.deadlines.earliest } }
}

/// Three tries with backoff, out of the shipped budget.
final class BudgetedRetry: SimulatedRetry {
    private let clock = FaultClock()
    private let budget: RetryBudget
    private let backoff = Backoff(base: .milliseconds(50), maximum: .seconds(1))
    private var numbers: SplitMix64
    /// When requests and retries were made, for the test of the budget itself.
    private(set) var requests: [Int64] = []
    private(set) var retries: [Int64] = []

    init(seed: UInt64) {
        budget = RetryBudget(ratio: 0.1, minimumPerSecond: 1, clock: clock)
        numbers = SplitMix64(seed: seed)
    }

    func requested(now: Int64) {
        clock.reading = now
        requests.append(now)
        budget.beginRequest()
    }

    func delay(after call: SimulatedCall, now: Int64) -> Int64? {
        clock.reading = now
        guard call.attemptNumber < 3, budget.tryBeginRetry() else { return nil }
        retries.append(now)
        return backoff.delay(after: call.attemptNumber, using: &numbers).saturatingNanoseconds
    }
}

@Suite struct OverloadScenarioTests {
    private let seeds = LaneSize("overload.scenarios.seeds", plain: 1, sanitizer: 1, deep: 200)

    /// Gradient2 keeps every promise with every seed.
    ///
    /// Vegas, whose limit is closer to the knee, may miss one in up to 5 % of the seeds of a scenario, where work scatters so
    /// widely.
    @Test(arguments: [LimitKind.vegas, .gradient2], OverloadScenario.all)
    func survives(_ kind: LimitKind, _ scenario: OverloadScenario) {
        let isShort = kind == .vegas || scenario.name == OverloadScenario.spike.name
        guard LaneSize("overload \(kind), \(scenario)", plain: isShort ? 1 : 0, sanitizer: 0, deep: 1).count > 0
        else { return }
        var all: [Figures] = []
        var misses: [String] = []
        for seed in 0..<UInt64(seeds.count) {
            let simulation = scenario.simulation(seed: seed)
            let retry = BudgetedRetry(seed: seed)
            let report = simulation.run(LimiterGate(kind.limit(initial: 20, seed: seed)), retrying: retry)
            let figures = Figures(report, scenario, simulation)
            all.append(figures)
            if let miss = miss(figures, scenario) { misses.append("seed \(seed): \(miss): \(figures)") }
            let most = 0.1 * Double(retry.requests.count) + Double(scenario.trouble.upperBound + 20)
            #expect(Double(retry.retries.count) <= most)
        }
        Figures.summary(all, "\(kind), \(scenario)")
        #expect(misses.count <= (kind == .vegas ? all.count * 5 / 100 : 0), "\(misses)")
        // Of one call in 4,000 the work alone takes longer than patience lasts: a mean needs many seeds.
        guard scenario.name == OverloadScenario.spike.name, all.count >= 20 else { return }
        #expect(all.map(\.goodput).reduce(0, +) / Double(all.count) >= 0.95)
        #expect(all.map(\.criticalSuccess).reduce(0, +) / Double(all.count) >= 0.999)
    }

    /// The promise that a run did not keep.
    private func miss(_ figures: Figures, _ scenario: OverloadScenario) -> String? {
        let isSlow = scenario.name == OverloadScenario.slow.name
        let isSpike = scenario.name == OverloadScenario.spike.name
        // No metastable state: what was offered is answered again. After a slow time the limit has to learn what calls take now.
        guard let recovery = figures.recovery, recovery <= (isSlow ? 12 : 5) else { return "recovery" }
        if isSlow { return figures.p99 <= 10 * 2 * figures.calmP99 ? nil : "p99" }
        guard isSpike || scenario.name == OverloadScenario.steady.name else { return nil }
        if figures.p99 > 2 * figures.calmP99 { return "p99" }
        if figures.criticalSuccess < 0.998 { return "critical" }
        return isSpike && figures.goodput < 0.95 ? "goodput" : nil
    }
}

/// What is asked of a run.
struct Figures: CustomStringConvertible {
    /// Of the capacity, during the trouble.
    let goodput: Double
    /// Milliseconds of admitted calls, before and during the trouble.
    let calmP99: Double
    let p99: Double
    /// During the trouble.
    let criticalSuccess: Double
    /// Seconds after the trouble.
    let recovery: Int?

    init(_ report: SimulationReport, _ scenario: OverloadScenario, _ simulation: Simulation) {
        // The first second of the trouble is the one in which it is noticed; it counts.
        goodput = report.goodput(scenario.trouble) / simulation.capacity
        // Without congestion a call takes what its work takes, of which one in a hundred takes 6.2 times the mean.
        calmP99 = Double(simulation.meanWork) / 1e6 * 6.21
        p99 = Double(report.latency(0.99, scenario.trouble)) / 1e6
        criticalSuccess = report.criticalSuccess(scenario.trouble)
        recovery = report.recovery(after: scenario.trouble.upperBound, part: 0.9)
    }

    var description: String {
        "goodput \(goodput), p99 \(p99) ms (calm \(calmP99)), critical \(criticalSuccess), recovery \(recovery.map(String.init) ?? "never") s"
    }

    static func summary(_ all: [Figures], _ name: String) {
        func line(_ what: String, _ value: (Figures) -> Double) {
            print("scenario \(name), \(all.count) seeds: \(what) \(Spread(all.map(value)))")
        }
        line("goodput", \.goodput)
        line("p99 ms", \.p99)
        line("critical", \.criticalSuccess)
        line("recovery s") { Double($0.recovery ?? 999) }
    }
}
