// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What callers of overload control share, in every schedule: a retry budget is never overdrawn, everybody gets the same
// breaker for a key, and a bucket ends with the rate of the controller's present answer.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    // MARK: - The budget

    enum BudgetOp: Sendable {
        case request
        /// A retry, if there is one, that ends at once.
        case retry
        /// As `retry`, and it is an error if there is none.
        case mustRetry
        case record(isAnswered: Bool)
        case clock(Int64)
    }

    final class BudgetBench: @unchecked Sendable {
        let budget: RetryBudget
        private let clock = ModelClock()
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
        private let program: BudgetProgram
        private var retries = 0
        private var requests = 0
        private var running = 0

        init(_ program: BudgetProgram) {
            self.program = program
            memory.storeBytes(of: 0, as: UInt64.self)
            budget = RetryBudget(
                ratio: program.ratio, minimumPerSecond: 0, window: .seconds(1),
                concurrentShare: program.atOnce == nil ? nil : 0, concurrentMinimum: program.atOnce ?? 0,
                tokens: program.tokens, clock: clock)
        }

        deinit { memory.deallocate() }

        func run(_ operation: BudgetOp) {
            switch operation {
            case .request:
                requests += 1
                budget.beginRequest()
            case .retry:
                guard budget.tryBeginRetry() else { return }
                retries += 1
                running += 1
                ModelRuntime.expect(
                    Double(retries) <= program.ratio * Double(requests), "\(retries) retries of \(requests) requests")
                ModelRuntime.expect(running <= program.atOnce ?? .max, "\(running) retries run")
                _ = ModelRuntime.atomicFetchAdd(memory, 1, .acquiringAndReleasing)
                running -= 1
                budget.endRetry()
            case .mustRetry:
                let before = retries
                run(.retry)
                ModelRuntime.expect(retries == before + 1, "a retry was there, and refused")
            case .record(let isAnswered): budget.record(isAnswered: isAnswered)
            case .clock(let now): clock.set(now)
            }
        }

        func check() {
            let snapshot = budget.snapshot()
            ModelRuntime.expect(snapshot.runningRetries == 0, "\(snapshot.runningRetries) retries are left")
            ModelRuntime.expect(snapshot.retries == retries, "\(retries) retries were made, counted: \(snapshot)")
            if let most = program.most { ModelRuntime.expect(retries <= most, "\(retries) retries, not \(most)") }
        }
    }

    struct BudgetProgram: Sendable, CustomStringConvertible {
        let name: String
        var ratio = 1.0
        var atOnce: Int?
        var tokens: RetryTokens?
        var most: Int?
        let threads: [[BudgetOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name, setup: { BudgetBench(this) },
                threads: threads.map { operations in { bench in for operation in operations { bench.run(operation) } }
                },
                check: { $0.check() })
        }

        static let ratio = BudgetProgram(
            name: "a retry for each request: request, retry | retry | retry",
            threads: [[.request, .retry], [.retry], [.retry]])
        static let half = BudgetProgram(
            name: "one for two: request, retry | request, retry | retry", ratio: 0.5,
            threads: [[.request, .retry], [.request, .retry], [.retry]])
        static let atOnce = BudgetProgram(
            name: "one at once: retry, retry | retry | retry", ratio: 9, atOnce: 1,
            threads: [[.request, .retry, .retry], [.retry], [.retry]])
        static let spent = BudgetProgram(
            name: "tokens: request, fail, retry | fail, retry", ratio: 9, tokens: RetryTokens(maximum: 2, ratio: 1),
            most: 0,
            threads: [[.request, .record(isAnswered: false), .retry], [.record(isAnswered: false), .retry]])

        static let alone = BudgetProgram(
            name: "alone: request x2, retry, answered, retry", ratio: 1, atOnce: 1,
            tokens: RetryTokens(maximum: 2, ratio: 1),
            threads: [[.request, .request, .mustRetry, .record(isAnswered: true), .mustRetry, .retry]])

        static let all = [ratio, half, atOnce, spent, alone]
    }

    // MARK: - The registry

    final class RegistryBench: @unchecked Sendable {
        let breakers: CircuitBreakerRegistry<Int>
        private var found: [Int: ObjectIdentifier] = [:]
        private let isUnique: Bool

        init(capacity: Int, isUnique: Bool) {
            breakers = CircuitBreakerRegistry(capacity: capacity, clock: ModelClock())
            self.isUnique = isUnique
        }

        func ask(_ key: Int) {
            let breaker = breakers.breaker(for: key)
            if isUnique, let former = found[key] {
                ModelRuntime.expect(former == ObjectIdentifier(breaker), "two breakers for one key")
            }
            found[key] = ObjectIdentifier(breaker)
        }

        func check() {
            breakers.state.withLock { state in
                ModelRuntime.expect(state.holds(capacity: breakers.capacity), "the order of use is broken")
            }
        }
    }

    struct RegistryProgram: Sendable, CustomStringConvertible {
        let name: String
        var capacity = 4
        let threads: [[Int]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name, setup: { RegistryBench(capacity: this.capacity, isUnique: this.capacity > 2) },
                threads: threads.map { keys in { bench in for key in keys { bench.ask(key) } } },
                check: { $0.check() })
        }

        static let same = RegistryProgram(name: "breakers: 1, 2 | 1 | 2, 1", threads: [[1, 2], [1], [2, 1]])
        static let full = RegistryProgram(
            name: "two breakers: 1, 2 | 3 | 1", capacity: 2, threads: [[1, 2], [3], [1]])

        static let all = [same, full]
    }

    // MARK: - The controller

    final class ControllerBench: @unchecked Sendable {
        let controller = BackpressureController(clock: ModelClock())
        let first: TokenBucket
        let second: TokenBucket

        init() {
            first = TokenBucket(rate: .perSecond(1_000), burst: 1, clock: ModelClock())
            second = TokenBucket(rate: .perSecond(1_000), burst: 1, clock: ModelClock())
            controller.drive(first, normally: .perSecond(1_000))
        }

        func check(_ isBothDriven: Bool) {
            let expected = Rate.perSecond(1_000).scaled(permille: Int(controller.signal.factor * 1_000))
            for bucket in isBothDriven ? [first, second] : [first] {
                ModelRuntime.expect(
                    bucket.rate == expected, "\(bucket.rate) is in force while the answer is \(controller.signal)")
            }
        }
    }

    struct ControllerProgram: Sendable, CustomStringConvertible {
        let name: String
        /// Depths, or nil to drive the second bucket.
        let threads: [[Double?]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name, setup: { ControllerBench() },
                threads: threads.map { depths in
                    { bench in
                        for depth in depths {
                            if let depth {
                                bench.controller.update(PressureReading(depthRatio: depth))
                            } else {
                                bench.controller.drive(bench.second, normally: .perSecond(1_000))
                            }
                        }
                    }
                },
                check: { $0.check(this.threads.joined().contains(nil)) })
        }

        static let two = ControllerProgram(name: "controller: slow | stop", threads: [[0.9], [1]])
        static let back = ControllerProgram(name: "controller: stop, normal | slow", threads: [[1, 0.1], [0.9]])
        static let driving = ControllerProgram(name: "controller: stop | drive", threads: [[1], [nil]])

        static let all = [two, back, driving]
    }

    // MARK: - Tests

    struct SharingBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let model: Model

        private init(
            _ name: String, _ file: String, _ snippet: String, _ effect: Mutation.Effect = .forceTrue, in model: Model
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, effect)
            self.model = model
        }

        static let all = [
            SharingBug(
                "more retries than the ratio", "RetryBudget.swift",
                "decide((tally.retries + 1) * 1_000 <= tally.requests * permille + floor)",
                in: BudgetProgram.ratio.model),
            SharingBug(
                "more retries at once", "RetryBudget.swift", "&& decide(mayRunAtOnce(state))",
                in: BudgetProgram.atOnce.model),
            SharingBug(
                "retries without tokens", "RetryBudget.swift", "&& decide(hasTokens(state))",
                in: BudgetProgram.spent.model),
            SharingBug(
                "a registry without a bound", "CircuitBreakerRegistry.swift", "decide(state.entries.count >= capacity)",
                .forceFalse, in: RegistryProgram.full.model),
            SharingBug(
                "two put answers into force at once", "BackpressureController.swift", "decide(!isApplying)",
                in: ControllerProgram.two.model),
        ]
    }

    @Suite(.serialized) struct SharingModelTests {
        @Test(arguments: BudgetProgram.all)
        func theBudgetHoldsInEverySchedule(_ program: BudgetProgram) { expectHolds(program.model) }

        @Test(arguments: RegistryProgram.all)
        func theRegistryHoldsInEverySchedule(_ program: RegistryProgram) { expectHolds(program.model) }

        @Test(arguments: ControllerProgram.all)
        func theControllerHoldsInEverySchedule(_ program: ControllerProgram) { expectHolds(program.model) }

        private func expectHolds(_ model: Model) {
            let exploration = Explorer.explore(model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: SharingBug.all)
        func plantedBugIsFound(_ bug: SharingBug) {
            let exploration = Explorer.explore(bug.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.model)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
