// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A report with everything in it that a page has to cope with: all variants and loads, void runs, long names, ratios from
// a part of one to thousands, rows without a floor.

import Testing

@testable import BackpressureBenchmarks

enum SampleReport {
    static func page() throws -> ReportPage {
        ReportPage(
            suites: ["hotpath", "spike", "overload"], machine: Machine(), results: try rows(), gates: gates,
            scenarios: [
                ServiceReport(
                    scenario: Spike.name, settings: Spike.settings,
                    outcomes: Spike.variants.map { outcome($0, nil) }),
                ServiceReport(
                    scenario: HTTPOverload.name, settings: HTTPOverload.settings,
                    outcomes: ServiceVariant.allCases.flatMap { variant in
                        [0.5, 1, 2, 4, nil].map { outcome(variant, $0) }
                    }),
            ])
    }

    private static var gates: [Gate] {
        [
            Gate("a short one", 1.25, atMost: 2),
            Gate(
                "channel.waiters.cancel: one cancel among 100000, x among 1000, and more words than fit", 12_345.67,
                atMost: 2),
        ]
    }

    private static func rows() throws -> [RowResult] {
        func row(
            _ name: String, _ contender: String, _ ratio: Double?,
            unit: BackpressureBenchmarks.Unit = .nanosecondsPerOperation,
            ours: Bool = false, fairness: String? = nil,
            parameters: Parameters = Parameters(capacity: 1024, placement: .local)
        ) throws -> RowResult {
            let median = unit == .operationsPerSecond ? 12_345_678 / (ratio ?? 1) : 5.31 * (ratio ?? 987)
            var parameters = parameters
            parameters.fairness = fairness
            return RowResult(
                name: name, contender: contender, isOurs: ours, isFloor: ratio == 1, parameters: parameters, unit: unit,
                statistics: try #require(Statistics([median * 0.8, median, median * 1.9])), rounds: 25,
                allocationsPerOperation: 0,
                floor: ratio == nil ? nil : unit == .operationsPerSecond ? 12_345_678 : 5.31,
                ratioToFloor: ratio)
        }
        var rows: [RowResult] = []
        for name in ["channel.try.pair", "semaphore.pair.withPermits", "bucket.tryAcquire.denied"] {
            rows.append(try row(name, "two atomic adds", 1))
            rows.append(try row(name, "BoundedChannel", 1.23, ours: true, fairness: "eventual"))
            rows.append(try row(name, "a rival whose name is longer than any card is wide", 23.4))
            rows.append(try row(name, "another one, hopelessly slow", 45_678.9))
        }
        let streams = Parameters(capacity: 64, producers: 4, consumers: 4)
        rows.append(
            try row("channel.mpmc", "BoundedChannel", nil, unit: .operationsPerSecond, ours: true, parameters: streams))
        rows.append(try row("channel.mpmc", "Mutex + deque", nil, unit: .operationsPerSecond, parameters: streams))
        rows.append(try row("channel.spsc", "a spinning ring", 1, unit: .operationsPerSecond, parameters: streams))
        rows.append(
            try row(
                "channel.spsc", "BoundedChannel", 0.000_2, unit: .operationsPerSecond, ours: true, parameters: streams))
        rows.append(try row("channel.idle.bytes", "BoundedChannel", nil, unit: .bytes, ours: true))
        return rows
    }

    static func outcome(_ variant: ServiceVariant, _ factor: Double?) -> ServiceOutcome {
        var summary = LoadSummary()
        let load = factor ?? 2
        summary.offered = 400 * load
        summary.goodput = variant.isOurs ? min(400, 400 * load) : load > 1 ? 12 : 400 * load
        summary.p50 = variant.isOurs ? 0.02 : 0.02 * load * load
        summary.p99 = variant.isOurs ? 0.05 : 0.05 * load * load * load
        summary.p999 = summary.p99 * 1.2
        summary.criticalSuccess = variant == .full ? 1 : 1 / max(load, 1)
        summary.lateness = variant == .nothing && factor == 4 ? 0.0042 : 0.0002
        summary.recovery = variant.isOurs ? 0.1 : nil
        if factor == nil {
            summary.bins = (0..<40).map { index in
                let isSpike = (10..<18).contains(index)
                return LoadSummary.Bin(
                    start: Double(index) * 0.1, offered: isSpike ? 1_600 : 200, answered: isSpike ? 390 : 200,
                    depth: variant.isOurs ? (isSpike ? 60 : 4) : Double(max(0, index - 9) * 120),
                    latency: index == 20 ? nil : variant.isOurs ? 0.04 : 0.04 * Double(1 + max(0, index - 9)))
            }
        }
        var outcome = ServiceOutcome(variant: variant, factor: factor, summary: summary)
        outcome.peakBytes = Int(30_000_000 * (variant.isOurs ? 1 : load))
        outcome.peakInside = 74
        outcome.processorPart = 0.31
        return outcome
    }
}
