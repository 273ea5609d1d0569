// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Overload.md, in its order.

import Backpressure
import BackpressureTestKit
import Synchronization
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

    /// Storing takes 20 ms and 50 us per element: 600 elements take 50 ms.
    @Test("batches of a channel, as large as they are worth")
    func batches() async throws {
        let clock = ManualClock()
        let events = BoundedChannel<Int, Never>(capacity: 2_000, clock: clock)
        let stored = Counter()
        let producer = Task {
            for event in 0..<20_000 { _ = await events.send(event) }
            events.finish()
        }
        @Sendable func store(_ batch: [Int]) async {
            #expect(batch.first == stored.value, "in order, and none is lost")
            stored.add(batch.count)
            clock.advance(by: .milliseconds(20) + .microseconds(50) * batch.count)
        }

        var batcher = AdaptiveBatcher(sizes: 10...1_000, target: .milliseconds(50), linger: .milliseconds(5))
        while true {
            let batch = try await events.receive(upTo: batcher.size, linger: batcher.linger)
            if batch.isEmpty { break }  // the channel was finished
            let start = clock.now
            await store(batch)
            batcher.record(count: batch.count, took: start.duration(to: clock.now), depth: events.count)
        }

        await producer.value
        #expect(stored.value == 20_000)
        #expect(batcher.size > 100 && batcher.size <= 1_000, "\(batcher.size)")
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    func add(_ more: Int) { count.withLock { $0 += more } }
}
