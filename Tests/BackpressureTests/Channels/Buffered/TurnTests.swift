// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The order between lanes, apart from any buffer: the bound on starvation, and the shares.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("turns of lanes")
struct TurnTests {
    @Test("a lane that waits is passed over at most aging + k - 2 times", arguments: [1, 2, 3, 8], [2, 3, 5, 8])
    func starvationHasABound(aging: Int, lanes: Int) {
        let size = LaneSize("turns.bound \(aging) \(lanes)", plain: 20, sanitizer: 5, deep: 2_000)
        var worst: UInt64 = 0
        for seed in 0..<UInt64(size.count) {
            for order in [TurnOrder.strict, .weighted] {
                worst = max(worst, longestWait(order, aging, lanes, seed))
            }
        }
        #expect(worst <= UInt64(aging + lanes - 2))
        // The bound is not a loose one: with two lanes it is reached.
        if lanes == 2 { #expect(worst == UInt64(aging)) }
    }

    private func longestWait(_ order: TurnOrder, _ aging: Int, _ lanes: Int, _ seed: UInt64) -> UInt64 {
        var random = SplitMix64(seed: seed)
        var turns = BufferTurns(
            order: order, aging: aging, weights: (0..<lanes).map { _ in Int.random(in: 1...100, using: &random) })
        var mask: UInt64 = 0
        var worst: UInt64 = 0
        for _ in 0..<600 {
            for lane in 0..<lanes where mask >> UInt64(lane) & 1 == 0 && Int.random(in: 0..<4, using: &random) > 0 {
                mask |= 1 << UInt64(lane)
                turns.begin(lane)
            }
            guard mask != 0 else { continue }
            let lane = turns.next(mask) { UInt64($0) }
            worst = max(worst, turns.passed(lane))
            turns.serve(lane)
            if Int.random(in: 0..<8, using: &random) == 0 { mask &= ~(1 << UInt64(lane)) }
        }
        return worst
    }

    @Test(
        "each lane that always has elements gets its share, to one receive for each lane",
        arguments: [
            [1, 1], [3, 1], [8, 4, 1], [5, 5, 2, 1], [100, 1],
        ])
    func sharesAreKept(weights: [Int]) {
        var turns = BufferTurns(order: .weighted, aging: .max, weights: weights)
        let mask: UInt64 = (1 << UInt64(weights.count)) - 1
        for lane in weights.indices { turns.begin(lane) }
        var served = weights.map { _ in 0 }
        let sum = weights.reduce(0, +)
        for count in 1...(sum * 40) {
            let lane = turns.next(mask) { _ in 0 }
            turns.serve(lane)
            served[lane] += 1
            for lane in weights.indices {
                let share = Double(count * weights[lane]) / Double(sum)
                #expect(abs(Double(served[lane]) - share) <= Double(weights.count))
            }
        }
    }

    /// The way in that notes nothing while one lane waits alone, beside the one that notes all: same turns, same counts.
    @Test("a lane that waits alone is counted as if it were noted", arguments: [1, 2, 5], [2, 3, 8])
    func loneLanesAreCounted(aging: Int, lanes: Int) {
        let size = LaneSize("turns.lone \(aging) \(lanes)", plain: 8, sanitizer: 3, deep: 4_000)
        var loneTurns = 0
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed)
            let weights = Array(repeating: 1, count: lanes)
            var noted = BufferTurns(order: .strict, aging: aging, weights: weights)
            var lone = BufferTurns(order: .strict, aging: aging, weights: weights)
            var mask: UInt64 = 0
            let eagerness = Int.random(in: 1...6, using: &random)
            for _ in 0..<400 {
                for lane in 0..<lanes
                where mask >> UInt64(lane) & 1 == 0 && Int.random(in: 0..<eagerness, using: &random) == 0 {
                    noted.begin(lane)
                    lone.begin(lane, beside: mask)
                    mask |= 1 << UInt64(lane)
                }
                guard mask != 0 else { continue }
                // Now and then what waits goes away without a turn: it was evicted, or has expired.
                if Int.random(in: 0..<9, using: &random) == 0 {
                    mask &= mask - 1
                    continue
                }
                let lane = noted.next(mask) { UInt64($0) }
                #expect(lone.next(mask) { UInt64($0) } == lane, "seed \(seed)")
                for waiting in 0..<lanes where mask >> UInt64(waiting) & 1 == 1 {
                    #expect(lone.passed(waiting) == noted.passed(waiting), "seed \(seed)")
                }
                let goesOn = Int.random(in: 0..<3, using: &random) > 0
                if lone.isLone { loneTurns += 1 }
                noted.serve(lane, goesOn: goesOn)
                lone.serve(lane, goesOn: goesOn)
                if !goesOn { mask &= ~(1 << UInt64(lane)) }
                #expect(lone.served == noted.served && lone.longest(lane) == noted.longest(lane), "seed \(seed)")
            }
        }
        #expect(loneTurns > 0)
    }

    @Test("a lane that was silent claims no arrears")
    func silenceEarnsNothing() {
        var turns = BufferTurns(order: .weighted, aging: .max, weights: [1, 1])
        turns.begin(0)
        for _ in 0..<1_000 { turns.serve(0) }
        turns.begin(1)
        var second = 0
        for _ in 0..<10 {
            let lane = turns.next(0b11) { _ in 0 }
            turns.serve(lane)
            second += lane
        }
        #expect(second == 5)
    }

    @Test("strict order is strict until a lane is old; order of arrival asks for tickets only")
    func ordersAreWhatTheySay() {
        var strict = BufferTurns(order: .strict, aging: 3, weights: [1, 1, 1])
        for lane in 0..<3 { strict.begin(lane) }
        var served: [Int] = []
        for _ in 0..<10 {
            let lane = strict.next(0b111) { _ in 0 }
            strict.serve(lane)
            served.append(lane)
        }
        #expect(served == [0, 0, 0, 1, 2, 0, 0, 1, 2, 0])
        let arrival = BufferTurns(order: .arrival, aging: .max, weights: [1, 1, 1])
        #expect(arrival.next(0b111) { [30, 10, 20][$0] } == 1)
        #expect(arrival.next(0b101) { [30, 10, 20][$0] } == 2)
    }
}
