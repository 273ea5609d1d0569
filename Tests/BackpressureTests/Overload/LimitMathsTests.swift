// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The maths of overload control against everything that a clock and a network can report.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct LimitMathsTests {
    private static let wild: [Duration] = [
        .zero, .nanoseconds(-1), .seconds(-1_000_000), .nanoseconds(1), .microseconds(50), .milliseconds(5),
        .milliseconds(50), .seconds(3), .seconds(1_000_000), .nanoseconds(Int64.max), .nanoseconds(Int64.min),
        Duration(attoseconds: .max), Duration(attoseconds: .min), Duration(attoseconds: 1),
    ]

    /// Pitfalls: zero, negative and endless samples, in-flight counts that make no sense, drops at any time.
    @Test(arguments: LimitKind.allCases)
    func noSampleTakesALimitOutOfItsBounds(_ kind: LimitKind) {
        let rounds = LaneSize("limit.maths.rounds", plain: 200, sanitizer: 50, deep: 20_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            var limit = kind.limit(initial: Int.random(in: 1...1000, using: &numbers), seed: seed)
            for _ in 0..<100 {
                let trip = Self.wild.randomElement(using: &numbers) ?? .zero
                let inFlight = [Int.min, -1, 0, 1, limit.limit, 5000, Int.max].randomElement(using: &numbers) ?? 0
                limit.update(
                    LimitSample(roundTrip: trip, inFlight: inFlight, didDrop: Bool.random(using: &numbers)))
                #expect((1...1000).contains(limit.limit), "seed \(seed)")
            }
            // And it still works.
            for _ in 0..<3_000 {
                limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: limit.limit))
            }
            #expect(limit.limit > 100, "\(kind) stays at \(limit.limit) after seed \(seed)")
        }
    }

    /// Pitfall: a limit that grows although nobody uses it, and so admits a flood later.
    @Test(arguments: LimitKind.allCases)
    func aLimitThatIsNotUsedDoesNotGrow(_ kind: LimitKind) {
        var limit = kind.limit(initial: 20, seed: 1)
        for _ in 0..<1_000 {
            limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: 4))
            #expect(limit.limit <= 20)
        }
    }

    /// Pitfall: Gradient2 that does not look at drops.
    @Test(arguments: LimitKind.allCases)
    func dropsShrinkEveryLimit(_ kind: LimitKind) {
        var limit = kind.limit(initial: 100, seed: 1)
        for _ in 0..<5 {
            limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: limit.limit, didDrop: true))
        }
        #expect(limit.limit < 100)
    }

    /// Pitfall: a baseline that can only fall, or only rise.
    @Test func theBaselineGoesUpAndDown() throws {
        var limit = VegasLimit(initial: 20, probeMultiplier: 1, seed: 1)
        for trip in [10, 40, 10] {
            for _ in 0..<500 {
                limit.update(LimitSample(roundTrip: .milliseconds(trip), inFlight: limit.limit))
            }
            let baseline = try #require(limit.baseline)
            #expect(abs(baseline / .milliseconds(trip) - 1) < 0.1)
        }
    }

    @Test func additiveIncreaseMultiplicativeDecrease() {
        var limit = AIMDLimit(initial: 20, maximum: 22, timeout: .milliseconds(100))
        let good = LimitSample(roundTrip: .milliseconds(50), inFlight: 20)
        limit.update(good)
        #expect(limit.limit == 21)
        for _ in 0..<5 { limit.update(good) }
        #expect(limit.limit == 22)
        limit.update(LimitSample(roundTrip: .milliseconds(101), inFlight: 20))
        #expect(limit.limit == 19)
        limit.update(LimitSample(roundTrip: .milliseconds(50), inFlight: 20, didDrop: true))
        #expect(limit.limit == 17)
        for _ in 0..<100 { limit.update(LimitSample(roundTrip: .zero, inFlight: 20, didDrop: true)) }
        #expect(limit.limit == 1)
    }

    /// Drift: a day of lasting overload with a queue that follows the limit, in windows of a second.
    ///
    /// The averages scatter as those of four times the limit do when lengths of work are lognormal with sigma 1; or by a
    /// tenth, and then by nothing.
    @Test(arguments: [LimitKind.vegas, .gradient2])
    func nothingDriftsInADay(_ kind: LimitKind) {
        let seeds = LaneSize("limit.day \(kind)", plain: 1, sanitizer: 1, deep: 100).count
        for scatter in [nil, 0.1, 0] {
            var (means, utilizations, delays, greatest): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
            for seed in 0..<UInt64(seeds) {
                var chance = SimulatedChance(seed: seed)
                var limit = kind.limit(initial: 20, seed: seed)
                var (most, sum, done, delay) = (0, 0, 0.0, 0.0)
                for window in 0..<86_400 {
                    // 16 are served at once; the others wait.
                    let calls = Double(limit.limit)
                    let deviation = scatter ?? 1.31 / (4 * calls).squareRoot()
                    let trip = 50e6 * max(1, calls / 16) * max(0.1, 1 + deviation * chance.normal())
                    if window >= 600 {
                        most = max(most, limit.limit)
                        sum += limit.limit
                        done += min(calls / 16, 1)
                        delay += max(calls / 16, 1) - 1
                    }
                    limit.update(LimitSample(roundTrip: .nanoseconds(Int64(trip)), inFlight: limit.limit))
                }
                means.append(Double(sum) / 85_800)
                utilizations.append(done / 85_800)
                delays.append(delay / 85_800)
                greatest.append(Double(most))
            }
            let name = "a day of \(kind), scatter \(scatter.map { "\($0)" } ?? "lognormal"), \(seeds) seeds"
            print("\(name): limit \(Spread(means)), knee 16; at most \(Spread(greatest))")
            print("\(name): goodput \(Spread(utilizations)); delay \(Spread(delays))")
            #expect(Spread(greatest).greatest <= 80)
            #expect(Spread(utilizations).least >= 0.95)
            #expect(Spread(delays).greatest <= 1)
        }
    }
}

