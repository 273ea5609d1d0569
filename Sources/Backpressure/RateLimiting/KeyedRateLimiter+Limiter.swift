// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One key of a keyed limiter as a limiter of its own.

extension KeyedRateLimiter {
    /// The bucket of one key of a ``KeyedRateLimiter``.
    ///
    /// It takes a place only while its bucket is not full, and keeps the whole limiter alive.
    public struct Limiter: RateLimiter {
        let core: KeyedCore
        /// The key.
        public let key: Key

        private nonisolated(nonsending) func acquire(
            _ count: UInt64, _ debt: UInt64, _ limit: WaitLimit
        ) async throws(RateLimitError) {
            switch withKey({ core.enter(count, debt: debt, for: $0, limit: limit) }) {
            case .taken: return
            case .failed(let error): throw error
            case .registered(let waiter, let booking):
                if await core.wait(waiter) { return }
                _ = withKey { core.giveBack(count, booking, for: $0) }
                throw .rejected(.cancelled)
            }
        }

        /// Runs `body` with a reference to the key.
        private func withKey<Result>(_ body: (KeyReference) -> Result) -> Result {
            let hashValue = key.hashValue
            return withUnsafePointer(to: key) { body(KeyReference($0, hashValue: hashValue)) }
        }

        private func checked(_ count: Int) -> UInt64 {
            precondition(count >= 1, "a request for \(count) tokens: it takes at least 1")
            return UInt64(count)
        }

        private func checkedDebt(_ debt: Int) -> UInt64 {
            precondition(debt >= 0, "a debt of \(debt) tokens is negative")
            return UInt64(debt)
        }

        /// Takes `count` tokens now, or none.
        ///
        /// - Parameters:
        ///   - count: The tokens; at least 1.
        ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
        /// - Returns: Whether the tokens were taken, and if not, when they could be.
        public func tryAcquire(_ count: Int, allowingDebt debt: Int) -> RateDecision {
            withKey { core.tryAcquire(checked(count), debt: checkedDebt(debt), for: $0) }
        }

        /// Takes as many tokens as there are now, up to `count`.
        public func tryAcquire(upTo count: Int) -> Int { withKey { core.take(upTo: checked(count), for: $0) } }

        /// What ``tryAcquire(_:allowingDebt:)`` would answer now; it takes nothing.
        public func peek(_ count: Int, allowingDebt debt: Int) -> RateDecision {
            withKey { core.peek(checked(count), debt: checkedDebt(debt), for: $0) }
        }

        /// Books `count` tokens for the earliest instant at which they are there, behind everybody who waits.
        ///
        /// - Parameters:
        ///   - count: The tokens; at least 1.
        ///   - longest: The longest delay that is worth it; nil for any.
        /// - Returns: The booking, whose instant is promised.
        /// - Throws: ``RateLimitError/exceedsLimit(_:)`` or ``RateLimitError/tooLate(retryAfter:)``; nothing is booked.
        public func reserve(_ count: Int, within longest: Duration?) throws(RateLimitError) -> RateReservation {
            let (count, now) = (checked(count), core.present())
            let latest = LimiterCore<GCRA>.latest(longest, now)
            let booking = try withKey { core.book(count, debt: 0, for: $0, now: now, until: latest) }.get()
            return RateReservation(
                count: Int(count), instant: booking.due, madeAt: now, timeSource: core.timeSource
            ) {
                withKey { core.giveBack(count, booking, for: $0) }
            }
        }

        /// Takes `count` tokens, waiting for them in order.
        ///
        /// - Parameters:
        ///   - count: The tokens; at least 1.
        ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
        ///   - timeout: The longest wait; nil for any. With zero or less it never waits.
        /// - Throws: ``RateLimitError``; then no tokens were taken.
        public nonisolated(nonsending) func acquire(
            _ count: Int, allowingDebt debt: Int, timeout: Duration?
        ) async throws(RateLimitError) {
            try await acquire(checked(count), checkedDebt(debt), timeout.map { .timeout($0) } ?? .none)
        }

        /// Takes `count` tokens, waiting for them in order, no longer than until `deadline`.
        ///
        /// - Parameters:
        ///   - count: The tokens; at least 1.
        ///   - debt: By how many tokens the limiter may be overdrawn after it; at least 0.
        ///   - deadline: An instant of the limiter's clock.
        /// - Throws: ``RateLimitError``; then no tokens were taken.
        /// - Precondition: `deadline` is an instant of the type of the limiter's clock.
        public nonisolated(nonsending) func acquire(
            _ count: Int, allowingDebt debt: Int, deadline: some InstantProtocol<Duration>
        ) async throws(RateLimitError) {
            try await acquire(checked(count), checkedDebt(debt), core.waitLimit(until: deadline))
        }

        /// Gives `count` tokens back that were taken and not used; a full limiter stays full.
        public func refund(_ count: Int) { withKey { core.refund(checked(count), for: $0) } }

        /// Takes `count` tokens whether they are there or not.
        public func penalize(_ count: Int) { withKey { core.penalize(checked(count), for: $0) } }

        /// Takes all tokens that are there, and says how many there were.
        @discardableResult
        public func drain() -> Int { withKey { core.take(upTo: .max, for: $0) } }

        /// Suspends the calling task for `duration` on the limiter's clock.
        ///
        /// - Parameter duration: How long.
        /// - Throws: `CancellationError` when the task is cancelled first.
        public nonisolated(nonsending) func sleep(for duration: Duration) async throws {
            try await core.sleep(duration)
        }

        /// The readings of this instant.
        ///
        /// - Returns: The key's tokens; waiting tasks and counts are those of all keys.
        public func snapshot() -> RateLimiterSnapshot { withKey { core.snapshot(for: $0) } }
    }
}
