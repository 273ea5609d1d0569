// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Shedding and steering: throttle, priorities, controller, batches, sizes.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct AdaptiveThrottleTests {
    /// The service gets about `multiplier` times what it accepts.
    @Test func theServiceGetsAMultipleOfWhatItAccepts() {
        var numbers = SplitMix64(seed: 1)
        for multiplier in [1.1, 2.0] {
            let clock = FaultClock()
            let throttle = AdaptiveThrottle(multiplier: multiplier, clock: clock)
            var (sent, accepted) = (0, 0)
            for call in 0..<40_000 {
                clock.reading = Int64(call) * 10_000_000
                guard throttle.shouldSend(chance: Double.random(in: 0..<1, using: &numbers)) else { continue }
                // One in ten of all calls can be done.
                let isAccepted = Double(accepted) < Double(call) / 10
                throttle.record(isAccepted: isAccepted)
                if call > 20_000 { sent += 1 }
                if isAccepted { accepted += 1 }
            }
            #expect(abs(Double(sent) / (2_000 * multiplier) - 1) < 0.1, "\(sent) were sent")
        }
    }

    @Test func nothingIsKeptBackWhileAllIsWell() {
        let throttle = AdaptiveThrottle(clock: ManualClock())
        for _ in 0..<1_000 {
            #expect(throttle.shouldSend(chance: 0))
            throttle.record(isAccepted: true)
        }
        #expect(throttle.rejectionProbability == 0)
    }

    /// A service that is well again must be noticed, also after an outage of any length.
    @Test func theProbabilityStaysBelowOne() {
        let throttle = AdaptiveThrottle(clock: ManualClock())
        for _ in 0..<100_000 { _ = throttle.shouldSend(chance: 0.5) }
        #expect(throttle.rejectionProbability < 1 && throttle.rejectionProbability > 0.99)
    }
}

@Suite struct PriorityShedderTests {
    @Test func theLeastImportantGoFirstAndAsManyAsNeeded() {
        var numbers = SplitMix64(seed: 1)
        let shedder = PriorityShedder(levels: 4)
        for load in [1.0, 2.0, 4.0, 1.0] {
            var (kept, asked) = (Array(repeating: 0, count: 4), Array(repeating: 0, count: 4))
            for round in 0..<20 {
                shedder.update(load: load)
                for _ in 0..<400 {
                    let level = Int.random(in: 0..<4, using: &numbers)
                    let isKept =
                        shedder.admit(level: level, user: "user \(Int.random(in: 0..<50, using: &numbers))") == nil
                    if round > 5 {
                        asked[level] += 1
                        kept[level] += isKept ? 1 : 0
                    }
                }
            }
            let part = Double(kept.reduce(0, +)) / Double(asked.reduce(0, +))
            #expect(part <= 1 / load + 0.05 && part >= 1 / load - 0.15, "load \(load): \(part)")
            let rates = zip(kept, asked).map { Double($0) / Double($1) }
            #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 >= $1 - 0.01 }, "\(rates)")
            #expect(load > 4 || rates[0] > 0.7)
        }
    }

    /// Within a level the one who asks most is shed first.
    @Test func usersOfOneLevelAreTreatedFairly() {
        let shedder = PriorityShedder(levels: 1)
        var (greedy, modest) = ((kept: 0, asked: 0), (kept: 0, asked: 0))
        for round in 0..<20 {
            shedder.update(load: 2)
            for call in 0..<400 {
                // Three of four requests are one user's; the others are spread over twenty.
                let isGreedy = call % 4 != 0
                let isKept = shedder.admit(level: 0, user: isGreedy ? "greedy" : "user \(call % 80)") == nil
                guard round > 5 else { continue }
                if isGreedy {
                    greedy = (greedy.kept + (isKept ? 1 : 0), greedy.asked + 1)
                } else {
                    modest = (modest.kept + (isKept ? 1 : 0), modest.asked + 1)
                }
            }
        }
        let rates = (Double(greedy.kept) / Double(greedy.asked), Double(modest.kept) / Double(modest.asked))
        #expect(rates.1 > 0.9 && rates.0 < 0.6, "\(rates)")
    }

