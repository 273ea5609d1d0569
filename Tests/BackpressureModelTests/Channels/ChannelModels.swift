// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs that the channel is explored with: a few operations on two to four threads.
//
// Every program ends in every schedule by its own count: as many takers as elements, or a close. A model that
// deadlocks is therefore a lost wake-up of the channel and not of the program.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker

    /// One operation of a thread.
    ///
    /// An element's tens digit names its sender.
    enum Op: Sendable {
        case send(Int)
        case trySend(Int)
        case receive
        case tryReceive
        case count
        case isClosed
        case isFinished
        case reserve
        /// With the room this thread has reserved; nothing if it has none.
        case fill(Int)
        case giveBack
        case reserveMany(Int)
        case giveBackMany(Int)
        case trySendMany([Int])
        case resize(Int)
        case finish
        case abandon
        case untilDrained
        /// Of the wait of that thread.
        case cancel(Int)
        case timerRings
        /// A wait is begun, and the thread goes on.
        case beginSend(Int)
        case beginReceive
        /// The thread's so-manieth begun wait is over, and its task goes on.
        case conclude(Int)
    }

    /// What one thread alone must be told, and what it may cost.
    struct Script: Sendable {
        let answers: [ChannelBench.Note]
        /// Operations that take the lock.
        let locked: UInt64
        /// Elements with which a task is told to yield.
        var yields: [Int] = []
        /// Operations that give a steward a turn before they pass it.
        var turns = 0
        /// Steps of the scheduler: atomic operations, and the taking and giving back of locks.
        let steps: Int
    }

    struct ChannelModel: Sendable, CustomStringConvertible {
        let name: String
        var capacity = 1
        var maximumCapacity: Int?
        var marks: Marks?
        var overflow = OverflowPolicy.suspend
        var fairness = Fairness.fifo
        var filled = 0
        var deadline = Int64.max
        /// The thread that receives everything, where the bypass bound is to be checked.
        var soleReceiver: Int?
        /// The thread that sends everything, where the bypass bound of receivers is to be checked.
        var soleSender: Int?
        /// One thread, of which everything is known.
        var script: Script?
        /// No send may be refused: by the program there is always room.
        var isNeverFull = false
        /// No operation has a reason to take the lock.
        var isUncontended = false
        /// A planted bug that is in the bench and not in the source.
        var hasSwappedStores = false
        /// How the history is judged; nil if only the contract is.
        var emptiness: SequentialChannel.Emptiness?
        /// Waits that nobody ends are judged, and then ended by a close; otherwise they are a deadlock.
        var isRescued = false
        /// Where the ring starts, in positions.
        var start: UInt64 = 0
        /// After how many positions from there a task is told to yield.
        var yieldIn = ChannelCore.yieldInterval
        let threads: [[Op]]

        var description: String { name }

        var model: Model {
            let this = self
            let judge = HistoryJudge(self)
            let rescuer = threads.count
            let rescue: @Sendable (ChannelBench) -> Void = { $0.rescue(by: rescuer, isTimed: judge != nil) }
            return Model(
                name,
                setup: {
                    ChannelBench(
                        capacity: this.capacity, maximumCapacity: this.maximumCapacity, overflow: this.overflow,
                        marks: this.marks, fairness: this.fairness,
                        filled: this.filled, deadline: this.deadline,
                        hasSwappedStores: this.hasSwappedStores, start: this.start, yieldIn: this.yieldIn)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in
                        for operation in operations {
                            if judge == nil { bench.run(operation, by: me) } else { bench.runTimed(operation, by: me) }
                        }
                    }
                },
                check: { bench in
                    if let script = this.script { bench.check(script) }
                    if this.isUncontended { bench.checkUncontended() }
                    bench.check()
                    if this.isNeverFull { bench.checkNeverFull() }
                    if let receiver = this.soleReceiver {
                        bench.checkBypass(receiver: receiver, bound: Int(this.fairness.bypass))
                    }
                    if let sender = this.soleSender {
                        bench.checkReceiverBypass(sender: sender, bound: Int(this.fairness.bypass))
                    }
                    judge?.check(bench)
                },
                rescue: isRescued ? rescue : nil)
        }
    }

    extension ChannelBench {
        func run(_ operation: Op, by me: Int) {
            switch operation {
            case .send(let element): send(element, by: me)
            case .trySend(let element): trySend(element, by: me)
            case .receive: receive(by: me)
            case .tryReceive: tryReceive(by: me)
            case .count: count(by: me)
            case .isClosed: isClosed(by: me)
            case .isFinished: isFinished(by: me)
            case .reserve: reserve(by: me)
            case .fill(let element): fill(element, by: me)
            case .giveBack: giveBack(by: me)
            case .reserveMany(let count): reserve(count, by: me)
            case .giveBackMany(let count): giveBack(count, by: me)
            case .trySendMany(let elements): trySend(elements, by: me)
            case .resize(let capacity): resize(capacity, by: me)
            case .finish: channel.finish()
            case .abandon: channel.cancel()
            case .untilDrained: untilDrained(by: me)
            case .cancel(let other): cancelWait(of: other)
            case .timerRings: timerRings()
            case .beginSend(let element): beginSend(element, by: me)
            case .beginReceive: beginReceive(by: me)
            case .conclude(let index): conclude(index, by: me)
            }
        }
    }

    // MARK: - The families

    enum ChannelModels {
        /// Programs run once for each of these.
        private static let modes: [(String, Fairness)] = [("fifo", .fifo), ("eventual 1", .eventual(bypass: 1))]

        private static func inModes(
            _ name: String, capacities: [Int] = [1, 2], overflow: OverflowPolicy = .suspend, filled: Int = 0,
            _ threads: [[Op]]
        ) -> [ChannelModel] {
            modes.flatMap { mode, fairness in
                capacities.map { capacity in
                    ChannelModel(
                        name: "\(name), capacity \(capacity), \(mode)", capacity: capacity, overflow: overflow,
                        fairness: fairness, filled: filled == .max ? capacity : filled, threads: threads)
                }
            }
        }

        /// One thread, round and round: nothing here has a reason to take the lock.
        static let alone: [ChannelModel] = (1...3).map { capacity in
            let lap = (0..<capacity).map { $0 * 10 }
            return ChannelModel(
                name: "alone, capacity \(capacity)", capacity: capacity, isUncontended: true,
                threads: [
                    lap.map { .send($0) } + [.trySend(1_000), .count] + lap.map { _ in .receive } + [.tryReceive]
                        + lap.map { .trySend($0 + 1) } + lap.map { _ in .tryReceive } + [.isClosed]
                ])
        }

        static let transfer: [ChannelModel] =
            inModes("send | receive", [[.send(0)], [.receive]])
            + inModes(
                "send, send | receive, receive", capacities: [1, 2, 3], [[.send(0), .send(1)], [.receive, .receive]])
            + inModes(
                "send x3 | receive x3", capacities: [1, 2],
                [[.send(0), .send(1), .send(2)], [.receive, .receive, .receive]])
            + inModes("send | send | receive x2", [[.send(0)], [.send(10)], [.receive, .receive]])
            + inModes("full: send | receive x2", filled: .max, [[.send(0)], [.receive, .receive]])
            + inModes(
                "full: send | send | receive x2", capacities: [1], filled: .max,
                [[.send(0)], [.send(10)], [.receive, .receive]])
            + inModes(
                "full: send | receive x2 | trySend", filled: .max, [[.send(0)], [.receive, .receive], [.trySend(10)]])
            + inModes(
                "trySend, tryReceive | trySend, tryReceive",
                [[.trySend(0), .tryReceive], [.trySend(10), .tryReceive]])
            + inModes("trySend x2 | tryReceive x2", [[.trySend(0), .trySend(1)], [.tryReceive, .tryReceive]])

        static let close: [ChannelModel] =
            inModes("send | finish | receive", [[.send(0)], [.finish], [.receive]])
            + inModes(
                "send x2, finish | receive x3", capacities: [1, 2],
                [[.send(0), .send(1), .finish], [.receive, .receive, .receive]])
            + inModes("full: send | finish | tryReceive", filled: .max, [[.send(0)], [.finish], [.tryReceive]])
            + inModes("receive | receive | finish", [[.receive], [.receive], [.finish]])
            + inModes("send | abandon | receive", [[.send(0)], [.abandon], [.receive]])
            + inModes("full: send | abandon | tryReceive", filled: .max, [[.send(0)], [.abandon], [.tryReceive]])
            + inModes(
                "send | finish, abandon | receive", capacities: [1], [[.send(0)], [.finish, .abandon], [.receive]])

        static let cancel: [ChannelModel] =
            inModes(
                "full: send | cancel it | receive, finish", filled: .max,
                [[.send(0)], [.cancel(0)], [.tryReceive, .finish]])
            + inModes("receive | cancel it | send", [[.receive], [.cancel(0)], [.send(10)]])
            + inModes(
                "receive | receive, cancel it | send, finish", capacities: [1],
                [[.receive], [.cancel(0), .receive], [.send(20), .finish]])
            + inModes(
                "full: send | send, cancel it | receive, finish", capacities: [1], filled: .max,
                [[.send(0)], [.cancel(0), .send(10)], [.receive, .finish]])
            + [
                timed(
                    ChannelModel(
                        name: "full: timed send | timer | receive, finish", filled: 1,
                        threads: [[.send(0)], [.timerRings], [.receive, .finish]])),
                timed(
                    ChannelModel(
                        name: "timed receive | timer | send",
                        threads: [[.receive], [.timerRings], [.send(20), .finish]])),
                timed(
                    ChannelModel(
                        name: "timed receive | timer | cancel it | send",
                        threads: [[.receive], [.timerRings], [.cancel(0)], [.send(30), .finish]])),
            ]

        static let dropping: [ChannelModel] =
            inModes("drop | drop | receive", overflow: .dropOldest, [[.send(0)], [.send(10)], [.tryReceive]])
            + inModes("drop x2 | drop x2", overflow: .dropOldest, [[.send(0), .send(1)], [.send(10), .send(11)]])
            + inModes(
                "full: drop | drop | receive", overflow: .dropOldest, filled: .max,
                [[.send(0)], [.send(10)], [.receive]])
            + inModes(
                "full: drop | receive | finish", overflow: .dropOldest, filled: .max,
                [[.send(0)], [.receive], [.finish]])
            + inModes(
                "full: drop | abandon", overflow: .dropOldest, filled: .max, [[.send(0)], [.abandon], [.tryReceive]])
            + inModes(
                "full: dropNewest | receive", overflow: .dropNewest, filled: .max, [[.send(0), .send(1)], [.receive]])
            + inModes("full: reject | receive", overflow: .reject, filled: .max, [[.send(0), .send(1)], [.receive]])

        /// Room that is reserved is not evicted, and who waits is told of the end when it is given back.
        static let reserved: [ChannelModel] =
            inModes(
                "reserve, fill | drop x2", overflow: .dropOldest,
                [[.reserve, .fill(0)], [.trySend(10), .trySend(11)]])
            + inModes(
                "full: reserve, give back | drop | receive", capacities: [2], overflow: .dropOldest, filled: 1,
                [[.reserve, .giveBack], [.trySend(10)], [.tryReceive]])
            + inModes(
                "reserve 2, give back | reserve 2, give back", capacities: [2],
                [[.reserveMany(2), .giveBackMany(2)], [.reserveMany(2), .giveBackMany(2)]])
            + inModes(
                "reserve, give back | finish | receive", [[.reserve, .giveBack], [.finish], [.receive]])
            + inModes(
                "reserve, fill | finish | receive x2", [[.reserve, .fill(0)], [.finish], [.receive, .receive]])
            // With room reserved a cancelled channel has ended, and a finished one has not.
            + [Op.abandon, .finish].map { close in
                ChannelModel(
                    name: "reserve, \(close), tryReceive, give back, tryReceive | trySend", capacity: 2,
                    emptiness: .untilSent,
                    threads: [[.reserve, close, .tryReceive, .giveBack, .tryReceive], [.trySend(10)]])
            }

        /// Two senders wait; the thread that receives sends in between, as a newcomer.
        ///
        /// A waiter that is served counts against the bound of the one behind it, so with bounds 0 and 1 nobody passes.
        /// The order of independent steps matters here, and the programs are long: so not every schedule but every one
        /// of up to two preemptions.
        static func passing(_ bound: Int, newcomers: Int) -> ChannelModel {
            var last: [Op] = [.receive, .receive, .trySend(20), .receive, .trySend(21), .tryReceive]
            for index in 2..<newcomers { last += [.trySend(20 + index), .tryReceive] }
            return ChannelModel(
                name: "bypass \(bound): full: send | send | receive and \(newcomers) times trySend",
                fairness: .eventual(bypass: bound), filled: 1, soleReceiver: 2,
                threads: [[.send(0)], [.send(10)], last])
        }

        /// The mirror image: two receivers wait; the thread that sends receives in between, as a newcomer.
        static func passingReceivers(_ bound: Int, newcomers: Int) -> ChannelModel {
            var last: [Op] = [.trySend(20), .trySend(21), .trySend(22)]
            for index in 0..<newcomers { last += [.tryReceive, .trySend(23 + index)] }
            return ChannelModel(
                name: "bypass \(bound): receive | receive | send and \(newcomers) times tryReceive", capacity: 8,
                fairness: .eventual(bypass: bound), soleSender: 2, threads: [[.receive], [.receive], last])
        }

        static let bypass: [ChannelModel] = [
            passing(0, newcomers: 2), passing(1, newcomers: 2), passing(2, newcomers: 3),
            passingReceivers(0, newcomers: 2), passingReceivers(1, newcomers: 2), passingReceivers(2, newcomers: 3),
        ]

        /// A receiver, or a sender, that gives a steward a turn while the steward runs.
        static let turns: [ChannelModel] = [
            ChannelModel(
                name: "full: send | send | receive x6, bypass 8", capacity: 4, fairness: .eventual(bypass: 8),
                filled: 4,
                threads: [[.send(0)], [.send(10)], Array(repeating: .receive, count: 6)]),
            ChannelModel(
                name: "receive | receive | send x6, bypass 8", capacity: 4, fairness: .eventual(bypass: 8),
                threads: [[.receive], [.receive], [.send(20), .send(21), .send(22), .send(23), .send(24), .send(25)]]),
        ]

        /// "Full" is exact: thread 1 has just made room itself.
        static let exact: [ChannelModel] = [
            ChannelModel(
                name: "full: receive | receive, trySend", capacity: 2, filled: 2, isNeverFull: true,
                threads: [[.receive], [.receive, .trySend(10)]])
        ]

        /// Too large for every run: explored with `BACKPRESSURE_DEEP=1`.
        static let deep: [ChannelModel] =
            inModes("send x2 | receive | receive", [[.send(0), .send(1)], [.receive], [.receive]])
            + inModes(
                "send | send | receive | receive", capacities: [1], [[.send(0)], [.send(10)], [.receive], [.receive]])
            + inModes(
                "full: send | receive | receive | trySend", filled: .max,
                [[.send(0)], [.receive], [.receive], [.trySend(10)]])
            + inModes(
                "receive | receive | cancel one | send, finish", capacities: [1],
                [[.receive], [.receive], [.cancel(0)], [.send(30), .finish]])
            + inModes(
                "full: send | send | cancel one | receive", capacities: [1], filled: .max,
                [[.send(0)], [.send(10)], [.cancel(0)], [.receive, .finish]])

        static var all: [ChannelModel] { alone + transfer + close + cancel + dropping + reserved + exact }

        private static func timed(_ model: ChannelModel) -> ChannelModel {
            var model = model
            model.deadline = 1
            return model
        }
    }
#endif
