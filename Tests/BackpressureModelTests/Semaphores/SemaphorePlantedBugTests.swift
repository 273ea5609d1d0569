// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs planted in the semaphore one at a time; each must be found by the program named beside it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    struct SemaphoreBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: SemaphoreModel

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: SemaphoreModel
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let eventual = Fairness.eventual(bypass: 2)
    private let pair = SemaphoreModel(name: "use | use", threads: [[.use(1)], [.use(1)]])
    private let sharing = SemaphoreModel(name: "use | tryUse", threads: [[.use(1)], [.tryUse(1)]])
    private let waking = SemaphoreModel(name: "held: use | give", held: [1: [1]], threads: [[.use(1)], [.give]])
    private let queue = SemaphoreModel(
        name: "held: use | use | give", held: [2: [1]], threads: [[.use(1)], [.use(1)], [.give]])
    private let weights = SemaphoreModel(name: "2: use 2 | use 2", limit: 2, threads: [[.use(2)], [.use(2)]])
    private let tooMuch = SemaphoreModel(name: "1: use 2", threads: [[.use(2)], [.use(1)]])
    private let calling = SemaphoreModel(
        name: "eventual, held: use | give, tryUse", fairness: eventual, held: [1: [1]],
        threads: [[.use(1)], [.give, .tryUse(1)]])
    private let passing = SemaphoreModels.passing(bypass: 1)
    private let cancelling = SemaphoreModel(
        name: "held: use | cancel it | give", held: [2: [1]], threads: [[.use(1)], [.cancel(0)], [.give]])
    private let cancelledHead = SemaphoreModel(
        name: "2 held: use 2 | use | cancel the first", limit: 2, held: [2: [1]],
        threads: [[.use(2)], [.use(1)], [.cancel(0)]])
    private let closing = SemaphoreModel(
        name: "held: use | close", held: [1: [1]], threads: [[.use(1)], [.close]])
    private let shrinking = SemaphoreModel(
        name: "2 held: use 2 | resize 1", limit: 2, held: [1: [1]], threads: [[.use(2)], [.resize(1)]])
    private let bounded = SemaphoreModel(
        name: "held, 1 may wait: use | use | give", waiterLimit: 1, held: [2: [1]],
        threads: [[.use(1)], [.use(1)], [.give]])
    private let orphan = SemaphoreModel(name: "held: give | drop", held: [0: [1]], threads: [[.give], [.drop]])
    private let lateGiver = SemaphoreModel(
        name: "2 held: give | give | use, drop", limit: 2, held: [0: [1], 1: [1]],
        threads: [[.give], [.give], [.use(1), .drop]])
    private let orphans = SemaphoreModel(
        name: "2 held: give | give | drop", limit: 2, held: [0: [1], 1: [1]], threads: [[.give], [.give], [.drop]])

    private let word = "PermitWord.swift"
    private let acquiring = "SemaphoreCore+Acquire.swift"
    private let serving = "SemaphoreCore+Serve.swift"

    let semaphoreBugs: [SemaphoreBug] = [
        SemaphoreBug(
            "takes what is not there", word, "decide(Int64(bitPattern: seen) >=", .forceTrue, in: sharing),
        SemaphoreBug("passes a closed gate", word, "decide(seen & PermitLayout.turns != 0)", .forceTrue, in: queue),
        SemaphoreBug(
            "nobody is told of a release", word, "decide(seen & PermitLayout.queued != 0)", .forceFalse, in: pair),
        SemaphoreBug(
            "relaxed take", word, "word.weakCompareExchangeAcquiringAndReleasing(", .relaxed, in: pair),
        SemaphoreBug("relaxed release", word, "word.fetchAddAcquiringAndReleasing(", .relaxed, in: pair),
        SemaphoreBug(
            "the gate is not closed", serving,
            """
            word.word.weakCompareExchangeAcquiringAndReleasing(
                            expected: seen, desired: seen & ~PermitLayout.turns | PermitLayout.queued)
            """, .skip, in: pair),
        SemaphoreBug("no look after the gate", serving, "decide(available >= count)", .forceFalse, in: pair),
        SemaphoreBug("off by one", serving, "decide(available >= count)", .forceTrue, in: weights),
        SemaphoreBug(
            "the gate opens over a sleeper", serving, "guard decide(state.waiters.isEmpty) else { return }", .forceTrue,
            in: queue),
        SemaphoreBug(
            "the gate stays closed", serving, "guard decide(state.waiters.isEmpty) else { return }", .forceFalse,
            in: pair),
        SemaphoreBug("bypass unbounded", serving, "decide(passesLeft(called, state) > 0)", .forceTrue, in: passing),
        SemaphoreBug(
            "newcomers pass who waits", serving, "        return decide(state.waiters.isEmpty)", .forceTrue,
            in: SemaphoreModel(
                name: "2 held: use 2 | tryPass | give", limit: 2, held: [2: [1]], strategy: .preemptionBounded(2),
                threads: [[.use(2)], [.tryUse(1), .tryPass, .tryPass], [.give]])),
        SemaphoreBug(
            "a called task forgets to look", serving, "decide(state.called == waiter)", .forceFalse, in: calling),
        SemaphoreBug(
            "wakes who was granted", acquiring, "decide(waiter.pointer.pointee.list != 0)", .forceTrue, in: cancelling),
        SemaphoreBug(
            "a cancelled head blocks the next", acquiring, "guard decide(state.isGated) else { return }", .forceFalse,
            in: cancelledHead),
        SemaphoreBug(
            "close forgets who waits", acquiring, "while decide(!state.waiters.isEmpty)", .forceFalse, in: closing),
        SemaphoreBug(
            "waits on a closed semaphore", acquiring, "guard decide(!state.isClosed)", .forceTrue, in: closing),
        SemaphoreBug(
            "waits for more than there is", acquiring, "decide(count <= state.limit)", .forceTrue, in: tooMuch),
        SemaphoreBug(
            "a shrink leaves the doomed waiting", acquiring, "decide(state.largestRequest > limit)", .forceFalse,
            in: shrinking),
        SemaphoreBug("waiters unbounded", acquiring, "decide(state.waiting < waiterLimit)", .forceTrue, in: bounded),
        SemaphoreBug(
            "gone before the last permit", acquiring, "decide(state.limit - state.accounted > state.forgotten)",
            .forceFalse, in: orphan),
        SemaphoreBug(
            "gone while a giver is on the way", acquiring, "decide(state.limit - state.accounted > state.forgotten)",
            .forceFalse, in: lateGiver),
        SemaphoreBug(
            "gone with the first permit", acquiring, "decide(state.limit - state.accounted == state.forgotten)",
            .forceTrue, in: orphans),
        SemaphoreBug(
            "never gone", acquiring, "decide(state.limit - state.accounted == state.forgotten)", .forceFalse, in: orphan
        ),
        SemaphoreBug(
            "no second sleep", "Waiter.swift", "func rearm() { cell.storeRelaxed(Self.empty) }", .skip, in: calling),
        SemaphoreBug(
            "wake dropped", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)", .skip, in: waking),
    ]

    @Suite(.serialized) struct SemaphorePlantedBugTests {
        @Test(arguments: semaphoreBugs)
        func isFound(_ bug: SemaphoreBug) {
            let exploration = Explorer.explore(
                bug.program.model, Options(strategy: bug.program.strategy, mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }

        /// The programs hold without their bugs: what is found is the bug.
        @Test(arguments: Dictionary(grouping: semaphoreBugs, by: \.program.name).compactMap(\.value.first))
        func holdsWithoutIt(_ bug: SemaphoreBug) {
            let exploration = Explorer.explore(bug.program.model, Options(strategy: bug.program.strategy))
            #expect(exploration.exhausted, "\(exploration)")
        }
    }
#endif
