// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How many retries a program affords, whoever makes them.
//
// ## Algorithm
// Requests and retries of the last `window` are counted in rings of slots. A window of time begins somewhere within a slot:
// the ring of the requests ends before that slot, so that none is counted that lies outside, and the ring of the retries
// has that slot too, so that none is missed. A retry is allowed while, with it,
//     1000 retries <= permille requests + 1000 minimum * seconds
// and, if there is a bound of what runs at once, while
//     1000 running retries <= max(permille running requests, 1000 least),
// and, if there are tokens (gRFC A6, "gRPC Retry Design": a failed try costs one, an answer earns `ratio` of one), while
//     2 tokens > maximum.
// All are tested and counted in one step, under one lock, in whole thousandths: a ratio is never rounded up to all.
//
// ## Invariants
// I1  In every window of time that ends with a retry, retries <= ratio * requests + minimum * window: wherever it begins,
//     and not only at the border of a slot. (In one that ends with nothing, the requests that paid may lie before it.)
// I2  A clock that steps back or stands still earns nothing.
// I3  0 <= tokens <= maximum.

/// Tokens that failures cost and answers earn: how gRPC decides whether to retry.
///
/// The retries stop when half of the tokens are gone, and go on when answers have earned enough of them back. It needs no
/// clock and no rate of requests, and reacts to failures alone.
///
/// - **Source**: gRFC A6, "gRPC Retry Design".
public struct RetryTokens: Hashable, Sendable {
    /// The most tokens, and those that there are at first.
    public let maximum: Int
    /// What an answer earns, to the thousandth, rounded down.
    public let ratio: Double

    /// Tokens, all of them there at first.
    ///
    /// - Parameters:
    ///   - maximum: The most tokens; a failed try costs one.
    ///   - ratio: What an answer earns.
    /// - Precondition: `1 <= maximum <= 1000` and `0.001 <= ratio <= 1000`.
    public init(maximum: Int = 10, ratio: Double = 0.1) {
        precondition((1...1_000).contains(maximum), "\(maximum) tokens")
        precondition(ratio >= 0.001 && ratio <= 1_000, "a ratio of \(ratio) does not lie between 0.001 and 1000")
        self.maximum = maximum
        self.ratio = ratio
    }
}

/// A bound on retries as a part of all requests, shared by all who retry.
///
/// Retries that are bounded per request multiply the load when everything fails: three tries are three times the load, and
/// three layers that try three times are twenty-seven times. A budget bounds them per program: with a ratio of 0.2 the
/// load never exceeds 1.2 times the requests, so a service that is merely slow is not pushed over. Give one budget to all
/// layers and clients that end at the same service.
///
/// ```swift
/// let budget = RetryBudget(ratio: 0.1, minimumPerSecond: 1)
/// let answer = try await retry(attempts: 3, budget: budget) {
///     try await ask()
/// }
/// ```
///
/// - **Cost**: a lock and a reading of the clock for each request and retry.
/// - **Source**: the budgets of Finagle; "Handling Overload" in the Google SRE book; for the tokens gRFC A6.
public final class RetryBudget: Sendable {
    struct Tally: RollingCount {
        var count = 0

        static func += (left: inout Tally, right: Tally) { left.count += right.count }
        static func -= (left: inout Tally, right: Tally) { left.count -= right.count }
    }

    /// Slots of a window: a budget that is used up comes back a slot late, so of a second's minimum 2 % are not made use of.
    static let slots = 50

    struct State: Sendable {
        /// Of less than a window.
        var requests: RollingCounts<Tally>
        /// Of more than a window.
        var retries: RollingCounts<Tally>
        var running = 0
        var runningRetries = 0
        var refused: UInt64 = 0
        /// In thousandths.
        var tokens = 0
    }

    private let timeSource: TimeSource
    private let permille: Int
    /// In thousandths of a retry.
    private let floor: Int
    private let concurrentPermille: Int?
    private let concurrentLeast: Int
    /// In thousandths: the most tokens, and what an answer earns.
    private let tokens: (most: Int, earned: Int)?
    private let state: LockedState<State>