    @Test func aLoadThatIsNoNumberShedsNothingAndAnEndlessOneNotAll() {
        let shedder = PriorityShedder(levels: 2, maxUsers: 2)
        for load in [Double.nan, -1, 0, 1, -Double.infinity] {
            for user in 0..<9 { _ = shedder.admit(level: user % 2, user: "\(user)") }
            shedder.update(load: load)
            #expect(shedder.threshold == 2)
        }
        for _ in 0..<9 { _ = shedder.admit(level: 1) }
        shedder.update(load: Double.infinity)
        #expect(shedder.admit(level: 0) == nil, "the most important passes at any load")
        #expect(shedder.admit(level: 1) == .shed(priority: 1))
        #expect(shedder.shed == 1)
    }
}

@Suite struct BackpressureControllerTests {
    private let second: Int64 = 1_000_000_000

    @Test func thresholdsAndHysteresis() {
        var machine = PressureMachine(PressureRules())
        var answers: [PressureSignal] = []
        for (index, depth) in [0.79, 0.8, 0.75, 0.71, 0.69, 0.9, 1.0, 0.95, 0.89, 0.5].enumerated() {
            machine.update(PressureReading(depthRatio: depth), now: Int64(index) * second)
            answers.append(machine.signal)
        }
        #expect(
            answers == [
                .normal, .slow(0.5), .slow(0.5), .slow(0.5), .normal, .slow(0.5), .stop, .stop, .slow(0.5), .normal,
            ])
    }

    @Test func aMilderAnswerWaitsForItsDwell() {
        var rules = PressureRules()
        rules.dwell = .seconds(5)
        var machine = PressureMachine(rules)
        machine.update(PressureReading(depthRatio: 1), now: 0)
        machine.update(PressureReading(depthRatio: 0), now: 5 * second - 1)
        #expect(machine.signal == .stop)
        machine.update(PressureReading(depthRatio: 0), now: 5 * second)
        #expect(machine.signal == .normal)
        // The clock steps back: not for ever.
        machine.update(PressureReading(depthRatio: 1), now: 6 * second)
        machine.update(PressureReading(depthRatio: 0), now: -100 * second)
        machine.update(PressureReading(depthRatio: 0), now: -95 * second)
        #expect(machine.signal == .normal)
    }

    @Test func latencyCountsAsDepthDoes() {
        var rules = PressureRules()
        rules.latencyBound = .milliseconds(100)
        var machine = PressureMachine(rules)
        machine.update(PressureReading(depthRatio: 0.1, latency: .milliseconds(85)), now: 0)
        #expect(machine.signal == .slow(0.5))
    }

    @Test func predictionActsWhileTheQueueFills() {
        var rules = PressureRules()
        rules.horizon = .seconds(5)
        var (predictive, reactive) = (PressureMachine(rules), PressureMachine(PressureRules()))
        var firsts: (Int?, Int?) = (nil, nil)
        for step in 0..<20 {
            let reading = PressureReading(depthRatio: 0.05 * Double(step))
            predictive.update(reading, now: Int64(step) * second)
            reactive.update(reading, now: Int64(step) * second)
            if predictive.signal != .normal { firsts.0 = firsts.0 ?? step }
            if reactive.signal != .normal { firsts.1 = firsts.1 ?? step }
        }
        #expect(firsts.1 == 16 && firsts.0.map { $0 <= 12 } ?? false, "\(firsts)")
        #expect(predictive.secondsToFull.map { abs($0 - 1) < 0.1 } ?? false)
    }

    @Test func wildReadingsChangeNothing() {
        var rules = PressureRules()
        rules.horizon = .seconds(1)
        rules.latencyBound = .seconds(1)
        var machine = PressureMachine(rules)
        for depth in [Double.nan, -1, Double.infinity, -Double.infinity] {
            machine.update(PressureReading(depthRatio: depth, latency: .seconds(-1)), now: 0)
        }
        #expect(machine.signal == .normal)
        for now in [Int64.max, .min, 0, 0, .max] {
            machine.update(PressureReading(depthRatio: 0.1, latency: .nanoseconds(Int64.min)), now: now)
            #expect(machine.signal == .normal)
        }
    }

    @Test func itDrivesABucket() async throws {
        let changes = Shared<[PressureSignal]>([])
        let controller = BackpressureController(clock: ManualClock()) { signal in changes.update { $0.append(signal) } }
        let bucket = TokenBucket(rate: .perSecond(7), burst: 1, clock: ManualClock())
        controller.drive(bucket, normally: .perSecond(700))
        #expect(bucket.rate == .perSecond(700))
        let readings = AsyncStream<PressureReading> { continuation in
            for depth in [0.85, 0.86, 1.2] { continuation.yield(PressureReading(depthRatio: depth)) }
            continuation.finish()
        }
        try await controller.follow(readings)
        #expect(bucket.rate == .zero && controller.signal == .stop)
        controller.update(PressureReading(depthRatio: 0.85))
        #expect(bucket.rate == .perSecond(350))
        #expect(changes.value == [.slow(0.5), .stop, .slow(0.5)])
    }

    /// A hook that gives a reading itself: answers come one after the other, the present one last, and the bucket has its rate.
    @Test func answersAreTakenInTurn() {
        let box = Shared<BackpressureController?>(nil)
        let changes = Shared<[PressureSignal]>([])
        let controller = BackpressureController(clock: ManualClock()) { signal in
            changes.update { $0.append(signal) }
            if signal == .slow(0.5) {
                box.value?.update(PressureReading(depthRatio: 0.2))
                box.value?.update(PressureReading(depthRatio: 1))
            }
        }
        box.update { $0 = controller }
        let bucket = TokenBucket(rate: .perSecond(1_000), burst: 1)
        controller.drive(bucket, normally: .perSecond(1_000))
        #expect(controller.update(PressureReading(depthRatio: 0.9)) == .slow(0.5))
        // Normal was overtaken before anybody could be told.
        #expect(changes.value == [.slow(0.5), .stop] && controller.signal == .stop && bucket.rate.isZero)
        let late = TokenBucket(rate: .perSecond(1_000), burst: 1)
        controller.drive(late, normally: .perSecond(1_000))
        #expect(late.rate.isZero)
        box.update { $0 = nil }
    }

    /// Whoever gives readings at the same time, the bucket ends with the rate of the present answer.
    @Test func theBucketHasTheRateOfThePresentAnswer() async {
        let rounds = LaneSize("controller.storm", plain: 300, sanitizer: 50, deep: 50_000).count
        let controller = BackpressureController(clock: ManualClock())
        let bucket = TokenBucket(rate: .perSecond(1_000), burst: 1, clock: ManualClock())
        controller.drive(bucket, normally: .perSecond(1_000))
        for _ in 0..<rounds {
            await withTaskGroup(of: Void.self) { group in
                for depth in [0.1, 0.9, 1, 0.2] {
                    group.addTask { controller.update(PressureReading(depthRatio: depth)) }
                }
            }
            #expect(bucket.rate == Rate.perSecond(1_000).scaled(permille: Int(controller.signal.factor * 1_000)))
        }
    }

    /// Loads from outside the queues steer the shedder as they steer the controller.
    @Test func loadsFromOutsideSteerTheShedder() async {
        let shedder = PriorityShedder(levels: 2)
        for _ in 0..<100 { for level in 0..<2 { _ = shedder.admit(level: level) } }
        let (loads, end) = AsyncStream<Double>.makeStream()
        for load in [1, .nan, 2.0] { end.yield(load) }
        end.finish()
        try? await shedder.follow(loads)
        #expect(shedder.threshold < 2 && shedder.admit(level: 1) == .shed(priority: 1))
        #expect(shedder.admit(level: 0) == nil)
    }

    @Test func ratesAreScaledDownAndNeverUp() {
        #expect(Rate.perSecond(3).scaled(permille: 500) == Rate(3, per: .seconds(2)))
        #expect(Rate.zero.scaled(permille: 500) == .zero && Rate.unlimited.scaled(permille: 500) == .unlimited)
        #expect(Rate.unlimited.scaled(permille: 0) == .zero)
        let fast = Rate(Rate.maximumCount - 1, per: .nanoseconds(1)).scaled(permille: 999)
        #expect(fast.unitsPerNanosecond < UInt64(Rate.maximumCount))
    }
}

