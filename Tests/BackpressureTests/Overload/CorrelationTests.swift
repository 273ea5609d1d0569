// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The correlation of two figures, and the limit that is steered by it.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct CorrelationWindowTests {
    @Test func linesRiseTogetherAndOppositesDoNot() {
        var (same, opposite) = (CorrelationWindow(size: 20, warmup: 10), CorrelationWindow(size: 20, warmup: 10))
        for step in 1...30 {
            same.add(Double(step), Double(3 * step + 7))
            opposite.add(Double(step), Double(-2 * step))
            if step < 10 { #expect(same.correlation == 0 && same.variation == 0, "it has too few values to speak") }
        }
        #expect(abs(same.correlation - 1) < 1e-9 && abs(opposite.correlation + 1) < 1e-9)
    }

    /// By the formula of the sums, in another way than the code under test; and the oldest values are forgotten.
    @Test func itIsPearsonsOverTheLastValues() {
        for seed in 0..<UInt64(50) {
            var numbers = SplitMix64(seed: seed)
            let size = Int.random(in: 10...40, using: &numbers)
            var window = CorrelationWindow(size: size, warmup: 10)
            var all: [(x: Double, y: Double)] = []
            for _ in 0..<100 {
                let x = Double.random(in: 1...9, using: &numbers)
                all.append((x, x * 0.3 + Double.random(in: 1...9, using: &numbers)))
                window.add(all[all.count - 1].x, all[all.count - 1].y)
            }
            let last = all.suffix(size)
            let n = Double(size)
            let (sumX, sumY) = (last.reduce(0) { $0 + $1.x }, last.reduce(0) { $0 + $1.y })
            let products = last.reduce(0) { $0 + $1.x * $1.y }
            let (squaresX, squaresY) = (last.reduce(0) { $0 + $1.x * $1.x }, last.reduce(0) { $0 + $1.y * $1.y })
            let spreadX = (n * squaresX - sumX * sumX).squareRoot()
            let spreadY = (n * squaresY - sumY * sumY).squareRoot()
            #expect(abs(window.correlation - (n * products - sumX * sumY) / (spreadX * spreadY)) < 1e-9, "seed \(seed)")
            #expect(abs(window.variation - spreadY / sumY) < 1e-9, "seed \(seed)")
        }
    }

    @Test func whatHardlyVariesSaysNothing() {
        var window = CorrelationWindow(size: 20, warmup: 10)
        for step in 0..<20 { window.add(100 + 0.1 * Double(step % 2), Double(step)) }
        #expect(window.correlation == 0 && window.variation > 0.5)
        var zeros = CorrelationWindow(size: 20, warmup: 10)
        for _ in 0..<20 { zeros.add(0, 0) }
        #expect(zeros.correlation == 0 && zeros.variation == 0)
    }

    /// NaN, infinities, zeros, negatives and the ends of the range, in any order.
    @Test func wildValuesLeaveItInItsBounds() {
        let wild: [Double] = [
            .nan, .infinity, -.infinity, 0, -1, 1, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
            .leastNonzeroMagnitude, 1e300, -1e-300,
        ]
        let rounds = LaneSize("limit.correlation.rounds", plain: 200, sanitizer: 50, deep: 20_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            var (window, median) = (CorrelationWindow(size: 12, warmup: 3), MedianFilter(size: 5))
            for _ in 0..<60 {
                window.add(wild.randomElement(using: &numbers) ?? 0, wild.randomElement(using: &numbers) ?? 0)
                #expect(window.correlation >= -1 && window.correlation <= 1 && window.variation >= 0, "seed \(seed)")
                #expect(median.add(wild.randomElement(using: &numbers) ?? 0).isFinite)
            }
            for step in 1...12 { window.add(Double(step), Double(step)) }
            #expect(abs(window.correlation - 1) < 1e-9, "the wild ones are forgotten")
        }
    }

    @Test func theMiddleOneHidesAWildOne() {
        var median = MedianFilter(size: 5)
        #expect(median.add(.nan) == 0)
        #expect([10, 11, 1_000_000, 12, 9, 10, 11].map { median.add($0) } == [10, 11, 11, 12, 11, 11, 11])
    }
}

@Suite struct CorrelationLimitTests {
    /// Up to the knee more calls at once make more of them; beyond it they only make them slower.
    ///
    /// It stays around the knee.
    @Test func itTurnsBackWhereThroughputStops() {
        for knee in [10.0, 16, 50, 120] {
            var limit = CorrelationLimit(initial: 4, maximum: 1_000)
            var greatest = 0
            for _ in 0..<2_000 {
                let time = 50e6 * max(1, Double(limit.limit) / knee)
                limit.update(LimitSample(roundTrip: .nanoseconds(Int64(time)), inFlight: limit.limit))
                greatest = max(greatest, limit.limit)
            }
            #expect(
                Double(greatest) <= 4 * knee && Double(limit.limit) >= 0.5 * knee,
                "\(greatest), \(limit.limit), \(knee)")
        }
    }

    /// Pitfall: an average that follows a lasting queue up, and the limit with it.
    ///
    /// Here it comes down from far above.
    @Test func aLastingQueueDoesNotPassForNormal() {
        var limit = CorrelationLimit(initial: 160, maximum: 1_000)
        for _ in 0..<500 {
            let time = 50e6 * max(1, Double(limit.limit) / 16)
            limit.update(LimitSample(roundTrip: .nanoseconds(Int64(time)), inFlight: limit.limit))
        }
        #expect(limit.limit <= 48, "\(limit.limit)")
    }

    @Test func itStaysWithinItsHeadroom() {
        var limit = CorrelationLimit(initial: 100, maximum: 1_000, headroom: 2)
        for _ in 0..<200 { limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: 10)) }
        #expect(limit.limit <= 20)
        for _ in 0..<200 { limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: 0)) }
        #expect(limit.limit <= 2 && limit.limit >= 1)
    }
}
