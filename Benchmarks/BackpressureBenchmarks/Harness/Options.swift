// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The command line. A mistake is an answer, not a crash: the caller prints it and exits 64.

struct Options: Sendable {
    var suites: [String] = []
    var input: String?
    var json: String?
    var filter: String?
    var isQuick = false
    var wantsHelp = false
    /// The folder of the page with pictures.
    var report: String?
    /// An earlier `--json` file to compare with.
    var compare: String?
    /// By how much a ratio may be worse than in `compare`: 0.25 for a quarter.
    var margin = 0.25
    /// The size of the generated file.
    var sizeInMegabytes = 256

    struct UsageError: Error {
        let text: String
    }

    static let knownSuites = [
        HotPath.name, Pipeline.name, Instructions.name, Spike.name, HTTPOverload.name, Peers.name,
    ]

    static let help = """
        Usage: backpressure-bench [SUITE ...] [options]

        Suites (without any: hotpath, instructions where valgrind is installed, pipeline, spike):
          hotpath        what one operation costs, against its floor and its rivals
          instructions   machine instructions of one pair, counted by valgrind's callgrind
          spike          four times the load that a service can take, for a moment, guarded in five ways
          overload       the same over HTTP, at half to four times that load (needs the trait HTTPScenario; two minutes)
          pipeline       a file through read -> parse -> aggregate: throughput and peak memory
          peers          other Swift libraries at the same work; needs a build with --traits Peers

        Options:
          --input FILE   the file that the pipeline reads (default: a generated log in the temporary folder)
          --size-mb N    the size of the generated file (default: 256)
          --json FILE    write every row as JSON, too
          --report DIR   write the results as a page with pictures, DIR/index.html
          --compare FILE compare ratios and allocations with an earlier --json FILE
          --margin N     percent by which a ratio may be worse than there (default: 25)
          --filter TEXT  only rows whose name contains TEXT
          --quick        fewer and shorter rounds, a 32 MB file: a smoke test, not a measurement
          --help         this text

        Exit status: 0 done, 1 worse than --compare allows, 64 wrong usage, 65 no report in FILE, 66 unreadable input,
        70 a wrong result, 73 cannot write.

        """

    init(arguments: [String]) throws(UsageError) {
        var isSizeGiven = false
        var isMarginGiven = false
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let flag = argument.hasPrefix("--") ? String(parts[0]) : argument
            let inline = argument.hasPrefix("--") && parts.count == 2 ? String(parts[1]) : nil

            func value() throws(UsageError) -> String {
                if let inline { return inline }
                guard let next = rest.popFirst(), !next.hasPrefix("--") else {
                    throw UsageError(text: "\(flag) needs a value")
                }
                return next
            }
            func noValue() throws(UsageError) {
                if inline != nil { throw UsageError(text: "\(flag) takes no value") }
            }

            switch flag {
            case "--input": input = try value()
            case "--json": json = try value()
            case "--filter": filter = try value()
            case "--report": report = try value()
            case "--compare": compare = try value()
            case "--margin":
                let text = try value()
                guard let percent = Double(text), percent.isFinite, (0...10_000).contains(percent) else {
                    throw UsageError(text: "--margin needs a number of percent from 0 to 10000, not \"\(text)\"")
                }
                margin = percent / 100
                isMarginGiven = true
            case "--size-mb":
                let text = try value()
                guard let size = Int(text), (1...1_000_000).contains(size) else {
                    throw UsageError(text: "--size-mb needs a number of megabytes, not \"\(text)\"")
                }
                sizeInMegabytes = size
                isSizeGiven = true
            case "--quick":
                try noValue()
                isQuick = true
            case "--help", "-h":
                try noValue()
                wantsHelp = true
            default:
                if flag.hasPrefix("-") { throw UsageError(text: "unknown option \(flag)") }
                guard Self.knownSuites.contains(flag) else {
                    throw UsageError(
                        text: "unknown suite \"\(flag)\" (there are: \(Self.knownSuites.joined(separator: ", ")))")
                }
                if !suites.contains(flag) { suites.append(flag) }
            }
        }
        if isMarginGiven, compare == nil { throw UsageError(text: "--margin goes with --compare") }
        if isQuick, !isSizeGiven { sizeInMegabytes = 32 }
    }

    func selects(_ name: String) -> Bool { filter.map { contains(name, $0) } ?? true }

    /// Substring search without Foundation.
    private func contains(_ text: String, _ part: String) -> Bool {
        let text = Array(text.utf8)
        let part = Array(part.utf8)
        guard part.count <= text.count else { return false }
        return (0...(text.count - part.count)).contains { text[$0..<($0 + part.count)].elementsEqual(part) }
    }
}
