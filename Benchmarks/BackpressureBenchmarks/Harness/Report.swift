// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The report for people: a block per row, a line per contender, then what the gates say.

enum Report {
    static func heading(suites: [String], machine: Machine, settings: RunnerSettings) -> String {
        """
        backpressure-bench: \(suites.joined(separator: ", "))
        machine    \(machine.cpu), \(machine.cores) cores, \(machine.operatingSystem)
        toolchain  \(Machine.toolchain)
        commit     \(Machine.commit ?? "unknown")
        rounds     \(settings.rounds) of \(settings.roundNanoseconds / 1_000_000) ms, contenders interleaved; \
        "x floor" = cost / cost of the floor; \
        "rounds" 9/21: nine of 21 were undisturbed, and made the figures


        """
    }

    /// A row's block.
    static func block(_ results: [RowResult]) -> String {
        guard let first = results.first else { return "" }
        var title = first.name
        let parameters = text(of: first.parameters)
        if !parameters.isEmpty { title += "  (\(parameters))" }
        var lines = [
            Text.left(title, 66) + Text.right(first.unit.rawValue, 10) + Text.right("min", 10) + Text.right("max", 10)
                + Text.right("x floor", 10) + Text.right("allocs/op", 11) + Text.right("rounds", 9)
        ]
        for result in results {
            var name = (result.isOurs ? "  * " : "    ") + result.contender
            if result.isFloor { name += " (floor)" }
            if let fairness = result.parameters.fairness { name += " \(fairness)" }
            lines.append(
                Text.left(name, 66)
                    + Text.right(Text.short(result.statistics.median), 10)
                    + Text.right(Text.short(result.statistics.min), 10)
                    + Text.right(Text.short(result.statistics.max), 10)
                    + Text.right(result.ratioToFloor.map { Text.number($0, digits: 2) } ?? "-", 10)
                    + Text.right(result.allocationsPerOperation.map { Text.number($0, digits: 3) } ?? "-", 11)
                    + Text.right("\(result.statistics.runs)/\(result.rounds)", 9))
        }
        return lines.joined(separator: "\n") + "\n\n"
    }

    static func text(of parameters: Parameters) -> String {
        var parts: [String] = []
        if let placement = parameters.placement { parts.append(placement.rawValue) }
        if let capacity = parameters.capacity { parts.append("capacity \(capacity)") }
        if let producers = parameters.producers, let consumers = parameters.consumers {
            parts.append("\(producers) to \(consumers)")
        }
        if let tasks = parameters.tasks { parts.append("\(tasks) tasks") }
        if let permits = parameters.permits { parts.append("\(permits) permits") }
        if let waiters = parameters.waiters { parts.append("\(waiters) waiters") }
        if let load = parameters.load { parts.append("load \(load)") }
        return parts.joined(separator: ", ")
    }

    /// The gates' table.
    static func table(of gates: [Gate]) -> String {
        if gates.isEmpty { return "" }
        var lines = [Text.left("gate", 66) + Text.right("figure", 14) + Text.right("bound", 14) + "  verdict"]
        for gate in gates {
            lines.append(
                Text.left("    " + gate.name, 66) + Text.right(gate.figure, 14) + Text.right(gate.bound, 14) + "  "
                    + gate.verdict.rawValue)
        }
        let missed = gates.filter { $0.verdict == .missed }.count
        lines.append("    \(gates.count - missed) of \(gates.count) ok")
        return lines.joined(separator: "\n") + "\n"
    }

    /// How long the suites took, and what the machine was like meanwhile.
    static func ending(times: [(suite: String, nanoseconds: Int)], hostShare: Double?) -> String {
        let parts = times.map { "\($0.suite) \(Text.number(Double($0.nanoseconds) / 1e9, digits: 0)) s" }
        let all = Double(times.reduce(0) { $0 + $1.nanoseconds }) / 1e9
        var line = "\ntook \(Text.number(all, digits: 0)) s: \(parts.joined(separator: ", "))"
        if let hostShare {
            line += "; the host took \(Text.number(hostShare, digits: 1)) % of the processors meanwhile"
        }
        return line + "\n"
    }
}
