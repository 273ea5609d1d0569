// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bound of every window, what constant demand gets, and the exactness of `retryAfter`: over virtual days with
// bursts, gaps and every fault of a clock. 10^8 decisions a limiter in the deep lane.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// Rates whose token is not a whole number of nanoseconds, and two that are; with a burst each.
let hardRates: [(rate: Rate, burst: Int)] = [
    (.perSecond(3), 5), (.perSecond(30_000), 40), (.perSecond(999_983), 100), (.perSecond(700_000_000), 1_000),
    (.perMinute(100), 1), (.perSecond(1_000_000_000), 64),
]

extension Rate {
    /// About a token's time, at least 1 ns.
    var interval: Int64 { max(1, Int64(unitsPerToken / unitsPerNanosecond)) }
}

@Suite("rate limiting: properties", .serialized, .timeLimit(.minutes(60)))
struct RatePropertyTests {
    /// Runs a limiter through a course of time, judges each admission, and tries each sixteenth `retryAfter`.
    ///
    /// To try it is to peek at a later instant. A limiter that remembers the furthest reading remembers that one, too; a
    /// bucket remembers only what it decided: with fractions of a nanosecond a look at an instant is not a stay there.
    private func drive(
        _ limiter: some RateLimiter, _ clock: FaultClock, decisions: Int, seed: UInt64, interval: Int64, most: Int,
        notesPeeks: Bool = true, read: (Int64) -> Void, admit: (Int) -> Bool
    ) {
        var course = TimeCourse(seed: seed, interval: interval)
        var (admitted, denied, wrong) = (0, 0, 0)
        for _ in 0..<decisions {
            let (reading, count) = course.next(most: most)
            clock.reading = reading
            read(reading)
            switch limiter.tryAcquire(count) {
            case .allowed:
                admitted += 1
                if !admit(count) { wrong += 1 }
            case .denied(let retryAfter):
                denied += 1
                guard denied % 16 == 0 else { continue }
                let wait = retryAfter.saturatingNanoseconds
                guard wait < 1 << 61 else { continue }
                clock.reading = reading + wait - 1
                if limiter.peek(count).isAllowed { wrong += 1 }
                clock.reading += 1
                if !limiter.peek(count).isAllowed { wrong += 1 }
                if notesPeeks { read(clock.reading) }
            case .exceedsLimit: wrong += 1
            }
            guard wrong == 0 else { break }
        }
        #expect(wrong == 0, "seed \(seed): after \(admitted) admissions and \(denied) denials")
        #expect(admitted > decisions / 1_000 && denied > decisions / 1_000, "\(admitted) and \(denied) of \(decisions)")
    }

    @Test("token bucket: every window holds at most burst + floor(rate t); retryAfter is exact to the nanosecond")
    func tokenBucket_everyWindow() {
        let size = LaneSize("rate.bucket.decisions", plain: 150_000, sanitizer: 15_000, deep: 102_000_000)
        for (index, (rate, burst)) in hardRates.enumerated() {
            let clock = FaultClock()
            let limiter = TokenBucket(rate: rate, burst: burst, clock: clock)
            var oracle = WindowOracle(rate: rate, burst: burst)
            drive(
                limiter, clock, decisions: size.count / hardRates.count, seed: UInt64(index), interval: rate.interval,
                most: burst, notesPeeks: false, read: { oracle.read($0) }, admit: { oracle.admit($0) })
        }
    }

    @Test("pacer: no two requests are closer than the interval, a request of n counts n")
    func pacer_everyWindow() {
        let size = LaneSize("rate.pacer.decisions", plain: 150_000, sanitizer: 15_000, deep: 102_000_000)
        for (index, (rate, burst)) in hardRates.enumerated() {
            let (clock, slack) = (FaultClock(), index % 2 == 0 ? 0 : 3)
            let limiter = Pacer(rate: rate, slack: slack, clock: clock)
            var oracle = WindowOracle(rate: rate, burst: slack + 1)
            drive(
                limiter, clock, decisions: size.count / hardRates.count, seed: 100 + UInt64(index),
                interval: rate.interval, most: burst, read: { oracle.read($0) }, admit: { oracle.admitPaced($0) })
        }
    }

    @Test("composite: the windows of every limit hold at once")
    func composite_everyWindow() {
        let size = LaneSize("rate.composite.decisions", plain: 100_000, sanitizer: 10_000, deep: 100_000_000)
        let sets: [[CompositeLimiter.Limit]] = [
            [.init(rate: .perSecond(10), burst: 10), .init(rate: .perMinute(100), burst: 30)],
            [.init(rate: .perSecond(999_983), burst: 50), .init(rate: .perSecond(30_000), burst: 200)],
            [.init(rate: .perSecond(700_000_000), burst: 7), .init(rate: .perSecond(3), burst: 900)],
        ]
        for (index, set) in sets.enumerated() {
            let clock = FaultClock()
            let limiter = CompositeLimiter(set[0], set[1], clock: clock)
            var oracles = set.map { WindowOracle(rate: $0.rate, burst: $0.burst) }
            drive(
                limiter, clock, decisions: size.count / sets.count, seed: 200 + UInt64(index),
                interval: set.map(\.rate.interval).max() ?? 1, most: set.map(\.burst).min() ?? 1,
                read: { for place in oracles.indices { oracles[place].read($0) } },
                admit: { count in
                    var isRight = true
                    for place in oracles.indices where !oracles[place].admit(count) { isRight = false }
                    return isRight
                })
        }
    }

