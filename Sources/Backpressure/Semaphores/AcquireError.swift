// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Why permits were not acquired: the reason, whose semaphore it was, and what it was closed with.
///
/// No permit is held by whoever gets this error.
public struct AcquireError: Error, Sendable {
    /// ``Rejection/timedOut``, ``Rejection/cancelled``, ``Rejection/closed``, ``Rejection/full`` (as many tasks wait as
    /// may), or ``Rejection/exceedsLimit`` (more permits than the semaphore has).
    public let reason: Rejection
    /// The name that the semaphore was given.
    public let name: String?
    /// The error that the semaphore was closed with.
    public let underlying: (any Error)?

    init(_ reason: Rejection, name: String?, underlying: (any Error)? = nil) {
        self.reason = reason
        self.name = name
        self.underlying = underlying
    }
}

extension AcquireError: CustomStringConvertible {
    /// A short text for a log line.
    public var description: String {
        let cause = underlying.map { " (\($0))" } ?? ""
        return "no permit of \(name.map { "\"\($0)\"" } ?? "a semaphore"): \(reason)\(cause)"
    }
}
