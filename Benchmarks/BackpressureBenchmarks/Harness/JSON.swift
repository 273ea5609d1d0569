// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The report for programs. Written by hand, so that the benchmark needs no Foundation.

/// A JSON value that keeps the order of its keys.
indirect enum JSON {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSON])
    case object([(String, JSON)])

    static func string(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    static func int(_ value: Int?) -> JSON { value.map { .int($0) } ?? .null }
    static func double(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }

    /// One line for what is innermost, so that a row is a line.
    func text(indent: String = "", isInline: Bool = false) -> String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return "\(value)"
        // JSON knows no infinity. Swift prints doubles in a form that JSON reads ("1e-05", "2.0").
        case .double(let value): return value.isFinite ? "\(value)" : "null"
        case .string(let value): return Self.quoted(value)
        case .array(let values):
            if values.isEmpty { return "[]" }
            let inner = indent + "  "
            let lines = values.map { inner + $0.text(indent: inner, isInline: true) }
            return "[\n" + lines.joined(separator: ",\n") + "\n" + indent + "]"
        case .object(let members):
            if isInline {
                let parts = members.map { Self.quoted($0.0) + ": " + $0.1.text(isInline: true) }
                return "{" + parts.joined(separator: ", ") + "}"
            }
            let inner = indent + "  "
            let lines = members.map { inner + Self.quoted($0.0) + ": " + $0.1.text(indent: inner) }
            return "{\n" + lines.joined(separator: ",\n") + "\n" + indent + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}

extension JSON {
    /// The whole report.
    static func report(
        suites: [String], machine: Machine, results: [RowResult], scenarios: [ServiceReport] = []
    ) -> JSON {
        .object(
            [
                ("suite", .string(suites.joined(separator: "+"))),
                (
                    "machine",
                    .object([
                        ("cpu", .string(machine.cpu)), ("cores", .int(machine.cores)),
                        ("os", .string(machine.operatingSystem)),
                    ])
                ),
                ("toolchain", .string(Machine.toolchain)),
                ("commit", .string(Machine.commit)),
                ("rows", .array(results.map(row))),
            ] + (scenarios.isEmpty ? [] : [("scenarios", .array(scenarios.map(\.json)))]))
    }

    /// One contender's answer to one row.
    static func row(_ result: RowResult) -> JSON {
        var parameters: [(String, JSON)] = []
        if let capacity = result.parameters.capacity { parameters.append(("capacity", .int(capacity))) }
        if let producers = result.parameters.producers { parameters.append(("producers", .int(producers))) }
        if let consumers = result.parameters.consumers { parameters.append(("consumers", .int(consumers))) }
        // The actor row says so in its name; the schema knows the other three.
        if let placement = result.parameters.placement, placement != .actor {
            parameters.append(("placement", .string(placement.rawValue)))
        }
        if let fairness = result.parameters.fairness { parameters.append(("fairness", .string(fairness))) }
        if let tasks = result.parameters.tasks { parameters.append(("tasks", .int(tasks))) }
        if let permits = result.parameters.permits { parameters.append(("permits", .int(permits))) }
        if let load = result.parameters.load { parameters.append(("load", .string(load))) }
        if let waiters = result.parameters.waiters { parameters.append(("waiters", .int(waiters))) }
        return .object([
            ("name", .string(result.name)),
            ("contender", .string(result.contender)),
            ("ours", .bool(result.isOurs)),
            ("parameters", .object(parameters)),
            ("unit", .string(result.unit.rawValue)),
            ("median", .double(result.statistics.median)),
            ("min", .double(result.statistics.min)),
            ("max", .double(result.statistics.max)),
            ("runs", .int(result.statistics.runs)),
            ("rounds", .int(result.rounds)),
            ("allocationsPerOperation", .double(result.allocationsPerOperation)),
            ("floor", .double(result.floor)),
            ("ratioToFloor", .double(result.ratioToFloor)),
        ])
    }
}
