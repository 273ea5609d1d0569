// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Why a primitive did not do what it was asked: the one reason type of this library.
///
/// A rejection is a value to be told apart with `==` or `switch`, and an error that can be thrown. Reasons may be added
/// in minor versions, so a `switch` needs a `default`.
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
    }

    @usableFromInline let code: Code

    @inlinable @inline(__always)
    init(code: Code) { self.code = code }

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
        }
    }
}
