// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `SemaphoreModels`, in every schedule.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker
    import Testing

    @Suite(.serialized) struct SemaphoreModelTests {
        @Test(arguments: SemaphoreModels.every)
        func holdsInEverySchedule(_ program: SemaphoreModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: program.strategy))
            print(exploration.description.prefix(600))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: SemaphoreModels.passing)
        func newcomersPassNoMoreThanTheBound(_ program: SemaphoreModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: program.strategy))
            print(exploration.description.prefix(600))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(.enabled(if: isDeep), arguments: SemaphoreModels.deep)
        func deepHoldsInEverySchedule(_ program: SemaphoreModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: program.strategy))
            print(exploration.description.prefix(600))
            #expect(exploration.exhausted, "\(exploration)")
        }

        /// Loads that return what a word held a moment ago, and swaps that fail for no reason.
        @Test(arguments: SemaphoreModels.small)
        func holdsWithStaleLoads(_ program: SemaphoreModel) {
            let exploration = Explorer.explore(program.model, Options(staleLoads: 1, spuriousFailures: 1))
            print("stale:", exploration.description.prefix(600))
            #expect(exploration.exhausted, "\(exploration)")
        }
    }
#endif
