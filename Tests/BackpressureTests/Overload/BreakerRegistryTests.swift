// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Breakers by key: one for each, no more than the bound, and those that protect somebody are kept.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct BreakerRegistryTests {
    private func rules() -> BreakerRules {
        var rules = BreakerRules()
        rules.window = .calls(2)
        rules.minimumCalls = 2
        return rules
    }

    @Test func everyKeyHasABreakerOfItsOwn() throws {
        let asked = Shared<[String]>([])
        let told = Shared<[String]>([])
        let breakers = CircuitBreakerRegistry<String>(
            rules: { key in
                asked.update { $0.append(key) }
                return self.rules()
            }, clock: ManualClock()
        ) { key, transition in
            told.update { $0.append("\(key): \(transition.to)") }
        }
        for _ in 0..<2 { try breakers.breaker(for: "a").begin().fail() }
        #expect(breakers.breaker(for: "a").state == .open && breakers.breaker(for: "b").state == .closed)
        #expect(breakers.breaker(for: "a") === breakers.existing("a") && breakers.breaker(for: "a").name == "a")
        #expect(asked.value == ["a", "b"] && told.value == ["a: open"] && breakers.count == 2)
        #expect(breakers.snapshots().mapValues(\.state) == ["a": .open, "b": .closed])
        #expect(breakers.existing("c") == nil && breakers.count == 2)
        #expect(breakers.remove("a")?.state == .open && breakers.remove("a") == nil && breakers.count == 1)
        #expect(breakers.breaker(for: "a").state == .closed)
    }

    /// Pitfall: a map by key that grows for ever; and one that forgets whom it protects.
    @Test func theLeastRecentlyUsedGoesUnlessItIsOpen() {
        let breakers = CircuitBreakerRegistry<Int>(capacity: 4, clock: ManualClock())
        for key in 0..<4 { _ = breakers.breaker(for: key) }
        breakers.breaker(for: 0).transition(to: .open)
        _ = breakers.breaker(for: 1)
        // The order of use is 2, 3, 0, 1.
        _ = breakers.breaker(for: 4)
        #expect(Set(breakers.snapshots().keys) == [0, 1, 3, 4])
        breakers.breaker(for: 3).transition(to: .forcedOpen)
        _ = breakers.breaker(for: 1)
        _ = breakers.breaker(for: 4)
        // 0 and 3 are the least recently used, and stay.
        _ = breakers.breaker(for: 5)
        #expect(Set(breakers.snapshots().keys) == [0, 3, 4, 5] && breakers.evicted == 2)
        for key in [0, 3, 4, 5] { breakers.breaker(for: key).transition(to: .open) }
        _ = breakers.breaker(for: 6)
        #expect(Set(breakers.snapshots().keys) == [3, 4, 5, 6] && breakers.count == 4)
    }

    @Test func anyCourseKeepsTheBoundAndTheOrder() {
        let rounds = LaneSize("breakers.random", plain: 60, sanitizer: 20, deep: 5_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            let capacity = Int.random(in: 1...12, using: &numbers)
            let breakers = CircuitBreakerRegistry<Int>(capacity: capacity, clock: ManualClock())
            for _ in 0..<200 {
                let key = Int.random(in: 0..<20, using: &numbers)
                switch Int.random(in: 0...9, using: &numbers) {
                case 0: breakers.remove(key)
                case 1: breakers.existing(key)?.transition(to: .open)
                case 2: breakers.existing(key)?.transition(to: .closed)
                default: #expect(breakers.breaker(for: key) === breakers.existing(key), "seed \(seed)")
                }
                #expect(breakers.state.withLock { $0.holds(capacity: capacity) }, "seed \(seed)")
            }
        }
    }

    /// Pitfall: a breaker for each caller (axum#2634): all who ask at once get the same one.
    @Test func allWhoAskAtOnceGetOne() async {
        let breakers = CircuitBreakerRegistry<Int>(capacity: 8, clock: ManualClock())
        let rounds = LaneSize("breakers.storm", plain: 50, sanitizer: 20, deep: 5_000).count
        for round in 0..<rounds {
            let found = await withTaskGroup(of: ObjectIdentifier.self) { group in
                for _ in 0..<8 { group.addTask { ObjectIdentifier(breakers.breaker(for: round)) } }
                return await group.reduce(into: Set<ObjectIdentifier>()) { $0.insert($1) }
            }
            #expect(found.count == 1 && breakers.state.withLock { $0.holds(capacity: 8) })
        }
    }
}

@Suite struct BreakerEventTests {
    @Test func everyCallAndEveryChangeIsTold() throws {
        let clock = ManualClock()
        let told = Shared<[BreakerEvent]>([])
        var rules = BreakerRules()
        rules.window = .calls(2)
        rules.minimumCalls = 2
        rules.halfOpenCalls = 1
        rules.openDelay = .constant(.seconds(1))
        let breaker = CircuitBreaker(rules: rules, clock: clock, onEvent: { event in told.update { $0.append(event) } })
        func expect(_ events: [BreakerEvent], _ comment: Comment) {
            #expect(told.value == events, comment)
            told.update { $0 = [] }
        }
        func change(_ from: BreakerState, _ to: BreakerState, _ number: UInt64, _ cause: BreakerCause) -> BreakerEvent {
            .changed(BreakerTransition(from: from, to: to, generation: number, cause: cause))
        }

        let early = try breaker.begin()
        let call = try breaker.begin()
        clock.advance(by: .milliseconds(5))
        call.succeed()
        try breaker.begin().ignore()
        try breaker.begin().fail()
        expect(
            [
                .succeeded(took: .milliseconds(5)), .ignored, change(.closed, .open, 1, .failureRate(0.5)),
                .failed(took: .zero),
            ], "closed")
        #expect(throws: Rejection.self) { _ = try breaker.begin() }
        early.fail()
        expect([.rejected(retryAfter: .seconds(1)), .late], "open")
        clock.advance(by: .seconds(1))
        try breaker.begin().succeed()
        expect(
            [
                change(.open, .halfOpen, 2, .delayPassed), change(.halfOpen, .closed, 3, .recovered),
                .succeeded(took: .zero),
            ], "half-open")
        breaker.transition(to: .metricsOnly)
        expect([change(.closed, .metricsOnly, 4, .manual)], "by hand")
    }

    @Test func everyCauseIsNamed() {
        var rules = BreakerRules()
        rules.window = .calls(2)
        rules.minimumCalls = 2
        rules.slowCallRate = 0.5
        rules.slowCallDuration = .nanoseconds(10)
        rules.halfOpenWait = .nanoseconds(50)
        rules.openDelay = .constant(.nanoseconds(100))
        rules.sustainedBackpressure = .nanoseconds(100)
        var machine = BreakerMachine(rules, seed: 1)
        for _ in 0..<2 { machine.report(.success, generation: 0, began: 0, now: 10) }
        #expect(machine.cause == .slowCallRate(1) && machine.state == .open)
        _ = machine.admit(now: 200)
        #expect(machine.cause == .delayPassed)
        for _ in 0..<20 { _ = machine.admit(now: 300) }
        #expect(machine.cause == .noVerdict && machine.state == .open)
        machine.close()
        machine.report(backpressure: true, now: 1_000)
        machine.report(backpressure: true, now: 1_100)
        #expect(machine.cause == .sustainedBackpressure && machine.state == .open)
    }
}