@Suite struct SampleWindowTests {
    private static let ms: Int64 = 1_000_000

    @Test func aWindowEndsWithItsCallsAndItsTime() {
        var window = SampleWindow(leastLength: 100, greatestLength: 1_000, leastCount: 3)
        #expect(window.add(began: -10, now: 0, inFlight: 2, didDrop: false, limit: 1) == nil)
        for now: Int64 in [10, 20, 30, 99] {
            #expect(window.add(began: now - 10, now: now, inFlight: 5, didDrop: false, limit: 1) == nil)
        }
        let sample = window.add(began: 90, now: 100, inFlight: 1, didDrop: true, limit: 1)
        #expect(sample == LimitSample(roundTrip: .nanoseconds(10), inFlight: 5, didDrop: true))
    }

    /// Clock faults: back, and far ahead.
    @Test func aClockThatJumpsNeitherTrapsNorSticks() {
        var window = SampleWindow()
        var numbers = SplitMix64(seed: 5)
        let readings: [Int64] = [0, .max, .min, -1, 1, .max - 1, 1 << 40]
        var samples = 0
        for _ in 0..<10_000 {
            let began = readings.randomElement(using: &numbers) ?? 0
            let now = readings.randomElement(using: &numbers) ?? 0
            if let sample = window.add(began: began, now: now, inFlight: 1, didDrop: false, limit: 1) {
                samples += 1
                #expect(sample.roundTrip >= .zero)
            }
        }
        #expect(samples > 0)
    }
}

@Suite struct RollingCountsTests {
    struct Number: RollingCount, Equatable {
        var value = 0
        static func += (left: inout Number, right: Number) { left.value += right.value }
        static func -= (left: inout Number, right: Number) { left.value -= right.value }
    }

