// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What an earlier run wrote with `--json`, as far as a comparison needs it.

/// The rows of an earlier report.
struct Baseline: Sendable {
    /// A figure of a report, whoever holds it.
    struct Figure: Sendable, Equatable {
        let key: RowKey
        let isOurs: Bool
        let isFloor: Bool
        let ratioToFloor: Double?
        let allocationsPerOperation: Double?
        /// How far the best round lies from the median, as a part of the median.
        ///
        /// Not the whole range: a neighbour only ever slows a round down, so the worst round says how bad the neighbours
        /// were, and the best one how much the figure itself scatters.
        let spread: Double
    }

    /// The file is unreadable, or not a report.
    struct Failure: Error {
        let text: String
        let isMissing: Bool
    }

    let figures: [Figure]
    let commit: String?
    /// Rows without name, contender or unit.
    let skipped: Int

    init(file path: String) throws(Failure) {
        guard let text = Platform.text(ofFile: path) else {
            throw Failure(text: "cannot read \(path)", isMissing: true)
        }
        do {
            try self.init(json: text)
        } catch {
            throw Failure(text: "\(path): \(error.text)", isMissing: false)
        }
    }

    init(json text: String) throws(Failure) {
        let json: JSON
        do {
            json = try JSON(reading: text)
        } catch {
            throw Failure(text: "no JSON at byte \(error.place): \(error.text)", isMissing: false)
        }
        guard let rows = json["rows"]?.elements else {
            throw Failure(text: "it has no rows: not a report of --json", isMissing: false)
        }
        figures = rows.compactMap(Figure.init)
        skipped = rows.count - figures.count
        commit = json["commit"]?.string
    }
}

/// What makes two rows the same row: name, contender, unit and every parameter, in any order.
struct RowKey: Hashable, Sendable {
    let name: String
    let contender: String
    let unit: String
    let parameters: [String: String]

    /// For people.
    var text: String {
        let list = parameters.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return "\(name)  \(contender)" + (list.isEmpty ? "" : " (\(list))")
    }
}

extension Baseline.Figure {
    /// A row of a file; nil if it does not say what it is.
    init?(_ row: JSON) {
        guard let name = row["name"]?.string, let contender = row["contender"]?.string, let unit = row["unit"]?.string
        else { return nil }
        var parameters: [String: String] = [:]
        for (key, value) in row["parameters"]?.members ?? [] {
            switch value {
            case .null: continue
            case .string(let text): parameters[key] = text
            default: parameters[key] = value.text(isInline: true)
            }
        }
        key = RowKey(name: name, contender: contender, unit: unit, parameters: parameters)
        isOurs = row["ours"]?.bool ?? false
        ratioToFloor = row["ratioToFloor"]?.number
        allocationsPerOperation = row["allocationsPerOperation"]?.number
        let median = row["median"]?.number
        isFloor = ratioToFloor == 1 && median == row["floor"]?.number
        let best = row[unit == Unit.operationsPerSecond.rawValue ? "max" : "min"]?.number
        if let median, let best, median > 0 { spread = abs(median - best) / median } else { spread = 0 }
    }

    /// A row of this run: by the same way as a row of a file, so that the two cannot differ in how they are read.
    init?(_ result: RowResult) { self.init(JSON.row(result)) }
}
