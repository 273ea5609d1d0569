// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Runs the contenders of a row against each other in one process: A B C, B C A, C A B, ...
//
// ## Algorithm
// Each contender is calibrated once (operations doubled until a run is long enough to extrapolate). Then rounds follow;
// in each, every contender runs once, and the order rotates, so that a slow second of a shared machine falls on all of
// them. Then one pass counts allocations, untimed.
//
// ## Invariants
// I1. A figure and its floor come from the same rounds.
// I2. Nothing counts allocations while a round is timed.

/// How long and how often.
struct RunnerSettings: Sendable {
    var rounds = 9
    var roundNanoseconds = 50_000_000

    static let standard = RunnerSettings()
    static let quick = RunnerSettings(rounds: 3, roundNanoseconds: 10_000_000)
}

struct Runner: Sendable {
    let settings: RunnerSettings

    /// All contenders' answers to one row, floor first if there is one.
    func measure(_ row: Row) async throws -> [RowResult] {
        let busy = row.isBusy ? BusyThread() : nil
        defer { busy?.stop() }

        var operations: [Int] = []
        for contender in row.contenders { operations.append(try await calibrated(contender)) }

        let rounds = min(settings.rounds, row.maximumRounds)
        var values = [[Double]](repeating: [], count: row.contenders.count)
        for round in 0..<rounds {
            for position in row.contenders.indices {
                let index = (position + round) % row.contenders.count
                let sample = try await row.contenders[index].run(operations[index])
                values[index].append(row.unit.value(of: sample))
            }
        }

        var allocations = [Double?](repeating: nil, count: row.contenders.count)
        if Allocations.areCounted, row.unit != .bytes {
            for (index, contender) in row.contenders.enumerated() where contender.fixedOperations == nil {
                allocations[index] = try await allocationsPerOperation(contender, operations: operations[index])
            }
        }
        return results(of: row, values: values, allocations: allocations)
    }

    /// The operations that fill one round.
    private func calibrated(_ contender: Contender) async throws -> Int {
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

    private func results(of row: Row, values: [[Double]], allocations: [Double?]) -> [RowResult] {
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
                parameters: parameters, unit: row.unit, statistics: statistics,
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