@Suite struct AdaptiveBatcherTests {
    @Test func theSizeFollowsTheTimeThatBatchesTake() {
        var batcher = AdaptiveBatcher(target: .milliseconds(50))
        // Each element takes 10 us: 5,000 are done in 50 ms.
        for _ in 0..<300 {
            batcher.record(count: batcher.size, took: .microseconds(10) * batcher.size)
            #expect(batcher.sizes.contains(batcher.size))
        }
        #expect((2_500...5_100).contains(batcher.size), "\(batcher.size)")
        let before = batcher.size
        batcher.record(count: 10, took: .milliseconds(1))
        batcher.record(count: before, took: .zero)
        batcher.record(count: before, took: .seconds(-1))
        #expect(batcher.size == before, "what was not full, or took no time, teaches nothing")
        for _ in 0..<20 { batcher.record(count: batcher.size, took: .seconds(1)) }
        #expect(batcher.size == 100)
        batcher.record(count: 100, took: .milliseconds(1), depth: 1_000_000)
        #expect(batcher.size == 200)
    }

    @Test func aBatchIsDueByItsSizeOrItsAge() {
        let batcher = AdaptiveBatcher(sizes: 10...20, target: .seconds(1), linger: .milliseconds(5))
        #expect(batcher.isDue(count: 10, waited: .zero) && !batcher.isDue(count: 9, waited: .zero))
        #expect(batcher.isDue(count: 1, waited: .milliseconds(5)) && !batcher.isDue(count: 0, waited: .seconds(9)))
        var huge = AdaptiveBatcher(sizes: 1...Int.max, target: .seconds(1), step: .max)
        for _ in 0..<3 { huge.record(count: huge.size, took: .milliseconds(1), depth: .max) }
        #expect(huge.size == .max)
    }
}

