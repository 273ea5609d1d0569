// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A booking in its owner's hands.

/// Tokens that were taken for an instant, now or in the future.
///
/// The instant is promised: whatever else happens to the limiter, the holder may act once it has come. Who does not
/// want to act after all cancels, and what no later booking stands on goes back.
///
/// ```swift
/// let limiter = TokenBucket(rate: .perSecond(10), burst: 10)
/// let reservation = try limiter.reserve(5)
/// try await reservation.wait()
/// ```
///
/// A reservation that is dropped without being cancelled has used its tokens.
public final class RateReservation: Sendable {
    /// The tokens.
    public let count: Int
    /// How long the holder was told to wait when the reservation was made; zero for at once.
    public let delay: Duration

    private let instant: Int64
    private let timeSource: TimeSource
    private let giveBack: @Sendable () -> Int
    private let isCancelled = LockedState(false)

    init(
        count: Int, instant: Int64, madeAt now: Int64, timeSource: TimeSource, giveBack: @escaping @Sendable () -> Int
    ) {
        self.count = count
        self.instant = instant
        self.timeSource = timeSource
        self.giveBack = giveBack
        delay = instant.wait(since: now)
    }

    /// How long it is until the holder may act; zero once it may.
    ///
    /// It reads the limiter's clock.
    public var remaining: Duration { instant.wait(since: timeSource.now()) }

    /// Gives back what no later booking stands on.
    ///
    /// Nothing goes back once the instant has come, nor twice, nor after the limiter's rate was changed. The last
    /// booking always goes back whole; of an earlier one goes back what it has more than was booked behind it: those
    /// bookings keep their instants, and a bucket that nobody empties in between overflows.
    ///
    /// - Returns: The whole tokens given back.
    @discardableResult
    public func cancel() -> Int {
        let isFirst = isCancelled.withLock { isCancelled in
            defer { isCancelled = true }
            return !isCancelled
        }
        return isFirst ? giveBack() : 0
    }

    /// Suspends the task until its instant has come.
    ///
    /// Returns at once when it has. When the task is cancelled first, so is the reservation.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    public nonisolated(nonsending) func wait() async throws {
        do {
            try await timeSource.sleep(until: instant)
        } catch {
            cancel()
            throw error
        }
    }
}
