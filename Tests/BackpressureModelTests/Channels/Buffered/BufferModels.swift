// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs that buffers are explored with. Every program ends in every schedule by its own count, so a model that
// deadlocks is a lost wake-up of the buffer and not of the program. Elements are single bits.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    struct BufferModel: Sendable, CustomStringConvertible {
        let name: String
        var capacity = 1
        var lanes = [1]
        var order = TurnOrder.arrival
        var aging = 1_000
        var policy = BufferPolicy(action: .suspend)
        /// Of every wait.
        var deadline = Int64.max
        /// Elements that are in from the start, and their lanes.
        var filled: [(Int, Int)] = []
        /// In programs in which one thread waits, and another tries to send.
        var countsPasses = false
        var shedding: CoDel?
        /// What is done before the threads begin.
        var prelude: [BufferOp] = []
        let threads: [[BufferOp]]

        var movesClock: Bool {
            (threads.joined() + prelude).contains { if case .clock = $0 { true } else { false } }
        }

        var description: String { name }

        var plan: BufferPlan {
            BufferPlan(
                capacity: capacity, maxElements: capacity, lanes: lanes.map { BufferPlan.Lane(bound: $0) },
                order: order,
                aging: aging, policy: policy, shedding: shedding)
        }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: {
                    BufferModelBench(
                        this.plan, deadline: this.deadline, filled: this.filled, prelude: this.prelude,
                        movesClock: this.movesClock, countsPasses: this.countsPasses)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { $0.check(conflates: this.policy.action == .conflate) })
        }
    }

    enum BufferModels {
        private static let oldest = BufferPolicy(action: .dropOldest)
        private static let lowest = BufferPolicy(evictsLower: true, action: .dropNewest)
        private static let lowestWaits = BufferPolicy(evictsLower: true, action: .suspend)
        private static let conflates = BufferPolicy(action: .conflate)

        static let passing = [
            BufferModel(name: "send x2 | receive x2", threads: [[.send(1), .send(2)], [.receive, .receive]]),
            BufferModel(name: "send | send | receive x2", threads: [[.send(1)], [.send(2)], [.receive, .receive]]),
            BufferModel(name: "send x2 | receive | receive", threads: [[.send(1), .send(2)], [.receive], [.receive]]),
            BufferModel(
                name: "2: send x2 | trySend | receive x2", capacity: 2, lanes: [2],
                threads: [[.send(1), .send(2)], [.trySend(4)], [.receive, .receive]]),
            BufferModel(
                name: "trySend | tryReceive | receive, trySend",
                threads: [
                    [.trySend(1), .trySend(2)], [.tryReceive], [.trySend(4), .tryReceive],
                ]),
        ]

        static let weighing = [
            BufferModel(
                name: "3: large | small, small | receive x3", capacity: 3, lanes: [3], filled: [(8, 0)],
                threads: [[.send(1, cost: 3)], [.send(2), .send(4)], [.receive, .receive, .receive, .receive]]),
            BufferModel(
                name: "2 full: large | small | cancel the large, receive", capacity: 2, lanes: [2],
                filled: [(8, 0)],
                threads: [[.send(1, cost: 2)], [.send(2)], [.cancel(0), .receive, .receive]]),
            BufferModel(
                name: "2: large | trySend small | receive x2", capacity: 2, lanes: [2], filled: [(8, 0)],
                countsPasses: true, threads: [[.send(1, cost: 2)], [.trySend(2)], [.receive, .receive]]),
            BufferModel(name: "1: too large | receive, send", threads: [[.send(1, cost: 2)], [.send(2)], [.receive]]),
        ]

        static let ending = [
            BufferModel(
                name: "send x2 | finish | receive x3",
                threads: [
                    [.send(1), .send(2)], [.finish], [.receive, .receive, .receive],
                ]),
            BufferModel(name: "send x2 | abandon | receive", threads: [[.send(1), .send(2)], [.abandon], [.receive]]),
            BufferModel(name: "send, receive | watch | finish", threads: [[.send(1), .receive], [.watch], [.finish]]),
            BufferModel(
                name: "full: send | cancel it | receive", filled: [(8, 0)],
                threads: [[.send(1)], [.cancel(0)], [.receive]]),
            BufferModel(name: "receive | cancel it | send", threads: [[.receive], [.cancel(0)], [.send(1)]]),
            BufferModel(
                name: "full: timed send | clock, timer | receive", deadline: 5, filled: [(8, 0)],
                threads: [[.send(1)], [.clock(5), .timerRings], [.receive]]),
            BufferModel(
                name: "timed receive | clock, timer | send", deadline: 5,
                threads: [[.receive], [.clock(5), .timerRings], [.send(1)]]),
            BufferModel(
                name: "full: timed send | clock, timer, cancel it | abandon", deadline: 5, filled: [(8, 0)],
                threads: [[.send(1)], [.clock(5), .timerRings, .cancel(0)], [.abandon]]),
        ]

        static let expiring = [
            BufferModel(
                name: "ttl send, send | clock, timer | receive", deadline: 50,
                threads: [[.send(1, ttl: 5), .send(2)], [.clock(5), .timerRings], [.receive]]),
            BufferModel(
                name: "full: ttl send | clock, timer | tryReceive", filled: [(8, 0)],
                threads: [[.send(1, ttl: 5)], [.clock(5), .timerRings], [.tryReceive, .tryReceive]]),
            BufferModel(
                name: "ttl trySend, trySend | clock | tryReceive x2", capacity: 2, lanes: [2],
                threads: [[.trySend(1, ttl: 5), .trySend(2)], [.clock(5)], [.tryReceive, .tryReceive]]),
        ]

        static let dropping = [
            BufferModel(
                name: "drop oldest: trySend x2 | trySend | tryReceive", policy: oldest,
                threads: [
                    [.trySend(1), .trySend(2)], [.trySend(4)], [.tryReceive],
                ]),
            BufferModel(
                name: "lowest pays: bulk x2 | critical | receive", capacity: 2, lanes: [2, 2], order: .strict,
                policy: lowest,
                threads: [[.trySend(1, lane: 1), .trySend(2, lane: 1)], [.trySend(4), .trySend(8)], [.receive]]),
            BufferModel(
                name: "lowest pays, or waits: bulk | critical x2 | receive x2", lanes: [1, 1], order: .strict,
                policy: lowestWaits,
                threads: [[.trySend(1, lane: 1)], [.trySend(4), .send(8)], [.receive, .receive]]),
            BufferModel(
                name: "conflate: trySend x2 | trySend | tryReceive", policy: conflates,
                threads: [
                    [.trySend(1), .trySend(2)], [.trySend(4)], [.tryReceive],
                ]),
            BufferModel(
                name: "full, conflate: trySend | trySend | abandon", policy: conflates, filled: [(16, 0)],
                threads: [[.trySend(1)], [.trySend(2)], [.abandon]]),
        ]

        static let laned = [
            BufferModel(
                name: "lanes: send 0 | send 1 | receive x2", capacity: 1, lanes: [1, 1], order: .strict, aging: 1,
                threads: [[.send(1)], [.send(2, lane: 1)], [.receive, .receive]]),
            BufferModel(
                name: "lane 1 full: send 1 | send 0 | receive x3", capacity: 2, lanes: [2, 1], order: .strict,
                filled: [(16, 1)],
                threads: [[.send(1, lane: 1)], [.send(2)], [.receive, .receive, .receive]]),
            BufferModel(
                name: "weighted: send 0 x2 | send 1 | receive x3", capacity: 2, lanes: [1, 1], order: .weighted,
                aging: 2,
                threads: [[.send(1), .send(2)], [.send(4, lane: 1)], [.receive, .receive, .receive]]),
        ]

        private static let codel = CoDel(target: .nanoseconds(1), interval: .nanoseconds(2))

        /// The first receive begins the interval in which the delay stands; from instant 20 on what is left of the prelude is
        /// too old.
        static let shedding = [
            BufferModel(
                name: "standing: send x2 | clock, tryReceive | tryReceive", capacity: 2, lanes: [2],
                filled: [(16, 0), (32, 0)], shedding: codel, prelude: [.clock(10), .tryReceive],
                threads: [[.send(1), .send(2)], [.clock(20), .tryReceive], [.tryReceive]]),
            BufferModel(
                name: "standing: send | clock, receive | cancel the send", capacity: 2, lanes: [2],
                filled: [(16, 0), (32, 0)], shedding: codel, prelude: [.clock(10), .tryReceive, .trySend(4)],
                threads: [[.send(1)], [.clock(20), .tryReceive], [.cancel(0)]]),
            BufferModel(
                name: "standing lanes: send 1 | clock, receive x2 | trySend 0", capacity: 2, lanes: [1, 2],
                order: .strict,
                filled: [(16, 1), (32, 1)], shedding: codel, prelude: [.clock(10), .tryReceive],
                threads: [[.send(1, lane: 1)], [.clock(20), .tryReceive, .tryReceive], [.trySend(2)]]),
        ]

        static var every: [BufferModel] { passing + weighing + ending + expiring + dropping + laned + shedding }

        /// Too large for every run: explored with `BACKPRESSURE_DEEP=1`.
        static let deep = [
            BufferModel(
                name: "send x2 | send x2 | receive x4",
                threads: [
                    [.send(1), .send(2)], [.send(4), .send(8)], [.receive, .receive, .receive, .receive],
                ]),
            BufferModel(
                name: "send | send | cancel the first | receive", filled: [(16, 0)],
                threads: [[.send(1)], [.trySend(2)], [.cancel(0)], [.receive]]),
            BufferModel(
                name: "send | ttl send | clock, timer | receive x2", deadline: 50, filled: [(16, 0)],
                threads: [[.send(1)], [.send(2, ttl: 5)], [.clock(5), .timerRings], [.receive, .receive]]),
        ]
    }
#endif
