// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs that the semaphore is explored with. Every program ends in every schedule by its own count, so a model that
// deadlocks is a lost wake-up of the semaphore and not of the program.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// One operation of a thread.
    enum SemaphoreOp: Sendable {
        /// Acquires so many permits, and gives them back.
        case use(Int)
        /// Acquires, and keeps them.
        case take(Int)
        /// Gives back what was acquired last, or what the thread began with.
        case give
        case tryUse(Int)
        /// As `tryUse`, and it is an error if there were too few.
        case mustTry(Int)
        /// As `tryUse`, and it is an error if there were enough.
        case mustRefuse(Int)
        /// As `tryUse(1)`, counted if it passed somebody who waited.
        case tryPass
        case forget
        case restore(Int)
        case resize(Int)
        case close
        case untilDrained
        case cancel(Int)
        case timerRings
        /// The last reference to the semaphore goes.
        case drop
    }

    struct SemaphoreModel: Sendable, CustomStringConvertible {
        var name: String
        var limit = 1
        var fairness = Fairness.fifo
        var order = WaiterOrder.fifo
        var waiterLimit = Int.max
        var deadline = Int64.max
        /// What threads hold from the start.
        var held: [Int: [Int]] = [:]
        var turns: UInt64?
        /// Whether the first swap of an acquisition guesses what the word holds.
        var guesses = false
        var strategy = Strategy.exhaustive
        /// How often tasks yield, if that does not depend on the schedule.
        var yields: Int?
        let threads: [[SemaphoreOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: {
                    SemaphoreBench(
                        limit: this.limit, fairness: this.fairness, order: this.order, waiterLimit: this.waiterLimit,
                        deadline: this.deadline, held: this.held, turns: this.turns, guesses: this.guesses)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { bench in
                    bench.check(bypass: Int(this.fairness.bypass))
                    if let yields = this.yields {
                        ModelRuntime.expect(bench.yields == yields, "\(bench.yields) yields, not \(yields)")
                    }
                    for reason in bench.rejections {
                        ModelRuntime.expect(this.allows(reason), "an acquisition ended with \(reason)")
                    }
                })
        }

        /// Whether there is something in the program that can end an acquisition so.
        private func allows(_ reason: Rejection) -> Bool {
            let operations = threads.joined()
            return switch reason {
            case .closed, .finished: operations.contains { if case .close = $0 { true } else { false } }
            case .cancelled: operations.contains { if case .cancel = $0 { true } else { false } }
            case .timedOut: operations.contains { if case .timerRings = $0 { true } else { false } }
            case .full: waiterLimit < .max
            case .exceedsLimit:
                operations.contains { operation in
                    switch operation {
                    case .resize: true
                    case .use(let count): count > limit
                    default: false
                    }
                }
            default: false
            }
        }
    }

    extension SemaphoreBench {
        func run(_ operation: SemaphoreOp, by me: Int) {
            switch operation {
            case .use(let count): if acquire(count, by: me) { release(by: me) }
            case .take(let count): acquire(count, by: me)
            case .give: release(by: me)
            case .tryUse(let count): if tryAcquire(count, by: me) { release(by: me) }
            case .mustTry(let count):
                let isAcquired = tryAcquire(count, by: me)
                ModelRuntime.expect(isAcquired, "\(count) permits were there, and refused")
                if isAcquired { release(by: me) }
            case .mustRefuse(let count):
                ModelRuntime.expect(!tryAcquire(count, by: me), "\(count) permits were not there, and given")
            case .tryPass: tryPass(by: me)
            case .forget: forget(by: me)
            case .restore(let count): restore(count)
            case .resize(let limit): resize(to: limit)
            case .close: close()
            case .untilDrained: untilDrained(by: me)
            case .cancel(let other): cancelTask(of: other)
            case .timerRings: timerRings()
            case .drop: drop()
            }
        }
    }

    // MARK: - The families

    enum SemaphoreModels {
        private static let modes: [(String, Fairness)] = [
            ("fifo", .fifo), ("eventual 2", .eventual(bypass: 2)),
        ]

        static func inModes(_ model: SemaphoreModel) -> [SemaphoreModel] {
            modes.map { mode, fairness in
                var model = model
                model.name += ", \(mode)"
                model.fairness = fairness
                return model
            }
        }

        private static func all(_ models: [SemaphoreModel]) -> [SemaphoreModel] { models.flatMap(inModes) }

        static let permits = all([
            SemaphoreModel(name: "use | use", threads: [[.use(1)], [.use(1)]]),
            SemaphoreModel(name: "use x2 | use x2", threads: [[.use(1), .use(1)], [.use(1), .use(1)]]),
            SemaphoreModel(name: "use | use | use", threads: [[.use(1)], [.use(1)], [.use(1)]]),
            SemaphoreModel(name: "2: use | use | use", limit: 2, threads: [[.use(1)], [.use(1)], [.use(1)]]),
            SemaphoreModel(
                name: "held: use | give | tryUse", held: [1: [1]], threads: [[.use(1)], [.give], [.tryUse(1)]]),
            SemaphoreModel(name: "held: use | use | give", held: [2: [1]], threads: [[.use(1)], [.use(1)], [.give]]),
            SemaphoreModel(
                name: "2 held: use | use | give, give", limit: 2, held: [2: [1, 1]],
                threads: [[.use(1)], [.use(1)], [.give, .give]]),
            SemaphoreModel(
                name: "2 held: use | give | give", limit: 2, held: [1: [1], 2: [1]],
                threads: [[.use(2)], [.give], [.give]]),
            SemaphoreModel(name: "budget: use x2 | use", turns: 1, threads: [[.use(1), .use(1)], [.use(1)]]),
        ])

        /// The first swap of each acquisition guesses what the word holds, rightly or wrongly.
        static let guessing = guesses([
            SemaphoreModel(name: "use | use", threads: [[.use(1)], [.use(1)]]),
            SemaphoreModel(name: "use x2 | use", threads: [[.use(1), .use(1)], [.use(1)]]),
            SemaphoreModel(name: "2: use | tryUse x2", limit: 2, threads: [[.use(1)], [.tryUse(1), .tryUse(1)]]),
            SemaphoreModel(
                name: "held: use | give, tryUse", held: [1: [1]], threads: [[.use(1)], [.give, .tryUse(1)]]),
            SemaphoreModel(name: "2: use 2 | tryUse 1", limit: 2, threads: [[.use(2)], [.tryUse(1)]]),
            SemaphoreModel(name: "2: use, use | resize 1", limit: 2, threads: [[.use(1), .use(1)], [.resize(1)]]),
            SemaphoreModel(name: "use | close", threads: [[.use(1)], [.close]]),
            SemaphoreModel(name: "budget: use | use", turns: 1, threads: [[.use(1)], [.use(1)]]),
        ])

        private static func guesses(_ models: [SemaphoreModel]) -> [SemaphoreModel] {
            all(models).map { model in
                var model = model
                model.name += ", guessing"
                model.guesses = true
                return model
            }
        }

        /// The head collects; nobody holds half of what another needs.
        static let weights = all([
            SemaphoreModel(name: "2: use 2 | use 2", limit: 2, threads: [[.use(2)], [.use(2)]]),
            SemaphoreModel(name: "2: use 2 | use 1 | use 1", limit: 2, threads: [[.use(2)], [.use(1)], [.use(1)]]),
            SemaphoreModel(name: "3: use 2 | use 2 | use 2", limit: 3, threads: [[.use(2)], [.use(2)], [.use(2)]]),
            SemaphoreModel(name: "3: use 3 | use 2, use 1", limit: 3, threads: [[.use(3)], [.use(2), .use(1)]]),
            SemaphoreModel(
                name: "2 held: use 2 | use 1 | give, give", limit: 2, held: [2: [1, 1]],
                threads: [[.use(2)], [.use(1)], [.give, .give]]),
            SemaphoreModel(name: "2: use 3 | use 2", limit: 2, threads: [[.use(3)], [.use(2)]]),
        ])

        static let endings = all([
            SemaphoreModel(
                name: "held: use | cancel it | give", held: [2: [1]], threads: [[.use(1)], [.cancel(0)], [.give]]),
            SemaphoreModel(
                name: "held: use | use, cancel it | give", held: [2: [1]],
                threads: [[.use(1)], [.cancel(0), .use(1)], [.give]]),
            SemaphoreModel(
                name: "2 held: use 2 | use | cancel the first, give", limit: 2, held: [2: [1]],
                threads: [[.use(2)], [.use(1)], [.cancel(0), .give]]),
            SemaphoreModel(name: "held: use | close | give", held: [2: [1]], threads: [[.use(1)], [.close], [.give]]),
            SemaphoreModel(name: "use | close | use", threads: [[.use(1)], [.close], [.use(1)]]),
            SemaphoreModel(
                name: "held: timed use | timer | give", deadline: 0 + 1, held: [2: [1]],
                threads: [[.use(1)], [.timerRings], [.give]]),
            SemaphoreModel(
                name: "held: timed use | timer, cancel | give", deadline: 1, held: [2: [1]],
                threads: [[.use(1)], [.timerRings, .cancel(0)], [.give]]),
            SemaphoreModel(
                name: "held, 1 may wait: use | use | give", waiterLimit: 1, held: [2: [1]],
                threads: [[.use(1)], [.use(1)], [.give]]),
            SemaphoreModel(
                name: "held, 0 may wait: use | give", waiterLimit: 0, held: [1: [1]], threads: [[.use(1)], [.give]]),
        ])

        static let resizing = all([
            SemaphoreModel(name: "held: use | resize 2", held: [1: [1]], threads: [[.use(1)], [.resize(2)]]),
            SemaphoreModel(
                name: "2: use x2 | use | resize 1", limit: 2, threads: [[.use(1), .use(1)], [.use(1)], [.resize(1)]]),
            SemaphoreModel(
                name: "2 held: use | give, give | resize 1", limit: 2, held: [1: [1, 1]],
                threads: [[.use(1)], [.give, .give], [.resize(1)]]),
            SemaphoreModel(
                name: "2 held: use | give, give | resize 1, resize 2", limit: 2, held: [1: [1, 1]],
                threads: [[.use(1)], [.give, .give], [.resize(1), .resize(2)]]),
            SemaphoreModel(
                name: "2 held: use 2 | use | resize 1, give", limit: 2, held: [2: [1]],
                threads: [[.use(2)], [.use(1)], [.resize(1), .give]]),
            SemaphoreModel(
                name: "3 held: tryUse | tryUse | resize 1, give", limit: 3, held: [2: [2]],
                threads: [[.tryUse(1)], [.tryUse(1)], [.resize(1), .give]]),
        ])

        static let forgetting = all([
            SemaphoreModel(
                name: "held: forget, restore | use", held: [0: [1]], threads: [[.forget, .restore(1)], [.use(1)]]),
            SemaphoreModel(
                name: "2 held: forget, restore | use 2 | give", limit: 2, held: [0: [1], 2: [1]],
                threads: [[.forget, .restore(1)], [.use(2)], [.give]]),
        ])

        /// The semaphore goes while permits are out, or their giver is on the way.
        static let orphans = all([
            SemaphoreModel(name: "held: give | drop", held: [0: [1]], threads: [[.give], [.drop]]),
            SemaphoreModel(
                name: "2 held: give | give | drop", limit: 2, held: [0: [1], 1: [1]],
                threads: [[.give], [.give], [.drop]]),
            SemaphoreModel(name: "held: give | use, drop", held: [0: [1]], threads: [[.give], [.use(1), .drop]]),
            SemaphoreModel(
                name: "2 held: give | give | use 2, drop", limit: 2, held: [0: [1], 1: [1]],
                threads: [[.give], [.give], [.use(2), .drop]]),
            SemaphoreModel(
                name: "held: give | take, drop, give", held: [0: [1]], threads: [[.give], [.take(1), .drop, .give]]),
            SemaphoreModel(
                name: "2 held: forget | give | drop", limit: 2, held: [0: [1], 1: [1]],
                threads: [[.forget], [.give], [.drop]]),
            SemaphoreModel(
                name: "held: give | close, drop", held: [0: [1]], threads: [[.give], [.close, .drop]]),
            SemaphoreModel(
                name: "2 held: give | resize 1, drop | give", limit: 2, held: [0: [1], 2: [1]],
                threads: [[.give], [.resize(1), .drop], [.give]]),
        ])

        /// One thread: what it is answered, exactly.
        static let alone = all([
            SemaphoreModel(
                name: "3: alone", limit: 3,
                threads: [
                    [.mustTry(3), .mustTry(1), .use(2), .take(2), .mustTry(1), .mustRefuse(2), .give, .mustTry(3)]
                ]),
            SemaphoreModel(
                name: "2: alone, resized", limit: 2,
                threads: [
                    [
                        .mustRefuse(3), .resize(3), .mustTry(3), .take(2), .resize(2), .mustRefuse(1), .give,
                        .mustTry(2),
                        .resize(1), .mustRefuse(2), .mustTry(1),
                    ]
                ]),
            SemaphoreModel(
                name: "2: alone, forgotten", limit: 2,
                threads: [[.take(1), .forget, .mustRefuse(2), .mustTry(1), .restore(1), .mustTry(2)]]),
            SemaphoreModel(name: "budget: alone, use x3", turns: 1, yields: 1, threads: [[.use(1), .use(1), .use(1)]]),
            SemaphoreModel(name: "alone, closed", threads: [[.use(1), .close, .use(1), .mustRefuse(1)]]),
        ])

        /// Others than first in, first out.
        static let orders = all([
            SemaphoreModel(
                name: "lifo held: use | use | give", order: .lifo, held: [2: [1]],
                threads: [[.use(1)], [.use(1)], [.give]]),
            SemaphoreModel(
                name: "lifo 2 held: use 2 | use 1 | give", limit: 2, order: .lifo, held: [2: [1]],
                threads: [[.use(2)], [.use(1)], [.give]]),
            SemaphoreModel(
                name: "adaptive held: use | use | give", order: .adaptiveLIFO(above: 1), held: [2: [1]],
                threads: [[.use(1)], [.use(1)], [.give]]),
        ])

        /// The thread that gives goes on as a newcomer.
        ///
        /// What is counted depends on the order of independent steps: so not every schedule up to that order but every one of
        /// up to two preemptions.
        static let passing: [SemaphoreModel] = [0, 1, 2].map { passing(bypass: $0) }

        static func passing(bypass: Int) -> SemaphoreModel {
            SemaphoreModel(
                name: "bypass \(bypass), held: use | give, tryPass x3", fairness: .eventual(bypass: bypass),
                held: [1: [1]],
                strategy: .preemptionBounded(2), threads: [[.use(1)], [.give, .tryPass, .tryPass, .tryPass]])
        }

        /// Too large for every run: explored with `BACKPRESSURE_DEEP=1`.
        static let deep = all([
            SemaphoreModel(name: "use | use | use | use", threads: [[.use(1)], [.use(1)], [.use(1)], [.use(1)]]),
            SemaphoreModel(
                name: "2: use 2 | use 1 | use 1 | resize 1", limit: 2,
                threads: [[.use(2)], [.use(1)], [.use(1)], [.resize(1)]]),
            SemaphoreModel(
                name: "held: use | use | cancel the first | give", held: [3: [1]],
                threads: [[.use(1)], [.use(1)], [.cancel(0)], [.give]]),
            SemaphoreModel(
                name: "held: use | use | close | give", held: [3: [1]],
                threads: [[.use(1)], [.use(1)], [.close], [.give]]),
            SemaphoreModel(
                name: "use x2 | use x2 | use", threads: [[.use(1), .use(1)], [.use(1), .use(1)], [.use(1)]]),
        ])

        /// Small enough for loads that return old values.
        static let small =
            all([
                SemaphoreModel(name: "use | use", threads: [[.use(1)], [.use(1)]]),
                SemaphoreModel(name: "held: use | give", held: [1: [1]], threads: [[.use(1)], [.give]]),
                SemaphoreModel(name: "held: give | drop", held: [0: [1]], threads: [[.give], [.drop]]),
            ]) + guesses([SemaphoreModel(name: "use | tryUse", threads: [[.use(1)], [.tryUse(1)]])])

        static var every: [SemaphoreModel] {
            permits + guessing + weights + endings + resizing + forgetting + orphans + orders + alone
        }
    }
#endif
