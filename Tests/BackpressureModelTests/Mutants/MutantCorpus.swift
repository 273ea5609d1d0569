// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which files are mutated, and the programs that their mutants are shown to, family by family.
//
// A mutant is shown to every program that comes by its place, of whatever family: the waiting engine's to those of all
// primitives.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    enum MutantCorpus {
        /// A program, and how it is explored.
        struct Entry: Sendable {
            let name: String
            let model: Model
            let options: Options

            init(_ model: Model, _ options: Options, suffix: String = "") {
                name = model.name + suffix
                self.model = model
                self.options = options
            }

            // `depth`: how many steps the unchanged program takes at most; what is only slower takes more.
            func explore(_ mutation: Mutation?, depth: Int? = nil) -> Exploration {
                var options = options
                options.mutation = mutation
                if let depth { options.maxSteps = min(options.maxSteps, depth) }
                return Explorer.explore(model, options)
            }
        }

        /// Files that belong together, and their programs.
        struct Family: Sendable {
            let name: String
            /// Every place of these is mutated.
            let files: Set<String>
            let entries: [Entry]
        }

        static let families = [
            channel, semaphore, rateLimiting, flow, credits, bulkheads, overload,
        ]

        static let entries: [Entry] = families.flatMap(\.entries)

        // MARK: The families beside the channel

        /// Enough for the programs of these families, which are exhausted by their own tests.
        private static let usual = Options(maxExecutions: 4_000)

        private static func usually(_ models: [Model]) -> [Entry] {
            unique(models.map { Entry($0, usual) })
        }

        private static let semaphore: Family = {
            let exhaustive =
                SemaphoreModels.every + SemaphoreModels.passing + SemaphoreDrains.all
                + semaphoreBugs.map(\.program)
            var entries = unique(
                exhaustive.map {
                    Entry($0.model, Options(strategy: $0.strategy, maxExecutions: 4_000))
                })
            entries += SemaphoreModels.small.map {
                Entry(
                    $0.model, Options(maxExecutions: 4_000, staleLoads: 1, spuriousFailures: 1), suffix: ", stale")
            }
            return Family(
                name: "semaphore",
                files: [
                    "PermitWord.swift", "SemaphoreCore.swift", "SemaphoreCore+Acquire.swift",
                    "SemaphoreCore+Serve.swift", "SemaphoreCore+Drain.swift",
                ], entries: entries)
        }()

        private static let rateLimiting = Family(
            name: "rate limiting",
            files: ["BucketCore.swift", "LimiterCore.swift", "LimiterCore+Waiting.swift"],
            entries: RateModels.all.map {
                var options = $0.options()
                options.maxExecutions = 4_000
                return Entry($0.model, options)
            })

        private static let flow = Family(
            name: "flow",
            files: [
                "DrainWord.swift", "FlowSink.swift", "FlowPrefix.swift", "PullSubscription.swift", "Stage.swift",
            ],
            entries: usually((FlowModels.all + SinkModels.all + FlowScripts.all).map(\.model))
                + [Entry(FlowScripts.refusedByAnother.model, Options(staleLoads: 1), suffix: ", stale")])

        private static let credits = Family(
            name: "credits", files: ["CreditCore.swift", "CreditState.swift", "CreditTable.swift"],
            entries: usually(CreditPrograms.all.map(\.model) + creditBugs.map(\.program.model)))

        private static let bulkheads = Family(
            name: "bulkheads", files: ["PartitionCore.swift", "PartitionBooks.swift"],
            entries: usually(PartitionProgram.all.map(\.model)))

        private static let overload = Family(
            name: "overload",
            files: [
                "AdmissionCore.swift", "AdmissionCore+Drain.swift", "BreakerMachine.swift", "CircuitBreaker.swift",
                "CircuitBreakerRegistry.swift", "RetryBudget.swift", "BackpressureController.swift",
            ],
            entries: usually(
                AdmissionProgram.all.map(\.model) + BreakerProgram.all.map(\.model) + BudgetProgram.all.map(\.model)
                    + RegistryProgram.all.map(\.model) + ControllerProgram.all.map(\.model)
                    + overloadBugs.map(\.model)))

        private static func unique(_ entries: [Entry]) -> [Entry] {
            var names: Set<String> = []
            return entries.filter { names.insert($0.name).inserted }
        }
    }
#endif
