// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other implementations of overload control had, each with the test that shows ours has not. Those of limits as
// values are in LimitPitfallTests, those of time and of amounts given back in OverloadTimePitfallTests.
//
// | row | bug | test |
// |---|---|---|
// | concurrency-limits#233, #234, #140 | the limit is tested, then taken: exceeded | concurrencyLimits233_... , OverloadModelTests |
// | concurrency-limits#139 | a threshold that is off by one | concurrencyLimits139_... |
// | Envoy, adaptive concurrency | too many are admitted while the limit is computed | envoy_... , OverloadModelTests (learning) |
// | tower tps_budget.rs:158, failsafe-go Budget | the budget is summed, then taken from | towerBudget158_... , OverloadModelTests |
// | axum#2634, tower RateLimit | a limit for each clone | axum2634_... (two) |
// | vector#26457, linkerd2-proxy#751 | a permit held by what is idle, or until a response dies | vector26457_... |
// | resilience4j#1432, #1090 | more half-open calls than permitted | resilience4j1432_... , OverloadModelTests (probes, quota of 2) |
// | resilience4j#903, #935, #1389 | half-open for ever | resilience4j903_... , BreakerMachineTests.aRandomCourseIsNeverStuck |
// | resilience4j#562 | an illegal transition | resilience4j562_... |
// | resilience4j `releasePermission` | a release from before mints a half-open permit | resilience4jRelease_... |
// | Kitura#22, #21 | two probes race; a timeout that resets what came after | kitura22_... |
// | AlexanderNey | unlimited probes; the oldest failures are kept | alexanderNey_... |
// | tower tps_budget.rs:82 | a ratio of 0.6 is rounded up to 1 | towerBudget82_... |
// | tower tps_budget.rs:136 | the window drifts | towerBudget136_... |
// | tower tps_budget.rs:127-133 | one round of the loop for each slot that passed | towerBudget127_... |
// | Gradient2 `_update` | drops are not looked at | gradient2_... , LimitMathsTests.dropsShrinkEveryLimit |
// | limits that grow idle | growth that nothing used | appLimited_... , LimitMathsTests.aLimitThatIsNotUsedDoesNotGrow |
// | probes without jitter | all servers probe at once | firstProbes_... (Vegas), probesOfManyServers_... |
// | windows without a least length | a limit that follows the noise of a few calls | windows_... , baselineOfAFewCalls_... |
// | baselines that only fall | a downstream that is slower for good starves | baselineGoesUp_... , LimitMathsTests |
// | CoDel: first sample, mean, bursts | sheds what is no standing queue | codel_... (three), CoDelTests |
// | reactor#2236, #3012, #3416, #994, #2839, #2892 | a batch by size or time that asks for too much, or gets stuck | reactor2236_... , FlowJoinTests (arrays, linger) |
// | golang/go#23145 | a time read before the lock rewinds | go23145_... (three), callsOfNoLength_... |
// | golang/go#56924, #69419, #65508 | what is given back is too much | go56924_cancelledRetry_... ; for tokens LimiterPitfallTests |
// | bucket4j#417 | an end without a beginning mints | bucket4j417_... |
// | resilience4j#824, polaris#3433 | fractions dropped | resilience4j824_... |
// | a timer for each waiter | thousands of tasks asleep | oneTimer_... |
// | bucket4j#51 | overflow after a long idle time | bucket4j51_... |
// | `.now + .max` | a deadline that overflows | deadlineBeyondTheEnd_... |
// | AlexanderNey `Date` | wall clock | no type of this library takes a date but `Rejection.response`, whose `now` is an argument |
// | 3.7 | maps by key grow | BreakerRegistryTests, usersBeyondTheBound_... |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("overload control: pitfalls", .timeLimit(.minutes(10)))
struct OverloadPitfallTests {
    // MARK: 3.5, limits

