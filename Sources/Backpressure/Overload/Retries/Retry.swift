// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Trying again: bounded by tries, budget and deadline, never after a cancellation.

/// Runs `body` until it succeeds, within the bounds of tries, budget and time.
///
/// ```swift
/// let answer = try await retry(attempts: 3, backoff: Backoff(base: .milliseconds(50))) {
///     try await ask()
/// }
/// ```
///
/// The error of the last try is thrown at once when one of these says so: all tries are used up; `isRetryable` says no;
/// the budget is spent; the delay would end after `timeout`, or after the ``CallDeadline`` of the task. A `CancellationError`
/// is never retried, nor anything in a cancelled task; a task that is cancelled while it waits throws the error of the last try.
///
/// - Parameters:
///   - attempts: How many tries in all.
///   - budget: Shared with everybody whose retries end at the same service; nil for none.
///   - backoff: The delays between tries.
///   - timeout: After so long no further try begins; nil for no bound.
///   - clock: The clock of the delays.
///   - isRetryable: Whether to try again after an error.
///   - retryAfter: What the server asked for with an error; by default what a ``Rejection`` says.
///   - body: One try.
/// - Returns: What `body` returned.
/// - Throws: What the last try threw.
/// - Precondition: `attempts >= 1`.
public nonisolated(nonsending) func retry<Result: ~Copyable>(
    attempts: Int = 3, budget: RetryBudget? = nil, backoff: Backoff = Backoff(), timeout: Duration? = nil,
    clock: some Clock<Duration> = ContinuousClock(), isRetryable: (any Error) -> Bool = { _ in true },
    retryAfter: (any Error) -> Duration? = { rejection(of: $0)?.retryAfter },
    _ body: nonisolated(nonsending) () async throws -> Result
) async throws -> Result {
    precondition(attempts >= 1, "\(attempts) tries")
    let timeSource = TimeSource(clock)
    let deadline = timeout.map { timeSource.deadline(after: $0) } ?? .max
    var (attempt, previous, isRetry) = (1, Duration?.none, false)
    budget?.beginRequest()
    defer {
        if isRetry { budget?.endRetry() }
        budget?.endRequest()
    }
    while true {
        let failure: any Error
        do {
            let result = try await body()
            budget?.record(isAnswered: true)
            return result
        } catch {
            failure = error
        }
        guard !isCancellation(failure), !Task.isCancelled, isRetryable(failure) else { throw failure }
        budget?.record(isAnswered: false)
        guard attempt < attempts else { throw failure }
        let delay = backoff.delay(after: attempt, previous: previous, retryAfter: retryAfter(failure))
        let wake = timeSource.deadline(after: delay)
        guard wake < deadline, CallDeadline.current.map({ delay < $0.remaining }) ?? true else { throw failure }
        // Taken last: what is not going to be tried must not cost the others a retry.
        if isRetry { budget?.endRetry() }
        isRetry = false
        if let budget {
            guard budget.tryBeginRetry() else { throw failure }
            isRetry = true
        }
        do { try await timeSource.sleep(until: wake) } catch { throw failure }
        if Task.isCancelled { throw failure }
        (attempt, previous) = (attempt + 1, delay)
    }
}

/// The reason of an error of this library; nil for other errors.
public func rejection(of error: any Error) -> Rejection? {
    switch error {
    case let error as Rejection: error
    case let error as AcquireError: error.reason
    case RateLimitError.rejected(let reason): reason
    case RateLimitError.tooLate(let retryAfter): .rateLimited(retryAfter: retryAfter)
    default: nil
    }
}

func isCancellation(_ error: any Error) -> Bool {
    if error is CancellationError { return true }
    if case .some(.cancelled) = rejection(of: error) { return true }
    return false
}
