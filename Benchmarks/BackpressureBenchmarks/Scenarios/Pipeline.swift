// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The scenario: a real file through read -> parse -> aggregate, whose last stage is the slowest.
//
// ## Variants
// sequential  one task, one block at a time: the baseline of the memory, and the reference for the result
// bounded     three tasks joined by the library's channels
// unbounded   three tasks joined by AsyncStream without a limit
//
// Each runs in a fresh process of this executable. Its peak memory is the kernel's own (VmHWM), read by the child before
// it ends, so nothing is sampled and missed. All three must come to the same aggregate.

struct Pipeline: Sendable {
    static let name = "pipeline"
    static let linesRow = "pipeline.lines"
    static let peakRow = "pipeline.peak.bytes"
    static let capacity = 32

    enum Variant: String, CaseIterable, Sendable {
        case sequential
        case bounded
        case unbounded
    }

    /// The file cannot be read (the user's) or made (ours).
    struct InputFailure: Error {
        let text: String
        let isOurFile: Bool
    }

    private let input: String?
    private let megabytes: Int
    private let rounds: Int

    /// Fails at once when the given file is unreadable.
    init(options: Options) throws(InputFailure) {
        input = options.input
        megabytes = options.sizeInMegabytes
        rounds = options.isQuick ? 1 : 3
        guard let input else { return }
        switch Platform.openForReading(input) {
        case .success((let descriptor, _)): Platform.closeFile(descriptor)
        case .failure(let error):
            throw InputFailure(text: "cannot read \(input): \(error.text)", isOurFile: false)
        }
    }

    /// Generates the file if need be, runs every variant in children of their own, compares.
    func run(progress: Progress) async throws -> PipelineReport {
        let path = try input ?? LogFile.make(megabytes: megabytes, progress: progress)
        defer { if input == nil { Platform.removeFile(path) } }
        // Held open, and opened by the children through it: another run may delete a generated file meanwhile.
        guard case .success((let descriptor, _)) = Platform.openForReading(path) else {
            throw InputFailure(text: "cannot read \(path)", isOurFile: false)
        }
        defer { Platform.closeFile(descriptor) }
        let childPath = Platform.path(ofOpenFile: descriptor) ?? path

        var outcomes: [Variant: [PipelineOutcome]] = [:]
        for round in 1...rounds {
            for variant in Variant.allCases {
                progress.step("pipeline  \(variant.rawValue), run \(round) of \(rounds)")
                outcomes[variant, default: []].append(try Self.runChild(variant, path: childPath))
            }
        }
        progress.clear()
        return try PipelineReport(path: input ?? "generated", outcomes: outcomes)
    }

    private static func runChild(_ variant: Variant, path: String) throws -> PipelineOutcome {
        let arguments = [Platform.executablePath, Children.flag, name, variant.rawValue, path]
        switch Platform.run(arguments, capturing: 1) {
        case .failure(let error): throw HardFailure(text: "cannot start a child: \(error.text)")
        case .success((let status, let text)):
            if status == 66 { throw InputFailure(text: "cannot read \(path)", isOurFile: false) }
            guard status == 0, let outcome = PipelineOutcome(text: text) else {
                throw HardFailure(text: "the \(variant.rawValue) child ended with status \(status)")
            }
            return outcome
        }
    }

    // MARK: In the child

    static func runVariant(_ variant: Variant, path: String) async throws -> PipelineOutcome {
        guard case .success((let descriptor, _)) = Platform.openForReading(path) else {
            throw InputFailure(text: "cannot read \(path)", isOurFile: false)
        }
        defer { Platform.closeFile(descriptor) }
        let reader = BlockReader(descriptor: descriptor)
        switch variant {
        case .sequential: return try runSequentially(reader)
        case .bounded:
            return try await runStages(
                reader, blocks: BoundedLink<Block>(capacity: capacity),
                parsed: BoundedLink<ParsedBlock>(capacity: capacity))
        case .unbounded:
            return try await runStages(reader, blocks: UnboundedLink<Block>(), parsed: UnboundedLink<ParsedBlock>())
        }
    }

    private static func runSequentially(_ reader: consuming BlockReader) throws -> PipelineOutcome {
        let start = Platform.nanoseconds()
        var aggregate = Aggregate()
        while let block = try reader.next() { aggregate.add(parse(block)) }
        return PipelineOutcome(aggregate, nanoseconds: Platform.nanoseconds() - start)
    }

    private static func runStages(
        _ reader: BlockReader, blocks: some PipelineLink<Block>, parsed: some PipelineLink<ParsedBlock>
    ) async throws -> PipelineOutcome {
        let start = Platform.nanoseconds()
        let aggregate = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var reader = reader
                defer { blocks.finish() }
                while let block = try reader.next() { await blocks.send(block) }
            }
            group.addTask {
                await blocks.forEach { await parsed.send(parse($0)) }
                parsed.finish()
            }
            var aggregate = Aggregate()
            await parsed.forEach { aggregate.add($0) }
            try await group.waitForAll()
            return aggregate
        }
        var outcome = PipelineOutcome(aggregate, nanoseconds: Platform.nanoseconds() - start)
        outcome.blockDepth = blocks.peakDepth
        outcome.parsedDepth = parsed.peakDepth
        return outcome
    }
}
