// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs that the token bucket is explored with. Every wait in them ends in every schedule: by a refund, by a
// cancel that finds it, or by the timer.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    struct RateModel: Sendable, CustomStringConvertible {
        let name: String
        var burst = 1
        var tokens: Int?
        var rate = Rate.every(.nanoseconds(10))
        var start: UInt64 = 0
        var staleLoads = 0
        var spuriousFailures = 0
        /// Three threads that take locks are too many orders for every lane: then at most so many preemptions.
        var preemptions: Int?
        let threads: [[RateOp]]
        let check: @Sendable (RateBench) -> Void

        var description: String { name }

        func options(_ mutation: Mutation? = nil) -> Options {
            Options(
                strategy: preemptions.map { .preemptionBounded($0) } ?? .exhaustive, staleLoads: staleLoads,
                spuriousFailures: spuriousFailures, mutation: mutation)
        }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: { RateBench(burst: this.burst, tokens: this.tokens, rate: this.rate, start: this.start) },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { bench in
                    bench.checkRest()
                    this.check(bench)
                })
        }
    }

    enum RateModels {
        private static func expect(_ condition: Bool, _ text: String) { ModelRuntime.expect(condition, text) }

        static let race = RateModel(
            name: "try | try, one token", spuriousFailures: 1, threads: [[.tryAcquire(1)], [.tryAcquire(1)]],
            check: { bench in
                expect(bench.allowed == 1 && bench.denied == 1, "\(bench.allowed) of one token")
                bench.checkBalance(1)
            })

        static let crowd = RateModel(
            name: "try | try | try, two tokens", burst: 2,
            threads: [[.tryAcquire(1)], [.tryAcquire(1)], [.tryAcquire(1)]],
            check: { bench in
                expect(bench.allowed == 2 && bench.denied == 1, "\(bench.allowed) of two tokens")
                bench.checkBalance(2)
            })

        static let ticking = RateModel(
            name: "try x2 | try x2 | tick", burst: 2,
            threads: [[.tryAcquire(1), .tryAcquire(1)], [.tryAcquire(1), .tryAcquire(1)], [.tick(10)]],
            check: { bench in
                bench.checkBound(burst: 2)
                expect(bench.allowed >= 2, "only \(bench.allowed) of two tokens")
            })

        /// TAT is 6 units below 2^64 and passes it with the first token: the halves of a reading may be of different words.
        static let torn = RateModel(
            name: "try | try | try across 2^64", burst: 4, rate: Rate(7, per: .nanoseconds(10)),
            start: 2_635_249_153_387_078_800,
            threads: [[.tryAcquire(1)], [.tryAcquire(1)], [.tryAcquire(1)]],
            check: { bench in expect(bench.allowed == 3, "\(bench.allowed) of three tokens") })

        static let refunding = RateModel(
            name: "try x2 | refund", burst: 3, tokens: 1,
            threads: [[.tryAcquire(1), .tryAcquire(1)], [.refund(1)]],
            check: { bench in
                expect(bench.allowed >= 1, "nothing of one token")
                bench.checkBalance(1)
            })

        static let penalizing = RateModel(
            name: "try x2 | penalize", burst: 2,
            threads: [[.tryAcquire(1), .tryAcquire(1)], [.penalize(1)]],
            check: { $0.checkBalance(2) })

        /// The burst shrinks from 4 to 2: whoever comes after has the new terms.
        static let shrinking = RateModel(
            name: "try 3 | setBurst 2, try 3", burst: 4, staleLoads: 1,
            threads: [[.tryAcquire(3)], [.setBurst(2), .tryAcquire(2)]],
            check: { bench in
                let left = bench.bucket.snapshot().available
                // Either before the change, which keeps one token, or after it, which refuses three of two.
                if bench.allowed >= 3 {
                    expect(bench.allowed == 3 && left == 1, "\(left) left after \(bench.allowed)")
                } else {
                    expect(bench.allowed == 2 && left == 0, "\(left) left after \(bench.allowed)")
                }
            })

        static let growing = RateModel(
            name: "try 2 | setBurst 3, try", burst: 2, staleLoads: 1,
            threads: [[.tryAcquire(2)], [.setBurst(3), .tryAcquire(1)]],
            check: { $0.checkBalance(2) })

        static let handOver = RateModel(
            name: "acquire | refund", burst: 2, tokens: 0,
            threads: [[.acquire(2)], [.refund(2)]],
            check: { bench in
                expect(bench.granted == [0], "not granted")
                bench.checkBalance(0)
            })

        /// The one token there is belongs to the task that waits for two.
        static let newcomer = RateModel(
            name: "acquire 2 | try, refund", burst: 3, tokens: 1,
            threads: [[.acquire(2)], [.tryAcquire(1), .refund(2)]],
            check: { bench in
                expect(bench.granted == [0], "the waiting task was starved")
                // It may have come before the waiting task, not while it waited.
                bench.checkBalance(1)
            })

        static let passing = RateModel(
            name: "acquire 2, waiting | try, timer", burst: 2, tokens: 1,
            threads: [[.acquire(2)], [.await(0), .tryAcquire(1, debt: 9), .timerRings]],
            check: { bench in
                expect(bench.granted == [0], "the waiting task was starved")
                expect(bench.denied == 1, "a newcomer passed the task that waits")
            })

        static let cancelling = RateModel(
            name: "acquire | cancel it | refund", burst: 2, tokens: 0,
            preemptions: 2, threads: [[.acquire(2)], [.cancel(0)], [.refund(2)]],
            check: { bench in
                expect(bench.granted.count + bench.ended.count == 1, "it ended \(bench.granted) \(bench.ended)")
                bench.checkBalance(0)
            })

        static let nextInLine = RateModel(
            name: "acquire 2 | acquire 1 | cancel the first, timer", burst: 2, tokens: 0,
            preemptions: 2, threads: [[.acquire(2)], [.acquire(1)], [.cancel(0), .await(0), .await(1), .timerRings]],
            check: { bench in
                expect(bench.granted.count + bench.ended.count == 2, "\(bench.granted) \(bench.ended)")
                expect(bench.granted.contains(1), "the next in line was not served")
            })

        static let timing = RateModel(
            name: "acquire with a deadline | penalize | timer", burst: 1, tokens: 0,
            threads: [[.acquire(1, timeout: 20)], [.penalize(200), .await(0), .timerRings]],
            check: { bench in
                expect(bench.granted.count + bench.ended.count == 1, "\(bench.granted) \(bench.ended)")
            })

        static let reserving = RateModel(
            name: "reserve, cancel | try | refund", burst: 2, tokens: 1,
            threads: [[.reserve(2), .cancelReservation], [.tryAcquire(1)]],
            check: { $0.checkBalance(1) })

        static let booking = RateModel(
            name: "acquire | reserve | cancel, timer", burst: 2, tokens: 0,
            preemptions: 2, threads: [[.acquire(1)], [.reserve(1)], [.cancel(0), .await(0), .timerRings]],
            check: { bench in
                expect(bench.granted.count + bench.ended.count == 1, "\(bench.granted) \(bench.ended)")
            })

        /// A task that comes while another waits goes behind it, whatever debt it may make.
        static let overtaking = RateModel(
            name: "acquire 2 | acquire 1, waiting", burst: 2, tokens: 1,
            preemptions: 2,
            threads: [[.acquire(2)], [.await(0), .acquire(1, debt: 9)], [.await(0), .await(1), .timerRings]],
            check: { bench in
                expect(bench.granted.count == 2, "\(bench.granted)")
                expect(bench.overtakings == 0, "a task that came later was served first")
            })

        /// Nothing but the cancel can end the wait.
        static let sureCancel = RateModel(
            name: "acquire, cancelled once it waits", burst: 1, tokens: 0,
            threads: [[.acquire(1)], [.await(0), .cancel(0)]],
            check: { bench in expect(bench.ended == [.cancelled], "\(bench.granted) \(bench.ended)") })

        /// One thread: what it is answered, to the nanosecond.
        static let alone: [RateModel] = {
            func alone(_ name: String, burst: Int = 1, rate: Rate? = nil, _ ops: [RateOp]) -> RateModel {
                var model = RateModel(name: "alone: " + name, burst: burst, threads: [ops], check: { _ in })
                if let rate { model.rate = rate }
                return model
            }
            return [
                alone(
                    "taken, denied, there again",
                    [.mustTake(1), .mustDeny(1), .tick(9), .mustDeny(1), .tick(1), .mustTake(1)]),
                alone(
                    "denied twice and there",
                    [.mustTake(1), .tick(9), .mustDeny(1), .mustDeny(1), .tick(1), .mustTake(1)]),
                alone("all of a burst", burst: 3, [.mustTake(3), .tick(29), .mustDeny(3), .mustTake(2), .mustDeny(1)]),
                alone(
                    "a faster rate",
                    [.mustTake(1), .setRate(5), .tick(5), .mustTake(1), .tick(4), .mustDeny(1), .tick(1), .mustTake(1)]),
                alone(
                    "a slower rate",
                    [
                        .mustTake(1), .setRate(20), .tick(20), .mustTake(1), .tick(19), .mustDeny(1), .tick(1),
                        .mustTake(1),
                    ]),
                alone(
                    "thirds", burst: 1, rate: Rate(3, per: .nanoseconds(10)),
                    [
                        .mustTake(1), .tick(3), .mustDeny(1), .tick(1), .mustTake(1), .tick(3), .mustDeny(1), .tick(1),
                        .mustTake(1),
                    ]),
                alone(
                    "a smaller burst", burst: 4,
                    [.setBurst(2), .mustDeny(3), .mustTake(2), .mustDeny(1), .tick(10), .mustTake(1)]),
                alone(
                    "a greater burst", burst: 2, [.mustTake(2), .setBurst(3), .tick(30), .mustTake(3), .mustDeny(1)]),
                alone("a refund", burst: 2, [.mustTake(2), .refund(1), .mustTake(1), .mustDeny(1)]),
                alone(
                    "acquired at once, again and again", burst: 3,
                    [.acquire(1), .acquire(1), .acquire(1), .mustDeny(1)]),
            ]
        }()

        static let all =
            [
                race, crowd, ticking, torn, refunding, penalizing, shrinking, growing, handOver, newcomer, passing,
                cancelling, nextInLine, timing, reserving, booking,
                overtaking, sureCancel,
            ] + alone
    }
#endif
