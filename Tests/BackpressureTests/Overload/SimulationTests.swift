// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The simulator against what queueing theory says, and the scenarios against a service that has no overload control.

import BackpressureTestSupport
import Testing

@Suite struct SimulationTests {
    private static let second: Int64 = 1_000_000_000

    @Test func anOpenDoorBelowCapacityAnswersEverything() {
        let scenario = OverloadScenario.steady
        let report = scenario.simulation(seed: 1).run(OpenDoor(), retrying: NaiveRetry())
        #expect(report.goodput(5..<35) > 0.99 * report.offered(5..<35))
        #expect(abs(report.offered(5..<35) - 240) < 12)
    }

    /// At a load of 1/2 the mean wait is (1 + CV^2) / 2 times of service, where CV^2 of a lognormal is exp(sigma^2) - 1.
    @Test func theMeanWaitIsThatOfPollaczekAndKhinchine() {
        var simulation = Simulation(load: .steady(50), length: 1_000 * Self.second, seed: 7)
        simulation.servers = 1
        simulation.meanWork = 10_000_000
        simulation.sigma = 0.8
        let report = simulation.run(OpenDoor(), retrying: NoRetry())
        let expected = 10_000_000.0 + 10_000_000.0 * 1.8965 / 2
        let mean = report.meanLatency(20..<1_000)
        #expect(abs(mean / expected - 1) < 0.1, "the mean time is \(mean), by theory \(expected)")
    }

    @Test func workStandsStillDuringAStall() {
        let conditions = SimulatedConditions([
            .init(from: 10, to: 20, pace: 0), .init(from: 30, to: 50, pace: 0.5),
        ])
        #expect(conditions.end(of: 5, from: 0) == 5)
        #expect(conditions.end(of: 12, from: 0) == 22)
        #expect(conditions.end(of: 5, from: 15) == 25)
        #expect(conditions.end(of: 25, from: 0) == 40)
        #expect(conditions.end(of: 35, from: 0) == 55)
        #expect(conditions.end(of: 3, from: 60) == 63)
    }

    @Test func aSeedBringsARunBack() {
        let first = OverloadScenario.flapping.simulation(seed: 3).run(OpenDoor(), retrying: NaiveRetry())
        let second = OverloadScenario.flapping.simulation(seed: 3).run(OpenDoor(), retrying: NaiveRetry())
        #expect(first.goodput(0..<60) == second.goodput(0..<60))
        #expect(first.latency(0.9, 0..<60) == second.latency(0.9, 0..<60))
    }

    /// Otherwise there is nothing to survive, and the scenario is void: with the same seeds as who survives it.
    @Test(arguments: OverloadScenario.deadly)
    func theNaiveTwinCollapsesAndDoesNotComeBack(_ scenario: OverloadScenario) {
        let seeds = LaneSize("overload.naive \(scenario)", plain: 1, sanitizer: 1, deep: 200).count
        var (goodputs, calls): ([Double], [Double]) = ([], [])
        for seed in 0..<UInt64(seeds) {
            let report = scenario.simulation(seed: seed).run(OpenDoor(), retrying: NaiveRetry())
            let end = scenario.trouble.upperBound
            let offered = report.offered((end + 5)..<(end + 19))
            goodputs.append(report.goodput((end + 5)..<(end + 19)) / offered)
            calls.append(report.calls((end + 5)..<(end + 19)) / offered)
        }
        let (goodput, load) = (Spread(goodputs), Spread(calls))
        print("naive, \(scenario), \(seeds) seeds: goodput of what is offered after it \(goodput); calls each \(load)")
        #expect(goodput.greatest < 0.3, "the trouble is over, and it still collapses")
        #expect(load.least > 2)
    }
}
