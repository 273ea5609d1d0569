// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A second call when the first takes too long: the tail of a distribution is cut off, for a few calls more.
//
// ## Algorithm
// J. Dean, L. A. Barroso, "The Tail at Scale", 2013. The delay is best the time that 95 in 100 calls do not take: then
// 5 in 100 are made twice. A hedge is a retry that does not wait for the failure, so it is paid from the same budget.

/// Runs `body`, and runs it a second time beside the first if that takes longer than `delay`; the first answer wins.
///
/// ```swift
/// let answer = try await hedge(after: .milliseconds(80), budget: budget) {
///     try await ask()
/// }
/// ```
///
/// The other one is cancelled, and `hedge` returns when it has ended. If the first fails before `delay`, its error is thrown and
/// there is no second; once both run, an error is thrown when both have failed: that of the one that failed first. Without budget
/// there is no second call. `body` must be such that doing it twice does no harm.
///
/// - Parameters:
///   - delay: How long the first may take; best what 95 in 100 calls do not exceed.
///   - budget: Pays for the second, and is shared with everybody whose calls end at the same service; nil for no bound.
///   - clock: The clock of the delay.
///   - body: The call.
/// - Returns: What the first call to succeed returned.
/// - Throws: What the call that failed first threw; `CancellationError` may be it.
public nonisolated(nonsending) func hedge<Result: Sendable>(
    after delay: Duration, budget: RetryBudget? = nil, clock: some Clock<Duration> = ContinuousClock(),
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await hedge(after: delay, budget: budget, timeSource: TimeSource(clock), body) { _ in }
}

/// Runs `body`, and runs it a second time beside the first if that takes longer than most calls did lately.
///
/// As ``hedge(after:budget:clock:_:)``, with a delay that is read from the calls themselves: those that answered count with the
/// time they took, and a first one that was overtaken with the time it had. Calls that failed do not count. While `delay`
/// knows too few calls there is no second one.
///
/// - Parameters:
///   - delay: How long the first may take; shared by all calls of the kind.
///   - budget: Pays for the second, and is shared with everybody whose calls end at the same service; nil for no bound.
///   - body: The call.
/// - Returns: What the first call to succeed returned.
/// - Throws: What the call that failed first threw; `CancellationError` may be it.
public nonisolated(nonsending) func hedge<Result: Sendable>(
    after delay: HedgeDelay, budget: RetryBudget? = nil, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await hedge(after: delay.current, budget: budget, timeSource: delay.timeSource, body) { delay.record($0) }
}

/// Without a delay there is no second call.
private nonisolated(nonsending) func hedge<Result: Sendable>(
    after delay: Duration?, budget: RetryBudget?, timeSource: TimeSource,
    _ body: @escaping @Sendable () async throws -> Result, onAnswer: (Duration) -> Void
) async throws -> Result {
    let call: @concurrent @Sendable (Bool) async -> HedgeEvent<Result> = { isFirst in
        do { return .answer(try await body(), isFirst: isFirst) } catch { return .failure(error) }
    }
    budget?.beginRequest()
    defer { budget?.endRequest() }
    var isHedged = false
    defer { if isHedged { budget?.endRetry() } }
    let began = timeSource.now()
    var secondBegan = began
    return try await withThrowingTaskGroup(of: HedgeEvent<Result>.self) { group in
        group.addTask { await call(true) }
        if let delay {
            group.addTask {
                try? await timeSource.sleep(until: timeSource.deadline(after: delay))
                return .timeIsUp
            }
        }
        var failure: (any Error)?
        var running = 1
        while let event = try await group.next() {
            switch event {
            case .answer(let result, let isFirst):
                let now = timeSource.now()
                onAnswer(.nanoseconds(now.subtractingSaturating(isFirst ? began : secondBegan)))
                // What the first would have taken is not known, but it is more than this.
                if !isFirst, failure == nil { onAnswer(.nanoseconds(now.subtractingSaturating(began))) }
                budget?.record(isAnswered: true)
                group.cancelAll()
                return result
            case .failure(let error):
                failure = failure ?? error
                if !isCancellation(error) { budget?.record(isAnswered: false) }
                running -= 1
                if running == 0 { group.cancelAll() }
            case .timeIsUp:
                guard running == 1, !Task.isCancelled, budget?.tryBeginRetry() ?? true else { continue }
                isHedged = budget != nil
                running += 1
                secondBegan = timeSource.now()
                group.addTask { await call(false) }
            }
            if running == 0 { break }
        }
        throw failure ?? CancellationError()
    }
}

/// What happened while calls ran.
private enum HedgeEvent<Result: Sendable>: Sendable {
    case answer(Result, isFirst: Bool)
    case failure(any Error)
    case timeIsUp
}