    @Test("sliding window: no window of its length ever holds more than the limit")
    func slidingWindow_everyWindow() {
        let size = LaneSize("rate.sliding.decisions", plain: 100_000, sanitizer: 10_000, deep: 100_000_000)
        let shapes: [(limit: Int, window: Int64, slices: Int)] = [
            (10, 1_000_000_000, 1), (100, 60_000_000_000, 32), (7, 1_001, 10), (1_000, 86_400_000_000_000, 100),
        ]
        for (index, shape) in shapes.enumerated() {
            let clock = FaultClock()
            let limiter = SlidingWindowLimiter(
                limit: shape.limit, window: .nanoseconds(shape.window), slices: shape.slices, clock: clock)
            var oracle = SlidingOracle(limit: shape.limit, window: shape.window)
            drive(
                limiter, clock, decisions: size.count / shapes.count, seed: 300 + UInt64(index),
                interval: shape.window / Int64(shape.limit), most: shape.limit, read: { oracle.read($0) },
                admit: { oracle.admit($0) })
        }
    }

    @Test("sliding window: what is admitted after the clock stepped back counts from the furthest reading on")
    func slidingWindow_stepBackAfterRefusal() {
        let clock = FaultClock()
        let limiter = SlidingWindowLimiter(limit: 2, window: .nanoseconds(100), slices: 1, clock: clock)
        clock.reading = 0
        #expect(limiter.tryAcquire(1).isAllowed)
        clock.reading = 190
        #expect(!limiter.tryAcquire(2).isAllowed)
        // Admitted at 90 it would be forgotten at 200, though the clock had read 190 before it.
        clock.reading = 90
        #expect(limiter.tryAcquire(1).isAllowed)
        clock.reading = 250
        #expect(!limiter.tryAcquire(2).isAllowed)
    }

    @Test("keyed limiter below its cap: every key's windows hold as a bucket's")
    func keyed_everyWindow() {
        let size = LaneSize("rate.keyed.decisions", plain: 100_000, sanitizer: 10_000, deep: 100_000_000)
        let keys = 50
        for (index, (rate, burst)) in hardRates.enumerated() {
            let clock = FaultClock()
            let limiter = KeyedRateLimiter<Int>(rate: rate, burst: burst, maxKeys: 100, shards: 1, clock: clock)
            var oracles = (0..<keys).map { _ in WindowOracle(rate: rate, burst: burst) }
            var course = TimeCourse(seed: 400 + UInt64(index), interval: max(1, rate.interval / Int64(keys)))
            var numbers = SplitMix64(seed: 500 + UInt64(index))
            var (furthest, wrong, admitted) = (Int64(0), 0, 0)
            for _ in 0..<(size.count / hardRates.count) {
                let (reading, count) = course.next(most: burst)
                clock.reading = reading
                furthest = max(furthest, reading)
                let key = Int.random(in: 0..<keys, using: &numbers)
                oracles[key].read(furthest)
                guard limiter.tryAcquire(count, for: key).isAllowed else { continue }
                admitted += 1
                if !oracles[key].admit(count) { wrong += 1 }
            }
            #expect(wrong == 0 && admitted > 0 && limiter.snapshot().forgivenTokens == 0, "\(rate)")
        }
    }

    @Test("keyed limiter at its cap: what all keys got too much is no more than what was forgiven")
    func keyed_atCap_excessIsForgiven() {
        let size = LaneSize("rate.keyed.cap.decisions", plain: 100_000, sanitizer: 10_000, deep: 20_000_000)
        let (rate, burst, keys) = (Rate.perSecond(1_000), 10, 1_000)
        let clock = FaultClock()
        let limiter = KeyedRateLimiter<Int>(rate: rate, burst: burst, maxKeys: 64, shards: 1, clock: clock)
        var oracles = (0..<keys).map { _ in WindowOracle(rate: rate, burst: burst) }
        var course = TimeCourse(seed: 600, interval: 20_000)
        var numbers = SplitMix64(seed: 601)
        var (furthest, most) = (Int64(0), 0)
        for _ in 0..<size.count {
            let (reading, count) = course.next(most: burst)
            clock.reading = reading
            furthest = max(furthest, reading)
            // A few keys get most of the demand.
            let key = Int.random(in: 0..<Int.random(in: 1...keys, using: &numbers), using: &numbers)
            oracles[key].read(furthest)
            if limiter.tryAcquire(count, for: key).isAllowed { _ = oracles[key].admit(count) }
            most = max(most, limiter.snapshot().keys)
        }
        let excess = oracles.reduce(0) { $0 + $1.excessTokens }
        let snapshot = limiter.snapshot()
        print("keyed at its cap: \(excess) tokens too many, \(snapshot.forgivenTokens) forgiven")
        #expect(most <= 64 && snapshot.evictedKeys > 0 && excess > 0)
        #expect(excess <= Int(snapshot.forgivenTokens))
    }

