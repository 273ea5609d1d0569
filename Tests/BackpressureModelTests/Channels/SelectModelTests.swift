// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every schedule of the rendezvous' and the select's programs.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker
    import Testing

    @Suite(.serialized) struct SelectModelTests {
        @Test(arguments: RendezvousModels.all)
        func rendezvousHoldsInEverySchedule(_ program: SelectModel) { explore(program) }

        @Test(arguments: SelectModels.all)
        func selectHoldsInEverySchedule(_ program: SelectModel) { explore(program) }

        @Test(.enabled(if: isDeep), arguments: SelectModels.deep)
        func selectHoldsInEveryScheduleOfTheDeepSet(_ program: SelectModel) { explore(program) }

        @Test(arguments: SelectModels.deep)
        func selectHoldsWithFewPreemptions(_ program: SelectModel) { explore(program, .preemptionBounded(2)) }

        @Test func modelsAreNamedOnce() {
            let all = RendezvousModels.all + SelectModels.all + SelectModels.deep
            #expect(Set(all.map(\.name)).count == all.count)
        }

        private func explore(_ program: SelectModel, _ strategy: Strategy = .exhaustive) {
            let exploration = Explorer.explore(program.model, Options(strategy: strategy))
            print(exploration.description.prefix(3000))
            #expect(exploration.exhausted, "\(exploration)")
        }
    }
#endif
