// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The adaptive limiter and the circuit breaker in every schedule: in flight never exceeds the limit, half-open never its
// quota, nobody is left waiting, and the algorithm has one owner at a time.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    // MARK: - The limiter

    enum AdmissionOp: Sendable {
        /// Waits if need be, and settles.
        case use
        /// As `use`, and it is an error if it was not admitted.
        case mustUse
        /// As `use`, and it is an error if it was.
        case mustFail
        /// Does not wait.
        case tryUse
        case replace(Int)
        case cancel(Int)
        /// Waits until that thread waits.
        case await(Int)
        /// Waits until somebody has entered by `enter`.
        case awaitEnter
        /// Enters without waiting, and stays until `leave`.
        case enter
        case leave
        /// As `enter`, and it is an error if it was admitted.
        case mustRefuse
        /// The limit that is in force.
        case limitIs(Int)
        /// Closed, with one call left: who waits for the last one is told when it leaves, and not before.
        case leaveLast
        case close
    }

    /// An algorithm whose memory is plain: two threads in it at once are a data race.
    struct PlainLimit: ConcurrencyLimit {
        nonisolated(unsafe) let word: UnsafeMutableRawPointer
        var limit: Int

        mutating func update(_ sample: LimitSample) {
            PlainAccess.write(word)
            limit = limit == 1 ? 2 : 1
            PlainAccess.write(word)
        }
    }

    final class AdmissionBench: @unchecked Sendable {
        let core: AdmissionCore
        private let clock = ModelClock()
        private let places = WaitPlaces()
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 24, alignment: 8)
        /// Whether the limit never falls during the run, so that what runs can be compared with it.
        private let isComparable: Bool

        init(limit: Int, waiterLimit: Int, isLearning: Bool, isComparable: Bool) {
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 24)
            self.isComparable = isComparable
            let algorithm: any ConcurrencyLimit =
                isLearning ? PlainLimit(word: memory + 8, limit: limit) : FixedLimit(limit)
            core = AdmissionCore(
                algorithm, name: nil, shares: [AdmissionShare(share: 0, reserved: 0)], order: .fifo,
                waiterLimit: waiterLimit, maximumWait: nil, codel: nil,
                // Every second call that took its time ends a window.
                window: SampleWindow(leastLength: 0, greatestLength: 0, leastCount: 1), timeSource: TimeSource(clock))
            clock.set(10)
        }

        deinit { memory.deallocate() }

        func run(_ operation: AdmissionOp, by me: Int) {
            switch operation {
            case .use: _ = use(me)
            case .mustUse: ModelRuntime.expect(use(me), "a call was turned away")
            case .mustFail: ModelRuntime.expect(!use(me), "a call was admitted")
            case .tryUse:
                if case .entered = core.enter(0, now: 10, deadline: .max, mayWait: false) { hold() }
            case .replace(let limit): core.replace(FixedLimit(limit))
            case .cancel(let other): places.cancel(other, in: core)
            case .await(let other): places.await(other)
            case .awaitEnter: ModelRuntime.park(on: memory + 16, while: { $0 == 0 })
            case .enter:
                guard case .entered = core.enter(0, now: 10, deadline: .max, mayWait: false) else {
                    ModelRuntime.fail("a place was there, and refused")
                }
                ModelRuntime.atomicStore(memory + 16, 1, .releasing)
            case .leave: core.settle(0, began: 5, .success)
            case .mustRefuse:
                if case .entered = core.enter(0, now: 10, deadline: .max, mayWait: false) {
                    ModelRuntime.fail("there was no place, and one was given")
                }
            case .leaveLast:
                guard let waiter = core.watchDrain() else { ModelRuntime.fail("drained, and a call runs") }
                core.settle(0, began: 5, .success)
                ModelRuntime.expect(!waiter.park(SleepingTask(bits: 1000)), "nobody was told of the last call")
                ModelRuntime.expect(core.conclude(waiter) == nil, "the wait for the last call was not granted")
            case .limitIs(let limit):
                let now = core.state.withLock { $0.books.limit }
                ModelRuntime.expect(now == limit, "the limit is \(now), not \(limit)")
            case .close: _ = core.close()
            }
        }

        /// Whether the call was admitted.
        private func use(_ me: Int) -> Bool {
            switch core.enter(0, now: 10, deadline: .max, mayWait: true) {
            case .entered: break
            case .rejected: return false
            case .waits(let waiter):
                places.sleep(waiter, by: me)
                guard core.conclude(waiter) == nil else { return false }
            }
            hold()
            return true
        }

        /// Counted by itself, against the limit that was in force at any time.
        private func hold() {
            let before = ModelRuntime.atomicFetchAdd(memory, 1, .acquiringAndReleasing)
            ModelRuntime.expect(before < 2, "\(before + 1) run at once")
            if isComparable {
                let limit = core.state.withLock { $0.books.limit }
                ModelRuntime.expect(before < UInt64(limit), "\(before + 1) run, the limit is \(limit)")
            }
            _ = ModelRuntime.atomicFetchAdd(memory, ~0, .acquiringAndReleasing)
            core.settle(0, began: 5, .success)
        }

        func check() {
            core.state.withLock { state in
                ModelRuntime.expect(state.books.total == 0, "\(state.books.total) places are taken by nobody")
                ModelRuntime.expect(state.waiting == 0, "somebody still waits")
                ModelRuntime.expect(!state.isLearning, "the algorithm is claimed by nobody")
            }
        }
    }

    struct AdmissionProgram: Sendable, CustomStringConvertible {
        let name: String
        var limit = 1
        var waiterLimit = 3
        var isLearning = false
        var isShrinking = false
        /// What the limit is in the end, if that does not depend on the schedule.
        var lastLimit: Int?
        let threads: [[AdmissionOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: {
                    AdmissionBench(
                        limit: this.limit, waiterLimit: this.waiterLimit, isLearning: this.isLearning,
                        isComparable: !this.isLearning && !this.isShrinking)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { bench in
                    bench.check()
                    if let limit = this.lastLimit { bench.run(.limitIs(limit), by: 0) }
                })
        }

        static let pair = AdmissionProgram(name: "limit 1: use | use", threads: [[.mustUse], [.mustUse]])
        static let sharing = AdmissionProgram(name: "limit 1: use | tryUse", threads: [[.use], [.tryUse]])
        static let bounded = AdmissionProgram(
            name: "limit 1, nobody may wait: use | use", waiterLimit: 0, threads: [[.use], [.use]])
        static let swapping = AdmissionProgram(
            name: "limit 1: use | use | replace by 2", threads: [[.use], [.use], [.replace(2)]])
        static let shrinking = AdmissionProgram(
            name: "limit 2: use | use | replace by 1", limit: 2, isShrinking: true,
            threads: [[.use], [.use], [.replace(1)]])
        static let cancelling = AdmissionProgram(
            name: "limit 1: use | use | cancel it", threads: [[.use], [.use], [.cancel(1)]])
        static let closing = AdmissionProgram(
            name: "limit 1: use | use | close, use", threads: [[.use], [.use], [.close, .mustFail]])
        static let learning = AdmissionProgram(
            name: "learning: use, use | use, use", limit: 2, isLearning: true, threads: [[.use, .use], [.use, .use]])
        static let relearning = AdmissionProgram(
            name: "learning: use, use | replace", limit: 1, isLearning: true, threads: [[.use, .use], [.replace(2)]])

        /// What the former algorithm learns while it is replaced is of no use.
        static let replacing = AdmissionProgram(
            name: "learning: use, use | replace by 3", limit: 1, isLearning: true, lastLimit: 3,
            threads: [[.use, .use], [.replace(3)]])
        /// Nothing but the cancel can end the wait.
        static let sureCancel = AdmissionProgram(
            name: "limit 1: enter, cancel who waits | use",
            threads: [[.enter, .await(1), .cancel(1), .leave], [.awaitEnter, .mustFail]])
        static let alone = AdmissionProgram(
            name: "limit 1, nobody may wait: alone", waiterLimit: 0,
            threads: [[.enter, .mustRefuse, .mustFail, .leave, .enter, .close, .mustFail, .leaveLast]])
        static let learningAlone = AdmissionProgram(
            name: "learning: alone", limit: 2, isLearning: true,
            threads: [[.enter, .leave, .limitIs(2), .enter, .leave, .limitIs(1), .enter, .leave, .limitIs(2)]])

        static let all = [
            pair, sharing, bounded, swapping, shrinking, cancelling, closing, learning, relearning, replacing,
            sureCancel,
            alone, learningAlone,
        ]
    }

    // MARK: - The breaker

    enum BreakerOp: Sendable {
        case call(BreakerOutcome)
        case clock(Int64)
        case transition(BreakerState)
        /// A call that was let through before the breaker opened reports.
        case late(BreakerOutcome)
        /// A call that never reports.
        case lose
        /// As `call`, and it is an error if it was turned away.
        case mustPass(BreakerOutcome)
        /// It is an error if a call is let through.
        case mustReject
        case stateIs(BreakerState)
    }

    /// A breaker that has just opened; half-open lets one call through.
    final class BreakerBench: @unchecked Sendable {
        let breaker: CircuitBreaker
        private var early: CircuitBreaker.Permit?
        private let clock = ModelClock()
        private let running = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

        private let quota: Int
        /// Calls that were let through and never report.
        private var lost: CircuitBreaker.Permit?

        init(quota: Int, wait: Int64?) {
            self.quota = quota
            running.storeBytes(of: 0, as: UInt64.self)
            var rules = BreakerRules()
            rules.window = .calls(quota)
            rules.minimumCalls = quota
            rules.halfOpenCalls = quota
            rules.openDelay = .constant(.nanoseconds(100))
            rules.halfOpenWait = wait.map { .nanoseconds($0) }
            breaker = CircuitBreaker(rules: rules, clock: clock)
            early = try? breaker.begin()
            breaker.transition(to: .open)
            clock.set(100)
        }

        deinit { running.deallocate() }

        func run(_ operation: BreakerOp, isBounded: Bool) {
            switch operation {
            case .clock(let now): clock.set(now)
            case .transition(let state): breaker.transition(to: state)
            case .late(let outcome): early.take()?.report(outcome)
            case .lose:
                if let permit = try? breaker.begin() { lost = consume permit }
            case .mustPass(let outcome):
                guard let permit = try? breaker.begin() else { ModelRuntime.fail("a call was turned away") }
                permit.report(outcome)
            case .mustReject:
                guard let permit = try? breaker.begin() else { return }
                permit.report(.ignored)
                ModelRuntime.fail("a call was let through")
            case .stateIs(let state): ModelRuntime.expect(breaker.state == state, "it is \(breaker.state.rawValue)")
            case .call(let outcome):
                guard let permit = try? breaker.begin() else { return }
                let before = ModelRuntime.atomicFetchAdd(running, 1, .acquiringAndReleasing)
                ModelRuntime.expect(!isBounded || before < UInt64(quota), "\(before + 1) calls run half-open")
                _ = ModelRuntime.atomicFetchAdd(running, ~0, .acquiringAndReleasing)
                permit.report(outcome)
            }
        }

        /// Whatever happened: in the end a call gets through.
        func check() {
            // A verdict that never comes ends half-open, and the delay after that ends open.
            for now: Int64 in [1_000, 2_000] {
                clock.set(now)
                for _ in 0..<quota {
                    if let permit = try? breaker.begin() { permit.succeed() }
                }
            }
            breaker.machine.withLock { machine in
                ModelRuntime.expect(machine.state == .closed, "a good call left it \(machine.state.rawValue)")
            }
        }
    }

    struct BreakerProgram: Sendable, CustomStringConvertible {
        let name: String
        /// Whether it never closes during the run, so that never more than one call runs.
        var isBounded = true
        var quota = 1
        var wait: Int64?
        let threads: [[BreakerOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name, setup: { BreakerBench(quota: this.quota, wait: this.wait) },
                threads: threads.map { operations in
                    { bench in for operation in operations { bench.run(operation, isBounded: this.isBounded) } }
                },
                check: { $0.check() })
        }

        static let probes = BreakerProgram(
            name: "half-open: fail | fail | fail",
            threads: [[.call(.failure())], [.call(.failure())], [.call(.failure())]])
        static let ignored = BreakerProgram(
            name: "half-open: ignore, fail | ignore, fail",
            threads: [[.call(.ignored), .call(.failure())], [.call(.ignored), .call(.failure())]])
        static let healing = BreakerProgram(
            name: "half-open: succeed | succeed, fail", isBounded: false,
            threads: [[.call(.success)], [.call(.success), .call(.failure())]])
        static let byHand = BreakerProgram(
            name: "half-open: fail, fail | half-open by hand", isBounded: false,
            threads: [[.call(.failure()), .call(.success)], [.transition(.halfOpen)]])

        static let late = BreakerProgram(
            name: "half-open: fail | fail | ignored, late",
            threads: [[.call(.failure())], [.call(.failure())], [.late(.ignored)]])

        static let twoProbes = BreakerProgram(
            name: "half-open, 2: fail | fail | fail", quota: 2,
            threads: [[.call(.failure())], [.call(.failure())], [.call(.failure())]])
        static let twoProbesIgnored = BreakerProgram(
            name: "half-open, 2: ignore, fail | ignore, fail | fail", quota: 2,
            threads: [[.call(.ignored), .call(.failure())], [.call(.ignored)], [.call(.failure())]])
        static let twoProbesMixed = BreakerProgram(
            name: "half-open, 2: succeed | fail | fail, late", quota: 2,
            threads: [[.call(.success)], [.call(.failure())], [.call(.failure()), .late(.success)]])
        static let lost = BreakerProgram(
            name: "half-open: lost | clock, fail | fail", isBounded: false, wait: 50,
            threads: [[.lose], [.clock(200), .call(.failure())], [.call(.failure())]])
        static let lostOfTwo = BreakerProgram(
            name: "half-open, 2: lost | succeed | clock, fail", isBounded: false, quota: 2, wait: 50,
            threads: [[.lose], [.call(.success)], [.clock(200), .call(.failure())]])

        static let aloneOpen = BreakerProgram(
            name: "alone: open until its delay has passed", isBounded: false,
            threads: [
                [.transition(.open), .clock(199), .mustReject, .clock(200), .mustPass(.success), .stateIs(.closed)]
            ])
        static let aloneHalfOpen = BreakerProgram(
            name: "alone: half-open until its wait is over", wait: 50,
            threads: [
                [.lose, .clock(149), .mustReject, .stateIs(.halfOpen), .clock(150), .mustReject, .stateIs(.open)]
            ])

        static let all = [
            aloneOpen, aloneHalfOpen, probes, ignored, healing, byHand, late, twoProbes, twoProbesIgnored,
            twoProbesMixed, lost, lostOfTwo,
        ]
    }

    // MARK: - Planted bugs

    struct OverloadBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let model: Model
    }

    private let core = "AdmissionCore.swift"
    private let machine = "BreakerMachine.swift"

    let overloadBugs: [OverloadBug] = [
        OverloadBug(
            description: "more than the limit",
            mutation: Mutation(file: core, snippet: "decide(state.books.mayEnter(index))", .forceTrue),
            model: AdmissionProgram.sharing.model),
        OverloadBug(
            description: "nobody may wait",
            mutation: Mutation(file: core, snippet: "decide(state.lists[index].count < waiterLimit)", .forceFalse),
            model: AdmissionProgram.pair.model),
        OverloadBug(
            description: "a cancel ends a wait that is over",
            mutation: Mutation(file: core, snippet: "decide(waiter.pointer.pointee.list != 0)", .forceTrue),
            model: AdmissionProgram.cancelling.model),
        OverloadBug(
            description: "waits on a closed limiter",
            mutation: Mutation(file: core, snippet: "decide(!state.isClosed)", .forceTrue),
            model: AdmissionProgram.closing.model),
        OverloadBug(
            description: "two threads run the algorithm",
            mutation: Mutation(file: core, snippet: "decide(!state.isLearning)", .forceTrue),
            model: AdmissionProgram.learning.model),
        OverloadBug(
            description: "more than the quota half-open",
            mutation: Mutation(
                file: machine, snippet: "decide(running + window.tally.calls < rules.halfOpenCalls)", .forceTrue),
            model: BreakerProgram.probes.model),
        OverloadBug(
            description: "more than a quota of two",
            mutation: Mutation(
                file: machine, snippet: "decide(running + window.tally.calls < rules.halfOpenCalls)", .forceTrue),
            model: BreakerProgram.twoProbes.model),
        OverloadBug(
            description: "half-open for ever",
            mutation: Mutation(
                file: machine, snippet: "decide(now.subtractingSaturating(since) >= halfOpenWait)", .forceFalse),
            model: BreakerProgram.lost.model),
        OverloadBug(
            description: "late results count",
            mutation: Mutation(file: machine, snippet: "decide(generation == self.generation)", .forceTrue),
            model: BreakerProgram.late.model),
        OverloadBug(
            description: "results do not count",
            mutation: Mutation(file: machine, snippet: "decide(generation == self.generation)", .forceFalse),
            model: BreakerProgram.healing.model),
        OverloadBug(
            description: "open for ever",
            mutation: Mutation(file: machine, snippet: "decide(now >= until)", .forceFalse),
            model: BreakerProgram.probes.model),
    ]

    @Suite(.serialized) struct OverloadModelTests {
        @Test(arguments: AdmissionProgram.all)
        func theLimiterHoldsInEverySchedule(_ program: AdmissionProgram) {
            expectHolds(program.model)
        }

        @Test(arguments: BreakerProgram.all)
        func theBreakerHoldsInEverySchedule(_ program: BreakerProgram) {
            expectHolds(program.model)
        }

        private func expectHolds(_ model: Model) {
            let exploration = Explorer.explore(model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: overloadBugs)
        func plantedBugIsFound(_ bug: OverloadBug) {
            let exploration = Explorer.explore(bug.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.model)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
