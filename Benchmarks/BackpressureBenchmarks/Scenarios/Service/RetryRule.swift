// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// When a caller tries again. The callers of the full variant keep to a budget and to what the server asked for; those of
// all others are the usual ones: once more, soon, whatever the server says.

import Backpressure

struct RetryRule: Sendable {
    private static let attempts = 2

    private let budget: RetryBudget?
    private let backoff: Backoff

    init(_ variant: ServiceVariant, _ settings: ServiceSettings) {
        backoff = Backoff(base: .nanoseconds(settings.work))
        // A twentieth: an answer to a retry comes too late for the objective, and takes the place of one that would not.
        budget = variant == .full ? RetryBudget(ratio: 0.05, minimumPerSecond: 1) : nil
    }

    func beginRequest() { budget?.beginRequest() }

    func endRequest() { budget?.endRequest() }

    /// The delay before the next try in nanoseconds; nil to give up.
    ///
    /// One that is allowed needs an ``endRetry()``. `attempt` is how many tries there were, `rejection` what the server
    /// said, nil if it said nothing in time, and `left` how long the caller still persists, in nanoseconds.
    func delay(after attempt: Int, rejection: Rejection?, left: Int) -> Int? {
        guard attempt < Self.attempts else { return nil }
        let asked = budget == nil ? nil : rejection?.retryAfter
        let delay = Self.nanoseconds(backoff.delay(after: attempt, retryAfter: asked))
        guard delay < left, budget?.tryBeginRetry() ?? true else { return nil }
        return delay
    }

    /// A retry that was allowed has ended.
    func endRetry() { budget?.endRetry() }

    private static func nanoseconds(_ duration: Duration) -> Int {
        let (seconds, attoseconds) = duration.components
        return Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
    }
}
