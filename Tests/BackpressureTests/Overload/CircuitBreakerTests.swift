// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The circuit breaker: every transition by the machine alone, what threads and permits add by the shipped class.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct BreakerMachineTests {
    private func rules(_ change: (inout BreakerRules) -> Void = { _ in }) -> BreakerRules {
        var rules = BreakerRules()
        rules.window = .calls(4)
        rules.minimumCalls = 4
        rules.halfOpenCalls = 2
        rules.openDelay = .constant(.nanoseconds(100))
        rules.halfOpenWait = .nanoseconds(1_000)
        rules.slowCallDuration = .nanoseconds(50)
        change(&rules)
        return rules
    }

    /// A call that takes `length`; whether it was let through.
    @discardableResult
    private func call(
        _ machine: inout BreakerMachine, _ outcome: BreakerOutcome, at now: Int64, taking length: Int64 = 1
    ) -> Bool {
        guard case .admitted(let generation) = machine.admit(now: now) else { return false }
        machine.report(outcome, generation: generation, began: now, now: now + length)
        return true
    }

    @Test func closedOpensAtTheFailureRateAndNotBelowTheMinimum() {
        var machine = BreakerMachine(rules(), seed: 1)
        for outcome in [BreakerOutcome.failure(), .failure(), .success] { call(&machine, outcome, at: 0) }
        #expect(machine.state == .closed, "three calls are below the minimum")
        call(&machine, .success, at: 0)
        #expect(machine.state == .open, "half of four failed")
        #expect(machine.admit(now: 99) == .rejected(retryAfter: .nanoseconds(2)))
        #expect(machine.rejections == 1)
    }

    /// The newest results count, not the oldest.
    @Test func theWindowKeepsTheNewest() {
        var machine = BreakerMachine(rules { $0.failureRate = 0.75 }, seed: 1)
        for _ in 0..<2 { call(&machine, .failure(), at: 0) }
        for _ in 0..<40 { call(&machine, .success, at: 0) }
        for _ in 0..<2 { call(&machine, .failure(), at: 0) }
        #expect(machine.state == .closed)
        call(&machine, .failure(), at: 0)
        #expect(machine.state == .open)
    }

    @Test func slowCallsOpenIt() {
        var machine = BreakerMachine(rules { $0.slowCallRate = 0.5 }, seed: 1)
        for length: Int64 in [50, 1, 1] { call(&machine, .success, at: 0, taking: length) }
        call(&machine, .success, at: 0, taking: 51)
        #expect(machine.state == .open)
    }

    @Test func aWindowOfTimeForgets() {
        var machine = BreakerMachine(rules { $0.window = .time(.nanoseconds(1_000)) }, seed: 1)
        for _ in 0..<3 { call(&machine, .failure(), at: 0) }
        call(&machine, .success, at: 5_000)
        #expect(machine.state == .closed && machine.window.tally.calls == 1)
        for _ in 0..<3 { call(&machine, .failure(), at: 5_000) }
        #expect(machine.state == .open)
    }

    @Test func halfOpenClosesOrOpensByItsQuota() {
        for (second, expected) in [(BreakerOutcome.success, BreakerState.closed), (.failure(), .open)] {
            var machine = BreakerMachine(rules(), seed: 1)
            machine.open(0, asked: nil)
            #expect(!call(&machine, .success, at: 99))
            #expect(call(&machine, .success, at: 100))
            #expect(machine.state == .halfOpen)
            #expect(call(&machine, second, at: 101))
            #expect(machine.state == expected)
        }
    }

    /// Pitfall: more calls than permitted while half-open.
    @Test func halfOpenLetsNoMoreThroughThanItsQuota() {
        var machine = BreakerMachine(rules(), seed: 1)
        machine.open(0, asked: nil)
        let first = machine.admit(now: 100)
        let second = machine.admit(now: 100)
        #expect(machine.admit(now: 100) == .rejected(retryAfter: nil))
        guard case .admitted(let generation) = first, case .admitted = second else {
            Issue.record("the quota was not let through")
            return
        }
        // One has reported: it has used its part of the quota up.
        machine.report(.success, generation: generation, began: 100, now: 101)
        #expect(machine.admit(now: 102) == .rejected(retryAfter: nil))
        // Pitfall: an ignored call that keeps its part, and so locks the breaker.
        machine.report(.ignored, generation: generation, began: 100, now: 103)
        #expect(machine.admit(now: 104) != .rejected(retryAfter: nil))
    }

    /// Pitfall: a probe that never returns keeps the breaker half-open for ever.
    @Test func halfOpenEndsWithoutAVerdict() {
        var machine = BreakerMachine(rules(), seed: 1)
        machine.open(0, asked: nil)
        _ = machine.admit(now: 100)
        _ = machine.admit(now: 100)
        #expect(machine.admit(now: 1_099) == .rejected(retryAfter: nil))
        #expect(machine.admit(now: 1_100) == .rejected(retryAfter: .nanoseconds(100)))
        #expect(machine.state == .open)
        #expect(call(&machine, .success, at: 1_200))
    }

    /// Pitfall: results and releases of an older generation.
    @Test func lateResultsOfAnOlderGenerationChangeNothing() {
        var machine = BreakerMachine(rules(), seed: 1)
        guard case .admitted(let old) = machine.admit(now: 0) else { return }
        machine.open(0, asked: nil)
        _ = machine.admit(now: 100)
        let before = (machine.state, machine.generation, machine.window.tally.calls)
        for outcome in [BreakerOutcome.success, .failure(), .ignored] {
            for _ in 0..<10 { machine.report(outcome, generation: old, began: 0, now: 200) }
        }
        #expect((machine.state, machine.generation, machine.window.tally.calls) == before)
        // No half-open call was minted: one runs, one more may.
        #expect(machine.admit(now: 200) != .rejected(retryAfter: nil))
        #expect(machine.admit(now: 200) == .rejected(retryAfter: nil))
    }

    @Test func theDelayGrowsAndObeysTheServer() {
        let backoff = Backoff(base: .nanoseconds(100), maximum: .nanoseconds(300), jitter: .none)
        var machine = BreakerMachine(rules { $0.openDelay = .backoff(backoff) }, seed: 1)
        var now: Int64 = 0
        for delay: Int64 in [100, 200, 300, 300] {
            machine.open(now, asked: nil)
            #expect(machine.admit(now: now) == .rejected(retryAfter: .nanoseconds(delay)))
            now += delay
            #expect(machine.admit(now: now) != .rejected(retryAfter: .zero))
        }
        machine.close()
        for _ in 0..<3 { call(&machine, .failure(), at: now) }
        call(&machine, .failure(retryAfter: .nanoseconds(5_000)), at: now)
        #expect(machine.admit(now: now + 1) == .rejected(retryAfter: .nanoseconds(5_000)))
    }

    @Test func sustainedBackpressureOpensIt() {
        var machine = BreakerMachine(rules { $0.sustainedBackpressure = .nanoseconds(100) }, seed: 1)
        for (now, pressure) in [(0, true), (50, true), (60, false), (70, true), (169, true)] {
            machine.report(backpressure: pressure, now: Int64(now))
        }
        #expect(machine.state == .closed)
        machine.report(backpressure: true, now: 170)
        #expect(machine.state == .open)
    }

    /// Every state by hand from every other.
    @Test func transitionsByHand() {
        let all: [BreakerState] = [.closed, .open, .halfOpen, .forcedOpen, .disabled, .metricsOnly]
        for from in all {
            for to in all {
                var machine = BreakerMachine(rules(), seed: 1)
                machine.transition(to: from, now: 0)
                let generation = machine.generation
                machine.transition(to: to, now: 0)
                #expect(machine.state == to && machine.generation == generation + 1)
                for _ in 0..<10 { call(&machine, .failure(), at: 0) }
                switch to {
                case .closed, .halfOpen, .open: #expect(machine.state == .open)
                case .forcedOpen: #expect(machine.admit(now: .max) == .rejected(retryAfter: nil))
                case .disabled: #expect(machine.window.tally.calls == 0 && machine.state == .disabled)
                case .metricsOnly: #expect(machine.window.tally.failures == 4 && machine.state == .metricsOnly)
                }
            }
        }
    }

    /// Never stuck, never more than the quota, whatever comes in which order and whatever the clock does.
    @Test func aRandomCourseIsNeverStuck() {
        let rounds = LaneSize("breaker.random", plain: 200, sanitizer: 50, deep: 20_000).count
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            var machine = BreakerMachine(rules(), seed: seed)
            var running: [UInt64] = []
            var now: Int64 = 0
            for _ in 0..<300 {
                now += Int64.random(in: -20...60, using: &numbers)
                switch Int.random(in: 0...3, using: &numbers) {
                case 0, 1:
                    if case .admitted(let generation) = machine.admit(now: now) { running.append(generation) }
                default:
                    guard let index = running.indices.randomElement(using: &numbers) else { continue }
                    let outcome = [BreakerOutcome.success, .failure(), .ignored].randomElement(using: &numbers)
                    machine.report(outcome ?? .ignored, generation: running.remove(at: index), began: now, now: now)
                }
                if case .halfOpen(_, let count) = machine.phase {
                    let present = running.count(where: { $0 == machine.generation })
                    #expect(count == present && present + machine.window.tally.calls <= 2, "seed \(seed)")
                }
            }
            // From here on all calls that run are lost, and the dependency is well.
            var answered = false
            for _ in 0..<20 where !answered {
                now += 2_000
                answered = call(&machine, .success, at: now)
            }
            #expect(answered, "seed \(seed): stuck in \(machine.state)")
        }
    }
}

