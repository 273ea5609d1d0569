// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The outcomes of `spike` and `overload` as text, rows and gates.

struct ServiceReport: Sendable {
    let scenario: String
    let settings: ServiceSettings
    let outcomes: [ServiceOutcome]

    // MARK: Text

    var text: String {
        let capacity = Text.number(settings.capacity, digits: 0)
        let objective = Text.number(Double(settings.objective) / 1e6, digits: 0)
        var lines = [
            "\(scenario)  (capacity \(capacity) requests/s, good = answered within \(objective) ms of being due)",
            Text.left("", 34) + Text.right("load", 7) + Text.right("goodput/s", 11) + Text.right("p50 ms", 9)
                + Text.right("p99 ms", 9) + Text.right("p99.9", 9) + Text.right("rejected", 10) + Text.right("lost", 8)
                + Text.right("critical", 10) + Text.right("depth", 8) + Text.right("memory", 10)
                + Text.right("recovery", 10) + Text.right("cpu", 7) + Text.right("late ms", 9),
        ]
        lines += outcomes.map(line)
        for outcome in outcomes where !outcome.isValid {
            lines.append(
                "    VOID: \(outcome.variant.title) at \(outcome.loadTitle): the generator was late by "
                    + "\(Text.number(outcome.summary.lateness * 1e3, digits: 2)) ms (p99), more than 1 ms")
        }
        return lines.joined(separator: "\n") + "\n\n"
    }

    private func line(_ outcome: ServiceOutcome) -> String {
        let summary = outcome.summary
        func milliseconds(_ seconds: Double) -> String { Text.short(seconds * 1e3) }
        func percent(_ part: Double) -> String { Text.number(part * 100, digits: part < 0.1 ? 1 : 0) + " %" }
        let recovery =
            outcome.factor != nil ? "-" : summary.recovery.map { Text.number($0, digits: 2) + " s" } ?? "not in run"
        return Text.left((outcome.variant.isOurs ? "  * " : "    ") + outcome.variant.title, 34)
            + Text.right(outcome.loadTitle, 7) + Text.right(Text.number(summary.goodput, digits: 0), 11)
            + Text.right(milliseconds(summary.p50), 9) + Text.right(milliseconds(summary.p99), 9)
            + Text.right(milliseconds(summary.p999), 9) + Text.right(percent(summary.rejectedPart), 10)
            + Text.right(percent(summary.lostPart), 8) + Text.right(percent(summary.criticalSuccess), 10)
            + Text.right(Text.number(summary.peakDepth, digits: 0), 8)
            + Text.right(outcome.peakBytes.map { Text.megabytes(Double($0)) } ?? "-", 10) + Text.right(recovery, 11)
            + Text.right(percent(outcome.processorPart), 7) + Text.right(milliseconds(summary.lateness), 9)
    }

    // MARK: Rows

    /// Runs whose generator was late say nothing, and make no rows.
    var results: [RowResult] {
        outcomes.filter(\.isValid).flatMap { outcome -> [RowResult] in
            let summary = outcome.summary
            var rows = [
                row("goodput", .operationsPerSecond, summary.goodput, outcome),
                row("p50", .nanosecondsPerOperation, summary.p50 * 1e9, outcome),
                row("p99", .nanosecondsPerOperation, summary.p99 * 1e9, outcome),
                row("p999", .nanosecondsPerOperation, summary.p999 * 1e9, outcome),
                row("critical", .percent, summary.criticalSuccess * 100, outcome),
                row("rejected", .percent, summary.rejectedPart * 100, outcome),
            ]
            if let bytes = outcome.peakBytes { rows.append(row("peak.bytes", .bytes, Double(bytes), outcome)) }
            if let recovery = summary.recovery {
                rows.append(row("recovery", .nanosecondsPerOperation, recovery * 1e9, outcome))
            }
            return rows.compactMap { $0 }
        }
    }

