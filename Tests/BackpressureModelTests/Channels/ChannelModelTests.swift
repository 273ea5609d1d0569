// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `ChannelModels`, in every schedule.

#if BACKPRESSURE_MODEL_CHECK
    import Foundation
    import ModelChecker
    import Testing

    private let isDeep = ProcessInfo.processInfo.environment["BACKPRESSURE_DEEP"] == "1"

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

        @Test(.enabled(if: isDeep), arguments: ChannelModels.deep)
        func holdsInEveryScheduleOfTheDeepSet(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test func modelsAreManyAndNamedOnce() {
            let names = Set(ChannelModels.all.map(\.name))
            print("\(names.count) models of the channel")
            #expect(names.count == ChannelModels.all.count)
            #expect(names.count >= 40)
        }
    }
#endif