@Suite struct CircuitBreakerTests {
    private struct Failure: Error {}

    private func rules() -> BreakerRules {
        var rules = BreakerRules()
        rules.window = .calls(2)
        rules.minimumCalls = 2
        rules.halfOpenCalls = 3
        return rules
    }

    @Test func permitsReportOnceAndForgottenOnesAreIgnored() throws {
        let breaker = CircuitBreaker("test", rules: rules(), clock: ManualClock())
        do { _ = try breaker.begin() }
        #expect(breaker.snapshot().calls == 0)
        try breaker.begin().succeed()
        try breaker.begin().ignore()
        #expect(breaker.snapshot().calls == 1)
        try breaker.begin().fail()
        #expect(breaker.state == .open)
        #expect(breaker.snapshot().name == "test")
    }

    @Test func runRecordsErrorsAndResults() async throws {
        let clock = ManualClock()
        let told = Shared<[BreakerTransition]>([])
        let breaker = CircuitBreaker(rules: rules(), clock: clock) { transition in
            told.update { $0.append(transition) }
        }
        #expect(try await breaker.run { 1 } == 1)
        #expect(try await breaker.run(recordResult: { $0 == 500 ? .failure() : .success }) { 500 } == 500)
        #expect(breaker.state == .open)
        let rejection = await #expect(throws: Rejection.self) { try await breaker.run { 1 } }
        #expect(rejection == .breakerOpen(retryAfter: .seconds(60)))
        let answer = try await breaker.withFallback {
            1
        } fallback: { _ in
            2
        }
        #expect(answer == 2)
        clock.advance(by: .seconds(60))
        for _ in 0..<3 { _ = try await breaker.run { 1 } }
        #expect(breaker.state == .closed)
        await #expect(throws: CancellationError.self) { try await breaker.run { throw CancellationError() } }
        await #expect(throws: CancellationError.self) {
            try await breaker.withFallback {
                throw CancellationError()
            } fallback: { _ in
            }
        }
        #expect(breaker.snapshot().calls == 0, "cancellations are ignored")
        await #expect(throws: Failure.self) { try await breaker.run { throw Failure() } }
        #expect(breaker.snapshot().failures == 1)
        #expect(told.value.map(\.to) == [.open, .halfOpen, .closed] && told.value.map(\.generation) == [1, 2, 3])
    }

    /// Pitfall: half-open tested and counted in two steps.
    @Test func neverMoreThanTheQuotaUnderRealConcurrency() async {
        let clock = ManualClock()
        let breaker = CircuitBreaker(rules: rules(), clock: clock)
        let rounds = LaneSize("breaker.storm", plain: 50, sanitizer: 20, deep: 5_000).count
        for _ in 0..<rounds {
            breaker.transition(to: .open)
            clock.advance(by: .seconds(60))
            let running = Shared((now: 0, peak: 0))
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        guard let permit = try? breaker.begin() else { return }
                        running.update { $0 = ($0.now + 1, max($0.peak, $0.now + 1)) }
                        await Task.yield()
                        running.update { $0.now -= 1 }
                        permit.fail()
                    }
                }
            }
            #expect(running.value.peak <= 3 && breaker.state == .open)
        }
    }
}
