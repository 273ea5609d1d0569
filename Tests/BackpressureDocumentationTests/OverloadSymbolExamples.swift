// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the documentation comments of overload control.

import Backpressure
import Testing

@Suite("Examples of documentation comments: overload control", .timeLimit(.minutes(10)))
struct OverloadSymbolExamples {
    private func query() async -> Int { 1 }
    private func send(_ number: Int) async -> Bool { true }
    private func ask() async throws -> Int { 2 }
    private let lastKnownPrice = 3

    @Test("ConcurrencyLimit")
    func ownLimit() {
        struct HalfOnTrouble: ConcurrencyLimit {
            var limit = 64

            mutating func update(_ sample: LimitSample) {
                limit = sample.didDrop ? max(1, limit / 2) : min(64, limit + 1)
            }
        }

        var limit = HalfOnTrouble()
        limit.update(LimitSample(roundTrip: .seconds(1), inFlight: 1, didDrop: true))
        #expect(limit.limit == 32)
    }

    @Test("ConcurrencyLimiter")
    func limiter() async throws {
        let limiter = ConcurrencyLimiter(VegasLimit(), waiterLimit: 100, maximumWait: .milliseconds(200))
        let answer = try await limiter.run {
            await query()
        }

        #expect(answer == 1)
    }

    @Test("CoDel")
    func codel() {
        let limiter = ConcurrencyLimiter(
            VegasLimit(), waiterLimit: 200, maximumWait: .seconds(1),
            shedding: CoDel(target: .milliseconds(5), interval: .milliseconds(100)))

        #expect(!limiter.snapshot().isShedding)
    }

    @Test("CircuitBreaker")
    func breaker() async throws {
        var rules = BreakerRules()
        rules.window = .time(.seconds(10))
        rules.minimumCalls = 20
        let breaker = CircuitBreaker("prices", rules: rules)
        let price = try await breaker.withFallback {
            try await ask()
        } fallback: { _ in
            lastKnownPrice
        }

        #expect(price == 2)
    }

    @Test("CoDelShedder")
    func shedder() async throws {
        let shedder = CoDelShedder<String, ContinuousClock>(CoDel(target: .milliseconds(5))) { job, reason in
            print("\(job): \(reason)")
        }
        let jobs = BoundedChannel<Timestamped<String, ContinuousClock>, Never>(capacity: 1_000)
        _ = await jobs.send(Timestamped("thumbnail"))
        if let job = try await jobs.receive(through: shedder) {
            print("doing \(job)")
        }

        #expect(shedder.snapshot().admitted == 1)
    }

    @Test("BreakerEvent, CircuitBreakerRegistry")
    func breakerEvents() async throws {
        let breaker = CircuitBreaker(
            "prices",
            onEvent: { event in
                switch event {
                case .changed(let transition): print("\(transition.from) -> \(transition.to): \(transition.cause)")
                case .rejected(let retryAfter): print("come again in \(retryAfter ?? .zero)")
                default: break
                }
            })
        breaker.transition(to: .forcedOpen)

        let breakers = CircuitBreakerRegistry<String>(capacity: 500)
        let price = try await breakers.breaker(for: "eu.prices.example").run {
            try await ask()
        }

        #expect(price == 2 && breaker.state == .forcedOpen)
    }

    @Test("RetryBudget")
    func budget() async throws {
        let budget = RetryBudget(ratio: 0.1, minimumPerSecond: 1)
        let answer = try await retry(attempts: 3, budget: budget) {
            try await ask()
        }

        #expect(answer == 2)
    }

    @Test("retry, hedge")
    func retrying() async throws {
        let budget = RetryBudget()
        do {
            let answer = try await retry(attempts: 3, backoff: Backoff(base: .milliseconds(50))) {
                try await ask()
            }
            #expect(answer == 2)
        }
        do {
            @Sendable func ask() async throws -> Int { 4 }
            let answer = try await hedge(after: .milliseconds(80), budget: budget) {
                try await ask()
            }
            #expect(answer == 4)
        }
    }

    @Test("HedgeDelay")
    func hedgeDelay() async throws {
        let budget = RetryBudget()
        let delay = HedgeDelay(percentile: 95, bounds: .milliseconds(5) ... .seconds(1))
        let answer = try await hedge(after: delay, budget: budget) {
            try await ask()
        }

        #expect(answer == 2 && delay.current == nil)
    }

    @Test("CorrelationLimit")
    func correlationLimit() {
        let limiter = ConcurrencyLimiter(CorrelationLimit(initial: 20, maximum: 500))

        #expect(limiter.limit == 20)
    }

    @Test("CallDeadline")
    func deadline() async throws {
        try await CallDeadline.with(.seconds(1)) {
            try CallDeadline.check()  // throws Rejection.expired when the second is over
            print("time left: \(CallDeadline.current?.remaining ?? .zero)")
        }
    }

    @Test("DeadLetterQueue")
    func deadLetters() {
        let letters = DeadLetterQueue<String>(capacity: 1_000)
        letters.add("order 7", reason: .expired, attempts: 3)
        for letter in letters.drain() {
            print("\(letter.element): \(letter.reason) after \(letter.attempts) tries")
        }

        #expect(letters.count == 0)
    }

    @Test("AdaptiveThrottle")
    func throttle() async {
        let throttle = AdaptiveThrottle()
        if throttle.shouldSend() {
            let isAccepted = await send(7)
            throttle.record(isAccepted: isAccepted)
        }

        #expect(throttle.rejectionProbability == 0)
    }

    @Test("ThrottleRule")
    func throttleRule() {
        let gentle = AdaptiveThrottle(rule: .successRate(threshold: 0.9, aggression: 2, minimumRate: 10))
        if gentle.shouldSend() { gentle.record(isAccepted: true) }

        #expect(gentle.rejectionProbability == 0)
    }

    @Test("PriorityShedder")
    func priorities() {
        let shedder = PriorityShedder(levels: 3)
        shedder.update(load: 2.0)  // twice as much as can be done
        switch shedder.admit(level: 2, user: "batch") {
        case .none: print("do it")
        case .some(let rejection): print("shed: \(rejection)")
        }

        #expect(shedder.shed == 0, "nothing was learnt yet")
    }

    @Test("LoadShedder")
    func loadShedder() async throws {
        struct Gate: Sendable { let isReady = true }
        let gate = Gate()
        let shedder = LoadShedder { gate.isReady }
        let answer = try await shedder.run {
            await query()
        }

        #expect(answer == 1)
    }

    @Test("BackpressureController")
    func controller() {
        let controller = BackpressureController()
        let bucket = TokenBucket(rate: .perSecond(1_000), burst: 10)
        controller.drive(bucket, normally: .perSecond(1_000))
        controller.update(PressureReading(depthRatio: 0.85))
        print(controller.signal, bucket.rate == .perSecond(500))  // slow(0.5) true

        #expect(controller.signal == .slow(0.5) && bucket.rate == .perSecond(500))
    }

    @Test("AdaptiveBatcher")
    func batcher() {
        var batcher = AdaptiveBatcher(sizes: 100...10_000, target: .milliseconds(50))
        batcher.record(count: 100, took: .milliseconds(20))
        print(batcher.size)  // 200

        #expect(batcher.size == 200)
    }
}