    private func row(_ name: String, _ unit: Unit, _ value: Double, _ outcome: ServiceOutcome) -> RowResult? {
        Statistics([value]).map {
            RowResult(
                name: "\(scenario).\(name)", contender: outcome.variant.title, isOurs: outcome.variant.isOurs,
                isFloor: false, parameters: Parameters(load: outcome.loadTitle), unit: unit, statistics: $0, rounds: 1)
        }
    }

    var json: JSON {
        .object([
            ("scenario", .string(scenario)), ("capacity", .double(settings.capacity)),
            ("objectiveSeconds", .double(Double(settings.objective) / 1e9)),
            ("outcomes", .array(outcomes.map(\.json))),
        ])
    }

    // MARK: Gates

    func outcome(_ variant: ServiceVariant, _ factor: Double?) -> ServiceOutcome? {
        outcomes.first { $0.variant == variant && $0.factor == factor }
    }

    var gates: [Gate] {
        var gates = outcomes.map { outcome in
            Gate(
                "\(scenario), \(outcome.variant.shortTitle) at \(outcome.loadTitle): generator late (p99)",
                outcome.summary.lateness * 1e3, atMost: ServiceOutcome.latenessBound * 1e3, suffix: " ms")
        }
        // One line, if all is well: the worst.
        if gates.allSatisfy({ $0.verdict == .ok }), let worst = outcomes.map(\.summary.lateness).max() {
            gates = [
                Gate(
                    "\(scenario): generator late (p99), worst run", worst * 1e3,
                    atMost: ServiceOutcome.latenessBound * 1e3, suffix: " ms")
            ]
        } else {
            gates = gates.filter { $0.verdict == .missed }
        }
        return gates + spikeGates + loadGates
    }

    private var spikeGates: [Gate] {
        guard let full = outcome(.full, nil), full.isValid, let none = outcome(.unbounded, nil) else { return [] }
        var gates = [
            Gate(
                "\(scenario): critical requests answered in the spike, full", full.summary.criticalSuccess * 100,
                atLeast: 90, digits: 0, suffix: " %"),
            Gate(
                "\(scenario): goodput, full x unbounded", full.summary.goodput / max(none.summary.goodput, 1),
                atLeast: 1.5),
        ]
        gates.append(
            Gate(
                "\(scenario): recovery after the spike, full", (full.summary.recovery ?? .infinity), atMost: 0.5,
                suffix: " s"))
        return gates
    }

    /// The bounds of a service that is overloaded for good.
    private var loadGates: [Gate] {
        guard let half = outcome(.full, 0.5), let one = outcome(.full, 1), let four = outcome(.full, 4),
            half.isValid, one.isValid, four.isValid
        else { return [] }
        var gates = [
            Gate(
                "\(scenario): goodput at 4x, of that at 1x, full",
                four.summary.goodput / max(one.summary.goodput, 1) * 100, atLeast: 90, digits: 0, suffix: " %"),
            Gate(
                "\(scenario): p99 at 4x, x that at 0.5x, full", four.summary.p99 / max(half.summary.p99, 1e-9),
                atMost: 3),
            Gate(
                "\(scenario): processors at 4x, full", four.processorPart * 100, atMost: 50, digits: 0, suffix: " %"),
            Gate(
                "\(scenario): rejections without status or Retry-After",
                Double(outcomes.reduce(0) { $0 + $1.malformed }), atMost: 0, digits: 0),
        ]
        if let before = one.peakBytes, let after = four.peakBytes {
            gates.append(
                Gate("\(scenario): peak memory at 4x, x that at 1x, full", Double(after) / Double(before), atMost: 1.25)
            )
        }
        if let nothing = outcome(.nothing, 4), let calm = outcome(.nothing, 0.5) {
            gates.append(
                Gate(
                    "\(scenario): nothing, beside it: goodput at 4x, of that at 0.5x",
                    nothing.summary.goodput / max(calm.summary.goodput, 1) * 100, atMost: 50, digits: 0, suffix: " %"))
        }
        return gates
    }
}
