// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Runs the contenders of a row against each other in one process: A B C, B C A, C A B, ...
//
// ## Algorithm
// Each contender is calibrated once (operations doubled until a run is long enough to extrapolate). Then rounds follow;
// in each, every contender runs once, and the order rotates, so that a slow second of a shared machine falls on all of
// them. Figures come from the rounds that no neighbour disturbed (`Neighbour`) and from which the host took no processor
// (`HostShare`), or, if there were too few, from those of the second kind alone, or from all. Then one pass counts
// allocations, untimed. A row that was disturbed runs more rounds, up to twice as many, as long as the run's
// `NoiseAllowance` lasts.
//
// ## Invariants
// I1. A figure and its floor come from rounds of the same row, chosen by the same rule.
// I2. Nothing counts allocations while a round is timed.
// I3. The time of a run is bounded: what a noisy machine can add is that allowance and a round.

import Synchronization

/// How long and how often.
struct RunnerSettings: Sendable {
    var rounds = 21
    var roundNanoseconds = 12_000_000
    /// So many undisturbed rounds make a figure; with fewer, all rounds count.
    var enough = 7

    /// The same time in shorter rounds.
    var fine: RunnerSettings {
        RunnerSettings(rounds: rounds * 8, roundNanoseconds: roundNanoseconds / 8, enough: enough * 2)
    }

    static let standard = RunnerSettings()
    static let quick = RunnerSettings(rounds: 3, roundNanoseconds: 10_000_000, enough: 3)
}

/// The time that a whole run may spend on waiting out noise, for all its rows together.
final class NoiseAllowance: Sendable {
    private let nanoseconds: Atomic<Int>

    init(seconds: Int) { nanoseconds = Atomic(seconds * 1_000_000_000) }

    var isLeft: Bool { nanoseconds.load(ordering: .relaxed) > 0 }

    func spend(since start: Int) {
        nanoseconds.subtract(Platform.nanoseconds() - start, ordering: .relaxed)
    }
}

/// What the rounds of one contender came to.
private struct Rounds {
    var values: [Double] = []
    /// The slower of the probes before and after.
    var probes: [Int] = []

    /// Those in which nobody else used the core, of the `whole` ones: the rounds that the host left alone.
    func undisturbed(_ whole: [Bool]) -> [Double] {
        values.indices.filter { whole[$0] && !Neighbour.disturbed(probes[$0]) }.map { values[$0] }
    }

    /// The `whole` ones, whoever else used the core.
    func complete(_ whole: [Bool]) -> [Double] { values.indices.filter { whole[$0] }.map { values[$0] } }
}

struct Runner: Sendable {
    let settings: RunnerSettings
    let allowance: NoiseAllowance

    /// All contenders' answers to one row, floor first if there is one.
    func measure(_ row: Row) async throws -> [RowResult] {
        let settings = row.isFine ? settings.fine : settings
        let busy = row.isBusy ? BusyThread() : nil
        defer { busy?.stop() }

        var operations: [Int] = []
        for contender in row.contenders { operations.append(try await calibrated(contender, settings)) }

        let planned = min(settings.rounds, row.maximumRounds)
        // Noise is waited out for a while; a row that keeps a core busy is disturbed by design.
        let mostRounds = row.isBusy || row.maximumRounds < settings.rounds ? planned : planned * 2
        var rounds = [Rounds](repeating: Rounds(), count: row.contenders.count)
        var whole: [Bool] = []
        var round = 0
        while round < planned
            || (round < mostRounds && allowance.isLeft
                && rounds.contains { $0.undisturbed(whole).count < settings.enough })
        {
            let start = Platform.nanoseconds()
            let stolen = HostShare.stolenTicks
            for position in row.contenders.indices {
                let index = (position + round) % row.contenders.count
                let before = Neighbour.probe()
                let sample = try await row.contenders[index].run(operations[index])
                rounds[index].values.append(row.unit.value(of: sample))
                rounds[index].probes.append(max(before, Neighbour.probe()))
            }
            whole.append(HostShare.stolenTicks == stolen)
            if round >= planned { allowance.spend(since: start) }
            round += 1
        }

        var allocations = [Double?](repeating: nil, count: row.contenders.count)
        if Allocations.areCounted, row.unit != .bytes {
            for (index, contender) in row.contenders.enumerated() where contender.fixedOperations == nil {
                allocations[index] = try await allocationsPerOperation(contender, operations: operations[index])
            }
        }
        // All contenders by the same rule, or the rule would favour one of them.
        let isEnough = { (kept: [[Double]]) in kept.allSatisfy { $0.count >= settings.enough } }
        var values = rounds.map { $0.undisturbed(whole) }
        if row.isBusy || !isEnough(values) { values = rounds.map { $0.complete(whole) } }
        if !isEnough(values) { values = rounds.map(\.values) }
        return results(of: row, values: values, rounds: round, allocations: allocations)
    }

    /// The operations that fill one round.
    private func calibrated(_ contender: Contender, _ settings: RunnerSettings) async throws -> Int {
        if let fixed = contender.fixedOperations { return fixed }
        var operations = 128
        while true {
            let sample = try await contender.run(operations)
            if sample.nanoseconds >= settings.roundNanoseconds / 8 {
                let scale = Double(settings.roundNanoseconds) / Double(sample.nanoseconds)
                return max(128, Int(Double(operations) * scale))
            }
            operations *= sample.nanoseconds < settings.roundNanoseconds / 64 ? 8 : 2
        }
    }

    private func allocationsPerOperation(_ contender: Contender, operations: Int) async throws -> Double {
        Allocations.startCounting()
        defer { Allocations.stopCounting() }
        let sample = try await contender.run(operations)
        return Double(sample.allocations) / Double(max(sample.operations, 1))
    }

    private func results(
        of row: Row, values: [[Double]], rounds: Int, allocations: [Double?]
    ) -> [RowResult] {
        let floorIndex = row.contenders.firstIndex { $0.isFloor }
        let floor = floorIndex.flatMap { Statistics(values[$0]) }?.median
        var results: [RowResult] = []
        for (index, contender) in row.contenders.enumerated() {
            let own = row.isBeyondFloor && !contender.isFloor ? values[index].map { $0 - (floor ?? 0) } : values[index]
            guard let statistics = Statistics(own) else { continue }
            var parameters = row.parameters
            parameters.fairness = contender.fairness
            var result = RowResult(
                name: row.name, contender: contender.name, isOurs: contender.isOurs, isFloor: contender.isFloor,
                parameters: parameters, unit: row.unit, statistics: statistics, rounds: rounds,
                allocationsPerOperation: allocations[index], floor: floor)
            if let floor, !contender.isFloor {
                let cost = row.isBeyondFloor ? statistics.median + floor : statistics.median
                result.ratioToFloor = row.unit.ratio(of: cost, toFloor: floor)
            } else if contender.isFloor {
                result.ratioToFloor = 1
            }
            results.append(result)
        }
        return results
    }
}
