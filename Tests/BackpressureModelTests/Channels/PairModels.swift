// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Two threads of two operations each, listed: a hundred programs, ten of a thread that mostly sends against ten of one
// that mostly receives. And larger programs, which are not exhausted but sampled or bounded, listed as such.
//
// A program is written in letters: S send, s trySend, R receive, r tryReceive, n count, c isClosed, f isFinished,
// F finish, A cancel.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport

    enum PairModels {
        static let sending = ["SS", "Ss", "sS", "ss", "Sr", "sr", "sF", "SF", "sA", "sn"]
        static let receiving = ["RR", "Rr", "rR", "rr", "rn", "nr", "rc", "fr", "Rs", "rs"]

        static func all(
            _ overflow: OverflowPolicy, capacity: Int, fairness: Fairness = .fifo, filled: Int = 0
        ) -> [ChannelModel] {
            sending.flatMap { first in
                receiving.map { model("\(first)|\($0)", overflow, capacity, fairness, filled) }
            }
        }

        /// Three and four threads of two operations: too many schedules for all of them.
        static let larger: [ChannelModel] = [
            "SS|SS|RR", "Ss|RR|rR", "ss|ss|rr", "sF|SS|RR", "SA|sS|Rr", "sn|rs|Rs", "ss|rr|nc", "SR|SR|SR",
            "SS|RR|SS|RR", "ss|rr|ss|rr", "SF|RR|sR|Ss", "SS|Ss|RR|rR", "sn|rn|sc|rF", "sF|rf|rf",
        ].flatMap { text in
            [1, 2].flatMap { capacity in
                [OverflowPolicy.suspend, .dropOldest].map { model(text, $0, capacity, .eventual(bypass: 1), 0) }
            }
        }

        static func model(
            _ text: String, _ overflow: OverflowPolicy, _ capacity: Int, _ fairness: Fairness, _ filled: Int,
            emptiness: SequentialChannel.Emptiness = .untilSent
        ) -> ChannelModel {
            let threads = text.split(separator: "|").enumerated().map { me, letters in
                letters.enumerated().map { operation(of: $1, element: me * 10 + $0) }
            }
            return ChannelModel(
                name: "\(filled > 0 ? "full: " : "")\(text), capacity \(capacity), \(overflow), \(fairness.bypass)",
                capacity: capacity, overflow: overflow, fairness: fairness, filled: filled, emptiness: emptiness,
                isRescued: true, threads: threads)
        }

        private static func operation(of letter: Character, element: Int) -> Op {
            switch letter {
            case "S": .send(element)
            case "s": .trySend(element)
            case "R": .receive
            case "r": .tryReceive
            case "n": .count
            case "c": .isClosed
            case "f": .isFinished
            case "F": .finish
            case "A": .abandon
            default: preconditionFailure("no operation is written \(letter)")
            }
        }
    }
#endif