    /// The counts are those of a list of all events, whatever the clock does.
    @Test func countsWhatIsInTheWindow() {
        for seed in 0..<UInt64(50) {
            var numbers = SplitMix64(seed: seed)
            let buckets = Int.random(in: 1...12, using: &numbers)
            let slot = Int64.random(in: 1...1_000, using: &numbers)
            var counts = RollingCounts<Number>(window: slot * Int64(buckets), buckets: buckets)
            var events: [(slot: Int64, value: Int)] = []
            var (time, latest) = (Int64.random(in: -100_000...100_000, using: &numbers), Int64.min)
            for _ in 0..<300 {
                time += [0, 1, slot / 2, slot, 3 * slot, -2 * slot, 1_000_000].randomElement(using: &numbers) ?? 0
                let value = Int.random(in: 1...9, using: &numbers)
                counts.add(Number(value: value), at: time)
                // Rounded down by hand, in another way than the code under test.
                latest = max(latest, Int64((Double(time) / Double(slot)).rounded(.down)))
                events.append((latest, value))
                let expected = events.filter { $0.slot > latest - Int64(buckets) }.reduce(0) { $0 + $1.value }
                #expect(counts.total.value == expected, "seed \(seed)")
            }
        }
    }

    /// Pitfall: catching up once per elapsed slot after a year of idleness.
    @Test func aLongIdleTimeCostsOneRound() {
        var counts = RollingCounts<Number>(window: 10, buckets: 10)
        counts.add(Number(value: 1), at: .min)
        counts.add(Number(value: 2), at: .max)
        #expect(counts.total.value == 2)
        counts.add(Number(value: 3), at: 0)
        #expect(counts.total.value == 5)
    }

    @Test func theAverageBeginsAsAMean() {
        var average = MovingAverage(window: 10)
        average.add(.nan)
        average.add(.infinity)
        #expect(average.isEmpty)
        for value in [1.0, 2, 3] { average.add(value) }
        #expect(abs(average.value - 2) < 1e-9)
        for _ in 0..<1_000 { average.add(7) }
        #expect(abs(average.value - 7) < 1e-6)
        average.add(-.infinity)
        average.add(.greatestFiniteMagnitude)
        average.add(.greatestFiniteMagnitude)
        #expect(average.value.isFinite)
    }
}

@Suite struct CoDelTests {
    private static let ms: Int64 = 1_000_000

    /// Pitfall: the first sample of an interval must not shed, nor may a burst.
    @Test func aBurstIsNotShed() {
        var codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))
        for round: Int64 in 0..<50 {
            // Every 100 ms a burst whose last waits for 80 ms; in between nobody waits long.
            for step: Int64 in 0..<10 {
                let isShed = codel.shouldShed(
                    after: step == 0 ? 0 : step * 8 * Self.ms, now: (round * 100 + step * 9) * Self.ms)
                #expect(!isShed)
            }
        }
    }

    @Test func aStandingQueueIsShedAfterAnInterval() {
        var codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))
        var first: Int64?
        for time: Int64 in 0..<300 where codel.shouldShed(after: 20 * Self.ms, now: time * Self.ms) {
            first = first ?? time
        }
        #expect(first == 100)
        #expect(codel.isOverloaded)
        // What waited for less than twice the target is worth serving even then.
        let isShed = codel.shouldShed(after: 9 * Self.ms, now: 301 * Self.ms)
        #expect(!isShed)
        for time: Int64 in 302..<420 { _ = codel.shouldShed(after: 1 * Self.ms, now: time * Self.ms) }
        #expect(!codel.isOverloaded)
    }

    @Test func aClockThatStepsBackShedsNothing() {
        var codel = CoDel()
        let steps: [(delay: Duration, now: Duration)] = [
            (.seconds(1), .seconds(100)), (.seconds(1), .seconds(1)), (.seconds(-1), .milliseconds(1_001)),
            (.nanoseconds(Int64.max), Duration(attoseconds: .min)),
        ]
        for step in steps {
            let isShed = codel.shouldShed(after: step.delay, now: step.now)
            #expect(!isShed)
        }
    }
}
