// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `BufferModels`, in every schedule; and bugs planted one at a time, each found by the program named
// beside it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    @Suite(.serialized) struct BufferModelTests {
        @Test(arguments: BufferModels.every)
        func holdsInEverySchedule(_ program: BufferModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(900))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(.enabled(if: isDeep), arguments: BufferModels.deep)
        func deepHoldsInEverySchedule(_ program: BufferModel) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(900))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: BufferBug.all)
        func plantedBugIsFound(_ bug: BufferBug) {
            var options = Options()
            options.mutation = bug.mutation
            let exploration = Explorer.explore(bug.program.model, options)
            print("planted: \(bug):", exploration.violation?.message.prefix(160) ?? "NOT FOUND")
            #expect(exploration.violation != nil, "\(bug) was not found by \(bug.program)")
            #expect(exploration.mutationHits > 0, "\(bug) was never executed")
        }
    }

    struct BufferBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: BufferModel

        private init(
            _ name: String, _ file: String, _ snippet: String, _ effect: Mutation.Effect, in program: BufferModel
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, effect)
            self.program = program
        }

        private static let queue = BufferModel(
            name: "full: send | receive x2", filled: [(8, 0)], threads: [[.send(1)], [.receive, .receive]])
        private static let standing = BufferModels.shedding[0]
        private static let late = BufferModel(
            name: "receive | send", threads: [[.receive], [.send(1)]])
        private static let passing = BufferModel(
            name: "2: large | trySend small | receive x2", capacity: 2, lanes: [2], filled: [(8, 0)],
            countsPasses: true,
            threads: [[.send(1, cost: 2)], [.trySend(2)], [.receive, .receive]])
        private static let closing = BufferModel(
            name: "full: send | finish", filled: [(8, 0)], threads: [[.send(1)], [.finish]])
        private static let ended = BufferModel(name: "receive | finish", threads: [[.receive], [.finish]])
        private static let cancelling = BufferModel(
            name: "full: send | receive | cancel it", filled: [(8, 0)],
            threads: [[.send(1)], [.receive, .tryReceive], [.cancel(0)]])
        private static let merging = BufferModel(
            name: "full, conflate: trySend | tryReceive, trySend", policy: BufferPolicy(action: .conflate),
            filled: [(16, 0)], threads: [[.trySend(1)], [.tryReceive, .trySend(2)]])
        private static let expiring = BufferModel(
            name: "ttl trySend, clock, tryReceive | tryReceive",
            threads: [[.trySend(1, ttl: 5), .clock(5), .tryReceive], [.tryReceive]])
        private static let lanes = BufferModel(
            name: "lane 1 full: send 1 | send 0 | receive", capacity: 2, lanes: [2, 1], order: .strict,
            filled: [(16, 1)], threads: [[.send(1, lane: 1)], [.trySend(2)], [.receive, .receive]])

        static let all: [BufferBug] = [
            BufferBug(
                "the fast path does not see who waits to receive", "BufferCore.swift",
                "decide(state.receivers.isEmpty)", .forceTrue, in: late),
            BufferBug(
                "the fast path does not see who waits to send", "BufferCore.swift", "decide(state.waiting == 0)",
                .forceTrue, in: queue),
            BufferBug(
                "the bound is not asked", "BufferCore+Fast.swift", "decide(cost <= state.capacity &- taken)",
                .forceTrue,
                in: BufferModel(
                    name: "3 cells, 2: trySend x2", capacity: 2, lanes: [3],
                    threads: [[.trySend(1, cost: 2)], [.trySend(2)]])),
            BufferBug(
                "a lane's own bound is not asked", "BufferCore+Fast.swift",
                "decide(cost <= lane.pointee.bound &- (isWeighed", .forceTrue, in: lanes),
            BufferBug(
                "a newcomer passes who waits", "BufferCore+Send.swift", "decide(state.waiting == 0)", .forceTrue,
                in: passing),
            BufferBug(
                "nobody is let in when room is free", "BufferCore+Pump.swift", "decide(mask != 0)", .forceFalse,
                in: queue),
            BufferBug(
                "a receiver that waits gets nothing", "BufferCore+Pump.swift",
                "let receiver = state.receivers.first, decide(state.count > 0)", .forceFalse, in: late),
            BufferBug(
                "the end does not reach who waits to receive", "BufferCore+Pump.swift",
                "guard state.closure != .open, decide(state.count == 0)", .forceFalse, in: ended),
            BufferBug(
                "the end does not reach who waits to send", "BufferCore+Close.swift",
                "decide(!state.lanes[lane].senders.isEmpty)", .forceFalse, in: closing),
            BufferBug(
                "a wait is ended twice", "BufferCore+Receive.swift", "decide(waiter.pointer.pointee.list != 0)",
                .forceTrue, in: cancelling),
            BufferBug(
                "a merge does not see that it was overtaken", "BufferCore+Conflate.swift",
                "decide(newest.pointee.ticket == ticket)", .forceTrue, in: merging),
            BufferBug(
                "what is shed lets nobody in", "BufferDelays.swift", "if decide(state.waiting != 0)", .forceFalse,
                in: standing),
            BufferBug(
                "a receive does not look at what has expired", "BufferCore+Receive.swift",
                "decide(!state.expiries.isEmpty)", .forceFalse, in: expiring),
        ]
    }
#endif
