// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Three threads of one operation each: every unordered choice from an alphabet, generated.
//
// What cancels or times out needs somebody who waits. If none of the three does, a thread that waits is added.
// Programs need not end by their own count: when nobody can move, those who wait are judged and then told of the end.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport

    /// An operation of the alphabet.
    struct Letter: Sendable {
        let name: String
        /// Whether its thread may come to wait in a send, or in a receive.
        var waits: Waiting?
        /// What it needs to have an effect at all.
        var needs: Need?
        /// `me` is its thread, `target` the thread whose wait it ends.
        let operations: @Sendable (_ me: Int, _ target: Int) -> [Op]

        enum Waiting { case sending, receiving }
        enum Need { case sender, receiver, anyWait }
    }

    enum TripleModels {
        static let alphabet: [Letter] = [
            Letter(name: "send", waits: .sending) { me, _ in [.send(me * 10)] },
            Letter(name: "trySend") { me, _ in [.trySend(me * 10)] },
            Letter(name: "reserve+fill", waits: .sending) { me, _ in [.reserve, .fill(me * 10)] },
            Letter(name: "reserve+drop", waits: .sending) { _, _ in [.reserve, .giveBack] },
            Letter(name: "receive", waits: .receiving) { _, _ in [.receive] },
            Letter(name: "tryReceive") { _, _ in [.tryReceive] },
            Letter(name: "finish") { _, _ in [.finish] },
            Letter(name: "cancel a sender", needs: .sender) { _, target in [.cancel(target)] },
            Letter(name: "cancel a receiver", needs: .receiver) { _, target in [.cancel(target)] },
            Letter(name: "timeout", needs: .anyWait) { _, _ in [.timerRings] },
        ]

        private static var send: Letter { alphabet[0] }
        private static var receive: Letter { alphabet[4] }

        static let policies: [OverflowPolicy] = [.suspend, .dropOldest, .reject]

        /// Those that the plain run takes: the schedules of the two that reserve are five times as many as all the others'.
        static var letters: [Letter] { isDeep ? alphabet : alphabet.filter { !$0.name.hasPrefix("reserve") } }

        /// How many unordered triples `letters` letters have.
        static func count(letters: Int) -> Int { letters * (letters + 1) * (letters + 2) / 6 }

        /// All triples for one policy and capacity, from an empty and from a full channel.
        static func all(_ overflow: OverflowPolicy, capacity: Int, fairness: Fairness) -> [ChannelModel] {
            var models: [ChannelModel] = []
            let alphabet = letters
            for first in alphabet.indices {
                for second in first..<alphabet.count {
                    for third in second..<alphabet.count {
                        let letters = [first, second, third].map { alphabet[$0] }
                        for filled in [0, capacity] {
                            models.append(model(letters, overflow, capacity, fairness, filled))
                        }
                    }
                }
            }
            return models
        }

        private static func model(
            _ letters: [Letter], _ overflow: OverflowPolicy, _ capacity: Int, _ fairness: Fairness, _ filled: Int
        ) -> ChannelModel {
            var letters = letters
            func firstWaiter(_ waiting: Letter.Waiting) -> Int? { letters.firstIndex { $0.waits == waiting } }
            for need in Set(letters.compactMap(\.needs)) {
                switch need {
                case .sender: if firstWaiter(.sending) == nil { letters.append(send) }
                case .receiver: if firstWaiter(.receiving) == nil { letters.append(receive) }
                case .anyWait:
                    if firstWaiter(.sending) == nil, firstWaiter(.receiving) == nil {
                        letters.append(filled > 0 ? send : receive)
                    }
                }
            }
            let threads = letters.enumerated().map { me, letter -> [Op] in
                let target = firstWaiter(letter.needs == .sender ? .sending : .receiving) ?? 0
                return letter.operations(me, target)
            }
            let names = letters.map(\.name).joined(separator: " | ")
            return ChannelModel(
                name: "\(filled > 0 ? "full: " : "")\(names), capacity \(capacity), \(overflow), \(fairness.bypass)",
                capacity: capacity, overflow: overflow, fairness: fairness, filled: filled,
                deadline: letters.contains { $0.needs == .anyWait } ? 1 : .max,
                emptiness: .untilSent, isRescued: true, threads: threads)
        }
    }
#endif
