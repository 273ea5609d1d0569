// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the articles about whole services: AdaptiveLimits.md, OverloadPlaybook.md, PipelinesOfStages.md,
// BrokerConsumers.md, HTTPServices.md, TestingYourCode.md.

import Backpressure
import BackpressureMetrics
import BackpressureTestKit
import Testing

@Suite("Examples of the articles about services", .timeLimit(.minutes(10)))
struct ServicesArticlesExamples {
    @Test("AdaptiveLimits.md")
    func adaptiveLimits() {
        print(Sizing.concurrency(rate: 200, time: .milliseconds(50)))  // 10
        #expect(Sizing.concurrency(rate: 200, time: .milliseconds(50)) == 10)

        var limit = AIMDLimit(initial: 20, timeout: .milliseconds(100))
        limit.update(LimitSample(roundTrip: .milliseconds(40), inFlight: 20))
        print(limit.limit)  // 21
        limit.update(LimitSample(roundTrip: .milliseconds(40), inFlight: 21, didDrop: true))
        print(limit.limit)  // 18
        limit.update(LimitSample(roundTrip: .milliseconds(40), inFlight: 3))  // mostly idle
        print(limit.limit)  // 18

        #expect(limit.limit == 18)
    }

    @Test("OverloadPlaybook.md: thresholds")
    func playbook() throws {
        let clock = ManualClock()
        let orders = BoundedChannel<Int, Never>(capacity: 100)

        let registry = MetricsRegistry()
        try registry.add(orders, named: "orders")
        let monitor = HealthMonitor(registry, clock: clock)

        for _ in 0..<95 { _ = orders.trySend(1) }  // of 100
        print(monitor.look().status)  // degraded

        for _ in 0..<5 { _ = orders.trySend(1) }
        _ = monitor.look()  // full, but not for long
        clock.advance(by: .seconds(10))
        print(monitor.look().status)  // overloaded

        #expect(monitor.look().status == .overloaded && !monitor.look().isReady)
        while orders.tryReceive().take() != nil {}
        for _ in 0..<95 { _ = orders.trySend(1) }
        let fresh = HealthMonitor(registry, clock: clock)
        #expect(fresh.look().status == .degraded)
        for _ in 0..<5 { _ = orders.trySend(1) }
        #expect(fresh.look().status == .degraded)
    }

    @Test("PipelinesOfStages.md: stages")
    func stages() async {
        let file = (1...1_000).map { String(repeating: "x", count: $0 % 7) }

        let lines = BoundedChannel<String, Never>(capacity: 64)
        let records = BoundedChannel<Int, Never>(capacity: 16)

        async let reading: Void = {
            for line in file { _ = await lines.send(line) }
            lines.finish()
        }()
        async let parsing: Void = {
            for await line in lines { _ = await records.send(line.count) }
            records.finish()
        }()

        var sum = 0
        for await record in records { sum += record }  // the slowest stage sets the pace
        _ = await (reading, parsing)

        #expect(sum == file.reduce(0) { $0 + $1.count })
        #expect(lines.snapshot().peakDepth <= 64 && records.snapshot().peakDepth <= 16)
    }

    @Test("PipelinesOfStages.md: sizes")
    func sizes() {
        print(Sizing.capacity(peakBurst: 500))  // 1000
        print(Sizing.delay(depth: 1_000, rate: 250) ?? .zero)  // 4.0 seconds
        print(Sizing.concurrency(rate: 250, time: .milliseconds(120)))  // 30
        print(Sizing.timeout(p99: .milliseconds(400)))  // 1.2 seconds

        #expect(Sizing.capacity(peakBurst: 500) == 1_000)
        #expect(Sizing.delay(depth: 1_000, rate: 250) == .seconds(4))
        #expect(Sizing.concurrency(rate: 250, time: .milliseconds(120)) == 30)
        #expect(Sizing.timeout(p99: .milliseconds(400)) == .milliseconds(1_200))
    }

    @Test("BrokerConsumers.md")
    func brokers() {
        let clock = ManualClock()

        let workers = 8
        let window = CreditWindow(capacity: workers * 2, leaseTime: .seconds(30), clock: clock)
        let gate = WatermarkGate<Int>(
            low: 500, high: 1_000,
            minimumPause: .seconds(1), heartbeat: .seconds(100), clock: clock)

        gate.assign([0])
        gate.add(1_000, to: 0)
        #expect(gate.isPaused(0))
        settleLate(window, clock)
        #expect(window.snapshot().reclaimed == 1 && window.snapshot().lateReturns == 1)
    }

    private func settleLate(_ window: CreditWindow, _ clock: ManualClock) {
        guard var grant = window.grant(atLeast: 1, atMost: 1), let lease = grant.spend() else { return }
        clock.advance(by: .seconds(31))  // the work took too long
        if lease.settle() {
            print("delete the message")
        } else {
            print("too late: somebody else has it")
        }
    }

    // MARK: HTTP

    private struct Request {
        var tenant = "alpha"
        var level = 0
    }

    private struct Answer: Equatable {
        var status = 200
        var retryAfter: Int?
    }

