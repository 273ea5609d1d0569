// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// This run against an earlier one: ratios to the floor and allocations, never times, because machines differ.
//
// ## Rules
// Compared are our own rows, matched by name, contender, unit and parameters.
// R1  A ratio is worse if it exceeds the former one by more than the row's margin: the stated one, or the row's own
//     noise in either run if that is greater. The noise and the margin stand beside every row.
// R2  Allocations per operation are worse if they exceed the former ones by more than the stated margin and 0.01. So a
//     row that allocated nothing may not allocate once in a hundred operations; a task's first slab, which shows in
//     short runs only, is no regression, and neither is a fought-over row that waited a little more often.
// R3  What only one of the two runs has is named, and is no regression.

struct Comparison: Sendable {
    enum Verdict: String, Sendable {
        case same = "ok"
        case better
        case worse = "WORSE"
    }

    /// One row in both runs.
    struct Line: Sendable {
        let key: RowKey
        let before: Baseline.Figure
        let now: Baseline.Figure
        /// The greater spread of the two runs.
        let noise: Double
        /// The margin that applies.
        let margin: Double
        /// The present ratio to the floor by the former; nil if the row has no floor.
        let change: Double?
        let ratioVerdict: Verdict
        let allocationVerdict: Verdict

        var isWorse: Bool { ratioVerdict == .worse || allocationVerdict == .worse }
    }

    let lines: [Line]
    /// Rows that only the former run has.
    let missing: [RowKey]
    /// Rows that only this run has.
    let added: [RowKey]
    let statedMargin: Double

    /// Whether a ratio or the allocations of a row are worse, or there was nothing to compare.
    var isFailure: Bool { lines.isEmpty || lines.contains { $0.isWorse } }

    /// The margin is a part: 0.25 for a quarter.
    init(of results: [RowResult], with baseline: Baseline, margin: Double) {
        self.init(of: results.compactMap(Baseline.Figure.init), with: baseline.figures, margin: margin)
    }

    init(of figures: [Baseline.Figure], with former: [Baseline.Figure], margin: Double) {
        statedMargin = margin
        let figures = figures.filter { $0.isOurs && !$0.isFloor }
        let former = former.filter { $0.isOurs && !$0.isFloor }
        var byKey: [RowKey: Baseline.Figure] = [:]
        for figure in former where byKey[figure.key] == nil { byKey[figure.key] = figure }
        lines = figures.compactMap { figure in
            byKey[figure.key].map { Self.compare(figure, with: $0, margin: margin) }
        }
        let keys = Set(figures.map(\.key))
        missing = former.map(\.key).filter { !keys.contains($0) }
        added = figures.map(\.key).filter { byKey[$0] == nil }
    }

    private static func compare(_ now: Baseline.Figure, with before: Baseline.Figure, margin: Double) -> Line {
        let noise = max(now.spread, before.spread)
        let applied = max(margin, noise)
        var (change, ratioVerdict, allocationVerdict) = (Double?.none, Verdict.same, Verdict.same)
        if let ratio = now.ratioToFloor, let former = before.ratioToFloor, former > 0 {
            let quotient = ratio / former
            change = quotient
            ratioVerdict = quotient > 1 + applied ? .worse : quotient < 1 / (1 + applied) ? .better : .same
        }
        if let allocations = now.allocationsPerOperation, let former = before.allocationsPerOperation {
            let slack = 0.01
            if allocations > former * (1 + margin) + slack {
                allocationVerdict = .worse
            } else if allocations * (1 + margin) + slack < former {
                allocationVerdict = .better
            }
        }
        return Line(
            key: now.key, before: before, now: now, noise: noise, margin: applied, change: change,
            ratioVerdict: ratioVerdict, allocationVerdict: allocationVerdict)
    }
}

extension Comparison {
    /// The comparison as text: every compared row, then what has no partner.
    func text(path: String, commit: String?) -> String {
        var lines = [
            "compared with \(path)" + (commit.map { " (commit \($0.prefix(12)))" } ?? "")
                + ": ratios to the floor and allocations of our rows; worse beyond "
                + percent(statedMargin) + ", or beyond the row's noise if that is greater",
            Text.left("row", 74) + Text.right("x floor", 9) + Text.right("before", 9) + Text.right("change", 9)
                + Text.right("noise", 8) + Text.right("margin", 8) + Text.right("allocs", 9) + Text.right("before", 9)
                + "  verdict",
        ]
        lines += self.lines.map(text)
        let worse = self.lines.filter { $0.isWorse }.count
        lines.append("    \(self.lines.count - worse) of \(self.lines.count) rows are no worse")
        for key in missing { lines.append("    not in this run: \(key.text)") }
        for key in added { lines.append("    not in the former run: \(key.text)") }
        if self.lines.isEmpty { lines.append("    the two runs have no row in common") }
        return lines.joined(separator: "\n") + "\n"
    }

    private func text(_ line: Line) -> String {
        func number(_ value: Double?, _ digits: Int) -> String {
            value.map { Text.number($0, digits: digits) } ?? "-"
        }
        var name = line.key.text
        if name.count > 70 { name = String(name.prefix(69)) + "…" }
        var verdicts: [String] = []
        if line.ratioVerdict != .same { verdicts.append("\(line.ratioVerdict.rawValue) ratio") }
        if line.allocationVerdict != .same { verdicts.append("\(line.allocationVerdict.rawValue) allocations") }
        let change = line.change.map { ($0 >= 1 ? "+" : "") + percent($0 - 1) } ?? "-"
        return Text.left("    " + name, 74)
            + Text.right(number(line.now.ratioToFloor, 2), 9) + Text.right(number(line.before.ratioToFloor, 2), 9)
            + Text.right(change, 9) + Text.right(percent(line.noise), 8) + Text.right(percent(line.margin), 8)
            + Text.right(number(line.now.allocationsPerOperation, 3), 9)
            + Text.right(number(line.before.allocationsPerOperation, 3), 9)
            + "  " + (verdicts.isEmpty ? Verdict.same.rawValue : verdicts.joined(separator: ", "))
    }

    private func percent(_ part: Double) -> String { Text.number(part * 100, digits: 0) + " %" }
}
