// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs for a capacity that moves, for watermarks, and for waits that the policy bounds.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker

    enum CapacityModels {
        private static func model(
            _ name: String, _ capacity: Int, of maximum: Int, _ overflow: OverflowPolicy = .suspend, filled: Int = 0,
            deadline: Int64 = .max, isJudged: Bool = true, fairness: Fairness = .fifo, _ threads: [[Op]]
        ) -> ChannelModel {
            ChannelModel(
                name: "\(name), capacity \(capacity) of \(maximum), \(overflow), bypass \(fairness.bypass)",
                capacity: capacity, maximumCapacity: maximum, overflow: overflow, fairness: fairness, filled: filled,
                deadline: deadline, emptiness: isJudged ? .untilSent : nil, isRescued: true, threads: threads)
        }

        private static func marked(
            _ name: String, low: Int, high: Int, of capacity: Int, maximum: Int? = nil, filled: Int = 0,
            deadline: Int64 = .max, isJudged: Bool = true, fairness: Fairness = .fifo, _ threads: [[Op]]
        ) -> ChannelModel {
            ChannelModel(
                name: "\(name), marks \(low) \(high) of \(capacity), bypass \(fairness.bypass)", capacity: capacity,
                maximumCapacity: maximum, marks: Marks(low: low, high: high), fairness: fairness, filled: filled,
                deadline: deadline, emptiness: isJudged ? .untilSent : nil, isRescued: true, threads: threads)
        }

        private static let fairnesses: [Fairness] = [.fifo, .eventual(bypass: 1)]

        // MARK: A bound below the ring's

        static let below: [ChannelModel] = fairnesses.flatMap { fairness in
            [
                model(
                    "send x2 | receive x2", 1, of: 2, fairness: fairness,
                    [[.send(0), .send(1)], [.receive, .receive]]),
                model(
                    "full: send | receive, trySend", 1, of: 3, filled: 1, fairness: fairness,
                    [[.send(0)], [.receive, .trySend(10)]]),
            ]
        }

        // MARK: Resize

        static let up: [ChannelModel] = fairnesses.flatMap { fairness in
            [
                model("full: send | resize 2", 1, of: 2, filled: 1, fairness: fairness, [[.send(0)], [.resize(2)]]),
                model(
                    "full: reserve, fill | resize 2 | receive", 1, of: 2, filled: 1, fairness: fairness,
                    [[.reserve, .fill(0)], [.resize(2)], [.receive]]),
                model(
                    "full: send | resize 2 | finish", 1, of: 2, filled: 1, fairness: fairness,
                    [[.send(0)], [.resize(2)], [.finish]]),
                model(
                    "full: send | resize 2 | abandon", 1, of: 2, filled: 1, fairness: fairness,
                    [[.send(0)], [.resize(2)], [.abandon]]),
                model(
                    "full: send | resize 2 | cancel it", 1, of: 2, filled: 1, fairness: fairness,
                    [[.send(0)], [.resize(2)], [.cancel(0)]]),
                model(
                    "full: timed send | resize 2 | timer", 1, of: 2, filled: 1, deadline: 1, fairness: fairness,
                    [[.send(0)], [.resize(2)], [.timerRings]]),
            ]
        }

        /// A sender that read the limit before it came down must not use it: with a batch, even from below the limit.
        static let lowered = model(
            "trySend | resize 1, trySend", 2, of: 3, filled: 1, [[.trySend(0)], [.resize(1), .trySend(10)]])
        static let loweredUnderBatch = model(
            "trySend x2 | resize 1, trySend", 2, of: 2, isJudged: false,
            [[.trySendMany([0, 1])], [.resize(1), .trySend(10)]])
        static let loweredAndClosed = model(
            "resize 1, finish | tryReceive x2", 2, of: 2, filled: 1,
            [[.resize(1), .finish], [.tryReceive, .tryReceive]])

        /// One that reads the tail of after, and the limit of before.
        static let loweredThenSent = model(
            "trySend | resize 1, trySend", 2, of: 2, filled: 0, [[.trySend(0)], [.resize(1), .trySend(10)]])

        static let down: [ChannelModel] =
            [lowered, loweredUnderBatch, loweredAndClosed, loweredThenSent]
            + fairnesses.flatMap { fairness in
                [
                    model(
                        "full: send | resize 1 | receive x2", 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.resize(1)], [.receive, .receive]]),
                    model(
                        "reserve, fill | resize 1 | trySend", 2, of: 2, fairness: fairness,
                        [[.reserve, .fill(0)], [.resize(1)], [.trySend(20)]]),
                    model(
                        "full: send | resize 1 | finish, tryReceive", 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.resize(1)], [.finish, .tryReceive]]),
                    model(
                        "full: send | resize 1 | cancel it | receive", 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.resize(1), .receive], [.cancel(0)]]),
                    model(
                        "full: timed send | resize 1 | timer", 2, of: 2, filled: 2, deadline: 1, fairness: fairness,
                        [[.send(0)], [.resize(1), .receive], [.timerRings]]),
                    model(
                        "reserve 2 | resize 1 | receive", 2, of: 2, filled: 1, isJudged: false, fairness: fairness,
                        [[.reserveMany(2), .giveBackMany(2)], [.resize(1)], [.receive]]),
                    model(
                        "full: drop | resize 1 | tryReceive", 2, of: 2, .dropOldest, filled: 2, fairness: fairness,
                        [[.send(0)], [.resize(1)], [.tryReceive]]),
                    model(
                        "drop x2 | resize 1, drop", 2, of: 2, .dropOldest, fairness: fairness,
                        [[.send(0), .send(1)], [.resize(1), .send(10)]]),
                ]
            }

        // MARK: Watermarks

        static let headroom = marked(
            "trySend x2 | tryReceive x2", low: 0, high: 1, of: 2,
            [[.trySend(0), .trySend(1)], [.tryReceive, .tryReceive]])
        static let markedFull = marked(
            "full: send | receive x2", low: 0, high: 2, of: 2, filled: 2, [[.send(0)], [.receive, .receive]])
        static let twoTell = marked(
            "trySend | trySend | tryReceive", low: 0, high: 1, of: 2,
            [[.trySend(0)], [.trySend(10)], [.tryReceive]])

        static let watermarks: [ChannelModel] =
            [headroom, markedFull, twoTell]
            + fairnesses.flatMap { fairness in
                [
                    marked(
                        "send x2 | receive x2", low: 0, high: 1, of: 1, fairness: fairness,
                        [[.send(0), .send(1)], [.receive, .receive]]),
                    marked(
                        "full: send | trySend | receive", low: 0, high: 1, of: 2, filled: 1, fairness: fairness,
                        [[.send(0)], [.trySend(10)], [.receive]]),
                    marked(
                        "full: send | send | receive x2", low: 0, high: 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.send(10)], [.receive, .receive]]),
                    marked(
                        "full: reserve, fill | receive x2", low: 0, high: 2, of: 3, filled: 2, fairness: fairness,
                        [[.reserve, .fill(0)], [.receive, .receive]]),
                    marked(
                        "reserve, give back | send | receive", low: 0, high: 1, of: 1, fairness: fairness,
                        [[.reserve, .giveBack], [.send(10)], [.receive]]),
                    marked(
                        "full: send | finish | tryReceive x2", low: 0, high: 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.finish], [.tryReceive, .tryReceive]]),
                    marked(
                        "full: send | abandon | receive", low: 0, high: 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.abandon], [.receive]]),
                    marked(
                        "full: send | cancel it | receive x2", low: 0, high: 2, of: 2, filled: 2, fairness: fairness,
                        [[.send(0)], [.cancel(0)], [.receive, .receive]]),
                    marked(
                        "full: timed send | timer | receive x2", low: 0, high: 2, of: 2, filled: 2, deadline: 1,
                        fairness: fairness, [[.send(0)], [.timerRings], [.receive, .receive]]),
                    marked(
                        "full: send | resize 1, resize 3 | receive x2", low: 0, high: 2, of: 2, maximum: 3, filled: 2,
                        fairness: fairness, [[.send(0)], [.resize(1), .resize(3)], [.receive, .receive]]),
                ]
            }

        // MARK: Patience

        /// The first sender is served, and its room used and freed again, before the second one's patience ends.
        static let servedAtTheEnd = patience(
            "full: send | send | receive x2, timer", .dropNewest, fairness: .eventual(bypass: 1),
            [[.send(0)], [.send(10)], [.receive, .receive, .timerRings]])
        static let granted = patience(
            "full: send | receive | timer", .dropNewest, [[.send(0)], [.receive], [.timerRings]])
        static let evicting = patience(
            "full: send | send | timer", .dropOldest, [[.send(0)], [.send(10)], [.timerRings]])

        private static func patience(
            _ name: String, _ fallback: OverflowPolicy.Fallback, capacity: Int = 1, fairness: Fairness = .fifo,
            _ threads: [[Op]]
        ) -> ChannelModel {
            model(
                name, capacity, of: capacity, .suspend(for: .nanoseconds(1), then: fallback), filled: capacity,
                fairness: fairness, threads)
        }

        static let patience: [ChannelModel] =
            [granted, evicting]
            + [OverflowPolicy.Fallback.reject, .dropNewest, .dropOldest].flatMap { fallback in
                fairnesses.flatMap { fairness in
                    [
                        patience(
                            "full: send | timer, tryReceive", fallback, fairness: fairness,
                            [[.send(0)], [.timerRings, .tryReceive]]),
                        patience(
                            "full: send | timer | receive", fallback, capacity: 2, fairness: fairness,
                            [[.send(0)], [.timerRings], [.receive]]),
                        patience(
                            "full: send | timer | cancel it", fallback, fairness: fairness,
                            [[.send(0)], [.timerRings], [.cancel(0)]]),
                        patience(
                            "full: send | timer | finish", fallback, fairness: fairness,
                            [[.send(0)], [.timerRings], [.finish]]),
                        patience(
                            "full: send | timer | abandon", fallback, fairness: fairness,
                            [[.send(0)], [.timerRings], [.abandon]]),
                        patience(
                            "full: send | timer | trySend", fallback, fairness: fairness,
                            [[.send(0)], [.timerRings], [.trySend(20)]]),
                        patience(
                            "full: reserve, fill | timer | receive", fallback, fairness: fairness,
                            [[.reserve, .fill(0)], [.timerRings], [.receive]]),
                        patience(
                            "full: send | receive, reserve, give back | timer", fallback, fairness: fairness,
                            [[.send(0)], [.tryReceive, .reserve, .giveBack], [.timerRings]]),
                    ]
                }
            }

        /// Too large for every run: explored with `BACKPRESSURE_DEEP=1`.
        static let deep: [ChannelModel] =
            [
                servedAtTheEnd,
                marked(
                    "send x3 | receive x3", low: 0, high: 2, of: 2,
                    [[.send(0), .send(1), .send(2)], [.receive, .receive, .receive]]),
                model(
                    "trySend x3 | resize 1, trySend x2", 3, of: 3, isJudged: false,
                    [[.trySendMany([0, 1, 2])], [.resize(1), .trySend(10), .trySend(11)]]),
            ]
            + fairnesses.flatMap { fairness in
                [
                    model(
                        "send x3 | receive x3", 2, of: 3, fairness: fairness,
                        [[.send(0), .send(1), .send(2)], [.receive, .receive, .receive]]),
                    model(
                        "send | send | receive x2", 1, of: 2, fairness: fairness,
                        [[.send(0)], [.send(10)], [.receive, .receive]]),
                    model(
                        "full: send | send | resize 2 | tryReceive", 1, of: 2, filled: 1, fairness: fairness,
                        [[.send(0)], [.send(10)], [.resize(2), .tryReceive]]),
                    model(
                        "full: send | resize 2, receive | trySend", 1, of: 2, filled: 1, fairness: fairness,
                        [[.send(0)], [.resize(2), .receive], [.trySend(20)]]),
                    model(
                        "trySend x2 | resize 1 | tryReceive", 2, of: 2, fairness: fairness,
                        [[.trySend(0), .trySend(1)], [.resize(1), .trySend(10)], [.tryReceive]]),
                    model(
                        "full: resize 1, resize 2 | send | receive", 2, of: 2, filled: 2, fairness: fairness,
                        [[.resize(1), .resize(2)], [.send(10)], [.receive]]),
                    model(
                        "reserve 2 | send | resize 1", 2, of: 2, filled: 1, isJudged: false, fairness: fairness,
                        [[.reserveMany(2), .giveBackMany(2)], [.send(10)], [.resize(1)], [.receive, .receive]]),
                ]
            }
    }
#endif
