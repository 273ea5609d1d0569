// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A dependency that fails is tried again within a budget, and then left alone.
// prints: the circuit breaker is open after 2 retries
import Backpressure

struct Down: Error {}
func ask() async throws -> Int { throw Down() }
var rules = BreakerRules()
(rules.window, rules.minimumCalls) = (.calls(4), 2)
let breaker = CircuitBreaker("prices", rules: rules)
let budget = RetryBudget(ratio: 0.1, minimumPerSecond: 2)
do {
    print(
        try await retry(attempts: 5, budget: budget, timeout: .seconds(10)) {
            try await breaker.run { try await ask() }
        })
} catch {
    print(error, "after", budget.snapshot().retries, "retries")
}
