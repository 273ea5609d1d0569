// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One thread that plays all parts: it begins the waits of others and goes on. There is one schedule, so every answer can
// be told in advance, and every cost: operations that take the lock, tasks told to yield, atomic steps.
//
// What is only slower than it should be is found here: a fast path that is never taken, a gate that closes for nothing, a
// newcomer that may pass and is not let.
//
// ## The bound of newcomers, as the scripts show it
// Two wait, A and B. A is served and becomes the steward; B was registered at place p. With a bound of 2 the places p and
// p + 1 may be taken by anybody, A included; at p + 2 the newcomer finds the limit, and B is served before it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker

    enum ScriptModels {
        private static let yield = ChannelCore.yieldInterval

        private static func script(
            _ name: String, capacity: Int, of maximum: Int? = nil, bypass: Int = 0, filled: Int = 0, start: UInt64 = 0,
            marks: Marks? = nil, _ operations: [Op], _ script: Script
        ) -> ChannelModel {
            ChannelModel(
                name: "script: \(name)", capacity: capacity, maximumCapacity: maximum, marks: marks,
                fairness: .eventual(bypass: bypass), filled: filled, script: script, start: start,
                yieldIn: start == 0 ? yield : yield - start, threads: [operations])
        }

        // MARK: The bound of newcomers

        /// The second newcomer comes to the limit: the waiter is served first.
        static let receiversPassed = script(
            "two receivers wait, one newcomer passes, the next does not", capacity: 4, bypass: 2,
            [
                .beginReceive, .beginReceive, .trySend(0), .trySend(10), .trySend(20), .trySend(30),
                .tryReceive, .tryReceive, .conclude(0), .conclude(1), .tryReceive,
            ],
            Script(
                answers: [
                    .sent(0), .sent(10), .sent(20), .sent(30), .received(10), .received(30), .received(0),
                    .received(20),
                    .empty,
                ], locked: 5, steps: 92))

        static let sendersPassed = script(
            "two senders wait, one newcomer passes, the next does not", capacity: 2, bypass: 2, filled: 2,
            [
                .beginSend(0), .beginSend(10), .tryReceive, .tryReceive, .trySend(20), .tryReceive, .trySend(30),
                .tryReceive, .tryReceive, .tryReceive, .conclude(0), .conclude(1),
            ],
            Script(
                answers: [
                    .received(-1), .received(-2), .sent(20), .received(0), .returned(30, .full), .received(20),
                    .received(10), .empty, .sent(0), .sent(10),
                ], locked: 5, steps: 96))

        /// While room is reserved every send takes the lock, and passes there.
        static let sendersPassedUnderTheLock = script(
            "two senders wait, a newcomer passes under the lock", capacity: 3, bypass: 2, filled: 2,
            [
                .reserve, .beginSend(0), .beginSend(10), .tryReceive, .tryReceive, .trySend(20), .giveBack,
                .conclude(0), .conclude(1), .tryReceive, .tryReceive, .tryReceive,
            ],
            Script(
                answers: [
                    .flag(true), .received(-1), .received(-2), .sent(20), .flag(false), .sent(0), .sent(10),
                    .received(0), .received(20), .received(10),
                ], locked: 7, steps: 92))

        /// Nobody sleeps for what a steward on its way would make: the sender serves the receiver itself.
        static let servedInsteadOfSleeping = script(
            "two receivers wait, a sender needs the room of the second", capacity: 1, bypass: 4,
            [
                .beginReceive, .beginReceive, .trySend(0), .trySend(10), .send(20), .conclude(0), .conclude(1),
                .tryReceive,
            ],
            Script(
                answers: [.sent(0), .sent(10), .sent(20), .received(0), .received(10), .received(20)],
                locked: 5, steps: 81))

        /// A steward that will fill the ring by itself is given a turn: the receiver asks twice.
        static let turnOfSender = script(
            "two senders wait, a receiver gives the first a turn", capacity: 4, bypass: 8, filled: 4,
            [
                .beginSend(0), .beginSend(10), .tryReceive, .tryReceive, .tryReceive, .tryReceive, .tryReceive,
                .receive,
                .conclude(0), .conclude(1),
            ],
            Script(
                answers: [
                    .received(-1), .received(-2), .received(-3), .received(-4), .received(0), .received(10), .sent(0),
                    .sent(10),
                ], locked: 6, turns: 1, steps: 107))

        /// Those who wait are many for the ring: they are served at once.
        static let noTurnBeforeMany = script(
            "three senders wait, a receiver serves them past the first", capacity: 4, bypass: 8, filled: 4,
            [
                .beginSend(0), .beginSend(10), .beginSend(20), .tryReceive, .tryReceive, .tryReceive, .tryReceive,
                .tryReceive, .receive, .receive, .conclude(0), .conclude(1), .conclude(2),
            ],
            Script(
                answers: [
                    .received(-1), .received(-2), .received(-3), .received(-4), .received(0), .received(10),
                    .received(20), .sent(0), .sent(10), .sent(20),
                ], locked: 6, steps: 107))

        /// The mirror image of the first.
        static let turnOfReceiver = script(
            "two receivers wait, a sender gives the first a turn", capacity: 4, bypass: 8,
            [
                .beginReceive, .beginReceive, .trySend(0), .trySend(10), .trySend(20), .trySend(30), .trySend(40),
                .send(50), .conclude(0), .conclude(1), .tryReceive, .tryReceive, .tryReceive, .tryReceive,
            ],
            Script(
                answers: [
                    .sent(0), .sent(10), .sent(20), .sent(30), .sent(40), .sent(50), .received(0), .received(10),
                    .received(20), .received(30), .received(40), .received(50),
                ], locked: 6, turns: 1, steps: 127))

        // MARK: The cooperative budget

        /// The position at which a task is told to yield, and no other; neither look closes the gate.
        static let yieldOfBoth = script(
            "send and receive over the first yield", capacity: 1, start: yield - 1,
            [.send(0), .receive, .send(10), .receive],
            Script(
                answers: [.sent(0), .received(0), .sent(10), .received(10)], locked: 2, yields: [10, 10], steps: 36))

        /// A sender that takes the lock one position before.
        static let yieldOfSenders = script(
            "sends under the lock over the first yield", capacity: 2, start: yield - 1,
            [.reserve, .send(0), .tryReceive, .send(10), .tryReceive, .giveBack],
            Script(
                answers: [.flag(true), .sent(0), .received(0), .sent(10), .received(10), .flag(false)], locked: 5,
                yields: [10], steps: 73))

        /// A receiver that takes the lock one position before: at the limit of newcomers.
        static let yieldOfReceivers = script(
            "receives under the lock before the first yield", capacity: 4, bypass: 2, start: yield - 3,
            [
                .beginReceive, .beginReceive, .trySend(0), .trySend(10), .trySend(20), .send(30), .tryReceive, .receive,
                .conclude(0), .conclude(1),
            ],
            Script(
                answers: [
                    .sent(0), .sent(10), .sent(20), .sent(30), .received(10), .received(30), .received(0),
                    .received(20),
                ], locked: 6, yields: [30], steps: 93))

        // MARK: A bound below the ring's, watermarks

        /// One lock for as many sends as there was room at the last look.
        static let below = script(
            "a smaller capacity, round and round", capacity: 2, of: 4,
            [
                .trySend(0), .trySend(10), .trySend(20), .tryReceive, .tryReceive, .trySend(30), .trySend(40),
                .tryReceive, .tryReceive,
            ],
            Script(
                answers: [
                    .sent(0), .sent(10), .returned(20, .full), .received(0), .received(10), .sent(30), .sent(40),
                    .received(30), .received(40),
                ], locked: 2, steps: 68))

        /// While paused everything takes the lock, and looks at no word of the ring.
        static let paused = script(
            "up to the high mark and down to the low one", capacity: 4,
            marks: Marks(low: 0, high: 2),
            [
                .trySend(0), .trySend(10), .trySend(20), .tryReceive, .tryReceive, .tryReceive, .trySend(30),
                .tryReceive,
            ],
            Script(
                answers: [
                    .sent(0), .sent(10), .sent(20), .received(0), .received(10), .received(20), .sent(30),
                    .received(30),
                ], locked: 5, steps: 77))

        static let all = [
            receiversPassed, sendersPassed, sendersPassedUnderTheLock, servedInsteadOfSleeping, turnOfSender,
            noTurnBeforeMany, turnOfReceiver, yieldOfBoth, yieldOfSenders, yieldOfReceivers, below, paused,
        ]
    }

    // MARK: - Older values of loads

    /// Programs in which a load that acquires too little is answered by an older value, and that shows.
    enum StaleModels {
        /// The sender may see the tail that was opened after the capacity fell, and the limit of before.
        static let resized = CapacityModels.loweredThenSent

        /// The second thread may see a head at the limit of newcomers, and the limit of before.
        static let receiversPassed = ChannelModel(
            name: "two receivers wait, newcomers of two threads", capacity: 4, fairness: .eventual(bypass: 2),
            soleSender: 0,
            threads: [
                [
                    .beginReceive, .beginReceive, .trySend(0), .trySend(10), .trySend(20), .trySend(30), .tryReceive,
                    .conclude(0), .conclude(1),
                ], [.tryReceive],
            ])

        static let sendersPassed = ChannelModel(
            name: "two senders wait, newcomers of two threads", capacity: 2, fairness: .eventual(bypass: 2), filled: 2,
            soleReceiver: 0,
            threads: [
                [
                    .beginSend(0), .beginSend(10), .tryReceive, .tryReceive, .trySend(20), .tryReceive, .tryReceive,
                    .conclude(0), .conclude(1), .tryReceive, .tryReceive,
                ], [.trySend(100)],
            ])

        /// A count from positions that never stood so at one time: less than none, or more than fit.
        ///
        /// Not judged as histories: a reading may be old.
        static let counted: [ChannelModel] =
            [("sr|n", 1, 0), ("sr|n", 2, 0), ("rs|n", 1, 1), ("rs|n", 2, 2), ("sr|nn", 1, 0)].map {
                var program = PairModels.model($0.0, .suspend, $0.1, .fifo, $0.2)
                program.emptiness = nil
                return program
            }

        /// "Full" and "empty" from words of which one is older than the other.
        static let verdicts =
            [("rs|s", 1, 1), ("rs|s", 2, 2), ("sr|r", 1, 0), ("sr|r", 2, 1), ("s|r", 1, 0), ("r|s", 1, 1)].map {
                PairModels.model($0.0, .reject, $0.1, .fifo, $0.2)
            }

        static let all = [resized, receiversPassed, sendersPassed] + counted + verdicts
    }
#endif
