// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `FlowModels` in every schedule, and bugs planted in the shipped code that they must find.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker
    import Testing

    struct FlowBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: FlowModel

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: FlowModel
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let word = "DrainWord.swift"

    let flowBugs: [FlowBug] = [
        FlowBug(
            "two owners after a request", word, "decide(seen & DrainLook.owned == 0)", .forceTrue,
            in: FlowModels.requests),
        FlowBug(
            "a request that nobody serves", word, "decide(seen & DrainLook.owned == 0)", .forceFalse,
            in: FlowModels.requests),
        FlowBug(
            "a request that is lost", word,
            "word.weakCompareExchangeAcquiringAndReleasing(expected: seen, desired: next)", .skip,
            in: FlowModels.requests),
        FlowBug(
            "leaving without handing over", word,
            "word.compareExchangeAcquiringAndReleasing(\n            expected: look.bits", .withoutRelease,
            in: FlowModels.requests),
        FlowBug(
            "leaving without leaving", word,
            "word.compareExchangeAcquiringAndReleasing(\n            expected: look.bits", .skip,
            in: FlowModels.requests),
        FlowBug(
            "a signal that is lost", word,
            "word.fetchOrAcquiringAndReleasing(DrainLook.signalled | DrainLook.owned)", .skip, in: FlowModels.window),
        FlowBug(
            "a signal that is never laid down", word, "word.fetchAndAcquiringAndReleasing(~DrainLook.signalled)",
            .skip, in: FlowModels.window),
        FlowBug(
            "a cancellation that is lost", word,
            "word.fetchOrAcquiringAndReleasing(DrainLook.cancelled | DrainLook.owned) & DrainLook.owned", .skip,
            in: FlowModels.windowCancel),
        FlowBug(
            "an invalid demand that is lost", word,
            "word.fetchOrAcquiringAndReleasing(DrainLook.invalid | DrainLook.owned)", .skip, in: FlowModels.invalid),
        FlowBug(
            "a sink that does not look for room", "FlowSink.swift", "decide(!target.hasRoom)", .forceFalse,
            in: SinkModels.allOrNothing),
        FlowBug(
            "a best effort that puts more in than was asked for", "FlowSink.swift", "decide(target.hasRoom)",
            .forceTrue,
            in: SinkModels.bestEffort),
        FlowBug(
            "a best effort that takes what nobody gets", "FlowSink.swift", "decide(targets.contains { $0.hasRoom })",
            .forceFalse, in: SinkModels.bestEffort),
        FlowBug(
            "two subscribers of a sink for one", "FlowSink.swift", "if decide(isClaimed) { return false }", .forceFalse,
            in: SinkModels.twice),
        FlowBug(
            "a sink that takes elements after its end", "FlowSink.swift",
            "decide(isEnded) { return Outcome(.terminated) }", .forceFalse, in: SinkModels.finishedBefore),
        FlowBug(
            "a sink that ends twice", "FlowSink.swift", "if decide(isEnded) { return [] }", .forceFalse,
            in: FlowScripts.firstEndCounts),
        FlowBug(
            "a late subscriber that never hears of the end", "FlowSink.swift", "if decide(isEnded) { target",
            .forceFalse,
            in: SinkModels.early),
        FlowBug(
            "an early buffer without a bound", "FlowSink.swift", "decide(early.count < capacity)", .forceTrue,
            in: SinkModels.early),
        FlowBug(
            "a sink that buffers for nobody", "FlowSink.swift", "decide(hasGone)", .forceFalse,
            in: SinkModels.cancelledFirst),
        FlowBug(
            "a prefix that counts late", "FlowPrefix.swift",
            "word.weakCompareExchangeAcquiringAndReleasing(\n                expected: seen", .skip,
            in: FlowModels.prefix),
    ]

    @Suite(.serialized) struct FlowModelTests {
        @Test(arguments: FlowModels.all + SinkModels.all + FlowScripts.all)
        func holdsInEverySchedule(_ program: FlowModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(300))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: flowBugs)
        func plantedBugIsFound(_ bug: FlowBug) {
            let exploration = Explorer.explore(bug.program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
