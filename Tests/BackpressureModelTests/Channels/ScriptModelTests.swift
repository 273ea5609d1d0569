// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Scripts of one thread, answer by answer and step by step; and programs whose loads may see older values.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker
    import Testing

    @Suite(.serialized) struct ScriptModelTests {
        @Test(arguments: ScriptModels.all)
        func answersAndCostsAreAsTold(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model, Options(maxSteps: program.script?.steps ?? 0))
            print(exploration.description.prefix(600))
            #expect(exploration.exhausted && exploration.executions == 1, "\(exploration)")
            // Not looser than it need be: a cost that has fallen is to be written down.
            #expect(exploration.maxDepth == program.script?.steps)
        }

        @Test(arguments: StaleModels.all)
        func holdsWithOlderValuesOfLoads(_ program: ChannelModel) {
            let exploration = Explorer.explore(
                program.model, Options(maxExecutions: isDeep ? .max : 50_000, staleLoads: 1))
            print(exploration.description.prefix(400))
            #expect(exploration.violation == nil, "\(exploration)")
        }
    }
#endif
