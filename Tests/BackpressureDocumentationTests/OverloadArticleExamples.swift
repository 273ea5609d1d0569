// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Overload.md, in its order.

import Backpressure
import Testing

@Suite("Examples of Overload.md", .timeLimit(.minutes(10)))
struct OverloadArticleExamples {
    private func query() async -> Int { 1 }
    private func send(_ number: Int) async -> Bool { true }
    private func ask() async throws -> Int { 2 }
    private let lastKnownPrice = 3

    @Test("a limit that finds its number")
    func limit() async throws {
        let limiter = ConcurrencyLimiter(
            VegasLimit(), classes: [.init("critical", share: 0.4)], order: .adaptiveLIFO(above: 16), waiterLimit: 64,
            maximumWait: .milliseconds(100), shedding: CoDel())
        let critical = limiter.partition("critical") ?? .common

        let answer = try await limiter.run(in: critical) {
            await query()
        }

        if let permit = limiter.tryAcquire() {
            let isDone = await send(7)
            permit.settle(isDone ? .success : .dropped)
        }

        #expect(answer == 1 && limiter.snapshot().succeeded == 2)
    }

    @Test("a dependency that fails")
    func failing() async throws {
        let breaker = CircuitBreaker("prices")
        let price = try await breaker.withFallback {
            try await ask()
        } fallback: { _ in
            lastKnownPrice
        }

        #expect(price == 2)
        breaker.transition(to: .forcedOpen)
        let degraded = try await breaker.withFallback {
            1
        } fallback: { _ in
            lastKnownPrice
        }
        #expect(degraded == 3)
    }

    @Test("a breaker for each host")
    func breakers() async throws {
        let breakers = CircuitBreakerRegistry<String>(capacity: 500) { host in
            var rules = BreakerRules()
            rules.minimumCalls = host.hasSuffix(".internal") ? 20 : 100
            return rules
        }
        let stock = try await breakers.breaker(for: "eu.stock.internal").run {
            try await ask()
        }

        #expect(stock == 2 && breakers.count == 1)
    }

    @Test("trying again")
    func retrying() async throws {
        let budget = RetryBudget(ratio: 0.1)

        try await CallDeadline.with(.seconds(1)) {
            let answer = try await retry(attempts: 3, budget: budget, backoff: Backoff(base: .milliseconds(20))) {
                try await ask()
            }
            print(answer)
        }

        #expect(budget.snapshot().requests == 1 && budget.snapshot().retries == 0)
    }

    @Test("through HTTP and back")
    func answers() {
        let response = Rejection.rateLimited(retryAfter: .milliseconds(1_200)).response(jitter: 0)
        print(response.status, response.retryAfter ?? 0)  // 429 2

        let rejection = Rejection.response(status: 503, retryAfter: "30", now: 0)
        print(rejection?.retryAfter ?? .zero)  // 30.0 seconds

        #expect(response == Rejection.rateLimited(retryAfter: .milliseconds(1_200)).response(jitter: 0))
        #expect(rejection == .overLimit(retryAfter: .seconds(30)))
    }

    @Test("slowing a producer down")
    func slowing() {
        var rules = PressureRules()
        rules.horizon = .seconds(2)  // acts on the depth of two seconds from now
        let controller = BackpressureController(rules: rules)
        let pace = TokenBucket(rate: .perSecond(1_000), burst: 10)
        controller.drive(pace, normally: .perSecond(1_000))

        controller.update(PressureReading(depthRatio: 0.9))
        print(controller.signal)  // slow(0.5)

        #expect(controller.signal == .slow(0.5) && pace.rate == .perSecond(500))
    }
}
