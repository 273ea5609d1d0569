// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `RateModels`, in every schedule; and bugs planted one at a time, each found by the program beside it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    struct RateBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: RateModel

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: RateModel
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let word = "BucketCore.swift"
    private let core = "LimiterCore.swift"
    private let waiting = "LimiterCore+Waiting.swift"

    private let admit = """
        if word.weakCompareExchangeAcquiringAndReleasing(
                            expected: (low, high), desired: (UInt64(truncatingIfNeeded: after), next))
        """

    let rateBugs: [RateBug] = [
        RateBug("admitsWhatIsNotThere", word, "decide(after <= allowed)", .forceTrue, in: RateModels.race),
        RateBug("admissionNotStored", word, admit, .skip, in: RateModels.race),
        RateBug("gateIgnored", word, "decide(high & Self.gate == 0)", .forceTrue, in: RateModels.refunding),
        RateBug(
            "gateNotClosed", word, "word.high.fetchOrAcquiringAndReleasing(Self.gate)", .skip,
            in: RateModels.refunding),
        RateBug(
            "denialNotConfirmed", word,
            """
            decide(
                            word.weakCompareExchangeAcquiringAndReleasing(expected: (low, high), desired: (low, high)))
            """, .forceTrue, in: RateModels.torn),
        RateBug("gateOpensOnWaiters", word, "decide(state.waiting.isEmpty)", .forceTrue, in: RateModels.passing),
        RateBug("gateStaysClosed", word, "decide(state.waiting.isEmpty)", .forceFalse, in: RateModels.handOver),
        RateBug(
            "publishRelaxed", word,
            "word.high.storeReleasing(UInt64(truncatingIfNeeded: schedule.tat >> 64) | generation)", .relaxed,
            in: RateModels.shrinking),
        RateBug("tryPassesWaiters", core, "decide(!state.waiting.isEmpty)", .forceFalse, in: RateModels.passing),
        RateBug("acquirePassesWaiters", waiting, "decide(state.isIdle)", .forceTrue, in: RateModels.overtaking),
        RateBug(
            "grantsTooEarly", waiting,
            "decide(state.schedule.earliest(ticket.count, debt: ticket.debt, behind: 0, now: now) <= now)",
            .forceTrue, in: RateModels.sureCancel),
        RateBug(
            "neverGrants", waiting,
            "decide(state.schedule.earliest(ticket.count, debt: ticket.debt, behind: 0, now: now) <= now)",
            .forceFalse, in: RateModels.handOver),
        RateBug(
            "cancelsTheGranted", waiting, "decide(waiter.pointer.pointee.list != 0)", .forceTrue,
            in: RateModels.cancelling),
        RateBug(
            "cancelDoesNothing", waiting, "decide(waiter.pointer.pointee.list != 0)", .forceFalse,
            in: RateModels.sureCancel),
    ]

    @Suite(.serialized) struct RateModelTests {
        @Test(arguments: RateModels.all)
        func holdsInEverySchedule(_ program: RateModel) {
            let exploration = Explorer.explore(program.model, program.options())
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: rateBugs)
        func isFound(_ bug: RateBug) {
            let exploration = Explorer.explore(bug.program.model, bug.program.options(bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }

        @Test func modelsAreNamedOnce() {
            #expect(Set(RateModels.all.map(\.name)).count == RateModels.all.count)
        }
    }
#endif
