// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A chain whose tail is slow for two seconds; and a controller that looks ahead against one that does not.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct ChainScenarioTests {
    private static let second: Int64 = 1_000_000_000
    private let seeds = LaneSize("chain.seeds", plain: 3, sanitizer: 1, deep: 200)

    /// Bounds per stage and credits from end to end, both for 64 elements in all; and the twin without a bound.
    @Test func theHeadIsBackWithinFiveSeconds() {
        var figures: [String: (recovery: Int, p99: Int64, lost: Int)] = [:]
        for seed in 0..<UInt64(seeds.count) {
            for (name, bound) in [
                ("per stage", ChainBound.perStage(12)), ("end to end", .endToEnd(64)), ("unbounded", .none),
            ] {
                var chain = SimulatedChain(bound: bound, seconds: 30, seed: seed)
                chain.tail = SimulatedConditions([.init(from: 10 * Self.second, to: 12 * Self.second, pace: 0.1)])
                let report = chain.run()
                let recovery = (12..<27).first { Double(report.goodput[$0]) >= 0.9 * chain.rate }.map { $0 - 12 } ?? 99
                let sofar = figures[name] ?? (0, 0, 0)
                figures[name] = (
                    max(sofar.recovery, recovery), max(sofar.p99, report.latency(0.99, 10..<16)),
                    max(sofar.lost, report.rejected.reduce(0, +))
                )
                if name != "unbounded" {
                    #expect(recovery <= 5, "\(name), seed \(seed)")
                    #expect(report.peak <= 64)
                }
            }
        }
        for (name, worst) in figures.sorted(by: { $0.key < $1.key }) {
            print(
                "chain \(name): back after \(worst.recovery) s, p99 \(worst.p99 / 1_000_000) ms, \(worst.lost) turned away"
            )
        }
        // The bounds turn away, and keep what they take in fresh.
        #expect((figures["unbounded"]?.p99 ?? 0) > 1_000_000_000)
    }

    /// A queue of 1,000 in front of a consumer of 1,000 a second; the producer is driven by a controller, and wants to send 800
    /// a second, in bursts more.
    @Test func predictionAgainstReaction() {
        var reactive = PressureRules()
        reactive.dwell = .milliseconds(200)
        reactive.slowFactor = 0.3
        var predictive = reactive
        predictive.horizon = .milliseconds(400)
        var totals: (reactive: LagCount, predictive: LagCount) = (.init(), .init())
        for seed in 0..<UInt64(seeds.count * 10) {
            totals.reactive.add(Self.lag(reactive, seed: seed))
            totals.predictive.add(Self.lag(predictive, seed: seed))
        }
        let fewer = 1 - Double(totals.predictive.spikes) / Double(max(totals.reactive.spikes, 1))
        let goodput = Double(totals.predictive.done) / Double(totals.reactive.done)
        print(
            "predictive: \(totals.predictive.spikes) lag spikes, reactive: \(totals.reactive.spikes); \(fewer * 100) % fewer, "
                + "goodput x \(goodput)")
        // What the literature claims of looking ahead, at equal goodput.
        #expect(totals.reactive.spikes > 0 && fewer >= 0.6)
        #expect(goodput > 0.99)
    }

    struct LagCount {
        var spikes = 0
        var done = 0

        mutating func add(_ other: LagCount) {
            spikes += other.spikes
            done += other.done
        }
    }

    /// In steps of 10 ms, of which the controller sees every tenth.
    ///
    /// A spike is a second in which the lag exceeds 0.85 s at some time.
    private static func lag(_ rules: PressureRules, seed: UInt64) -> LagCount {
        var (chance, machine) = (SimulatedChance(seed: seed), PressureMachine(rules))
        var (depth, backlog, burst, count, isHigh) = (0.0, 0.0, 0, LagCount(), false)
        for step in 0..<6_000 {
            if burst == 0, chance.happens(0.001) { burst = 50 + Int(chance.uniform() * 150) }
            let wanted = burst > 0 ? 24.0 : 6.0
            burst = max(burst - 1, 0)
            // What is held back is sent later: it does not go away.
            backlog += wanted
            let sent = min(backlog, 25 * machine.signal.factor, 1_000 - depth)
            backlog -= sent
            depth += sent
            let done = min(depth, 10)
            depth -= done
            count.done += Int(done)
            if step % 10 == 0 {
                machine.update(PressureReading(depthRatio: depth / 1_000), now: Int64(step) * 10_000_000)
            }
            isHigh = isHigh || depth > 850
            guard step % 100 == 99 else { continue }
            count.spikes += isHigh ? 1 : 0
            isHigh = false
        }
        return count
    }
}
