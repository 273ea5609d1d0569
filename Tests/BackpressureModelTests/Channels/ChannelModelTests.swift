// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `ChannelModels`, in every schedule.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker
    import Testing

    @Suite(.serialized) struct ChannelModelTests {
        @Test(arguments: ChannelModels.all)
        func holdsInEverySchedule(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: ChannelModels.bypass)
        func newcomersPassNoMoreThanTheBound(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: .preemptionBounded(2)))
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: ChannelModels.turns)
        func aTurnForAStewardLosesNothing(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: .preemptionBounded(2)))
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(.enabled(if: isDeep), arguments: ChannelModels.deep)
        func holdsInEveryScheduleOfTheDeepSet(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        /// Sleep sets alone complete one execution for each order of dependent steps: the same number.
        @Test func reversalLosesNoScheduleOfTheChannel() {
            let limit = isDeep ? 200_000 : 3_000
            var compared = 0
            for program in ChannelModels.all {
                let reversed = Explorer.explore(program.model, Options(maxExecutions: limit))
                guard reversed.exhausted else { continue }
                let asleep = Explorer.explore(program.model, Options(strategy: .sleepSets))
                #expect(asleep.exhausted && asleep.executions == reversed.executions, "\(reversed) \(asleep)")
                compared += 1
            }
            print("\(compared) models agree with sleep sets alone")
            #expect(compared > 60)
        }

        @Test func modelsAreManyAndNamedOnce() {
            let names = Set(ChannelModels.all.map(\.name))
            print("\(names.count) models of the channel")
            #expect(names.count == ChannelModels.all.count)
            #expect(names.count >= 40)
        }
    }
#endif
