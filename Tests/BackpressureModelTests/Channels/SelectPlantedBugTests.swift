// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs planted in the rendezvous and the select one at a time; each must be found by the program named beside it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    struct PlantedSelectBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: String

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: String
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let deciding = "Selection.swift"
    private let meeting = "RendezvousCore.swift"
    private let linking = "ChannelCore+Select.swift"

    let plantedSelectBugs: [PlantedSelectBug] = [
        PlantedSelectBug(
            "a select is served twice", deciding,
            "decide(decision.isOpen) else { return false }\n            decision = .taken", .forceTrue,
            in: "two rendezvous: select | send 0 | send 1"),
        PlantedSelectBug(
            "a select is never served", deciding,
            "decide(decision.isOpen) else { return false }\n            decision = .taken", .forceFalse,
            in: "two rendezvous: select | send 0 | send 1"),
        PlantedSelectBug(
            "cancelled after it was served", deciding,
            "decide(decision.isOpen) else { return false }\n            decision = .cancelled", .forceTrue,
            in: "two rendezvous: select | cancel it | send 0"),
        PlantedSelectBug(
            "own decision not taken", deciding, "decide(mine.isOpen)", .forceTrue,
            in: "meeting: select | sending select | receive 0"),
        PlantedSelectBug(
            "the other's decision not taken", deciding, "decide(theirs.isOpen)", .forceTrue,
            in: "meeting: select | sending select | cancel 0"),
        PlantedSelectBug(
            "decisions locked in no order", deciding, "decide(mine.rank < theirs.rank)", .forceTrue,
            in: "meeting: crossed from 1"),
        PlantedSelectBug(
            "a select meets itself", deciding, "decide(mine === theirs)", .forceFalse,
            in: "meeting: both sides of one | both sides of one"),
        PlantedSelectBug(
            "linked without a look", linking, "return decide(hasRoom(state, mayWait: true))", .forceFalse,
            in: "two full rings: select | receive 0 | receive 1"),
        PlantedSelectBug(
            "sleepOnUnpublished", linking, "decide(claimed(state) > 0)", .forceFalse,
            in: "two rings: select | send 0 | send 1"),
        PlantedSelectBug(
            "a loser stays linked, ring", linking, "decide(node.pointer.pointee.list != 0)", .forceFalse,
            in: "two rings: select | send 0 | send 1"),
        PlantedSelectBug(
            "a loser stays linked, rendezvous", "RendezvousCore+Select.swift", "decide(node.pointer.pointee.list != 0)",
            .forceFalse, in: "meeting: select | sending select"),
        PlantedSelectBug(
            "a steward's duty forgotten", "SelectRun.swift", "decide(node.isSteward)", .forceFalse,
            in: "eventual: select | receive 0 | send 0 x2"),
        PlantedSelectBug(
            "a newcomer joins its own side's waiter", meeting, "decide(word & side != 0)", .forceTrue,
            in: "rendezvous: send | send | receive"),
        PlantedSelectBug(
            "the list opened before it is empty", meeting, "decide(state.senders.isEmpty)", .forceTrue,
            in: "rendezvous: send | send | receive x2"),
        PlantedSelectBug(
            "a closed rendezvous opens again", meeting, "decide(state.closure == .open), decide(state.senders",
            .forceTrue,
            in: "rendezvous: send | finish | receive"),
        PlantedSelectBug(
            "relaxed word, taken", meeting, "meeting.compareExchangeAcquiringAndReleasing(expected: word, desired: 0)",
            .relaxed, in: "rendezvous: send | send | receive | receive"),
        PlantedSelectBug(
            "relaxed word, filled", meeting, "meeting.compareExchangeAcquiringAndReleasing(expected: 0, desired",
            .relaxed,
            in: "rendezvous: send | receive"),
        PlantedSelectBug(
            "the word is not locked", meeting, "meeting.exchangeAcquiringAndReleasing(MeetingWord.locked)", .skip,
            in: "rendezvous: send | send | receive x2"),
        PlantedSelectBug(
            "cancelled after it was met", meeting, "decide(waiter.pointer.pointee.list != 0)", .forceTrue,
            in: "rendezvous: receive | cancel it | send"),
    ]

    @Suite(.serialized) struct SelectPlantedBugTests {
        @Test(arguments: plantedSelectBugs)
        func isFound(_ bug: PlantedSelectBug) throws {
            let programs = RendezvousModels.all + SelectModels.all + SelectModels.deep
            let program = try #require(programs.first { $0.name == bug.program })
            let exploration = Explorer.explore(program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