@Suite struct SizingTests {
    @Test func rulesOfThumb() {
        #expect(Sizing.capacity(peakBurst: 50) == 100 && Sizing.capacity(peakBurst: -1) == 1)
        #expect(Sizing.capacity(peakBurst: .max) == .max)
        #expect(Sizing.timeout(p99: .milliseconds(100)) == .milliseconds(300))
        #expect(Sizing.timeout(p99: .milliseconds(100), patience: .milliseconds(200)) == .milliseconds(200))
        #expect(Sizing.timeout(p99: .nanoseconds(Int64.max)) == .nanoseconds(Int64.max))
        #expect(Sizing.concurrency(rate: 320, time: .milliseconds(50)) == 16)
        #expect(Sizing.concurrency(rate: 0, time: .zero) == 1)
        #expect(Sizing.delay(depth: 100, rate: 50) == .seconds(2) && Sizing.delay(depth: 1, rate: 0) == nil)
    }

    @Test func aLoadShedderAsksFirst() async throws {
        let isReady = Shared(true)
        let shedder = LoadShedder(retryAfter: .seconds(1)) { isReady.value }
        #expect(try await shedder.run { 1 } == 1)
        isReady.update { $0 = false }
        await #expect(throws: Rejection.overLimit(retryAfter: .seconds(1))) { try await shedder.run { 1 } }
    }
}
