// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The programs that the rendezvous and the select are explored with.
//
// A wait that the program leaves without a partner is judged when nobody can move any more, and then ended by a close:
// so a wake-up that was lost shows, and a wait that is right does not.
//
// An element's tens digit names its sender's thread.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// One operation of a thread; channels are numbered.
    enum SelectOp: Sendable {
        case send(Int, to: Int)
        case trySend(Int, to: Int)
        case receive(Int)
        case tryReceive(Int)
        case select([SelectBench.Case], from: Int = 0)
        case trySelect([SelectBench.Case])
        case finish(Int)
        case abandon(Int)
        /// Of the wait of that thread.
        case cancel(Int)
        case timerRings(Int)
    }

    struct SelectModel: Sendable, CustomStringConvertible {
        let name: String
        let kinds: [SelectBench.Kind]
        var deadline = Int64.max
        var hasFallingRanks = false
        let threads: [[SelectOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: {
                    SelectBench(this.kinds, deadline: this.deadline, hasFallingRanks: this.hasFallingRanks)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { $0.check() },
                rescue: { $0.rescue() })
        }
    }

    extension SelectBench {
        func run(_ operation: SelectOp, by me: Int) {
            switch operation {
            case .send(let element, let channel): send(element, to: channel, waits: true, by: me)
            case .trySend(let element, let channel): send(element, to: channel, waits: false, by: me)
            case .receive(let channel): receive(from: channel, waits: true, by: me)
            case .tryReceive(let channel): receive(from: channel, waits: false, by: me)
            case .select(let cases, let start): select(cases, from: start, waits: true, by: me)
            case .trySelect(let cases): select(cases, from: 0, waits: false, by: me)
            case .finish(let channel): finish(channel)
            case .abandon(let channel): finish(channel, abandoning: true)
            case .cancel(let other): cancelWait(of: other)
            case .timerRings(let channel): timerRings(channel)
            }
        }
    }

    // MARK: - One rendezvous

    enum RendezvousModels {
        static func model(_ name: String, deadline: Int64 = .max, _ threads: [[SelectOp]]) -> SelectModel {
            SelectModel(name: "rendezvous: \(name)", kinds: [.rendezvous], deadline: deadline, threads: threads)
        }

        static let all: [SelectModel] = [
            model("send | receive", [[.send(0, to: 0)], [.receive(0)]]),
            model("send x2 | receive x2", [[.send(0, to: 0), .send(1, to: 0)], [.receive(0), .receive(0)]]),
            model("send | send | receive x2", [[.send(0, to: 0)], [.send(10, to: 0)], [.receive(0), .receive(0)]]),
            model("send x2 | receive | receive", [[.send(0, to: 0), .send(1, to: 0)], [.receive(0)], [.receive(0)]]),
            model(
                "send | send | receive | receive",
                [[.send(0, to: 0)], [.send(10, to: 0)], [.receive(0)], [.receive(0)]]),
            model("send | send | receive", [[.send(0, to: 0)], [.send(10, to: 0)], [.receive(0)]]),
            model(
                "send, receive | receive, send", [[.send(0, to: 0), .receive(0)], [.receive(0), .send(10, to: 0)]]),
            model("trySend | receive", [[.trySend(0, to: 0)], [.receive(0)]]),
            model(
                "trySend x2 | receive | receive",
                [[.trySend(0, to: 0), .trySend(1, to: 0)], [.receive(0)], [.receive(0)]]),
            model("send | tryReceive x2", [[.send(0, to: 0)], [.tryReceive(0), .tryReceive(0)]]),
            model("trySend | tryReceive", [[.trySend(0, to: 0)], [.tryReceive(0)]]),
            model(
                "send | trySend | receive | tryReceive",
                [[.send(0, to: 0)], [.trySend(10, to: 0)], [.receive(0)], [.tryReceive(0)]]),
            model("send | finish | receive", [[.send(0, to: 0)], [.finish(0)], [.receive(0)]]),
            model("send | abandon | receive", [[.send(0, to: 0)], [.abandon(0)], [.receive(0)]]),
            model("send | finish | abandon", [[.send(0, to: 0)], [.finish(0)], [.abandon(0)]]),
            model("receive | receive | finish", [[.receive(0)], [.receive(0)], [.finish(0)]]),
            model(
                "trySend | tryReceive | finish | receive",
                [[.trySend(0, to: 0)], [.tryReceive(0)], [.finish(0)], [.receive(0)]]),
            model("send | cancel it | receive", [[.send(0, to: 0)], [.cancel(0)], [.receive(0)]]),
            model("receive | cancel it | send", [[.receive(0)], [.cancel(0)], [.send(20, to: 0)]]),
            model(
                "send | cancel it | send | receive",
                [[.send(0, to: 0)], [.cancel(0)], [.send(20, to: 0)], [.receive(0)]]),
            model("receive | cancel it | finish", [[.receive(0)], [.cancel(0)], [.finish(0)]]),
            model("receive | cancel it | trySend", [[.receive(0)], [.cancel(0)], [.trySend(20, to: 0)]]),
            model("timed send | timer | receive", deadline: 1, [[.send(0, to: 0)], [.timerRings(0)], [.receive(0)]]),
            model("timed receive | timer | send", deadline: 1, [[.receive(0)], [.timerRings(0)], [.send(20, to: 0)]]),
            model(
                "timed receive | timer | cancel it | send", deadline: 1,
                [[.receive(0)], [.timerRings(0)], [.cancel(0)], [.send(30, to: 0)]]),
            model("timed send | timer | finish", deadline: 1, [[.send(0, to: 0)], [.timerRings(0)], [.finish(0)]]),
            model(
                "timed send | timer | trySend | tryReceive", deadline: 1,
                [[.send(0, to: 0)], [.timerRings(0)], [.trySend(20, to: 0)], [.tryReceive(0)]]),
        ]
    }

    // MARK: - Selects over two channels

    enum SelectModels {
        typealias Kind = SelectBench.Kind
        typealias Case = SelectBench.Case

        static let receiveEither: [Case] = [.receive(0), .receive(1)]

        static func sendEither(_ me: Int) -> [Case] { [.send(me * 10, to: 0), .send(me * 10 + 1, to: 1)] }

        static let pairs: [(String, [Kind])] = [
            ("two rendezvous", [.rendezvous, .rendezvous]),
            ("two rings", [.empty, .empty]),
            ("a ring and a rendezvous", [.empty, .rendezvous]),
        ]

        private static func onPairs(
            _ name: String, on pairs: [(String, [Kind])] = pairs, deadline: Int64 = .max, _ threads: [[SelectOp]]
        ) -> [SelectModel] {
            pairs.map { label, kinds in
                SelectModel(name: "\(label): \(name)", kinds: kinds, deadline: deadline, threads: threads)
            }
        }

        private static func joined(_ lists: [[SelectModel]]) -> [SelectModel] { lists.flatMap { $0 } }

        private static let rendezvousOnly = [pairs[0]]
        private static let fullRings: [(String, [Kind])] = [
            ("two full rings", [.full, .full]), ("a full ring and a rendezvous", [.full, .rendezvous]),
        ]

        static let receiving: [SelectModel] = joined([
            onPairs("select | send 0 | send 1", [[.select(receiveEither)], [.send(10, to: 0)], [.send(20, to: 1)]]),
            onPairs(
                "select x2 | send 0 | send 1", on: rendezvousOnly,
                [[.select(receiveEither), .select(receiveEither, from: 1)], [.send(10, to: 0)], [.send(20, to: 1)]]),
            onPairs(
                "select | select | send 0",
                [[.select(receiveEither)], [.select(receiveEither, from: 1)], [.send(20, to: 0)]]),
            onPairs("select | receive 0 | send 0", [[.select(receiveEither)], [.receive(0)], [.send(20, to: 0)]]),
            onPairs(
                "select | trySend 0, trySend 1 | tryReceive 0",
                [[.select(receiveEither)], [.trySend(10, to: 0), .trySend(11, to: 1)], [.tryReceive(0)]]),
            onPairs(
                "trySelect | send 0 | send 1", [[.trySelect(receiveEither)], [.send(10, to: 0)], [.send(20, to: 1)]]),
        ])

        static let sending: [SelectModel] = joined([
            onPairs(
                "select | receive 0 | receive 1", on: fullRings + rendezvousOnly,
                [[.select(sendEither(0))], [.receive(0)], [.receive(1)]]),
            onPairs(
                "select | select | receive 0", on: fullRings + rendezvousOnly,
                [[.select(sendEither(0))], [.select(sendEither(1), from: 1)], [.receive(0)]]),
            onPairs(
                "select | send 0 | receive 0", on: fullRings + rendezvousOnly,
                [[.select(sendEither(0))], [.send(10, to: 0)], [.receive(0)]]),
        ])

        static let ends: [SelectModel] = joined([
            onPairs("select | finish 0 | send 1", [[.select(receiveEither)], [.finish(0)], [.send(20, to: 1)]]),
            onPairs("select | abandon 0 | send 1", [[.select(receiveEither)], [.abandon(0)], [.send(20, to: 1)]]),
            onPairs(
                "sending select | finish 0 | receive 1", on: fullRings + rendezvousOnly,
                [[.select(sendEither(0))], [.finish(0)], [.receive(1)]]),
            onPairs("select | cancel it | send 0", [[.select(receiveEither)], [.cancel(0)], [.send(20, to: 0)]]),
            onPairs(
                "sending select | cancel it | receive 0", on: fullRings + rendezvousOnly,
                [[.select(sendEither(0))], [.cancel(0)], [.receive(0)]]),
            onPairs(
                "timed select | timer | send 1", deadline: 1,
                [[.select(receiveEither)], [.timerRings(0)], [.send(20, to: 1)]]),
            onPairs(
                "timed select | timer | cancel it", deadline: 1,
                [[.select(receiveEither)], [.timerRings(0)], [.cancel(0)]]),
            onPairs(
                "timed sending select | timer | receive 1", on: fullRings + rendezvousOnly, deadline: 1,
                [[.select(sendEither(0))], [.timerRings(0)], [.receive(1)]]),
        ])

        /// Both sides of one rendezvous are cases.
        static let meetings: [SelectModel] = [false, true].flatMap { falling -> [SelectModel] in
            let programs: [(String, [[SelectOp]])] = [
                ("select | sending select", [[.select(receiveEither)], [.select(sendEither(1))]]),
                ("select | sending select from 1", [[.select(receiveEither)], [.select(sendEither(1), from: 1)]]),
                ("crossed", [[.select([.receive(0), .send(0, to: 1)])], [.select([.send(10, to: 0), .receive(1)])]]),
                (
                    "crossed from 1",
                    [[.select([.receive(0), .send(0, to: 1)])], [.select([.send(10, to: 0), .receive(1)], from: 1)]]
                ),
                (
                    "select | sending select | receive 0",
                    [[.select(receiveEither)], [.select(sendEither(1))], [.receive(0)]]
                ),
                (
                    "select | sending select | send 1",
                    [[.select(receiveEither)], [.select(sendEither(1))], [.send(20, to: 1)]]
                ),
                (
                    "select | sending select | cancel 0",
                    [[.select(receiveEither)], [.select(sendEither(1))], [.cancel(0)]]
                ),
                (
                    "select | sending select | finish 0",
                    [[.select(receiveEither)], [.select(sendEither(1))], [.finish(0)]]
                ),
                (
                    "select | sending select | trySend 0",
                    [[.select(receiveEither)], [.select(sendEither(1))], [.trySend(20, to: 0)]]
                ),
                (
                    "crossed | select",
                    [
                        [.select([.receive(0), .send(0, to: 1)])], [.select([.send(10, to: 0), .receive(1)])],
                        [.select(receiveEither, from: 1)],
                    ]
                ),
                (
                    "crossed | sending select",
                    [
                        [.select([.receive(0), .send(0, to: 1)])], [.select([.send(10, to: 0), .receive(1)])],
                        [.select(sendEither(2), from: 1)],
                    ]
                ),
                (
                    "both sides of one | both sides of one",
                    [[.select([.send(0, to: 0), .receive(0)])], [.select([.send(10, to: 0), .receive(0)])]]
                ),
                (
                    "both sides of one | send 0 | receive 0",
                    [[.select([.send(0, to: 0), .receive(0)])], [.send(10, to: 0)], [.receive(0)]]
                ),
            ]
            return programs.map { name, threads in
                SelectModel(
                    name: "meeting\(falling ? ", ranks falling" : ""): \(name)", kinds: [.rendezvous, .rendezvous],
                    hasFallingRanks: falling, threads: threads)
            }
        }

        private static let eventualRing = Kind.bounded(capacity: 2, filled: 0, fairness: .eventual(bypass: 2))
        private static let eventualFull = Kind.bounded(capacity: 1, filled: 1, fairness: .eventual(bypass: 1))

        /// A case that is granted and made its side's steward, and one that is dead in a list of others.
        static let stewards: [SelectModel] = [
            SelectModel(
                name: "eventual: select | receive 0 | send 1, send 0", kinds: [eventualRing, .rendezvous],
                threads: [[.select(receiveEither)], [.receive(0)], [.send(20, to: 1), .send(21, to: 0)]])
        ]

        /// Explored in full with `BACKPRESSURE_DEEP=1`, and else with up to two preemptions.
        static let deep: [SelectModel] = [
            SelectModel(
                name: "eventual: select | receive 0 | send 0 x2", kinds: [eventualRing, .rendezvous],
                threads: [[.select(receiveEither)], [.receive(0)], [.send(20, to: 0), .send(21, to: 0)]]),
            SelectModel(
                name: "eventual: sending select | send 0 | receive 0 x2", kinds: [eventualFull, .rendezvous],
                threads: [[.select(sendEither(0))], [.send(10, to: 0)], [.receive(0), .receive(0)]]),
        ]

        static var all: [SelectModel] { receiving + sending + ends + meetings + stewards }
    }
#endif
