// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other adaptive limits and queue disciplines had, where a limit is a value and time an argument: what it learns
// from, when it grows, when it measures, and what is a queue. The table of all rows is in OverloadPitfallTests.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("adaptive limits: pitfalls", .timeLimit(.minutes(10)))
struct LimitPitfallTests {
    private func sample(_ milliseconds: Double, _ inFlight: Int) -> LimitSample {
        LimitSample(roundTrip: .nanoseconds(Int64(milliseconds * 1e6)), inFlight: inFlight)
    }

    @Test("app-limited guard: a limit of which less than half is in use does not grow, one of which half is does")
    func appLimited_growsFromHalfOn() {
        for kind in LimitKind.allCases {
            for (inFlight, grows) in [(9, false), (10, true)] {
                var limit = kind.limit(initial: 20, seed: 1)
                for _ in 0..<4 { limit.update(sample(5, inFlight)) }
                #expect((limit.limit > 20) == grows, "\(kind), \(inFlight) of 20 in use: \(limit.limit)")
            }
        }
    }

    @Test(
        "baseline resets go up: calls that take four times as long for good starve no limit",
        arguments: [
            LimitKind.vegas, .gradient2,
        ])
    func baselineGoesUp_whenTheDownstreamIsSlowForGood(_ kind: LimitKind) {
        // 64 are served at once, so 50 calls meet no queue: neither before nor after the change.
        for seed in 0..<UInt64(20) {
            var limit = kind.limit(initial: 50, seed: seed)
            for trip in [10.0, 40, 10] {
                for _ in 0..<300 { limit.update(sample(trip * max(1, Double(limit.limit) / 64), limit.limit)) }
                #expect(limit.limit > 32, "\(kind), seed \(seed): \(limit.limit) when calls take \(trip) ms")
            }
        }
    }

    @Test("probes need jitter: the first one too, of servers that start together")
    func firstProbes_areSpread() {
        var starts: [Int: Int] = [:]
        for seed in 0..<UInt64(60) {
            var limit = VegasLimit(initial: 20, seed: seed)
            for window in 0..<100 {
                let before = limit.limit
                limit.update(sample(75, limit.limit))
                if limit.limit <= before * 6 / 10 {
                    starts[window, default: 0] += 1
                    break
                }
            }
        }
        #expect(starts.values.reduce(0, +) == 60)
        #expect((starts.values.max() ?? 60) <= 25 && starts.count >= 4, "\(starts)")
    }

    @Test("a baseline from a few calls: the probe that ends a descent is not misled by the scatter of the least limit")
    func baselineOfAFewCalls_isNotTheLuckiest() {
        // Lengths of work that scatter as a lognormal distribution with sigma 1, 16 served at once, from ten times too many.
        var baselines: [Double] = []
        for seed in 0..<UInt64(200) {
            var (chance, limit) = (SimulatedChance(seed: seed), VegasLimit(initial: 160, seed: seed))
            for _ in 0..<150 {
                let calls = Double(limit.limit)
                let mean = 50 * max(1, calls / 16)
                let average = mean * max(0.1, 1 + 1.31 / (4 * calls).squareRoot() * chance.normal())
                limit.update(sample(average, limit.limit))
            }
            if let baseline = limit.baseline { baselines.append(baseline / .milliseconds(50)) }
        }
        let spread = Spread(baselines)
        print("baselines after a descent, 200 seeds: \(spread)")
        #expect(spread.sorted.count == 200 && spread.least > 0.78 && abs(spread.mean - 1) < 0.06, "\(spread)")
    }

    @Test("min window, clock faults: a call whose end was read before its start, or at once, teaches nothing")
    func callsOfNoLength_teachNothing() {
        let clock = FaultClock()
        let limiter = ConcurrencyLimiter(AIMDLimit(initial: 8, timeout: .milliseconds(50)), clock: clock)
        for round in 0..<2_000 as Range<Int64> {
            clock.reading = round * 1_000_000
            guard let permit = limiter.tryAcquire() else { continue }
            clock.reading -= round % 2 == 0 ? 0 : 500_000
            permit.succeed()
        }
        #expect(limiter.snapshot().samples == 0 && limiter.limit == 8 && limiter.snapshot().succeeded == 2_000)
    }

    @Test("CoDel: what came after the last one had left met no queue, however late it is taken")
    func codel_loneElements() {
        let ms: (Int) -> Duration = { .milliseconds($0) }
        // One each 200 ms, which its consumer takes 50 ms later: with an interval of 100 ms each is the least of its own.
        var lone = CoDel(target: ms(5), interval: ms(100))
        for element in 0..<100 {
            let isShed = lone.shouldShed(after: ms(50), now: ms(element * 200))
            #expect(!isShed && !lone.isOverloaded)
        }
        // The same pace with elements that were there when the last one left: a queue, and it stands.
        var standing = CoDel(target: ms(5), interval: ms(100))
        let shed = (0..<100).count { standing.shouldShed(after: ms(1_000), now: ms($0 * 200)) }
        #expect(shed == 99)
        // And it is over with the first that finds it empty.
        let isShed = standing.shouldShed(after: ms(199), now: ms(20_000))
        #expect(!isShed && !standing.isOverloaded)
    }

    @Test("CoDel in a channel: a consumer that is a little late for every element sheds none of them")
    func codel_loneElementsOfAChannel() throws {
        let clock = ManualClock()
        let shedder = CoDelShedder<Int, ManualClock>(CoDel(), clock: clock)
        let channel = BoundedChannel<Timestamped<Int, ManualClock>, Never>(capacity: 8)
        for element in 0..<50 {
            _ = channel.trySend(Timestamped(element, clock: clock))
            clock.advance(by: .milliseconds(30))
            let received = channel.tryReceive(through: shedder).take()
            #expect(received == element)
            clock.advance(by: .milliseconds(90))
        }
        #expect(shedder.snapshot() == CoDelSnapshot(admitted: 50, shed: 0, isShedding: false))
    }
}
