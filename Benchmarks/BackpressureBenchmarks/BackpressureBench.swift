// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// backpressure-bench: parses the command line, runs the suites, prints the report. See Benchmarks/README.md.

@main
enum BackpressureBench {
    private enum Exit {
        static let worse: CInt = 1
        static let usage: CInt = 64
        static let badData: CInt = 65
        static let noInput: CInt = 66
        static let wrongResult: CInt = 70
        static let cannotCreate: CInt = 73
        static let debugBuild: CInt = 78
    }

    /// Everything runs in a detached task, because `main` is isolated to the main actor; and `main` is not async, because
    /// the main thread of an async one ends in a way that valgrind 3.19 does not survive.
    static func main() {
        Task.detached { Platform.exit(await run(Array(CommandLine.arguments.dropFirst()))) }
        while true { Platform.sleep() }
    }

    private static func run(_ arguments: [String]) async -> CInt {
        if isDebugBuild() {
            complain("this is a debug build, whose figures mean nothing: use swift run -c release backpressure-bench")
            return Exit.debugBuild
        }
        do {
            if arguments.first == Children.flag { return try await Children.run(Array(arguments.dropFirst())) }
            let options = try Options(arguments: arguments)
            if options.wantsHelp {
                Platform.write(Options.help, to: 1)
                return 0
            }
            return try await run(options)
        } catch let error as Options.UsageError {
            complain("\(error.text); see --help")
            return Exit.usage
        } catch let failure as Baseline.Failure {
            complain(failure.text)
            return failure.isMissing ? Exit.noInput : Exit.badData
        } catch let failure as HardFailure {
            complain("wrong result: \(failure.text)")
            return Exit.wrongResult
        } catch let failure as Pipeline.InputFailure {
            complain(failure.text)
            return failure.isOurFile ? Exit.cannotCreate : Exit.noInput
        } catch {
            complain("\(error)")
            return Exit.wrongResult
        }
    }

