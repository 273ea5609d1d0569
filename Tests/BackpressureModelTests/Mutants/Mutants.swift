// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Mutants, made mechanically: at every place of the channel's core that reports a step or a test, every operator that
// fits it, one at a time, chosen at run time.
//
// operator     at                                       what it does
// relaxed      loads, stores, read-modify-writes        the ordering is weakened
// withoutX     read-modify-writes                       it no longer acquires, or no longer releases
// skip         stores, read-modify-writes               a flag is not set, a wake is dropped, a slot not handed over
// delay        stores                                   the store changes places with the thread's next step
// oneMore      loads, stores, read-modify-writes        a position, a stamp or a limit is off by one
// forceTrue/   tests (`decide`)                         a flag test or comparison is dropped; a re-grant or a promotion
// forceFalse                                            does not happen, or happens too often

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import Foundation
    import ModelChecker

    struct Mutant: Hashable, Sendable, CustomStringConvertible {
        let file: String
        let line: UInt
        let kind: OperationKind
        let effect: Mutation.Effect

        var description: String { "\(file):\(line) \(kind) \(effect.rawValue)" }

        var mutation: Mutation { Mutation(file: file, line: line, kind: kind, effect) }

        /// What `description` says.
        init?(_ description: String) {
            let parts = description.split(whereSeparator: { $0 == " " || $0 == ":" }).map(String.init)
            guard parts.count == 4, let line = UInt(parts[1]), let effect = Mutation.Effect(rawValue: parts[3]),
                let kind = (0...UInt8(32)).compactMap(OperationKind.init(rawValue:)).first(where: {
                    "\($0)" == parts[2]
                })
            else { return nil }
            (file, self.line, self.kind, self.effect) = (parts[0], line, kind, effect)
        }

        private init(_ site: Site, _ effect: Mutation.Effect) {
            file = site.file.split(separator: "/").last.map(String.init) ?? site.file
            (line, kind, self.effect) = (site.line, site.kind, effect)
        }

        /// Everything that can be done differently at a place.
        ///
        /// What an operator cannot change there is left out: a store has nothing to acquire, and weakening a relaxed
        /// operation changes nothing (its order is read from the source line).
        static func all(at site: Site) -> [Mutant] {
            let text = SourceText.line(site)
            let effects: [Mutation.Effect]
            switch site.kind {
            case .decide: effects = [.forceTrue, .forceFalse]
            case .load: effects = text.contains("Relaxed") ? [.oneMore] : [.relaxed, .oneMore]
            case .store:
                effects = text.contains("Relaxed") ? [.skip, .delay, .oneMore] : [.relaxed, .skip, .delay, .oneMore]
            case .exchange, .compareExchange, .weakCompareExchange, .fetchOr, .fetchAnd, .fetchAdd:
                let orders: [Mutation.Effect] =
                    text.contains("Relaxed")
                    ? []
                    : text.contains("Acquiring") ? [.withoutAcquire, .withoutRelease, .relaxed] : [.withoutRelease]
                effects = orders + [.skip, .oneMore]
            default: effects = []
            }
            return effects.map { Mutant(site, $0) }
        }
    }

    /// Lines of the source under test.
    enum SourceText {
        static let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()

        private static let files: [String: [String]] = {
            var files: [String: [String]] = [:]
            let folder = root.appendingPathComponent("Sources/Backpressure")
            guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else {
                return files
            }
            for case let url as URL in walk where url.pathExtension == "swift" {
                guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
                files[url.lastPathComponent] = text.components(separatedBy: "\n")
            }
            return files
        }()

        static func line(_ site: Site) -> String {
            line(file: site.file.split(separator: "/").last.map(String.init) ?? site.file, site.line)
        }

        static func line(file: String, _ line: UInt) -> String {
            guard let lines = files[file], line >= 1, line <= lines.count else { return "" }
            return lines[Int(line) - 1].trimmingCharacters(in: .whitespaces)
        }
    }

    /// The programs that mutants are shown to, and how.
    enum MutantCorpus {
        struct Entry: Sendable {
            let name: String
            let model: Model
            let options: Options

            func explore(_ mutation: Mutation?) -> Exploration {
                var options = options
                options.mutation = mutation
                return Explorer.explore(model, options)
            }
        }

        /// The files whose every place is mutated.
        static let files: Set<String> = [
            "ChannelCore.swift", "ChannelCore+Pump.swift", "ChannelCore+Send.swift", "ChannelCore+Receive.swift",
            "ChannelCore+Close.swift", "ChannelCore+Capacity.swift", "ChannelCore+Patience.swift",
            "ChannelState.swift", "Ring.swift", "RingLayout.swift", "Waiter.swift", "BoundedChannel+Send.swift",
            "BoundedChannel+Receive.swift",
        ]

        static let entries: [Entry] = {
            var entries: [Entry] = []
            func add(
                _ programs: [ChannelModel], _ options: Options = Options(maxExecutions: 4_000), _ suffix: String = ""
            ) {
                for program in programs {
                    entries.append(Entry(name: program.name + suffix, model: program.model, options: options))
                }
            }
            add(
                ChannelModels.alone + ChannelModels.transfer + ChannelModels.close + ChannelModels.cancel
                    + ChannelModels.dropping)
            add(ChannelModels.exact)
            add(
                CapacityModels.below + CapacityModels.up + CapacityModels.down + CapacityModels.watermarks
                    + CapacityModels.patience
                    + [CapacityModels.servedAtTheEnd])
            add(ChannelModels.reserved)
            add(ChannelModels.bypass, Options(strategy: .preemptionBounded(1)), ", one preemption")
            // One thread that plays all parts: what is only slower shows as one step too many.
            for program in ScriptModels.all {
                add([program], Options(maxSteps: Explorer.explore(program.model).maxDepth))
            }
            // What finds the bugs that were planted by hand.
            let known = Set(entries.map(\.name))
            add(
                plantedBugs.map(\.program).reduce(into: []) { programs, program in
                    guard program.soleReceiver == nil, !known.contains(program.name) else { return }
                    if !programs.contains(where: { $0.name == program.name }) { programs.append(program) }
                }, Options(maxExecutions: 20_000))
            // An eviction owed, and its element published while somebody looks. Who counts it was there has seen it first.
            add(
                ["s|nss|r", "s|nss|R"].map { PairModels.model($0, .dropOldest, 2, .fifo, 0) },
                Options(strategy: .preemptionBounded(2), maxExecutions: 60_000), ", two preemptions")
            add(
                ["s|s|r", "s|F|r", "ss|rr", "sn|rc", "ss|r|rr", "S|R|n", "sF|Rr", "SS|RR"].flatMap { text in
                    [OverflowPolicy.suspend, .dropOldest].flatMap { overflow in
                        (1...2).map { PairModels.model(text, overflow, $0, .eventual(bypass: 1), 0) }
                    }
                })
            // Loads of older values and failures for no reason: what weaker orderings can show beyond data races.
            add(
                ["s|r", "ss|rr", "S|R", "s|s|r", "SF|RR"].map { PairModels.model($0, .suspend, 1, .fifo, 0) },
                Options(maxExecutions: 4_000, staleLoads: 1), ", stale")
            // An older limit behind a newer position; a verdict from positions that never stood so at one time.
            add(
                [CapacityModels.lowered, CapacityModels.loweredUnderBatch, CapacityModels.loweredAndClosed]
                    + CapacityModels.below,
                Options(maxExecutions: 4_000, staleLoads: 1), ", stale")
            add(StaleModels.all, Options(maxExecutions: 20_000, staleLoads: 1), ", stale")
            add(
                ChannelModels.bypass, Options(strategy: .preemptionBounded(1), maxExecutions: 4_000, staleLoads: 1),
                ", one preemption, stale")
            // What is read without the lock while the gate stays closed.
            add(
                ["S|S|rn", "S|S|rc", "sS|Fc|r", "S|SFc|r", "S|Ac"].flatMap { text in
                    [Fairness.fifo, .eventual(bypass: 1)].map { PairModels.model(text, .suspend, 1, $0, 1) }
                })
            add(
                ["s|s|r"].flatMap { text in [1, 2].map { PairModels.model(text, .dropOldest, $0, .fifo, $0) } },
                Options(maxExecutions: 4_000), ", full")
            add(
                ["s|s|r", "S|R|R"].map { PairModels.model($0, .suspend, 2, .fifo, 0) },
                Options(maxExecutions: 4_000, spuriousFailures: 1), ", spurious")
            add(WrapModels.few)
            // Real tasks, with the runtime's continuations: what offers them and what resumes them.
            for program in AsyncModel.all {
                let options = Options(
                    strategy: .random(seed: 5, executions: 300, unevenly: true), maxSteps: 20_000, usesThreads: true)
                entries.append(Entry(name: "tasks, " + program.name, model: program.model, options: options))
            }
            return entries
        }()
    }
#endif