    @Test("concurrency-limits#233, #234, #140: classes together never exceed the limit, whoever asks at once")
    func concurrencyLimits233_testedAndTakenInOneStep() async {
        let limiter = ConcurrencyLimiter(
            FixedLimit(4), classes: [.init("a", share: 0.5), .init("b", share: 0.5)], clock: ManualClock())
        let running = Shared((now: 0, peak: 0, admitted: 0))
        let rounds = LaneSize("overload.pitfall.233", plain: 2_000, sanitizer: 300, deep: 200_000).count
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                let partition = limiter.partition(worker % 2 == 0 ? "a" : "b") ?? .common
                group.addTask {
                    for round in 0..<rounds {
                        guard let permit = limiter.tryAcquire(in: partition) else { continue }
                        running.update { $0 = ($0.now + 1, max($0.peak, $0.now + 1), $0.admitted + 1) }
                        if round % 8 == 0 { await Task.yield() }
                        running.update { $0.now -= 1 }
                        permit.succeed()
                    }
                }
            }
        }
        #expect(running.value.peak <= 4 && running.value.now == 0 && running.value.admitted > rounds)
    }

    @Test("concurrency-limits#139: exactly as many as the limit, not one more or less")
    func concurrencyLimits139_exactlyTheLimit() {
        for limit in 1...40 {
            let limiter = ConcurrencyLimiter(FixedLimit(limit), clock: ManualClock())
            var permits: [CallTicket] = []
            while let permit = limiter.tryAcquire() {
                let ticket = CallTicket()
                ticket.put(permit)
                permits.append(ticket)
            }
            #expect(permits.count == limit && limiter.snapshot().inFlight == limit)
            for ticket in permits { ticket.settle() }
        }
    }

    @Test("Envoy: while the algorithm computes, the old limit is in force for all")
    func envoy_whileTheLimitIsComputed() {
        let free = Shared<[Int]>([])
        let limiterBox = Shared<ConcurrencyLimiter?>(nil)
        let clock = ManualClock()
        let asking = AskingLimit {
            guard let limiter = limiterBox.value else { return }
            var taken: [CallTicket] = []
            while let permit = limiter.tryAcquire() {
                let ticket = CallTicket()
                ticket.put(permit)
                taken.append(ticket)
            }
            free.update { $0.append(taken.count) }
            for ticket in taken { ticket.settle(.ignored) }
        }
        let limiter = ConcurrencyLimiter(asking, clock: clock)
        limiterBox.update { $0 = limiter }
        var held: [CallTicket] = []
        for round in 0..<43 {
            let ticket = CallTicket()
            if let permit = limiter.tryAcquire() { ticket.put(permit) }
            held.append(ticket)
            guard round >= 2 else { continue }
            clock.advance(by: .milliseconds(50))
            held.removeFirst().settle()
        }
        // One of the three had just ended.
        #expect(!free.value.isEmpty && free.value.allSatisfy { $0 == 1 })
        #expect(limiter.snapshot().inFlight == 2)
        for ticket in held { ticket.settle() }
        limiterBox.update { $0 = nil }
    }

    private struct AskingLimit: ConcurrencyLimit {
        let ask: @Sendable () -> Void
        var limit: Int { 3 }
        mutating func update(_ sample: LimitSample) { ask() }
    }

    @Test("axum#2634: all variables share the places, the breaker and the budget of one instance")
    func axum2634_oneInstance() throws {
        let limiter = ConcurrencyLimiter(FixedLimit(1), clock: ManualClock())
        let copy = limiter
        let ticket = CallTicket()
        if let permit = limiter.tryAcquire() { ticket.put(permit) }
        #expect(!copy.isFree && copy.snapshot().inFlight == 1)
        ticket.settle()
        let breaker = CircuitBreaker(clock: ManualClock())
        let other = breaker
        breaker.transition(to: .forcedOpen)
        #expect(other.state == .forcedOpen)
        let budget = RetryBudget(ratio: 0, minimumPerSecond: 1, window: .seconds(1), clock: ManualClock())
        let layers = [budget, budget]
        #expect(layers[0].tryBeginRetry() && !layers[1].tryBeginRetry())
    }

    @Test("vector#26457, linkerd2-proxy#751: a place ends with the body, whatever lives on")
    func vector26457_placeEndsWithTheBody() async throws {
        final class Response: Sendable {}
        let limiter = ConcurrencyLimiter(FixedLimit(1), clock: ManualClock())
        let breaker = CircuitBreaker(clock: ManualClock())
        var kept: [Response] = []
        for _ in 0..<3 { kept.append(try await limiter.run { try await breaker.run { Response() } }) }
        #expect(limiter.snapshot().succeeded == 3 && limiter.snapshot().inFlight == 0)
        #expect(breaker.snapshot().calls == 3 && kept.count == 3)
    }

    // MARK: 3.5, breakers

    private func rules(_ change: (inout BreakerRules) -> Void = { _ in }) -> BreakerRules {
        var rules = BreakerRules()
        rules.window = .calls(4)
        rules.minimumCalls = 4
        rules.halfOpenCalls = 3
        rules.openDelay = .constant(.seconds(1))
        rules.halfOpenWait = .seconds(5)
        change(&rules)
        return rules
    }

    @Test("resilience4j#1432, #1090: of many that come as the delay ends, as many as the quota get through")
    func resilience4j1432_quotaOnOpenToHalfOpen() async {
        let clock = ManualClock()
        let breaker = CircuitBreaker(rules: rules(), clock: clock)
        let rounds = LaneSize("overload.pitfall.1432", plain: 40, sanitizer: 20, deep: 5_000).count
        for _ in 0..<rounds {
            breaker.transition(to: .open)
            clock.advance(by: .seconds(1))
            let held = Shared(0)
            let admitted = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        guard let permit = try? breaker.begin() else { return false }
                        held.update { $0 += 1 }
                        // They report when all have asked, so that none gives its part back.
                        while held.value < 3 { await Task.yield() }
                        permit.fail()
                        return true
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(admitted == 3 && breaker.state == .open)
        }
    }

    @Test("resilience4j#903, #935, #1389: probes that never return, are ignored or forgotten leave nothing stuck")
    func resilience4j903_neverStuck() throws {
        let clock = ManualClock()
        for ending in 0..<3 {
            let breaker = CircuitBreaker(rules: rules(), clock: clock)
            breaker.transition(to: .open)
            clock.advance(by: .seconds(1))
            var hanging: [BreakerTicket] = []
            for _ in 0..<3 {
                let permit = try breaker.begin()
                switch ending {
                case 0: hanging.append(BreakerTicket(permit))
                case 1: permit.ignore()
                // It goes out of scope.
                default: do { _ = consume permit }
                }
            }
            // Lost calls are given up after the wait; ignored and forgotten ones have given their part back at once.
            if ending == 0 {
                #expect(throws: Rejection.self) { _ = try breaker.begin() }
                clock.advance(by: .seconds(5))
                #expect(throws: Rejection.self) { _ = try breaker.begin() }
                clock.advance(by: .seconds(1))
            }
            for _ in 0..<3 { try breaker.begin().succeed() }
            #expect(breaker.state == .closed)
            // What comes in late changes nothing.
            for ticket in hanging { ticket.report(.failure()) }
            #expect(breaker.state == .closed && breaker.snapshot().calls == 0)
        }
    }

    @Test("resilience4j#562: from each state only the transitions that are written down")
    func resilience4j562_legalTransitions() {
        let legal: Set<[BreakerState]> = [
            [.closed, .open], [.open, .halfOpen], [.halfOpen, .closed], [.halfOpen, .open],
        ]
        let rounds = LaneSize("overload.pitfall.562", plain: 100, sanitizer: 30, deep: 10_000).count
        var seen: Set<[BreakerState]> = []
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            var machine = BreakerMachine(rules { $0.sustainedBackpressure = .milliseconds(100) }, seed: seed)
            var (now, running): (Int64, [UInt64]) = (0, [])
            for _ in 0..<300 {
                now += Int64.random(in: -100_000_000...500_000_000, using: &numbers)
                let (from, generation) = (machine.state, machine.generation)
                switch Int.random(in: 0...4, using: &numbers) {
                case 0: machine.report(backpressure: Bool.random(using: &numbers), now: now)
                case 1, 2: if case .admitted(let generation) = machine.admit(now: now) { running.append(generation) }
                default:
                    guard let generation = running.popLast() else { continue }
                    machine.report(
                        Bool.random(using: &numbers) ? .failure() : .success, generation: generation, began: now,
                        now: now)
                }
                guard machine.generation != generation else { continue }
                #expect(machine.generation == generation + 1, "seed \(seed)")
                seen.insert([from, machine.state])
            }
        }
        #expect(seen == legal)
    }

    @Test("resilience4j releasePermission: a release from before the breaker opened mints no half-open permit")
    func resilience4jRelease_mintsNothing() throws {
        let clock = ManualClock()
        let breaker = CircuitBreaker(rules: rules(), clock: clock)
        let early = try (0..<5).map { _ in BreakerTicket(try breaker.begin()) }
        breaker.transition(to: .open)
        clock.advance(by: .seconds(1))
        let probes = try (0..<3).map { _ in BreakerTicket(try breaker.begin()) }
        for (index, ticket) in early.enumerated() { ticket.report(index % 2 == 0 ? .ignored : .success) }
        #expect(throws: Rejection.self) { _ = try breaker.begin() }
        for ticket in probes { ticket.report(.success) }
        #expect(breaker.state == .closed)
    }

    @Test("Kitura#22, #21: the second probe waits for the first one's verdict; a late failure opens nothing")
    func kitura22_oneProbe() throws {
        let clock = ManualClock()
        let breaker = CircuitBreaker(rules: rules { $0.halfOpenCalls = 1 }, clock: clock)
        breaker.transition(to: .open)
        clock.advance(by: .seconds(1))
        let first = BreakerTicket(try breaker.begin())
        for _ in 0..<10 { #expect(throws: Rejection.self) { _ = try breaker.begin() } }
        // It takes so long that another one is let through, which goes well.
        clock.advance(by: .seconds(5))
        #expect(throws: Rejection.self) { _ = try breaker.begin() }
        clock.advance(by: .seconds(1))
        try breaker.begin().succeed()
        #expect(breaker.state == .closed)
        first.report(.failure())
        #expect(breaker.state == .closed && breaker.snapshot().failures == 0)
    }

    @Test("AlexanderNey: the newest results count, and after the delay not everybody is let through")
    func alexanderNey_newestResults() throws {
        let clock = ManualClock()
        let breaker = CircuitBreaker(rules: rules { $0.failureRate = 0.75 }, clock: clock)
        for _ in 0..<2 { try breaker.begin().fail() }
        for _ in 0..<100 { try breaker.begin().succeed() }
        for _ in 0..<2 { try breaker.begin().fail() }
        #expect(breaker.state == .closed, "two of the last four failed; the first two are forgotten")
        try breaker.begin().fail()
        #expect(breaker.state == .open)
        clock.advance(by: .seconds(1))
        let probes = (0..<50).compactMap { _ in try? BreakerTicket(breaker.begin()) }
        #expect(probes.count == 3)
    }

    // MARK: 3.5, budgets

    @Test("tower tps_budget.rs:158, failsafe-go Budget: tested and taken in one step")
    func towerBudget158_testedAndTakenInOneStep() async {
        let budget = RetryBudget(
            ratio: 1, minimumPerSecond: 0, concurrentShare: 0, concurrentMinimum: 3, clock: ManualClock())
        for _ in 0..<10_000 { budget.beginRequest() }
        let running = Shared((now: 0, peak: 0))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<300 where budget.tryBeginRetry() {
                        running.update { $0 = ($0.now + 1, max($0.peak, $0.now + 1)) }
                        await Task.yield()
                        running.update { $0.now -= 1 }
                        budget.endRetry()
                    }
                }
            }
        }
        #expect(running.value.peak <= 3 && budget.snapshot().runningRetries == 0)
    }

    @Test("tower tps_budget.rs:82: no ratio is rounded up", arguments: [0.001, 0.15, 0.3, 0.6, 0.9, 0.999])
    func towerBudget82_ratios(ratio: Double) {
        let budget = RetryBudget(ratio: ratio, minimumPerSecond: 0, clock: ManualClock())
        for _ in 0..<1_000 { budget.beginRequest() }
        var retries = 0
        while budget.tryBeginRetry() { retries += 1 }
        #expect(Double(retries) <= 1_000 * ratio + 1e-9 && Double(retries) > 1_000 * ratio - 1.001)
    }

    @Test("tower tps_budget.rs:136: the window does not drift, however unevenly it is asked")
    func towerBudget136_noDrift() {
        let clock = FaultClock()
        let budget = RetryBudget(ratio: 0, minimumPerSecond: 1, window: .seconds(10), clock: clock)
        var (numbers, retries) = (SplitMix64(seed: 9), 0)
        while clock.reading < 3_600_000_000_000 {
            clock.reading += Int64.random(in: 1...130_000_000, using: &numbers)
            if budget.tryBeginRetry() { retries += 1 }
        }
        // Ten in a window and a slot of a fiftieth, for an hour; a window that moved on by what is left over at each turn would
        // have fewer.
        #expect((3_490...3_545).contains(retries), "\(retries)")
    }

    @Test("tower tps_budget.rs:127: a long idle time costs one round")
    func towerBudget127_longIdle() {
        let clock = FaultClock()
        let budget = RetryBudget(ratio: 1, minimumPerSecond: 0, window: .seconds(1), clock: clock)
        for reading in [0, .max / 2, .max - 1, .min, -1, .max] as [Int64] {
            clock.reading = reading
            budget.beginRequest()
            #expect(budget.snapshot().requests >= 1)
        }
    }

    // MARK: 3.5, adaptive limits and queues

    @Test("Gradient2: a window with a drop shrinks it, also when calls were quick")
    func gradient2_looksAtDrops() {
        var limit = Gradient2Limit(initial: 100, maximum: 200, seed: 1)
        for _ in 0..<4 { limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: 100)) }
        let before = limit.limit
        limit.update(LimitSample(roundTrip: .milliseconds(5), inFlight: 100, didDrop: true))
        #expect(limit.limit <= before * 9 / 10 + 1)
    }

    @Test("probes: servers that start together do not probe together", arguments: [LimitKind.vegas, .gradient2])
    func probesOfManyServers_spread(_ kind: LimitKind) {
        var starts: [Int] = []
        for seed in 0..<UInt64(50) {
            var limit = kind.limit(initial: 20, seed: seed)
            var (probes, before) = (0, limit.limit)
            for window in 0..<3_000 {
                limit.update(LimitSample(roundTrip: .milliseconds(75), inFlight: limit.limit))
                // A probe halves the limit.
                if limit.limit <= before * 6 / 10 {
                    probes += 1
                    if probes == 2 {
                        starts.append(window)
                        break
                    }
                }
                before = limit.limit
            }
        }
        #expect(starts.count == 50 && Set(starts).count > 25, "\(Set(starts).count) of 50 begin at a time of their own")
    }

    @Test("windows: a handful of calls, or a moment of many, makes no sample")
    func windows_haveALeastSize() {
        var window = SampleWindow()
        for call in 0..<9 as Range<Int64> {
            #expect(window.add(began: 0, now: call * 300_000_000 + 1, inFlight: 1, didDrop: false, limit: 1) == nil)
        }
        var busy = SampleWindow()
        for call in 0..<10_000 as Range<Int64> {
            #expect(busy.add(began: -5, now: call * 9_000, inFlight: 50, didDrop: false, limit: 20) == nil)
        }
    }

    @Test("CoDel: the first sample, a long tail and a burst shed nothing; one short delay in an interval is enough")
    func codel_standingQueuesOnly() {
        let ms: Int64 = 1_000_000
        var first = CoDel()
        var isShed = first.shouldShed(after: .seconds(100), now: .zero)
        #expect(!isShed)
        // Of each interval all but one wait for a second: the mean is far above the target, the least is not.
        var tail = CoDel()
        for step: Int64 in 0..<1_000 {
            isShed = tail.shouldShed(after: step % 50 == 0 ? 4 * ms : 1_000 * ms, now: step * 2 * ms)
            #expect(!isShed)
        }
    }

    @Test("reactor bufferTimeout #2236, #3012, #3416, #994, #2839, #2892: a batch is due by size or age, never empty")
    func reactor2236_batches() {
        let rounds = LaneSize("overload.pitfall.batches", plain: 200, sanitizer: 50, deep: 20_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            let least = Int.random(in: 1...50, using: &numbers)
            let most = least + Int.random(in: 0...1_000, using: &numbers)
            var batcher = AdaptiveBatcher(sizes: least...most, target: .milliseconds(50), linger: .milliseconds(10))
            for _ in 0..<200 {
                #expect(!batcher.isDue(count: 0, waited: .seconds(1_000)) && !batcher.isDue(count: -1, waited: .zero))
                #expect(batcher.isDue(count: batcher.size, waited: .zero))
                #expect(batcher.isDue(count: 1, waited: .milliseconds(10)))
                // It never waits for more elements than the bound, so nobody has to ask for more than the bound.
                #expect(batcher.isDue(count: most, waited: .zero) && (least...most).contains(batcher.size))
                let counts = [Int.min, -1, 0, 1, batcher.size, most, .max]
                let times: [Duration] = [
                    .seconds(-1), .zero, .nanoseconds(1), .milliseconds(50), .seconds(9), .nanoseconds(Int64.max),
                    Duration(attoseconds: .max), Duration(attoseconds: .min),
                ]
                batcher.record(
                    count: counts.randomElement(using: &numbers) ?? 0,
                    took: times.randomElement(using: &numbers) ?? .zero,
                    depth: counts.randomElement(using: &numbers) ?? 0)
            }
        }
    }

    // MARK: 3.6, time

    @Test("golang/go#23145: an earlier reading of the clock earns no retry, opens no breaker early, ends no dwell")
    func go23145_earlierReading() {
        let clock = FaultClock()
        let budget = RetryBudget(ratio: 0, minimumPerSecond: 1, window: .seconds(1), clock: clock)
        clock.reading = 10_000_000_000
        #expect(budget.tryBeginRetry() && !budget.tryBeginRetry())
        for reading: Int64 in [9_000_000_000, 0, -5_000_000_000, 10_000_000_000] {
            clock.reading = reading
            #expect(!budget.tryBeginRetry())
        }
        var machine = BreakerMachine(rules(), seed: 1)
        machine.open(10_000_000_000, asked: nil)
        for now: Int64 in [9_000_000_000, 0, .min, 10_999_999_999] {
            #expect(machine.admit(now: now) != .admitted(generation: machine.generation), "at \(now)")
            #expect(machine.state == .open)
        }
        _ = machine.admit(now: 11_000_000_000)
        #expect(machine.state == .halfOpen)
    }

    @Test("bucket4j#51: idle for years, then as ever")
    func bucket4j51_idleForYears() throws {
        let clock = FaultClock()
        let breaker = CircuitBreaker(rules: rules { $0.window = .time(.seconds(10)) }, clock: clock)
        let throttle = AdaptiveThrottle(clock: clock)
        let limiter = ConcurrencyLimiter(VegasLimit(initial: 20, seed: 1), clock: clock)
        for reading in [0, 1 << 60, Int64.max - 1, .max] {
            clock.reading = reading
            for _ in 0..<3 { try breaker.begin().fail() }
            #expect(breaker.state == .closed && breaker.snapshot().failures >= 3)
            breaker.transition(to: .closed)
            #expect(throttle.shouldSend(chance: 0.9) && throttle.rejectionProbability < 0.9)
            for _ in 0..<50 { if let permit = limiter.tryAcquire() { permit.succeed() } }
            #expect((1...1_000).contains(limiter.limit) && limiter.snapshot().inFlight == 0)
        }
    }

    @Test("a deadline beyond the end of time is none, and nothing traps")
    func deadlineBeyondTheEnd_isNone() async throws {
        let forever: [Duration] = [.nanoseconds(Int64.max), .seconds(Int64.max), Duration(attoseconds: .max)]
        for duration in forever {
            let limiter = ConcurrencyLimiter(FixedLimit(1), waiterLimit: 1, maximumWait: duration)
            let value = try await CallDeadline.with(duration) {
                try await limiter.run(timeout: duration) {
                    try await retry(attempts: 2, timeout: duration) { CallDeadline.current?.isOver == false }
                }
            }
            #expect(value)
            var rules = self.rules()
            rules.openDelay = .constant(duration)
            rules.halfOpenWait = duration
            rules.slowCallDuration = duration
            rules.sustainedBackpressure = duration
            var machine = BreakerMachine(rules, seed: 1)
            machine.report(backpressure: true, now: .min)
            machine.report(backpressure: true, now: .max - 1)
            machine.open(.max - 1, asked: duration)
            #expect(machine.admit(now: .max - 1) != .admitted(generation: 1))
            let backoff = Backoff(base: .nanoseconds(1), factor: .greatestFiniteMagnitude, maximum: duration)
            #expect(backoff.delay(after: .max) >= .zero)
            var codel = CoDel(target: .nanoseconds(Int64.max - 1), interval: duration)
            let isShed = codel.shouldShed(after: duration, now: duration)
            #expect(!isShed)
        }
    }

    // MARK: 3.7, memory

    @Test("users beyond the bound are treated alike, and the map does not grow")
    func usersBeyondTheBound_growNothing() {
        let shedder = PriorityShedder(levels: 2, maxUsers: 10)
        for user in 0..<10_000 { _ = shedder.admit(level: 1, user: "user \(user)") }
        #expect(shedder.userCount <= 10)
        shedder.update(load: 2)
        for user in 0..<100 { _ = shedder.admit(level: 0, user: "user \(user)") }
        #expect(shedder.userCount <= 10)
    }
}

/// A permit of a breaker, held until it is told to report.
final class BreakerTicket: Sendable {
    private struct Slot: ~Copyable, Sendable { var permit: CircuitBreaker.Permit? }

    private let slot = LockedState(Slot())

    init(_ permit: consuming CircuitBreaker.Permit) {
        var arriving: CircuitBreaker.Permit? = consume permit
        slot.withLock { $0.permit = arriving.take() }
    }

    func report(_ outcome: BreakerOutcome) {
        var leaving: CircuitBreaker.Permit?
        slot.withLock { leaving = $0.permit.take() }
        leaving.take()?.report(outcome)
    }
}
