// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Rings whose positions are about to run out, or about to pass a boundary of the word.
//
// A position word has 61 bits for lap and index. The last positions of all are as good as the first; what comes after
// them is not: there the carry would reach the flags. At one operation a nanosecond that takes 36 years or more (2^60
// positions at least, whatever the capacity), and it is the one bound of the channel that is not checked at run time.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport

    enum WrapModels {
        /// The last position at which `room` more operations still have positions.
        static func last(capacity: Int, room: UInt64) -> UInt64 {
            let geometry = RingGeometry(capacity: capacity)
            return geometry.ordinal(RingWord.position & ~geometry.indexMask) - room
        }

        /// For every run: the smaller programs at the last positions.
        static var few: [ChannelModel] {
            all.filter { $0.capacity < 3 && $0.threads.count == 2 || $0.name.hasPrefix("S|F|R, capacity 1") }
        }

        static let all: [ChannelModel] = [1, 2, 3].flatMap { capacity -> [ChannelModel] in
            let starts: [(String, UInt64)] = [
                ("the last positions", last(capacity: capacity, room: 4)),
                ("lap 2^32", UInt64(capacity) << 32 - 2), ("the first yield", ChannelCore.yieldInterval - 2),
            ]
            return starts.flatMap { name, start in
                ["ss|rr", "SS|RR", "s|s|rr", "S|F|R"].flatMap { text -> [ChannelModel] in
                    [OverflowPolicy.suspend, .dropOldest].map { overflow in
                        let base = PairModels.model(text, overflow, capacity, .eventual(bypass: 1), 0)
                        return ChannelModel(
                            name: "\(base.name), \(name)", capacity: capacity, overflow: overflow,
                            fairness: base.fairness, emptiness: .untilSent, isRescued: true, start: start,
                            threads: base.threads)
                    }
                }
            }
        }
    }
#endif
