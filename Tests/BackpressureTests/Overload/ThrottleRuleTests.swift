// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rules of the client's throttle, against tables and against all counts.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct ThrottleRuleTests {
    private let window = Duration.seconds(30)

    /// By hand: ((n - s / threshold) / (n + 1)) ^ (1 / aggression).
    @Test(arguments: [
        (made: 100, succeeded: 100, aggression: 1.0, expected: 0.0),
        (made: 100, succeeded: 95, aggression: 1.0, expected: 0.0),
        (made: 99, succeeded: 0, aggression: 1.0, expected: 0.8),
        (made: 99, succeeded: 57, aggression: 1.0, expected: 0.39),
        (made: 99, succeeded: 57, aggression: 2.0, expected: 0.624_499_8),
        (made: 99, succeeded: 76, aggression: 1.0, expected: 0.19),
        (made: 0, succeeded: 0, aggression: 1.0, expected: 0.0),
        (made: 0, succeeded: 7, aggression: 3.0, expected: 0.0),
    ])
    func theFormulaOfEnvoy(_ row: (made: Int, succeeded: Int, aggression: Double, expected: Double)) {
        let rule = ThrottleRule.successRate(aggression: row.aggression)
        let probability = rule.probability(requests: row.made, accepts: row.succeeded, window: window)
        #expect(abs(probability - row.expected) < 1e-6, "\(probability)")
    }

    /// Counts as no caller should give them: more successes than calls, none, negative ones, the greatest.
    @Test func everyProbabilityLeavesAWayThrough() {
        let counts = [Int.min, -1, 0, 1, 2, 99, 1_000_000, .max]
        for made in counts {
            for succeeded in counts {
                for multiplier in [1, 1.1, 2, Double.greatestFiniteMagnitude] {
                    let rule = ThrottleRule.multiple(multiplier)
                    let probability = rule.probability(requests: made, accepts: succeeded, window: window)
                    #expect(probability >= 0 && probability <= 1, "\(made), \(succeeded), \(multiplier)")
                    #expect(probability < 1 || made == .max, "\(made), \(succeeded), \(multiplier)")
                }
                for aggression in [1, 3, Double.greatestFiniteMagnitude] {
                    for most in [0, 0.5, 0.99] {
                        let rule = ThrottleRule.successRate(
                            threshold: .leastNonzeroMagnitude, aggression: aggression, maximum: most)
                        let usual = ThrottleRule.successRate(aggression: aggression, maximum: most)
                        for rule in [rule, usual] {
                            let probability = rule.probability(requests: made, accepts: succeeded, window: window)
                            #expect(probability >= 0 && probability <= most, "\(made), \(succeeded), \(aggression)")
                        }
                    }
                }
            }
        }
    }

    /// More failures never keep back less, and neither does more aggression.
    @Test func itIsMonotonic() {
        for aggression in [1, 1.5, 4.0] {
            var former = 1.0
            for succeeded in 0...100 {
                let rule = ThrottleRule.successRate(aggression: aggression)
                let probability = rule.probability(requests: 100, accepts: succeeded, window: window)
                let milder = ThrottleRule.successRate().probability(requests: 100, accepts: succeeded, window: window)
                #expect(probability <= former && probability >= milder)
                former = probability
            }
        }
    }

    @Test func aFewCallsMeanNothing() {
        let throttle = AdaptiveThrottle(rule: .successRate(minimumRate: 10), window: .seconds(10), clock: ManualClock())
        for _ in 0..<99 { throttle.record(isAccepted: false) }
        #expect(throttle.rejectionProbability == 0)
        throttle.record(isAccepted: false)
        #expect(throttle.rejectionProbability == 0.8)
    }

    /// Calls that are kept back are not failures of the service: counted as such they would keep it down.
    @Test func itCountsWhatWasMadeOnly() {
        let throttle = AdaptiveThrottle(rule: .successRate(), clock: ManualClock())
        for call in 0..<100 { throttle.record(isAccepted: call % 2 == 0) }
        let before = throttle.rejectionProbability
        for _ in 0..<1_000 { #expect(!throttle.shouldSend(chance: 0)) }
        #expect(throttle.rejectionProbability == before && before > 0.4)
    }

    /// A service that can do half of what is asked, and is well again later: in between about as much is kept back as has to be.
    @Test func itFollowsAServiceDownAndUp() {
        let clock = FaultClock()
        let throttle = AdaptiveThrottle(rule: .successRate(), window: .seconds(30), clock: clock)
        var numbers = SplitMix64(seed: 1)
        var sent = (bad: 0, good: 0)
        for call in 0..<30_000 {
            clock.reading = Int64(call) * 10_000_000
            guard throttle.shouldSend(chance: .random(in: 0..<1, using: &numbers)) else { continue }
            let isBad = (5_000..<15_000).contains(call)
            throttle.record(isAccepted: isBad ? Double.random(in: 0..<1, using: &numbers) < 0.5 : true)
            if (10_000..<15_000).contains(call) { sent.bad += 1 }
            if call >= 25_000 { sent.good += 1 }
        }
        #expect((2_000...3_200).contains(sent.bad), "\(sent.bad) of 5,000 were sent to a service that does half")
        #expect(sent.good == 5_000, "\(sent.good)")
    }
}
