// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Until when an answer is of use to the caller, carried along with the task.

/// The instant after which nobody waits for the answer of the present task any more.
///
/// It is set once, where a request comes in, and every call below finds it: limiters do not wait beyond it, ``retry(attempts:budget:backoff:timeout:clock:isRetryable:retryAfter:_:)``
/// does not sleep beyond it, and work that comes out of a queue asks ``check()`` before it starts, so that what is too late is
/// dropped and not done for nobody.
///
/// ```swift
/// try await CallDeadline.with(.seconds(1)) {
///     try CallDeadline.check()  // throws Rejection.expired when the second is over
///     print("time left: \(CallDeadline.current?.remaining ?? .zero)")
/// }
/// ```
///
/// A deadline inside another can only be earlier. It does not cancel anything: it is for those who ask.
public struct CallDeadline: Sendable {
    /// The deadline of the present task; nil when it has none.
    @TaskLocal public static var current: CallDeadline?

    private let timeSource: TimeSource
    private let instant: Int64

    private init(after duration: Duration, _ timeSource: TimeSource) {
        self.timeSource = timeSource
        instant = timeSource.deadline(after: duration)
    }

    /// How long the caller still waits; zero when the deadline has passed.
    public var remaining: Duration {
        instant == .max
            ? .nanoseconds(Int64.max) : .nanoseconds(max(instant.subtractingSaturating(timeSource.now()), 0))
    }

    /// Whether nobody waits for the answer any more.
    public var isOver: Bool { instant != .max && timeSource.now() >= instant }

    /// Runs `body` with a deadline.
    ///
    /// - Parameters:
    ///   - duration: From now on; an earlier deadline of the task stays in force.
    ///   - clock: The clock of the deadline.
    ///   - body: What is done.
    /// - Returns: What `body` returned.
    /// - Throws: What `body` throws.
    public static nonisolated(nonsending) func with<Result>(
        _ duration: Duration, clock: some Clock<Duration> = ContinuousClock(),
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async rethrows -> Result {
        var deadline = CallDeadline(after: duration, TimeSource(clock))
        if let outer = current, outer.remaining < deadline.remaining { deadline = outer }
        return try await $current.withValue(deadline) { try await body() }
    }

    /// Whether it is worth to start: the deadline has not passed, and the task was not cancelled.
    ///
    /// - Throws: ``Rejection/expired`` or ``Rejection/cancelled``.
    public static func check() throws(Rejection) {
        if Task.isCancelled { throw .cancelled }
        if current?.isOver == true { throw .expired }
    }
}