    private static func run(_ options: Options) async throws -> CInt {
        let isEverything = options.suites.isEmpty
        let wantsHotPath = isEverything || options.suites.contains(HotPath.name)
        let hotPath = wantsHotPath ? HotPath.rows(quick: options.isQuick).filter { options.selects($0.name) } : []
        guard let peers = options.suites.contains(Peers.name) ? Peers.rows() : [] else {
            complain(Peers.howToRun)
            return Exit.usage
        }
        let rows = hotPath + peers.filter { options.selects($0.name) }
        let wantsPipeline =
            (isEverything || options.suites.contains(Pipeline.name))
            && [Pipeline.name, Pipeline.linesRow, Pipeline.peakRow].contains(where: options.selects)
        let wantsInstructions =
            isEverything
            ? Instructions.isAvailable && !options.isQuick && options.selects(Instructions.name)
            : options.suites.contains(Instructions.name)

        let wantsSpike = (isEverything || options.suites.contains(Spike.name)) && options.selects(Spike.name)

        let overload = options.suites.contains(HTTPOverload.name) ? HTTPOverload(options: options) : nil
        if overload != nil, !HTTPOverload.isAvailable {
            throw Options.UsageError(
                text:
                    "overload needs an HTTP server: swift run -c release --traits HTTPScenario backpressure-bench overload"
            )
        }

        if rows.isEmpty, !wantsPipeline, !wantsInstructions, !wantsSpike, overload?.variants.isEmpty ?? true {
            complain("no row's name contains \"\(options.filter ?? "")\"; see --help")
            return Exit.usage
        }
        // What can be refused is refused before minutes are spent.
        let pipeline = wantsPipeline ? try Pipeline(options: options) : nil
        let baseline = try options.compare.map { try Baseline(file: $0) }
        var json: CInt?
        if let path = options.json {
            switch Platform.openForWriting(path) {
            case .success(let descriptor): json = descriptor
            case .failure(let error):
                complain("cannot write \(path): \(error.text)")
                return Exit.cannotCreate
            }
        }

        if let folder = options.report, let error = Platform.makeFolder(folder) {
            complain("cannot make \(folder): \(error.text)")
            return Exit.cannotCreate
        }

        let parts: [(name: String, isRun: Bool)] = [
            (HotPath.name, !hotPath.isEmpty), (Peers.name, rows.count > hotPath.count),
            (Instructions.name, wantsInstructions), (Pipeline.name, wantsPipeline), (Spike.name, wantsSpike),
            (HTTPOverload.name, overload != nil),
        ]
        let suites = parts.filter(\.isRun).map(\.name)
        let settings = options.isQuick ? RunnerSettings.quick : .standard
        let machine = Machine()
        let progress = Progress()
        Platform.write(Report.heading(suites: suites, machine: machine, settings: settings), to: 1)

        let host = HostShare()
        var times: [(suite: String, nanoseconds: Int)] = []
        var start = Platform.nanoseconds()
        func endSuite(_ name: String) {
            let now = Platform.nanoseconds()
            times.append((name, now - start))
            start = now
        }

        var results: [RowResult] = []
        let runner = Runner(settings: settings, allowance: NoiseAllowance(seconds: options.isQuick ? 0 : 5))
        for (index, row) in rows.enumerated() {
            progress.step("[\(index + 1)/\(rows.count)] \(row.name)  \(Report.text(of: row.parameters))")
            let answers = try await runner.measure(row)
            results += answers
            progress.clear()
            Platform.write(Report.block(answers), to: 1)
        }
        if !rows.isEmpty { endSuite("rows") }

        var gates = try Gates.evaluate(results)
        if wantsInstructions {
            let report = await Instructions.report(progress: progress)
            Platform.write(report.text, to: 1)
            gates += report.gates
            endSuite(Instructions.name)
        }
        if let pipeline {
            let report = try await pipeline.run(progress: progress)
            Platform.write(report.text, to: 1)
            results += report.results
            gates += report.gates
            endSuite(Pipeline.name)
        }
        var scenarios: [ServiceReport] = []
        if wantsSpike {
            let outcomes = try Spike(isQuick: options.isQuick).run(progress: progress)
            scenarios.append(ServiceReport(scenario: Spike.name, settings: Spike.settings, outcomes: outcomes))
            endSuite(Spike.name)
        }
        if let overload {
            let outcomes = try overload.run(progress: progress)
            scenarios.append(
                ServiceReport(scenario: HTTPOverload.name, settings: HTTPOverload.settings, outcomes: outcomes))
            endSuite(HTTPOverload.name)
        }
        for scenario in scenarios {
            Platform.write(scenario.text, to: 1)
            results += scenario.results
            gates += scenario.gates
        }
        Platform.write(Report.table(of: gates) + Report.ending(times: times, hostShare: host.percent), to: 1)

        if let json {
            let text =
                JSON.report(suites: suites, machine: machine, results: results, scenarios: scenarios).text() + "\n"
            Platform.write(text, to: json)
            Platform.closeFile(json)
        }
        if let folder = options.report {
            let page = ReportPage(
                suites: suites, machine: machine, results: results, gates: gates, scenarios: scenarios)
            do {
                try page.write(to: folder)
                Platform.write("\nthe report is in \(folder)/index.html\n", to: 1)
            } catch {
                complain("cannot write \(folder)/index.html: \(error.text)")
                return Exit.cannotCreate
            }
        }
        if let baseline, let path = options.compare {
            let comparison = Comparison(of: results, with: baseline, margin: options.margin)
            Platform.write("\n" + comparison.text(path: path, commit: baseline.commit), to: 1)
            if comparison.isFailure { return Exit.worse }
        }
        return 0
    }

    /// A call, because the compiler warns of a branch that it sees is never taken.
    private static func isDebugBuild() -> Bool { _isDebugAssertConfiguration() }

    private static func complain(_ text: String) {
        Platform.write("backpressure-bench: \(text)\n", to: 2)
    }
}