    /// A budget that has seen nothing yet.
    ///
    /// - Parameters:
    ///   - ratio: How many retries there may be for each request, to the thousandth, rounded down.
    ///   - minimumPerSecond: So many retries are allowed in any case, so that a client with few requests may retry at all.
    ///   - window: Over which time requests and retries count: in no window of this length that ends with a retry are there
    ///     more retries than the ratio of its requests and the minimum of its seconds.
    ///   - concurrentShare: How many of the calls that run at once may be retries; nil for no bound.
    ///   - concurrentMinimum: So many retries may run at once in any case.
    ///   - tokens: Stops retries after failures, whatever the ratio says; nil for no such bound.
    ///   - clock: The clock of the window; tests pass a manual one.
    /// - Precondition: `0 <= ratio <= 1000`, `0 <= minimumPerSecond <= 10^6`, `window` from a second to an hour,
    ///   `concurrentShare` from 0 to 1, `0 <= concurrentMinimum <= 10^6`.
    public init(
        ratio: Double = 0.2, minimumPerSecond: Int = 10, window: Duration = .seconds(10),
        concurrentShare: Double? = nil, concurrentMinimum: Int = 3, tokens: RetryTokens? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(ratio >= 0 && ratio <= 1_000, "a ratio of \(ratio) does not lie between 0 and 1000")
        precondition((0...1_000_000).contains(minimumPerSecond), "a minimum of \(minimumPerSecond) retries per second")
        precondition(window >= .seconds(1) && window <= .seconds(3_600), "a window of \(window)")
        precondition(concurrentShare.map { $0 >= 0 && $0 <= 1 } ?? true, "a share that does not lie between 0 and 1")
        precondition((0...1_000_000).contains(concurrentMinimum), "a minimum of \(concurrentMinimum) retries at once")
        timeSource = TimeSource(clock)
        permille = Self.thousandths(ratio)
        let nanoseconds = window.saturatingNanoseconds
        floor = Int(Int64(minimumPerSecond) * (nanoseconds / 1_000_000))
        concurrentPermille = concurrentShare.map(Self.thousandths)
        concurrentLeast = concurrentMinimum
        self.tokens = tokens.map { ($0.maximum * 1_000, Self.thousandths($0.ratio)) }
        // A slot of the retries is rounded up, one of the requests down.
        let slot = (nanoseconds + Int64(Self.slots) - 1) / Int64(Self.slots)
        state = LockedState(
            State(
                requests: RollingCounts(window: nanoseconds, buckets: Self.slots),
                retries: RollingCounts(window: slot * Int64(Self.slots + 1), buckets: Self.slots + 1),
                tokens: (tokens?.maximum ?? 0) * 1_000))
    }

    /// A ratio in whole thousandths, rounded down.
    ///
    /// The product of 1.001 and 1000 is the last number before 1001: of what was meant as a thousandth none is dropped.
    private static func thousandths(_ ratio: Double) -> Int { Int((ratio * 1_000).nextUp) }

    /// A request begins: its first try, not a retry.
    ///
    /// Each call needs an ``endRequest()``; ``retry(attempts:budget:backoff:timeout:clock:isRetryable:retryAfter:_:)`` makes both.
    public func beginRequest() {
        let now = timeSource.now()
        state.withLock { state in
            // Both rings stand at the latest reading of either, or a clock that steps back would date a retry before its request.
            state.retries.advance(to: now)
            state.requests.add(Tally(count: 1), at: now)
            state.running += 1
        }
    }

    /// A request that was begun has ended, with all of its tries.
    public func endRequest() { state.withLock { $0.running = max($0.running - 1, 0) } }

    /// Takes one retry out of the budget, if there is one.
    ///
    /// A retry that was allowed needs an ``endRetry()``. It counts from now on, also if it is given up before it begins:
    /// nothing is put back, so nothing can be put back twice.
    ///
    /// - Returns: Whether to retry.
    public func tryBeginRetry() -> Bool {
        let now = timeSource.now()
        return state.withLock { state in
            let tally = tally(&state, now)
            let isAllowed =
                decide((tally.retries + 1) * 1_000 <= tally.requests * permille + floor)
                && decide(mayRunAtOnce(state))
                && decide(hasTokens(state))
            guard isAllowed else {
                state.refused += 1
                return false
            }
            state.retries.add(Tally(count: 1), at: now)
            state.runningRetries += 1
            return true
        }
    }

    private func tally(_ state: inout State, _ now: Int64) -> (requests: Int, retries: Int) {
        state.requests.advance(to: now)
        state.retries.advance(to: now)
        return (state.requests.total.count, state.retries.total.count)
    }

    private func mayRunAtOnce(_ state: State) -> Bool {
        guard let concurrentPermille else { return true }
        return (state.runningRetries + 1) * 1_000 <= max(state.running * concurrentPermille, concurrentLeast * 1_000)
    }

    private func hasTokens(_ state: State) -> Bool { tokens.map { 2 * state.tokens > $0.most } ?? true }

    /// Takes note of how a try went: a failure costs a ``RetryTokens`` token, an answer earns a part of one.
    ///
    /// ``retry(attempts:budget:backoff:timeout:clock:isRetryable:retryAfter:_:)`` and ``hedge(after:budget:clock:_:)`` do it.
    ///
    /// - Parameter isAnswered: False when the try failed in a way that another try may cure.
    public func record(isAnswered: Bool) {
        guard let tokens else { return }
        state.withLock { state in
            state.tokens = min(max(state.tokens + (isAnswered ? tokens.earned : -1_000), 0), tokens.most)
        }
    }

    /// A retry that was allowed has ended.
    public func endRetry() { state.withLock { $0.runningRetries = max($0.runningRetries - 1, 0) } }

    /// The readings of this instant.
    ///
    /// - Returns: Requests and retries of the window, all of one instant.
    public func snapshot() -> RetryBudgetSnapshot {
        let now = timeSource.now()
        return state.withLock { state in
            let tally = tally(&state, now)
            return RetryBudgetSnapshot(
                requests: tally.requests, retries: tally.retries, running: state.running,
                runningRetries: state.runningRetries, refused: state.refused,
                tokens: tokens == nil ? nil : Double(state.tokens) / 1_000)
        }
    }
}

/// The readings of a retry budget at one instant.
public struct RetryBudgetSnapshot: Hashable, Sendable {
    /// Requests of the window.
    public let requests: Int
    /// Retries of the window.
    public let retries: Int
    /// Requests that run now.
    public let running: Int
    /// Retries that run now.
    public let runningRetries: Int
    /// Retries refused so far.
    public let refused: UInt64
    /// Tokens that there are; nil for a budget without.
    public let tokens: Double?
}
