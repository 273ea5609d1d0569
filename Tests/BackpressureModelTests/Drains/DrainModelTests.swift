// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waiting for the end of a closed channel and of a closed semaphore, in every schedule: the last element and the last
// permit are never missed, although both may leave by a path without a lock; and bugs that these programs must find.
//
// A wait that nobody ends is a deadlock of the model. That the gate and the flag are as before once nobody waits any more
// is part of the benches' contract.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    enum ChannelDrains {
        static let lastElement = ChannelModel(
            name: "finish, drain | receive", filled: 1, threads: [[.finish, .untilDrained], [.receive]])
        static let afterClose = ChannelModel(
            name: "finish | drain | receive", filled: 1, threads: [[.finish], [.untilDrained], [.receive]])
        static let racingSend = ChannelModel(
            name: "trySend | finish, drain | receive",
            threads: [[.trySend(1)], [.finish, .untilDrained], [.receive]])
        static let racingSendOfTwo = ChannelModel(
            name: "send, finish | drain | receive, receive", capacity: 2,
            threads: [[.send(1), .finish], [.untilDrained], [.receive, .receive]])
        static let tried = ChannelModel(
            name: "drain | finish, tryReceive, tryReceive", capacity: 2, filled: 2,
            threads: [[.untilDrained], [.finish, .tryReceive, .tryReceive]])
        static let twoReceivers = ChannelModel(
            name: "finish, drain | tryReceive | receive", capacity: 2, filled: 2,
            threads: [[.finish, .untilDrained], [.tryReceive], [.receive]])
        static let theEndAsWell = ChannelModel(
            name: "finish, drain | tryReceive | receive, receive", capacity: 2, filled: 2,
            threads: [[.finish, .untilDrained], [.tryReceive], [.receive, .receive]])
        static let reserved = ChannelModel(
            name: "reserve, fill | finish, drain | receive",
            threads: [[.reserve, .fill(1)], [.finish, .untilDrained], [.receive]])
        static let givenBack = ChannelModel(
            name: "reserve, give back | finish, drain", threads: [[.reserve, .giveBack], [.finish, .untilDrained]])
        static let abandoned = ChannelModel(
            name: "abandon | drain | trySend", filled: 1, threads: [[.abandon], [.untilDrained], [.trySend(1)]])
        static let cancelled = ChannelModel(
            name: "finish, drain | cancel it | receive", filled: 1,
            threads: [[.finish, .untilDrained], [.cancel(0)], [.receive]])
        static let two = ChannelModel(
            name: "drain | drain | cancel the first, finish, receive", filled: 1,
            threads: [[.untilDrained], [.untilDrained], [.cancel(0), .finish, .receive]])
        static let eventual = ChannelModel(
            name: "eventual: send, finish | drain | receive, receive", fairness: .eventual(bypass: 1), filled: 1,
            threads: [[.send(1), .finish], [.untilDrained], [.receive, .receive]])

        static let all = [
            lastElement, afterClose, racingSendOfTwo, tried, twoReceivers, reserved, givenBack, abandoned, cancelled,
            two, eventual,
        ]

        /// Some ten and thirty seconds.
        static let deep = [racingSend, theEndAsWell]
    }

    enum SemaphoreDrains {
        static let lastPermit = SemaphoreModel(
            name: "held: give | close, drain", held: [0: [1]], threads: [[.give], [.close, .untilDrained]])
        static let afterClose = SemaphoreModel(
            name: "held: give | drain | close", held: [0: [1]], threads: [[.give], [.untilDrained], [.close]])
        static let two = SemaphoreModel(
            name: "2 held: give | give | close, drain", limit: 2, held: [0: [1], 1: [1]],
            threads: [[.give], [.give], [.close, .untilDrained]])
        static let racingUse = SemaphoreModel(
            name: "use | use | close, drain", threads: [[.use(1)], [.use(1)], [.close, .untilDrained]])
        static let waiting = SemaphoreModel(
            name: "held: use | give | close, drain", held: [1: [1]],
            threads: [[.use(1)], [.give], [.close, .untilDrained]])
        static let called = SemaphoreModel(
            name: "eventual, held: use | give | close, drain", fairness: .eventual(bypass: 2), held: [1: [1]],
            threads: [[.use(1)], [.give], [.close, .untilDrained]])
        static let forgotten = SemaphoreModel(
            name: "held: forget, restore | close, drain", held: [0: [1]],
            threads: [[.forget, .restore(1)], [.close, .untilDrained]])
        static let resized = SemaphoreModel(
            name: "2 held: give | give | close, resize 1, drain", limit: 2, held: [0: [1], 1: [1]],
            threads: [[.give], [.give], [.close, .resize(1), .untilDrained]])
        static let cancelled = SemaphoreModel(
            name: "held: drain | cancel it | close, give", held: [2: [1]],
            threads: [[.untilDrained], [.cancel(0)], [.close, .give]])
        static let twoWait = SemaphoreModel(
            name: "held: drain | drain | cancel the first, close, give", held: [2: [1]],
            threads: [[.untilDrained], [.untilDrained], [.cancel(0), .close, .give]])

        static let all = [
            lastPermit, afterClose, two, racingUse, waiting, called, forgotten, resized, cancelled, twoWait,
        ]
    }

    struct DrainBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: Model

        init(_ name: String, _ file: String, _ snippet: String, _ effect: Mutation.Effect, in program: Model) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, effect)
            self.program = program
        }
    }

    private let channel = "ChannelCore+Drain.swift"
    private let semaphore = "SemaphoreCore+Drain.swift"

    private let drainBugs: [DrainBug] = [
        DrainBug(
            "the gate opens, and the last element leaves unseen", channel, "decide(state.closure != .open && ",
            .forceFalse, in: ChannelDrains.lastElement.model),
        DrainBug(
            "the gate stays closed for nobody", channel, "decide(state.closure != .open && ", .forceTrue,
            in: ChannelDrains.lastElement.model),
        DrainBug(
            "nobody is told of the last permit", semaphore,
            "word.word.fetchOrAcquiringAndReleasing(PermitLayout.queued)", .skip,
            in: SemaphoreDrains.lastPermit.model),
        DrainBug(
            "drained while a permit is out", semaphore, "decide(available == state.limit)", .forceTrue,
            in: SemaphoreDrains.lastPermit.model),
        DrainBug(
            "never drained", semaphore, "decide(available == state.limit)", .forceFalse,
            in: SemaphoreDrains.lastPermit.model),
        DrainBug(
            "releases look for nobody", semaphore, "word.word.fetchAndAcquiringAndReleasing(~PermitLayout.queued)",
            .skip, in: SemaphoreDrains.lastPermit.model),
        DrainBug(
            "a cancel ends a wait that is over", "SemaphoreCore+Acquire.swift",
            "decide(waiter.pointer.pointee.list != 0)", .forceTrue, in: SemaphoreDrains.cancelled.model),
        DrainBug(
            "wake dropped", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)", .skip,
            in: ChannelDrains.lastElement.model),
    ]

    @Suite(.serialized) struct DrainModelTests {
        @Test(arguments: ChannelDrains.all)
        func channelHoldsInEverySchedule(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(300))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(.enabled(if: isDeep), arguments: ChannelDrains.deep)
        func deepChannelHoldsInEverySchedule(_ program: ChannelModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(300))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: SemaphoreDrains.all)
        func semaphoreHoldsInEverySchedule(_ program: SemaphoreModel) {
            let exploration = Explorer.explore(program.model, Options(strategy: program.strategy))
            print(exploration.description.prefix(300))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: drainBugs)
        func plantedBugIsFound(_ bug: DrainBug) {
            let exploration = Explorer.explore(bug.program, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug): \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
