// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The partitioned bulkhead in every schedule: never more than the ceiling, a guaranteed place is there whenever it is asked
// for, nobody is left waiting, also while ceiling and shares change; and bugs planted one at a time, each found.
//
// `use` repeats the few lines of `PartitionCore.enterSlow` that suspend; all else is the shipped code, which verifies its
// own invariants at every unlock.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    enum PartitionOp: Sendable {
        /// Enters this partition, waiting if need be, and leaves.
        case use(Int)
        /// As `use`, and it is an error if it was turned away.
        case mustUse(Int)
        /// As `use`, and it is an error if it was not.
        case mustFail(Int)
        /// Enters without waiting, and leaves.
        case tryUse(Int)
        /// As `tryUse`, and it is an error if it was turned away: the place is guaranteed.
        case mustTry(Int)
        case resize(Int)
        case setShare(Int, of: Int)
        case cancel(Int)
        /// Waits until that thread waits.
        case await(Int)
        /// Waits until somebody has entered by `enter`.
        case awaitEnter
        /// Enters without waiting, and stays until `leave`.
        case enter(Int)
        case leave(Int)
        case clock(Int64)
        case timerRings
        case close
    }

    final class PartitionBench: @unchecked Sendable {
        let core: PartitionCore
        private let clock = ModelClock()
        private let places = WaitPlaces()
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 8)
        /// The greatest limit of the program.
        private let ceiling: Int
        // Bookkeeping of the model: the threads are fibres of one OS thread, so no step is between.
        private var limit: Int
        private var changes = 0
        private var isChanging = false
        private var running: [Int]

        init(_ program: PartitionProgram) {
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 16)
            ceiling = program.ceiling
            limit = program.limit
            running = Array(repeating: 0, count: program.shares.count)
            core = PartitionCore(
                name: "model", limit: program.limit, shares: program.shares, waiterLimit: program.waiterLimit,
                maximumWait: program.patience.map { .nanoseconds($0) }, timeSource: TimeSource(clock))
            // The timer of a model is a thread of the model, not a task.
            core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
        }

        deinit { memory.deallocate() }

        func run(_ operation: PartitionOp, by me: Int) {
            switch operation {
            case .use(let index): _ = use(index, me)
            case .mustUse(let index): ModelRuntime.expect(use(index, me), "a call was turned away")
            case .mustFail(let index): ModelRuntime.expect(!use(index, me), "a call was admitted")
            case .tryUse(let index): _ = tryUse(index)
            case .mustTry(let index): ModelRuntime.expect(tryUse(index), "a guaranteed place was not there")
            case .resize(let limit):
                change {
                    core.resize(to: limit)
                } after: {
                    self.limit = limit
                }
            case .setShare(let share, let index): core.setShare(share, of: index)
            case .cancel(let other): places.cancel(other, in: core)
            case .enter(let index):
                guard case .entered = core.enter(index, times: nil) else {
                    ModelRuntime.fail("a place was there, and refused")
                }
                ModelRuntime.atomicStore(memory + 8, 1, .releasing)
            case .leave(let index): core.leave(index)
            case .await(let other): places.await(other)
            case .awaitEnter: ModelRuntime.park(on: memory + 8, while: { $0 == 0 })
            case .clock(let now): clock.set(now)
            case .timerRings: _ = core.timerRang(generation: .max)
            case .close: _ = core.close()
            }
        }

        private func change(_ body: () -> Void, after: () -> Void) {
            isChanging = true
            body()
            after()
            isChanging = false
            changes += 1
        }

        private func tryUse(_ index: Int) -> Bool {
            let age = isChanging ? -1 : changes
            guard case .entered = core.enter(index, times: nil) else { return false }
            hold(index, age)
            return true
        }

        /// Whether the call was admitted.
        private func use(_ index: Int, _ me: Int) -> Bool {
            let age = isChanging ? -1 : changes
            let times = core.timeSource.waitTimes(core.maximumWait.map(WaitLimit.timeout) ?? .none)
            switch core.enter(index, times: times) {
            case .entered: break
            case .rejected: return false
            case .waits(let waiter):
                places.sleep(waiter, by: me)
                guard core.conclude(waiter) == nil else { return false }
            }
            hold(index, age)
            return true
        }

        /// Counted by itself; what runs here has entered, and has not left yet.
        private func hold(_ index: Int, _ age: Int) {
            running[index] += 1
            let total = running.reduce(0, +)
            ModelRuntime.expect(total <= ceiling, "\(total) run at once")
            if age == changes, !isChanging {
                ModelRuntime.expect(total <= limit, "\(total) run, the limit is \(limit)")
            }
            // A step of the model: others see this one run.
            _ = ModelRuntime.atomicFetchAdd(memory, 1, .acquiringAndReleasing)
            running[index] -= 1
            core.leave(index)
        }

        func check() {
            core.state.withLock { state in
                ModelRuntime.expect(state.books.total == 0, "\(state.books.total) places are taken by nobody")
                ModelRuntime.expect(
                    state.books.committed == state.books.guaranteed,
                    "\(state.books.committed) committed, \(state.books.guaranteed) guaranteed")
                ModelRuntime.expect(
                    state.lists.allSatisfy(\.isEmpty) && state.deadlines.isEmpty
                        && state.books.partitions.allSatisfy { $0.waiting == 0 }, "somebody still waits")
            }
        }
    }

    /// Partition 0 has a guaranteed place unless the program says otherwise.
    struct PartitionProgram: Sendable, CustomStringConvertible {
        let name: String
        var limit = 1
        var shares = [1, 0]
        var waiterLimit = 3
        /// Of every wait.
        var patience: Int64?
        let threads: [[PartitionOp]]

        var description: String { name }

        var ceiling: Int {
            threads.joined().reduce(limit) { most, operation in
                if case .resize(let limit) = operation { max(most, limit) } else { most }
            }
        }

        var model: Model {
            let this = self
            return Model(
                name, setup: { PartitionBench(this) },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { $0.check() })
        }

        static let pair = PartitionProgram(
            name: "1 place, nobody's: use 0 | use 1", shares: [0, 0], threads: [[.mustUse(0)], [.mustUse(1)]])
        static let three = PartitionProgram(
            name: "1 place, nobody's: use 0 | use 0 | use 1", shares: [0, 0],
            threads: [[.mustUse(0)], [.mustUse(0)], [.mustUse(1)]])
        static let guaranteed = PartitionProgram(
            name: "2 places, 1 of them 0's: try 0 | use 1 | use 1", limit: 2,
            threads: [[.mustTry(0), .mustTry(0)], [.mustUse(1)], [.mustUse(1)]])
        static let bothShares = PartitionProgram(
            name: "2 places, 1 each: try 0 | try 1 | try 2", limit: 2, shares: [1, 1, 0],
            threads: [[.mustTry(0)], [.mustTry(1)], [.tryUse(2)]])
        static let ceilinged = PartitionProgram(
            name: "2 places, 1 of them 0's: use 0 | use 0, try 0 | use 1", limit: 2,
            threads: [[.mustUse(0)], [.mustUse(0), .tryUse(0)], [.mustUse(1)]])
        static let bounded = PartitionProgram(
            name: "1 place, nobody may wait: use 0 | use 1", shares: [0, 0], waiterLimit: 0,
            threads: [[.use(0)], [.use(1)]])
        static let growing = PartitionProgram(
            name: "1 place, 0's: use 1 | grow to 2", threads: [[.mustUse(1)], [.resize(2)]])
        static let growingUnderLoad = PartitionProgram(
            name: "1 place, 0's: use 0 | use 1 | grow to 2",
            threads: [[.mustTry(0)], [.mustUse(1)], [.resize(2)]])
        static let shrinking = PartitionProgram(
            name: "2 places, nobody's: use 0 | use 1 | shrink to 1, try 0", limit: 2, shares: [0, 0],
            threads: [[.mustUse(0)], [.mustUse(1)], [.resize(1), .tryUse(0)]])
        static let shrinkingUnderShare = PartitionProgram(
            name: "2 places, 1 of them 0's: use 1 | shrink to 1, try 0, grow to 2", limit: 2,
            threads: [[.mustUse(1)], [.resize(1), .tryUse(0), .resize(2)]])
        static let swinging = PartitionProgram(
            name: "2 places, 1 of them 0's: use 1 | try 0 | shrink to 1, grow to 2", limit: 2,
            threads: [[.mustUse(1)], [.tryUse(0)], [.resize(1), .resize(2)]])
        static let sharing = PartitionProgram(
            name: "1 place: use 0 | use 1 | it becomes 0's, then nobody's", shares: [0, 0],
            threads: [[.mustUse(0)], [.mustUse(1)], [.setShare(1, of: 0), .setShare(0, of: 0)]])
        static let granting = PartitionProgram(
            name: "2 places: use 1 | use 1 | 1 becomes 0's, try 0", limit: 2, shares: [0, 0],
            threads: [[.mustUse(1)], [.mustUse(1)], [.setShare(1, of: 0), .tryUse(0)]])
        static let cancelling = PartitionProgram(
            name: "1 place: use 0 | use 1 | cancel 1's", shares: [0, 0],
            threads: [[.mustUse(0)], [.use(1)], [.cancel(1)]])
        static let timing = PartitionProgram(
            name: "1 place: use 0 | use 1, for a time | clock, timer", shares: [0, 0], patience: 5,
            threads: [[.use(0)], [.use(1)], [.clock(5), .timerRings]])
        static let closing = PartitionProgram(
            name: "1 place: use 0 | use 1 | close, use 0", shares: [0, 0],
            threads: [[.use(0)], [.use(1)], [.close, .mustFail(0)]])
        static let closingAndGrowing = PartitionProgram(
            name: "1 place, 0's: use 1 | close | grow to 2", threads: [[.use(1)], [.close], [.resize(2)]])

        /// Nothing but the cancel can end the wait.
        static let sureCancel = PartitionProgram(
            name: "1 place: enter, cancel who waits | use 1", shares: [0, 0],
            threads: [[.enter(0), .await(1), .cancel(1), .leave(0)], [.awaitEnter, .mustFail(1)]])
        static let alone = PartitionProgram(
            name: "1 place, nobody may wait: alone", shares: [0, 0], waiterLimit: 0,
            threads: [[.enter(0), .mustFail(0), .mustFail(1), .leave(0), .mustTry(1)]])

        static let all = [
            sureCancel, alone, pair, three, guaranteed, bothShares, ceilinged, bounded, growing, growingUnderLoad,
            shrinking,
            shrinkingUnderShare, swinging, sharing, granting, cancelling, timing, closing, closingAndGrowing,
        ]
    }

    struct PartitionBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: PartitionProgram

        private init(
            _ name: String, _ file: String, _ snippet: String, _ effect: Mutation.Effect, in program: PartitionProgram
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, effect)
            self.program = program
        }

        private static let core = "PartitionCore.swift"
        private static let books = "PartitionBooks.swift"

        static let all = [
            PartitionBug(
                "more than the ceiling after it was lowered", books,
                "guard decide(total < limit) else { return false }", .forceTrue, in: .shrinkingUnderShare),
            PartitionBug(
                "a guaranteed place is given to others", books, "return decide(committed < limit)", .forceTrue,
                in: .guaranteed),
            PartitionBug(
                "a guaranteed place is kept from its owner", books, "decide(isReserved(index))", .forceFalse,
                in: .bothShares),
            PartitionBug(
                "a waiter gets a place that is guaranteed to others", books, "let hasCommon = decide(", .forceTrue,
                in: .guaranteed),
            PartitionBug(
                "a place that comes free is given to nobody", books, "guard decide(total < limit) else { return nil }",
                .forceFalse, in: .pair),
            PartitionBug(
                "a place of the raised ceiling is given to nobody", books, "let hasCommon = decide(", .forceFalse,
                in: .growing),
            PartitionBug(
                "anybody enters", core, "decide(state.books.mayEnter(index))", .forceTrue, in: .pair),
            PartitionBug(
                "nobody may wait", core, "decide(state.lists[index].count < waiterLimit)", .forceFalse, in: .pair),
            PartitionBug(
                "a cancel ends a wait that is over", core, "decide(waiter.pointer.pointee.list != 0)", .forceTrue,
                in: .cancelling),
            PartitionBug(
                "waits on a closed bulkhead", core, "decide(!state.isClosed)", .forceTrue, in: .closing),
        ]
    }

    @Suite(.serialized) struct PartitionModelTests {
        @Test(arguments: PartitionProgram.all)
        func holdsInEverySchedule(_ program: PartitionProgram) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: PartitionBug.all)
        func plantedBugIsFound(_ bug: PartitionBug) {
            let exploration = Explorer.explore(bug.program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
