// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The channel's core, and the programs that its mutants are shown to: models of every family, small sampled ones, and
// the programs that find the bugs that were planted by hand.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    extension MutantCorpus {
        static let channel = Family(
            name: "channel",
            files: [
                "ChannelCore.swift", "ChannelCore+Pump.swift", "ChannelCore+Send.swift", "ChannelCore+Receive.swift",
                "ChannelCore+Close.swift", "ChannelCore+Capacity.swift", "ChannelCore+Patience.swift",
                "ChannelState.swift", "Ring.swift", "RingLayout.swift", "Waiter.swift", "BoundedChannel+Send.swift",
                "BoundedChannel+Receive.swift",
            ], entries: channelEntries)

        private static let channelEntries: [Entry] = {
            var entries: [Entry] = []
            func add(
                _ programs: [ChannelModel], _ options: Options = Options(maxExecutions: 4_000), _ suffix: String = ""
            ) {
                for program in programs {
                    entries.append(Entry(program.model, options, suffix: suffix))
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
                entries.append(Entry(program.model, options, suffix: ", tasks"))
            }
            return entries
        }()
    }
#endif
