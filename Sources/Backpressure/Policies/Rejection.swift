// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Why a primitive did not do what it was asked: the one reason type of this library.
///
/// A rejection is a value to be told apart with `switch`, and an error that can be thrown. Reasons may be added in minor
/// versions, so a `switch` needs a `default`. A rejection for load may know when to come again (``retryAfter``) and how
/// important the work was (``priority``): a `case` looks at the reason alone, `==` at everything.
///
/// ```swift
/// switch rejection {
/// case .full: print("no room")
/// case .timedOut: print("waited long enough")
/// default: print("not delivered: \(rejection)")
/// }
/// ```
public struct Rejection: Error, Hashable, Sendable {
    @usableFromInline
    enum Code: UInt8, Sendable {
        case full
        case timedOut
        case cancelled
        case finished
        case abandoned
        case evicted
        case closed
        case exceedsLimit
        case expired
        case rateLimited
        case overLimit
        case shed
        case breakerOpen
    }

    @usableFromInline let code: Code
    /// One more than the priority; 0 for none.
    @usableFromInline let level: UInt8
    /// One more than the milliseconds; 0 for none.
    @usableFromInline let delay: UInt32

    @inlinable @inline(__always)
    init(code: Code) {
        self.code = code
        level = 0
        delay = 0
    }

    init(code: Code, priority: Int? = nil, retryAfter: Duration?) {
        self.code = code
        level = priority.map { UInt8(clamping: min(max($0, 0), 254) + 1) } ?? 0
        // Rounded up: a caller that comes too early is turned away again.
        delay =
            retryAfter.map { duration in
                let nanoseconds = max(duration.saturatingNanoseconds, 0)
                return UInt32(clamping: nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 1 : 2))
            } ?? 0
    }

    /// When to come again, from the moment of the rejection, where that is known.
    ///
    /// Whole milliseconds, rounded up; what is longer than 49 days counts as 49 days.
    public var retryAfter: Duration? { delay == 0 ? nil : .milliseconds(Int64(delay) - 1) }

    /// The priority of what was shed, where there was one: 0 to 254, the lowest number being the most important.
    public var priority: Int? { level == 0 ? nil : Int(level) - 1 }

    /// Whether the reason of `value` is that of `pattern`, whatever else the two know: what a `case` of a `switch` asks.
    @inlinable
    public static func ~= (pattern: Rejection, value: Rejection) -> Bool { pattern.code == value.code }

    /// There was no room, and the operation or the policy does not wait for any.
    @inlinable public static var full: Rejection { Rejection(code: .full) }
    /// The timeout or deadline passed first.
    @inlinable public static var timedOut: Rejection { Rejection(code: .timedOut) }
    /// The waiting task was cancelled first.
    @inlinable public static var cancelled: Rejection { Rejection(code: .cancelled) }
    /// The primitive was closed by its producing side: it accepts nothing more.
    @inlinable public static var finished: Rejection { Rejection(code: .finished) }
    /// The consuming side is gone: nobody will take what is sent or still buffered.
    @inlinable public static var abandoned: Rejection { Rejection(code: .abandoned) }
    /// The element was dropped to make room for a newer one.
    @inlinable public static var evicted: Rejection { Rejection(code: .evicted) }
    /// The primitive was closed: it grants nothing more.
    @inlinable public static var closed: Rejection { Rejection(code: .closed) }
    /// More was asked for at once than the primitive has in all: no wait could ever end well.
    @inlinable public static var exceedsLimit: Rejection { Rejection(code: .exceedsLimit) }
    /// Its deadline passed before it was received or started: too late to be of use.
    @inlinable public static var expired: Rejection { Rejection(code: .expired) }
    /// The caller is over its rate; nothing is wrong with the service.
    @inlinable public static var rateLimited: Rejection { Rejection(code: .rateLimited) }
    /// As much runs at once as may.
    @inlinable public static var overLimit: Rejection { Rejection(code: .overLimit) }
    /// It was sacrificed because the service is overloaded.
    @inlinable public static var shed: Rejection { Rejection(code: .shed) }
    /// The dependency fails, and is left alone for a while.
    @inlinable public static var breakerOpen: Rejection { Rejection(code: .breakerOpen) }

    /// ``rateLimited``, with the time to come again.
    public static func rateLimited(retryAfter: Duration?) -> Rejection {
        Rejection(code: .rateLimited, retryAfter: retryAfter)
    }

    /// ``overLimit``, with the time to come again.
    public static func overLimit(retryAfter: Duration?) -> Rejection {
        Rejection(code: .overLimit, retryAfter: retryAfter)
    }

    /// ``shed``, with the priority of what was shed and the time to come again; a priority above 254 counts as 254.
    public static func shed(priority: Int, retryAfter: Duration? = nil) -> Rejection {
        Rejection(code: .shed, priority: priority, retryAfter: retryAfter)
    }

    /// ``breakerOpen``, with the time to come again.
    public static func breakerOpen(retryAfter: Duration?) -> Rejection {
        Rejection(code: .breakerOpen, retryAfter: retryAfter)
    }
}

extension Rejection: CustomStringConvertible {
    /// A short text for a log line.
    public var description: String {
        switch code {
        case .full: "full"
        case .timedOut: "timed out"
        case .cancelled: "cancelled"
        case .finished: "finished"
        case .abandoned: "abandoned by its receivers"
        case .evicted: "evicted by a newer element"
        case .closed: "closed"
        case .exceedsLimit: "more than the limit"
        case .expired: "expired"
        case .rateLimited: "over its rate"
        case .overLimit: "over the limit"
        case .shed: "shed"
        case .breakerOpen: "the circuit breaker is open"
        }
    }
}