    @Test("constant demand gets burst + rate t, within one token", arguments: 0..<hardRates.count)
    func tokenBucket_constantDemand(_ index: Int) {
        let size = LaneSize("rate.constant.decisions", plain: 40_000, sanitizer: 4_000, deep: 17_000_000)
        let (rate, burst) = hardRates[index]
        let clock = FaultClock()
        let limiter = TokenBucket(rate: rate, burst: burst, clock: clock)
        var numbers = SplitMix64(seed: 700 + UInt64(index))
        // A bucket that must hold a fraction needs room for it: steps of at most burst - 1 tokens. A burst of 1 cannot.
        let longest = burst > 1 ? Int64(burst - 1) * rate.interval : rate.interval
        var (admitted, decisions, wrong) = (0, 0, 0)
        while decisions < size.count {
            while limiter.tryAcquire().isAllowed {
                admitted += 1
                decisions += 1
            }
            decisions += 1
            let time = Int128(clock.reading) * Int128(rate.unitsPerNanosecond)
            let due = burst + Int(time / Int128(rate.unitsPerToken))
            if admitted > due || (admitted < due - 1) { wrong += 1 }
            clock.reading += burst > 1 ? Int64.random(in: 1...longest, using: &numbers) : longest
        }
        #expect(wrong == 0 && admitted > burst, "\(rate): \(admitted) admitted in \(clock.reading) ns")
    }

    @Test("constant demand on a sliding window gets the limit in any window and one slice more")
    func slidingWindow_constantDemand() {
        let size = LaneSize("rate.sliding.constant.decisions", plain: 40_000, sanitizer: 4_000, deep: 10_000_000)
        let (limit, window, slices) = (50, Int64(1_000_000), Int64(8))
        let clock = FaultClock()
        let limiter = SlidingWindowLimiter(
            limit: limit, window: .nanoseconds(window), slices: Int(slices), clock: clock)
        let span = (slices + 1) * (window / slices)
        var numbers = SplitMix64(seed: 800)
        var times: [Int64] = []
        var (first, wrong, decisions) = (0, 0, 0)
        while decisions < size.count {
            while limiter.tryAcquire().isAllowed {
                times.append(clock.reading)
                decisions += 1
            }
            decisions += 1
            while first < times.count, times[first] <= clock.reading - span { first += 1 }
            if times.count - first < limit { wrong += 1 }
            clock.reading += Int64.random(in: 1...(window / 40), using: &numbers)
        }
        #expect(wrong == 0 && times.count > limit)
    }

    @Test("bookings and their cancellation in any order: no window holds too many of those that were kept")
    func reservations_cancelledInAnyOrder_keepEveryWindow() {
        let size = LaneSize("rate.reservations.rounds", plain: 300, sanitizer: 60, deep: 200_000)
        var (wrong, refunds) = (0, 0)
        for round in 0..<size.count {
            var numbers = SplitMix64(seed: UInt64(round))
            func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &numbers) }
            let rate = [Rate.every(.nanoseconds(1)), .perSecond(700_000_000), .perSecond(999_983)][round % 3]
            let (burst, clock) = (number(1...12), FaultClock())
            let limiter = TokenBucket(rate: rate, burst: burst, clock: clock)
            var taken: [(time: Int64, count: Int)] = []
            var live: [(time: Int64, reservation: RateReservation)] = []
            for _ in 0..<number(3...40) {
                switch number(0...3) {
                case 0: clock.reading += Int64(number(0...15)) * rate.interval
                case 1:
                    let count = number(1...burst)
                    if limiter.tryAcquire(count).isAllowed { taken.append((clock.reading, count)) }
                case 2:
                    guard let made = try? limiter.reserve(number(1...burst)) else { continue }
                    let time = clock.reading + made.delay.saturatingNanoseconds
                    live.append((time, made))
                default:
                    guard !live.isEmpty else { continue }
                    let index = number(0...(live.count - 1))
                    let (time, reservation) = live[index]
                    let back = reservation.cancel()
                    refunds += back
                    guard time > clock.reading else {
                        if back > 0 { wrong += 1 }
                        continue
                    }
                    live.remove(at: index)
                }
            }
            var oracle = WindowOracle(rate: rate, burst: burst)
            let kept = taken + live.map { ($0.time, $0.reservation.count) }
            for (time, count) in kept.sorted(by: { $0.time < $1.time }) {
                oracle.read(time)
                if !oracle.admit(count) { wrong += 1 }
            }
        }
        #expect(wrong == 0 && refunds > 0)
    }
}
