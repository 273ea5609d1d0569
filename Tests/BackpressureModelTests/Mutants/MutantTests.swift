// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Runs the mutants and says who was killed by what. Each runs in a process of its own, because a mutant may stop the
// process: that is a kill, too.
//
//     BACKPRESSURE_MODEL_CHECK=1 BACKPRESSURE_MUTANTS=all swift test -c release -Xswiftc -enable-testing \
//         --scratch-path .build-mc --filter MutantTests.everyMutantIsKilledOrArgued
//
// A survivor needs an entry in `Survivors.md`, and an entry a survivor. While working on some of them, a family's name in
// place of `all` runs that family's, `argued` those that have an entry, and any other word those whose description has it
// (`Ring.swift`, `relaxed`).

#if BACKPRESSURE_MODEL_CHECK
    import Foundation
    import ModelChecker
    import Synchronization
    import Testing

    private func variable(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

    @Suite(.serialized) struct MutantTests {
        @Test(.enabled(if: variable("BACKPRESSURE_MUTANTS") != nil), .timeLimit(.minutes(40)))
        func everyMutantIsKilledOrArgued() throws {
            let choice = variable("BACKPRESSURE_MUTANTS") ?? "all"
            let family = MutantCorpus.families.first { $0.name == choice }
            let mutants = Self.mutants(of: family)
            let argued = Argument.all.filter { family?.files.contains($0.file) ?? true }
            guard family != nil || choice == "all" || choice == "1" else {
                // Some of them, to work on: figures of the whole would be wrong.
                let chosen = mutants.filter { mutant, _ in
                    choice == "argued"
                        ? argued.contains { $0.covers(mutant) } : mutant.description.contains(choice)
                }
                #expect(!chosen.isEmpty, "\(choice) is no family, and no mutant has it in its description")
                for (mutant, verdict) in Self.runAll(chosen) where verdict.hasPrefix("survived") {
                    print("SURVIVES \(mutant): \(verdict)  | \(SourceText.line(file: mutant.file, mutant.line))")
                }
                return
            }

            let verdicts = Self.runAll(mutants)
            var survivors: [Mutant] = []
            for (mutant, _) in mutants {
                let verdict = verdicts[mutant] ?? "survived (never run)"
                guard verdict.hasPrefix("survived") else { continue }
                print("\(mutant): \(verdict)  | \(SourceText.line(file: mutant.file, mutant.line))")
                survivors.append(mutant)
            }
            for family in MutantCorpus.families {
                Self.judge(family, mutants.map(\.0).filter { family.files.contains($0.file) }, survivors, argued)
            }
            for survivor in survivors {
                #expect(argued.contains { $0.covers(survivor) }, "no argument for \(survivor)")
            }
            for argument in argued {
                #expect(survivors.contains { argument.covers($0) }, "nothing survives by \(argument)")
            }
        }

        /// The mutants of one family, or of all, each with the programs that come by its place, smaller ones first.
        private static func mutants(of family: MutantCorpus.Family?) -> [(Mutant, [Shown])] {
            // Which program comes by which place, from the unchanged source.
            var touched: [Site: [Shown]] = [:]
            var count = 0
            let own = family.map { Set($0.entries.map(\.name)) }
            for (index, entry) in MutantCorpus.entries.enumerated() where own?.contains(entry.name) ?? true {
                let exploration = entry.explore(nil)
                #expect(exploration.violation == nil, "\(exploration)")
                // What fails anyway kills nothing.
                guard exploration.violation == nil else { continue }
                count += 1
                let shown = Shown(
                    index: index, size: exploration.steps, depth: exploration.exhausted ? exploration.maxDepth : nil)
                for site in exploration.sites { touched[site, default: []].append(shown) }
            }
            let files = family?.files ?? MutantCorpus.families.reduce(into: []) { $0.formUnion($1.files) }
            let places = touched.keys.filter { site in
                files.contains(site.file.split(separator: "/").last.map(String.init) ?? "")
            }
            print("\(places.count) places, \(count) programs")
            var mutants: [(Mutant, [Shown])] = []
            for place in places {
                let shown = (touched[place] ?? []).sorted { $0.size < $1.size }
                for mutant in Mutant.all(at: place) { mutants.append((mutant, shown)) }
            }
            return mutants.sorted {
                ($0.0.file, $0.0.line, $0.0.description) < ($1.0.file, $1.0.line, $1.0.description)
            }
        }

        /// Nine of ten of a family's mutants are killed; those that no run can tell from the original do not count.
        private static func judge(
            _ family: MutantCorpus.Family, _ mutants: [Mutant], _ survivors: [Mutant], _ argued: [Argument]
        ) {
            guard !mutants.isEmpty else { return }
            let surviving = mutants.filter(survivors.contains)
            let same = surviving.count { survivor in argued.contains { $0.isSame && $0.covers(survivor) } }
            let killed = mutants.count - surviving.count
            print(
                "mutants of \(family.name): \(killed) of \(mutants.count) killed, \(surviving.count) survive, "
                    + "\(same) of these argued to be the same program")
            #expect(killed * 10 >= (mutants.count - same) * 9, "too many mutants of \(family.name) survive")
        }

        /// In the process of one mutant: the programs that come by its place, one after the other.
        @Test(.enabled(if: variable("BACKPRESSURE_MUTANT") != nil))
        func oneMutant() throws {
            let mutant = try #require(variable("BACKPRESSURE_MUTANT").flatMap(Mutant.init))
            let programs = (variable("BACKPRESSURE_MUTANT_PROGRAMS") ?? "").split(separator: ",").compactMap(Shown.init)
            for program in programs {
                let entry = MutantCorpus.entries[program.index]
                print("TRY \(entry.name)")
                fflush(nil)
                let exploration = entry.explore(mutant.mutation, depth: program.depth)
                guard let violation = exploration.violation else { continue }
                print("KILLED by [\(entry.name)] \(violation.kind.rawValue) after \(exploration.executions) executions")
                fflush(nil)
                return
            }
            print("SURVIVED \(programs.count) programs")
            fflush(nil)
        }

        // MARK: Processes

        private static func runAll(_ mutants: [(Mutant, [Shown])]) -> [Mutant: String] {
            let verdicts = Mutex<[Mutant: String]>([:])
            let next = Mutex(0)
            let workers = (0..<2).map { _ in
                Thread {
                    while true {
                        let index = next.withLock { index in
                            defer { index += 1 }
                            return index
                        }
                        guard index < mutants.count else { break }
                        let verdict = run(mutants[index].0, mutants[index].1)
                        print("\(mutants[index].0): \(verdict)")
                        fflush(nil)
                        verdicts.withLock { $0[mutants[index].0] = verdict }
                    }
                }
            }
            for worker in workers { worker.start() }
            while !workers.allSatisfy(\.isFinished) { Thread.sleep(forTimeInterval: 0.05) }
            return verdicts.withLock { $0 }
        }

        private static func run(_ mutant: Mutant, _ programs: [Shown]) -> String {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = ["--testing-library", "swift-testing", "--filter", "MutantTests/oneMutant"]
            var environment = ProcessInfo.processInfo.environment
            environment["BACKPRESSURE_MUTANTS"] = nil
            environment["BACKPRESSURE_MUTANT"] = mutant.description
            environment["BACKPRESSURE_MUTANT_PROGRAMS"] = programs.map(\.description).joined(separator: ",")
            environment["SWIFT_BACKTRACE"] = "enable=no"
            process.environment = environment
            let output = Pipe()
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            guard (try? process.run()) != nil else { return "survived (no process)" }
            // A mutant that does not end is one that a user would notice.
            let watch = Thread {
                let deadline = Date().addingTimeInterval(120)
                while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.1) }
                if process.isRunning { process.terminate() }
            }
            watch.start()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            let lines = text.split(separator: "\n")
            if let line = lines.last(where: { $0.hasPrefix("KILLED") }) { return "killed" + line.dropFirst(6) }
            if let line = lines.last(where: { $0.hasPrefix("SURVIVED") }) { return "survived" + line.dropFirst(8) }
            let last = lines.last { $0.hasPrefix("TRY") }?.dropFirst(4) ?? "nothing"
            return "killed by [\(last)]: the process stopped"
        }
    }

    /// A program of the corpus that comes by a mutant's place.
    private struct Shown: CustomStringConvertible {
        let index: Int
        /// Steps of all its executions.
        var size = 0
        /// Steps of its longest execution, if all were explored.
        let depth: Int?

        var description: String { depth.map { "\(index)@\($0)" } ?? "\(index)" }

        init(index: Int, size: Int, depth: Int?) {
            self.index = index
            self.size = size
            self.depth = depth
        }

        /// What `description` says.
        init?(_ description: Substring) {
            let parts = description.split(separator: "@")
            guard let index = parts.first.flatMap({ Int($0) }) else { return nil }
            self.init(index: index, size: 0, depth: parts.count > 1 ? Int(parts[1]) : nil)
        }
    }

    /// Why a mutant survives, from `Survivors.md`: lines of the form "- `File.swift` `snippet` operator, operator: why".
    private struct Argument: CustomStringConvertible {
        let file: String
        let snippet: String
        let effects: Set<String>
        /// Whether it says that no run can tell the mutant from the original.
        let isSame: Bool

        var description: String { "\(file) \(snippet) \(effects.sorted())" }

        func covers(_ mutant: Mutant) -> Bool {
            file == mutant.file && effects.contains(mutant.effect.rawValue)
                && SourceText.line(file: mutant.file, mutant.line).contains(snippet)
        }

        static var all: [Argument] {
            let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appendingPathComponent("Survivors.md")
            guard let text = try? String(contentsOf: url, encoding: .utf8) else { return [] }
            return text.split(separator: "\n").compactMap { line in
                let parts = line.split(separator: "`", omittingEmptySubsequences: false)
                guard line.hasPrefix("- `"), parts.count >= 5, let colon = parts[4].firstIndex(of: ":") else {
                    return nil
                }
                let effects = parts[4][..<colon].split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                let reason = parts[4][parts[4].index(after: colon)...].trimmingCharacters(in: .whitespaces)
                return Argument(
                    file: String(parts[1]), snippet: String(parts[3]), effects: Set(effects),
                    isSame: reason.hasPrefix("same"))
            }
        }
    }
#endif
