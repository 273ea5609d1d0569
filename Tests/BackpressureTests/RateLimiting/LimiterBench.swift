// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A limiter under test: its tasks run step by step, its clock stands still.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A wait for tokens that was started, and what became of it.
final class TokenTicket: Sendable {
    enum Outcome: Hashable, Sendable {
        case acquired
        case failed(RateLimitError)
    }

    private let box = Shared<Outcome?>(nil)
    private let task = Shared<Task<Void, Never>?>(nil)

    /// Nil while it waits.
    var outcome: Outcome? { box.value }

    var isAcquired: Bool { outcome == .acquired }
    var isCancelled: Bool { outcome == .failed(.rejected(.cancelled)) }

    func cancel() { task.value?.cancel() }

    func start(on executor: StepExecutor, _ body: @escaping @Sendable () async throws(RateLimitError) -> Void) {
        let started = Task(executorPreference: executor) {
            let outcome: Outcome
            do throws(RateLimitError) {
                try await body()
                outcome = .acquired
            } catch {
                outcome = .failed(error)
            }
            self.box.update { slot in
                precondition(slot == nil, "a wait ended twice")
                slot = outcome
            }
        }
        task.update { $0 = started }
    }
}

/// A limiter of any kind and everything around it that a test needs to hold still.
final class LimiterBench<Limiter: RateLimiter>: Sendable {
    let clock: ManualClock
    let executor = StepExecutor()
    let limiter: Limiter

    init(_ make: (ManualClock) -> Limiter) {
        clock = ManualClock()
        limiter = make(clock)
    }

    /// Starts an acquire and runs all ready tasks.
    func acquire(
        _ count: Int = 1, debt: Int = 0, timeout: Duration? = nil, run: Bool = true
    ) -> TokenTicket {
        let ticket = TokenTicket()
        let limiter = limiter
        ticket.start(on: executor) { () async throws(RateLimitError) in
            try await limiter.acquire(count, allowingDebt: debt, timeout: timeout)
        }
        if run { executor.run() }
        return ticket
    }

    /// Moves the clock and runs what wakes, until `condition` holds.
    ///
    /// The timer must sleep first: it is a task of the pool.
    func advance(by duration: Duration, until condition: () -> Bool) async throws -> Bool {
        try await settle { clock.sleeperCount > 0 }
        clock.advance(by: duration)
        return await executor.run(until: condition)
    }

    var waiting: Int { limiter.snapshot().waiting }
}

/// A token every 100 ms.
let tenPerSecond = Rate.perSecond(10)

func bucketBench(
    rate: Rate = tenPerSecond, burst: Int = 5, tokens: Int? = nil, maxWaiters: Int = .max
) -> LimiterBench<TokenBucket> {
    LimiterBench {
        TokenBucket(rate: rate, burst: burst, initialTokens: tokens, maxWaiters: maxWaiters, clock: $0)
    }
}
