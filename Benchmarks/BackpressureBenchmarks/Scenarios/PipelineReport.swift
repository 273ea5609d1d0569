// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a child says, and what the children's answers come to.

/// One run of one variant, as the child writes it and the parent reads it: seven numbers.
struct PipelineOutcome: Sendable {
    let checksum: UInt64
    let lines: Int
    let bytes: Int
    let nanoseconds: Int
    /// Nil where the system does not tell.
    let peakBytes: Int?
    var blockDepth = 0
    var parsedDepth = 0

    init(_ aggregate: Aggregate, nanoseconds: Int) {
        checksum = aggregate.checksum
        lines = aggregate.lines
        bytes = aggregate.bytes
        self.nanoseconds = nanoseconds
        peakBytes = Platform.peakResidentBytes
    }

    init?(text: String) {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
        let numbers = words.dropFirst().compactMap { Int($0) }
        guard words.count == 7, numbers.count == 6, let checksum = UInt64(words[0]) else { return nil }
        self.checksum = checksum
        lines = numbers[0]
        bytes = numbers[1]
        nanoseconds = numbers[2]
        peakBytes = numbers[3] < 0 ? nil : numbers[3]
        blockDepth = numbers[4]
        parsedDepth = numbers[5]
    }

    var text: String {
        "\(checksum) \(lines) \(bytes) \(nanoseconds) \(peakBytes ?? -1) \(blockDepth) \(parsedDepth)\n"
    }
}

/// The scenario's rows, text and gates.
struct PipelineReport {
    private(set) var results: [RowResult] = []
    private(set) var gates: [Gate] = []
    private(set) var text = ""

    private static let bound = 64.0 * 1_048_576

    /// Fails when the variants disagree about the file.
    init(path: String, outcomes: [Pipeline.Variant: [PipelineOutcome]]) throws(HardFailure) {
        guard let reference = outcomes[.sequential]?.first else { return }
        let baseline = Statistics((outcomes[.sequential] ?? []).compactMap { $0.peakBytes.map(Double.init) })?.median
        var lines = [
            Text.left("pipeline  (\(path), \(Text.megabytes(Double(reference.bytes))), \(reference.lines) lines)", 58)
                + Text.right("MB/s", 9) + Text.right("min", 9) + Text.right("max", 9)
                + Text.right("peak memory", 14) + Text.right("peak depth", 14)
        ]
        for variant in Pipeline.Variant.allCases {
            let runs = outcomes[variant] ?? []
            guard runs.allSatisfy({ $0.checksum == reference.checksum && $0.lines == reference.lines }) else {
                throw HardFailure(text: "pipeline: \(variant.rawValue) aggregates the file differently")
            }
            let rates = runs.map { Double($0.bytes) * 1e9 / Double(max($0.nanoseconds, 1)) }
            let peaks = runs.compactMap { $0.peakBytes.map { Double($0) } }
            guard let rate = Statistics(rates) else { continue }
            let beyond = baseline.flatMap { baseline in
                Statistics(variant == .sequential ? peaks : peaks.map { $0 - baseline })
            }
            let depth = (runs.map(\.blockDepth).max() ?? 0, runs.map(\.parsedDepth).max() ?? 0)
            let name = (variant == .bounded ? "  * " : "    ") + Self.title(variant)
            lines.append(
                Text.left(name, 58)
                    + Text.right(Text.number(rate.median / 1_048_576, digits: 0), 9)
                    + Text.right(Text.number(rate.min / 1_048_576, digits: 0), 9)
                    + Text.right(Text.number(rate.max / 1_048_576, digits: 0), 9)
                    + Text.right(
                        beyond.map { (variant != .sequential && $0.median >= 0 ? "+" : "") + Text.megabytes($0.median) }
                            ?? "-", 14)
                    + Text.right(variant == .sequential ? "-" : "\(depth.0) + \(depth.1)", 14))
            add(variant, rate: Statistics(runs.map { Double($0.lines) * 1e9 / Double(max($0.nanoseconds, 1)) }), beyond)
        }
        text = lines.joined(separator: "\n") + "\n    all variants came to aggregate \(reference.checksum)\n\n"
        addGates(fileBytes: Double(reference.bytes))
    }

    private static func title(_ variant: Pipeline.Variant) -> String {
        switch variant {
        case .sequential: "one task, no queue (baseline)"
        case .bounded: "\(OurChannel.name), \(Pipeline.capacity) blocks of 64 KB"
        case .unbounded: "AsyncStream, unbounded"
        }
    }

    private mutating func add(_ variant: Pipeline.Variant, rate: Statistics?, _ peak: Statistics?) {
        let isOurs = variant == .bounded
        var parameters = Parameters(producers: 1, consumers: 1)
        if isOurs {
            parameters.capacity = Pipeline.capacity
            parameters.fairness = OurChannel.defaultFairness
        }
        for (name, unit, statistics) in [
            (Pipeline.linesRow, Unit.operationsPerSecond, rate), (Pipeline.peakRow, .bytes, peak),
        ] {
            guard let statistics else { continue }
            results.append(
                RowResult(
                    name: name, contender: Self.title(variant), isOurs: isOurs, isFloor: variant == .sequential,
                    parameters: parameters, unit: unit, statistics: statistics, rounds: statistics.runs))
        }
    }

    private mutating func addGates(fileBytes: Double) {
        let peaks = results.filter { $0.name == Pipeline.peakRow && !$0.isFloor }
        guard let ours = peaks.first(where: \.isOurs), let theirs = peaks.first(where: { !$0.isOurs }) else { return }
        let megabyte = 1_048_576.0
        gates.append(
            Gate(
                "pipeline, peak above the baseline, bounded (worst run)", ours.statistics.max / megabyte,
                atMost: Self.bound / megabyte, digits: 1, suffix: " MB"))
        // A tenth of the file is far beyond what any fixed capacity here holds, and below what an unbounded queue does.
        if fileBytes >= 128 * megabyte {
            gates.append(
                Gate(
                    "pipeline, peak above the baseline, unbounded grows", theirs.statistics.median / megabyte,
                    atLeast: fileBytes / 10 / megabyte, digits: 1, suffix: " MB"))
        }
    }
}