    private struct Server {
        let tenants = KeyedRateLimiter<String>(rate: .perSecond(1), burst: 2, maxKeys: 1_000, clock: ManualClock())
        let shedder = PriorityShedder(levels: 3)
        let limiter = ConcurrencyLimiter(FixedLimit(1))
        var isBroken = false

        func handle(_ request: Request) async throws -> Answer {
            if isBroken { throw Rejection.breakerOpen(retryAfter: .seconds(10)) }
            return Answer()
        }

        func admit(_ request: Request) async -> Answer {
            // Is it this tenant who asks too much?
            if let delay = tenants.tryAcquire(for: request.tenant).retryAfter {
                return answer(.rateLimited(retryAfter: delay))
            }
            // Is it we who have too much to do, and this the kind that can wait?
            if let rejection = shedder.admit(level: request.level, user: request.tenant) { return answer(rejection) }
            do {
                return try await CallDeadline.with(.seconds(2)) {
                    try await limiter.run { try await handle(request) }
                }
            } catch {
                return answer(rejection(of: error) ?? .overLimit)
            }
        }

        func answer(_ rejection: Rejection) -> Answer {
            let response = rejection.response()  // jittered, so that not all come back together
            return Answer(status: response.status, retryAfter: response.retryAfter)
        }
    }

    @Test("HTTPServices.md: the server")
    func server() async {
        var server = Server()
        #expect(await server.admit(Request()) == Answer(status: 200))
        server.isBroken = true
        let unavailable = await server.admit(Request())
        #expect(unavailable.status == 503 && (10...12).contains(unavailable.retryAfter ?? 0))
        let limited = await server.admit(Request())
        #expect(limited.status == 429 && (1...2).contains(limited.retryAfter ?? 0))
    }

    private actor Partner {
        struct Reply {
            var status: Int
            var retryAfter: String?
            var body = ""
        }

        private var replies = [Reply(status: 503, retryAfter: "2"), Reply(status: 200, body: "done")]

        func get() -> Reply { replies.removeFirst() }
    }

    @Test("HTTPServices.md: the client")
    func client() async throws {
        let clock = ManualClock()
        let budget = RetryBudget(ratio: 0.1, clock: clock)
        let partner = Partner()
        @Sendable func get() async -> Partner.Reply { await partner.get() }

        func fetch() async throws -> String {
            try await retry(attempts: 4, budget: budget, clock: clock) {
                let answer = await get()
                let now = 1_700_000_000  // seconds since 1970
                if let rejection = Rejection.response(status: answer.status, retryAfter: answer.retryAfter, now: now) {
                    throw rejection
                }
                return answer.body
            }
        }

        async let body = fetch()
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .milliseconds(1_999))
        #expect(clock.sleeperCount == 1)  // not before the two seconds
        clock.advance(by: .seconds(1))
        #expect(try await body == "done")
        #expect(budget.snapshot().retries == 1)
    }

    // MARK: Testing

    @Test("TestingYourCode.md: time")
    func time() async throws {
        let clock = ManualClock()
        let replies = BoundedChannel<String, Never>(capacity: 1, clock: clock)

        let waiting = Task { try await replies.receive(timeout: .seconds(30)) }
        await clock.sleepers(atLeast: 1)  // the rendezvous: it waits now
        clock.advance(by: .seconds(30))

        await #expect(throws: ReceiveError<Never>.rejected(.timedOut)) { try await waiting.value }

        let bucket = TokenBucket(rate: .perSecond(10), burst: 1, clock: clock)
        #expect(bucket.tryAcquire().isAllowed)
        #expect(bucket.tryAcquire() == .denied(retryAfter: .milliseconds(100)))
        clock.advance(by: .milliseconds(100))
        #expect(bucket.tryAcquire().isAllowed)
    }

    @Test("TestingYourCode.md: waiting without time")
    func waitingWithoutTime() async {
        let single = BoundedChannel<Int, Never>(capacity: 1)
        _ = await single.send(1)
        let second = Task { await single.send(2).isSent }
        while single.snapshot().waitingSenders == 0 { await Task.yield() }

        #expect(single.tryReceive().take() == 1)
        #expect(await second.value)
    }

    @Test("TestingYourCode.md: load")
    func load() {
        var codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))
        var shed = 0
        for millisecond in stride(from: 0, to: 1_000, by: 10) {
            if codel.shouldShed(after: .milliseconds(20), now: .milliseconds(millisecond)) { shed += 1 }
        }
        #expect(shed > 0)  // a queue that stands is shed from
        #expect(codel.isOverloaded)
    }

    @Test("TestingYourCode.md: partners")
    func partners() {
        let publisher = TestPublisher<Int>()
        let subscriber = TestSubscriber<Int>(initialDemand: 1)
        publisher.map { $0 * 2 }.subscribe(subscriber)

        publisher.send(1)
        #expect(subscriber.elements == [2])
        #expect(publisher.demand == 0)  // no more was asked for

        publisher.complete()
        #expect(subscriber.isCompleted)
    }
}
