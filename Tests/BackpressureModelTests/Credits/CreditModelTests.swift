// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The credit window in every schedule: the sum never exceeds the window, every lease ends once, nobody is left behind;
// and the bugs that these programs must find.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    struct CreditProgram: Sendable, CustomStringConvertible {
        let name: String
        var capacity = 1
        var leaseTime: Int64?
        /// Leases that are out at the start, by their credits; their names are 0, 1, ...
        var leased: [Int] = []
        let threads: [[CreditOp]]
        var expect: @Sendable (CreditModelBench) -> Void = { _ in }

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: { CreditModelBench(capacity: this.capacity, leaseTime: this.leaseTime, leased: this.leased) },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { bench in
                    bench.check()
                    this.expect(bench)
                })
        }
    }

    enum CreditPrograms {
        static let takers = CreditProgram(
            name: "take | take | take of 2", capacity: 2,
            threads: [[.take(1, as: 0), .settle(0)], [.take(1, as: 1), .settle(1)], [.take(1, as: 2)]])
        static let settleOrExpire = CreditProgram(
            name: "settle | the deadline", leaseTime: 10, leased: [1],
            threads: [[.settle(0)], [.clock(10), .timerRings], [.take(1, as: 1)]])
        static let extendOrExpire = CreditProgram(
            name: "extend, settle | the deadline", leaseTime: 10, leased: [1],
            threads: [[.extend(0, by: 20), .settle(0)], [.clock(10), .timerRings]])
        static let settleOrDrop = CreditProgram(
            name: "settle | owner gone | revoked", leased: [1], threads: [[.settle(0)], [.drop(0)], [.reclaimAll]])
        static let staleAndReused = CreditProgram(
            name: "late settle | reclaim, take again", leased: [1],
            threads: [[.settle(0)], [.reclaimAll, .take(1, as: 1)], [.settle(0)]])
        static let handOver = CreditProgram(
            name: "wait | settle", leased: [1], threads: [[.wait(1, as: 1)], [.settle(0)]],
            expect: { ModelRuntime.expect($0.has("got 1"), "the waiter was not served") })
        static let bigHead = CreditProgram(
            name: "wait 2 | wait 1 | settle, settle", capacity: 2, leased: [1, 1],
            threads: [[.wait(2, as: 2), .settle(2)], [.wait(1, as: 3), .settle(3)], [.settle(0), .settle(1)]])
        static let cancelHead = CreditProgram(
            name: "wait 2 | cancel it | settle, wait 1", capacity: 2, leased: [1, 1],
            threads: [
                [.wait(2, as: 2), .settle(2)], [.cancel(0), .settle(1)], [.settle(0), .wait(1, as: 3), .settle(3)],
            ])
        static let timedHead = CreditProgram(
            name: "wait 2 until 5 | time | settle, wait 1", capacity: 2, leased: [1, 1],
            threads: [
                [.waitUntil(5, 2, as: 2), .settle(2)], [.clock(5), .timerRings, .settle(1)],
                [.settle(0), .wait(1, as: 3), .settle(3)],
            ])
        static let expiryServes = CreditProgram(
            name: "wait | the deadline of another", leaseTime: 10, leased: [1],
            threads: [[.wait(1, as: 1)], [.clock(10), .timerRings], [.settle(0)]])
        static let dropServes = CreditProgram(
            name: "wait | owner gone", leased: [1], threads: [[.wait(1, as: 1)], [.drop(0)], [.settle(0)]])
        static let closing = CreditProgram(
            name: "wait | close | settle", leased: [1], threads: [[.wait(1, as: 1)], [.close], [.settle(0)]])
        static let draining = CreditProgram(
            name: "drain | settle | take", capacity: 2, leased: [1, 1],
            threads: [[.drain], [.settle(0), .settle(1)], [.take(1, as: 2), .settle(2)]],
            expect: { ModelRuntime.expect($0.has("drained"), "the drain did not end") })
        static let drainOff = CreditProgram(
            name: "drain | resume | wait, settle", leased: [1],
            threads: [[.drain, .resume], [.resume], [.settle(0), .wait(1, as: 1), .settle(1)]])
        static let shrinking = CreditProgram(
            name: "shrink | take | settle", capacity: 2, leased: [1],
            threads: [[.resize(1)], [.take(1, as: 1)], [.settle(0), .take(1, as: 2)]])
        static let growing = CreditProgram(
            name: "grow | wait 1 | wait 1", leased: [1],
            threads: [[.resize(3)], [.wait(1, as: 1)], [.wait(1, as: 2)]])
        static let shrinkEnds = CreditProgram(
            name: "wait 2 | shrink to 1", capacity: 2, leased: [1], threads: [[.wait(2, as: 1)], [.resize(1)]])
        static let upTo = CreditProgram(
            name: "settle through | settle | drop", capacity: 3, leased: [1, 1, 1],
            threads: [[.settleThrough(1)], [.settle(0)], [.drop(1), .settle(2)]])

        /// Nothing but the cancel can end the wait.
        static let sureCancel = CreditProgram(
            name: "wait, cancelled once it waits", leased: [1],
            threads: [[.wait(1, as: 1)], [.await(0), .cancel(0), .settle(0)]],
            expect: { ModelRuntime.expect($0.has("cancelled"), "\($0.answers)") })
        static let alone = CreditProgram(
            name: "alone: take, refused, settle, take, overspend", capacity: 2,
            threads: [
                [
                    .mustTake(1, as: 0), .mustRefuse(2, as: 1), .mustTake(1, as: 2), .mustRefuse(1, as: 3), .settle(0),
                    .settle(2), .mustTake(2, as: 4), .settle(4), .overspend(1),
                ]
            ])

        static let all = [
            sureCancel, alone, takers, settleOrExpire, extendOrExpire, settleOrDrop, staleAndReused, handOver, bigHead,
            cancelHead,
            timedHead,
            expiryServes, dropServes, closing, draining, drainOff, shrinking, growing, shrinkEnds, upTo,
        ]
    }

    struct CreditBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: CreditProgram

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: CreditProgram
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let state = "CreditState.swift"

    let creditBugs: [CreditBug] = [
        CreditBug(
            "credit overflow: granted without room", state, "decide(room >= atLeast)", .forceTrue,
            in: CreditPrograms.takers),
        CreditBug(
            "a stale name is taken for the new holder's", "CreditTable.swift",
            "decide(slots[index].sequence == key.sequence)", .forceTrue, in: CreditPrograms.staleAndReused),
        CreditBug(
            "a lease ends twice", "CreditTable.swift", "decide(slots[index].sequence == key.sequence)", .forceTrue,
            in: CreditPrograms.settleOrDrop),
        CreditBug(
            "drain not told of the last credit", state, "decide(table.out == 0)", .forceFalse,
            in: CreditPrograms.draining),
        CreditBug(
            "drain ends early", state, "decide(table.out == 0)", .forceTrue,
            in: CreditProgram(
                name: "drain | settle", leased: [1], threads: [[.drain], [.settle(0)]],
                expect: { bench in
                    let isOut = bench.window.snapshot().out > 0
                    ModelRuntime.expect(!(isOut && bench.has("drained")), "drained while a credit is out")
                    ModelRuntime.expect(!bench.drainedEarly, "drained before the credit was back")
                })),
        CreditBug(
            "granted while drained", state, "decide(phase == .open)", .forceTrue,
            in: CreditProgram(
                name: "drain | take", threads: [[.drain, .take(1, as: 0)], [.take(1, as: 1), .settle(1)]],
                expect: { ModelRuntime.expect(!$0.has("got 0"), "granted after the drain") })),
        CreditBug(
            "a newcomer passes who waits", state, "decide(grantees.isEmpty)", .forceTrue,
            in: CreditProgram(
                name: "wait 2 | take 1, settle | settle", capacity: 2, leased: [1, 1],
                threads: [[.wait(2, as: 2), .settle(2)], [.settle(0), .take(1, as: 3), .settle(3)], [.settle(1)]],
                expect: { ModelRuntime.expect(!$0.passedWaiter, "a newcomer passed") })),
        CreditBug(
            "a cancel ends a wait that is over", "CreditCore.swift", "decide(waiter.pointer.pointee.list != 0)",
            .forceTrue,
            in: CreditProgram(
                name: "wait | cancel it | settle", leased: [1],
                threads: [[.wait(1, as: 1)], [.cancel(0)], [.settle(0)]])),
        CreditBug(
            "wake dropped", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)", .skip,
            in: CreditPrograms.handOver),
        CreditBug(
            "grant not ordered before the wake", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)",
            .relaxed, in: CreditPrograms.handOver),
    ]

    @Suite(.serialized) struct CreditModelTests {
        @Test(arguments: CreditPrograms.all)
        func holdsInEverySchedule(_ program: CreditProgram) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: creditBugs)
        func plantedBugIsFound(_ bug: CreditBug) {
            let sound = Explorer.explore(bug.program.model)
            #expect(sound.exhausted, "the program fails without the bug: \(sound)")
            let exploration = Explorer.explore(bug.program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
