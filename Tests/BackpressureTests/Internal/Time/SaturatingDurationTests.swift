// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Testing

@testable import Backpressure

@Suite("Saturating durations")
struct SaturatingDurationTests {
    struct Row: Sendable {
        let attoseconds: Int128
        let up: Int64
        let down: Int64
    }

    static let billion: Int128 = 1_000_000_000

    static let rows: [Row] = [
        Row(attoseconds: 0, up: 0, down: 0),
        Row(attoseconds: 1, up: 1, down: 0),
        Row(attoseconds: -1, up: 0, down: -1),
        Row(attoseconds: billion - 1, up: 1, down: 0),
        Row(attoseconds: billion, up: 1, down: 1),
        Row(attoseconds: billion + 1, up: 2, down: 1),
        Row(attoseconds: -billion, up: -1, down: -1),
        Row(attoseconds: -billion - 1, up: -1, down: -2),
        Row(attoseconds: 1_500 * billion, up: 1_500, down: 1_500),
        Row(attoseconds: Int128(Int64.max) * billion, up: .max, down: .max),
        Row(attoseconds: Int128(Int64.max) * billion - 1, up: .max, down: .max - 1),
        Row(attoseconds: Int128(Int64.max) * billion + 1, up: .max, down: .max),
        Row(attoseconds: Int128(Int64.min) * billion, up: .min, down: .min),
        Row(attoseconds: Int128(Int64.min) * billion - 1, up: .min, down: .min),
        Row(attoseconds: Int128(Int64.min) * billion + 1, up: .min + 1, down: .min),
        Row(attoseconds: .max, up: .max, down: .max),
        Row(attoseconds: .min, up: .min, down: .min),
    ]

    @Test("a duration is rounded to the side asked for and held to the range", arguments: rows)
    func conversion(_ row: Row) {
        let duration = Duration(attoseconds: row.attoseconds)
        #expect(duration.saturatingNanoseconds == row.up)
        #expect(duration.saturatingNanosecondsRoundedDown == row.down)
    }

    @Test("sums and differences stop at the ends of the range")
    func sums() {
        let edges: [Int64] = [.min, .min + 1, -2, -1, 0, 1, 2, .max - 1, .max]
        for left in edges {
            for right in edges {
                #expect(left.addingSaturating(right) == Int64(clamping: Int128(left) + Int128(right)))
                #expect(left.subtractingSaturating(right) == Int64(clamping: Int128(left) - Int128(right)))
            }
        }
    }
}
