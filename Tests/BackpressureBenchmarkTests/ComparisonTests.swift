// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rules of `--compare`, by number, on reports that are written and read back.

import Testing

@testable import BackpressureBenchmarks

@Suite struct ComparisonTests {
    /// A row of ours; its floor is 10.
    private func row(
        _ name: String = "pair", contender: String = "Ours", ours: Bool = true, capacity: Int? = 64,
        unit: BackpressureBenchmarks.Unit = .nanosecondsPerOperation, ratio: Double? = 1.2, spread: Double = 0.05,
        allocations: Double? = 0
    ) throws -> RowResult {
        let median = 10 * (ratio ?? 1)
        let best = unit == .operationsPerSecond ? median * (1 + spread) : median * (1 - spread)
        return RowResult(
            name: name, contender: contender, isOurs: ours, isFloor: false, parameters: Parameters(capacity: capacity),
            unit: unit, statistics: try #require(Statistics([best, median, 2 * median - best])), rounds: 3,
            allocationsPerOperation: allocations, floor: ratio == nil ? nil : 10, ratioToFloor: ratio)
    }

    /// Through the text of a report, as a file has it.
    private func compare(_ now: [RowResult], with before: [RowResult], margin: Double = 0.25) throws -> Comparison {
        let report = JSON.report(suites: ["hotpath"], machine: Machine(), results: before).text()
        return Comparison(of: now, with: try Baseline(json: report), margin: margin)
    }

    @Test func theSameRunIsNoWorse() throws {
        let rows = [try row(), try row(capacity: 1), try row(ratio: nil, allocations: nil)]
        let comparison = try compare(rows, with: rows)
        #expect(!comparison.isFailure)
        #expect(comparison.missing.isEmpty && comparison.added.isEmpty)
        #expect(comparison.lines.allSatisfy { $0.ratioVerdict == .same && $0.allocationVerdict == .same })
    }

    @Test(arguments: [(1.2, false), (1.49, false), (1.51, true), (12, true), (0.5, false)])
    func r1_aRatioIsWorseBeyondTheMargin(_ ratio: Double, _ isWorse: Bool) throws {
        let comparison = try compare([try row(ratio: ratio)], with: [try row()])
        #expect(comparison.isFailure == isWorse)
        #expect(comparison.lines.first?.ratioVerdict == (isWorse ? .worse : ratio < 1 ? .better : .same))
    }

    @Test func r1_aNoisyRowHasItsOwnMargin() throws {
        #expect(!(try compare([try row(ratio: 1.6)], with: [try row(spread: 0.4)]).isFailure))
        #expect(!(try compare([try row(ratio: 1.6, spread: 0.4)], with: [try row()]).isFailure))
        #expect(try compare([try row(ratio: 1.8, spread: 0.4)], with: [try row()]).isFailure)
        // Of a rate the best round is the greatest.
        let rates = try compare(
            [try row(unit: .operationsPerSecond, ratio: 1.6)],
            with: [try row(unit: .operationsPerSecond, spread: 0.4)])
        #expect(abs((rates.lines.first?.noise ?? 0) - 0.4) < 1e-9)
    }

    @Test func r1_theStatedMarginCounts() throws {
        #expect(try compare([try row(ratio: 1.3)], with: [try row()], margin: 0.06).isFailure)
        #expect(!(try compare([try row(ratio: 2.3)], with: [try row()], margin: 1).isFailure))
    }

    @Test(arguments: [(0.0, 0.009, false), (0, 0.02, true), (1, 1.2, false), (1, 1.3, true), (1, 0, false)])
    func r2_allocations(_ before: Double, _ now: Double, _ isWorse: Bool) throws {
        let comparison = try compare([try row(allocations: now)], with: [try row(allocations: before)])
        #expect(comparison.isFailure == isWorse)
        #expect(comparison.lines.first?.allocationVerdict == (isWorse ? .worse : now < before ? .better : .same))
    }

    @Test func r3_whatHasNoPartnerIsNamed() throws {
        let comparison = try compare(
            [try row(), try row(capacity: 1), try row("other", ours: false)],
            with: [try row(), try row(capacity: 1024)])
        #expect(!comparison.isFailure)
        #expect(comparison.lines.count == 1)
        #expect(comparison.missing.map(\.parameters) == [["capacity": "1024"]])
        #expect(comparison.added.map(\.parameters) == [["capacity": "1"]])
        let text = comparison.text(path: "old.json", commit: nil)
        #expect(text.contains("not in this run: pair  Ours (capacity 1024)"))
        #expect(text.contains("not in the former run: pair  Ours (capacity 1)"))
    }

    @Test func nothingInCommonFails() throws {
        #expect(try compare([try row("a")], with: [try row("b")]).isFailure)
        #expect(try compare([], with: []).isFailure)
    }

    @Test func aRowThatSaysNothingIsSkipped() throws {
        let baseline = try Baseline(
            json: #"{"rows": [{"name": "a"}, {"name": "a", "contender": "b", "unit": "ns/op"}]}"#)
        #expect(baseline.skipped == 1)
        #expect(baseline.figures.count == 1)
        #expect(throws: Baseline.Failure.self) { try Baseline(json: #"{"lines": []}"#) }
        #expect(throws: Baseline.Failure.self) { try Baseline(json: "rows") }
        #expect(throws: Baseline.Failure.self) { try Baseline(file: "/nonexistent/file.json") }
    }

    @Test func optionsOfTheComparison() throws {
        #expect(try Options(arguments: ["--compare", "a.json"]).margin == 0.25)
        #expect(try Options(arguments: ["--compare=a.json", "--margin", "150"]).margin == 1.5)
        for wrong in [
            ["--margin", "5"], ["--compare"], ["--compare", "a", "--margin", "-1"],
            ["--compare", "a", "--margin", "x"],
        ] {
            #expect(throws: Options.UsageError.self) { try Options(arguments: wrong) }
        }
    }
}
