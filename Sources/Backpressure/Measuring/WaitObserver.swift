// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Who hears of the waits of a task that really suspend: a tracer, a test.
//
// It is bound to a task and not to a primitive, so that a primitive carries nothing for it, and looked up only by a task
// that is about to sleep.

/// Hears when an operation of a task begins to wait and when that wait is over.
///
/// ```swift
/// let observer = WaitObserver { wait in
///     print("\(wait.kind) waits at position \(wait.position)")
///     return { outcome in print("\(wait.kind): \(outcome)") }
/// }
/// try await WaitObserver.$current.withValue(observer) {
///     try await slots.withPermits { await work() }
/// }
/// ```
///
/// An operation that does not suspend is not told of, and costs nothing more. Both closures run on the waiting task's
/// thread, outside all locks; what they take delays that task and nobody else. The waits of a select are not told of.
public struct WaitObserver: Sendable {
    /// What a task waits for.
    public enum Kind: String, Hashable, Sendable {
        /// Room in a channel, or a receiver.
        case send
        /// An element of a channel.
        case receive
        /// Permits, or a place among the calls that run at once.
        case acquire
        /// Tokens of a rate limiter.
        case tokens
        /// Credits of a window.
        case credits
    }

    /// How a wait ended.
    public enum Outcome: String, Hashable, Sendable {
        /// With what was waited for.
        case granted
        /// The task was cancelled.
        case cancelled
        /// The deadline passed first.
        case timedOut = "timed_out"
        /// The primitive was closed, or can never fulfil the wait any more.
        case closed
    }

    /// A wait that begins.
    public struct Wait: Hashable, Sendable {
        /// What the task waits for.
        public let kind: Kind
        /// How many tasks wait in this queue, this one among them: its place, as long as nobody leaves or is passed.
        public let position: Int
        /// The name that the primitive was given, if it has one.
        public let name: String?
    }

    /// The observer of the current task, which its child tasks inherit.
    @TaskLocal public static var current: WaitObserver?

    private let began: @Sendable (Wait) -> @Sendable (Outcome) -> Void

    /// An observer.
    ///
    /// - Parameter began: Called when a wait begins; what it returns is called, once, when that wait is over.
    public init(_ began: @escaping @Sendable (_ wait: Wait) -> @Sendable (_ outcome: Outcome) -> Void) {
        self.began = began
    }

    /// A wait begins: tells the current task's observer, if it has one and the wait is not over already.
    @inline(never)
    static func begin(
        _ kind: Kind, _ waiter: WaiterRef, name: String? = nil, position: () -> Int
    ) -> (@Sendable (Outcome) -> Void)? {
        guard let current, !waiter.isResumed else { return nil }
        return current.began(Wait(kind: kind, position: max(1, position()), name: name))
    }
}

extension WaitObserver.Outcome {
    /// What `verdict` is called outside.
    init(_ verdict: Verdict) {
        switch verdict {
        case .granted, .none: self = .granted
        case .cancelled: self = .cancelled
        case .timedOut: self = .timedOut
        case .finished, .abandoned: self = .closed
        }
    }
}

/// The measures around one sleep: what is told of it, and what is recorded.
struct WaitWatch {
    private let told: (@Sendable (WaitObserver.Outcome) -> Void)?

    /// A wait begins.
    @inline(__always)
    init(_ kind: WaitObserver.Kind, _ waiter: WaiterRef, name: String? = nil, position: () -> Int) {
        told = WaitObserver.begin(kind, waiter, name: name, position: position)
    }

    /// The task is awake.
    @inline(__always)
    func end(_ waiter: WaiterRef, _ log: WaitLog, _ timeSource: TimeSource) {
        log.note(waiter, timeSource)
        if let told { told(WaitObserver.Outcome(waiter.verdict)) }
    }
}
