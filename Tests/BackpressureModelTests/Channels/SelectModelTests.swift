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

        private func explore(_ program: SelectModel) {
            let exploration = Explorer.explore(program.model, Options(maxExecutions: 30_000))
            print(exploration.description.prefix(3000))
            #expect(exploration.exhausted, "\(exploration)")
        }
    }
#endif
