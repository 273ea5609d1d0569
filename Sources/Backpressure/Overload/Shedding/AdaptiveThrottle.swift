// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A client that keeps back what would be rejected anyway.
//
// ## Algorithm
// "Handling Overload", Google SRE book, 2016: with what the client wanted and what the service accepted in the last two
// minutes, a call is rejected here with the probability
//     max(0, (requests - k * accepts) / (requests + 1))
// so that the service gets about k times what it accepts, and notices by it when it can do more.
//
// ## Invariants
// I1  0 <= probability < 1: now and then a call gets through, or a service that is well again would never be noticed.
// I2  A call that is kept back counts as a request and not as an accept.

/// Rejects at the client what an overloaded service would reject, in proportion.
///
/// ```swift
/// let throttle = AdaptiveThrottle()
/// if throttle.shouldSend() {
///     let isAccepted = await send(7)
///     throttle.record(isAccepted: isAccepted)
/// }
/// ```
///
/// - **Source**: "Handling Overload", Google SRE book.
public final class AdaptiveThrottle: Sendable {
    private struct Tally: RollingCount {
        var requests = 0
        var accepts = 0

        static func += (left: inout Tally, right: Tally) {
            left.requests += right.requests
            left.accepts += right.accepts
        }

        static func -= (left: inout Tally, right: Tally) {
            left.requests -= right.requests
            left.accepts -= right.accepts
        }
    }

    private let timeSource: TimeSource
    private let multiplier: Double
    private let state: LockedState<RollingCounts<Tally>>

    /// A throttle that has seen nothing yet, and so keeps nothing back.
    ///
    /// - Parameters:
    ///   - multiplier: The service gets about so many times what it accepts: 2 wastes some of its work on rejections and reacts
    ///     quickly, 1.1 spares it.
    ///   - window: Over which time calls count.
    ///   - clock: The clock of the window; tests pass a manual one.
    /// - Precondition: `multiplier >= 1` and finite, `window > .zero`.
    public init(
        multiplier: Double = 2, window: Duration = .seconds(120), clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(multiplier >= 1 && multiplier.isFinite, "a multiplier of \(multiplier) is below 1 or no number")
        precondition(window > .zero, "a window of \(window) is not positive")
        timeSource = TimeSource(clock)
        self.multiplier = multiplier
        state = LockedState(RollingCounts(window: window.saturatingNanoseconds, buckets: 12))
    }

    /// Whether to send a call; it counts as requested either way.
    ///
    /// A call that is sent must be followed by ``record(isAccepted:)``.
    ///
    /// - Returns: False to reject it here.
    public func shouldSend() -> Bool { shouldSend(chance: .random(in: 0..<1)) }

    func shouldSend(chance: Double) -> Bool {
        let now = timeSource.now()
        return state.withLock { counts in
            counts.advance(to: now)
            let isSent = chance >= probability(counts.total)
            counts.add(Tally(requests: 1, accepts: 0), at: now)
            return isSent
        }
    }

    /// How the service took a call that was sent.
    ///
    /// - Parameter isAccepted: False when it rejected it for load; any other answer counts as accepted.
    public func record(isAccepted: Bool) {
        let now = timeSource.now()
        state.withLock { $0.add(Tally(requests: 0, accepts: isAccepted ? 1 : 0), at: now) }
    }

    /// The probability with which a call is kept back at this moment.
    public var rejectionProbability: Double {
        let now = timeSource.now()
        return state.withLock { counts in
            counts.advance(to: now)
            return probability(counts.total)
        }
    }

    private func probability(_ tally: Tally) -> Double {
        let requests = Double(tally.requests)
        return max(0, (requests - multiplier * Double(tally.accepts)) / (requests + 1))
    }
}
