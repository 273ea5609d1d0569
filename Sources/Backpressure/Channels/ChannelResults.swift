// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the verbs of a channel answer. An element that was not delivered is always in the answer.

/// An element that was not delivered, back with its owner, and why.
public struct Rejected<Element: ~Copyable>: ~Copyable {
    /// The element, as it was handed in.
    public var element: Element
    /// Why it was not delivered.
    public let reason: Rejection

    @inlinable @inline(__always)
    init(element: consuming Element, reason: Rejection) {
        self.element = element
        self.reason = reason
    }

    /// Gives the element out.
    ///
    /// - Returns: The element, as it was handed in.
    @inlinable
    public consuming func take() -> Element { element }
}

extension Rejected: Copyable where Element: Copyable {}
extension Rejected: Sendable where Element: Sendable & ~Copyable {}

/// What became of a sent element: delivered to the channel, dropped by its policy, or back with the sender.
@frozen
public enum SendResult<Element: ~Copyable>: ~Copyable {
    /// The channel has the element.
    case sent
    /// The policy dropped the element: it went to the `onUndelivered` hook and is counted.
    case dropped
    /// The channel does not have the element: here it is.
    case returned(Rejected<Element>)
}

extension SendResult: Copyable where Element: Copyable {}
extension SendResult: Sendable where Element: Sendable & ~Copyable {}

extension SendResult where Element: ~Copyable {
    /// Whether the channel has the element.
    @inlinable public var isSent: Bool {
        switch self {
        case .sent: true
        case .dropped: false
        case .returned: false
        }
    }

    /// Why the element came back, nil when it did not.
    @inlinable public var reason: Rejection? {
        switch self {
        case .sent: nil
        case .dropped: nil
        case .returned(let rejected): rejected.reason
        }
    }

    /// Gives out the element that came back, nil when it did not.
    ///
    /// - Returns: The element, as it was handed in.
    @inlinable
    public consuming func take() -> Element? {
        switch consume self {
        case .sent: nil
        case .dropped: nil
        case .returned(let rejected): rejected.take()
        }
    }
}

extension SendResult where Element: Sendable {
    /// Nothing when the element was sent or dropped by the policy; throws it back otherwise.
    ///
    /// - Throws: ``SendError`` with the element and the reason.
    @inlinable
    public func get() throws(SendError<Element>) {
        guard case .returned(let rejected) = self else { return }
        throw SendError(element: rejected.element, reason: rejected.reason)
    }
}

/// The error of the throwing twins of `send`: the element is in it.
public struct SendError<Element: Sendable>: Error {
    /// The element, as it was handed in.
    public let element: Element
    /// Why it was not delivered.
    public let reason: Rejection

    @inlinable
    init(element: Element, reason: Rejection) {
        self.element = element
        self.reason = reason
    }
}

/// What a receive that does not wait found.
@frozen
public enum TryReceiveResult<Element: ~Copyable>: ~Copyable {
    /// An element, the oldest.
    case received(Element)
    /// Nothing to take at this moment. It is not the end.
    case empty
    /// Nothing to take, now or ever.
    case finished
}

extension TryReceiveResult: Copyable where Element: Copyable {}
extension TryReceiveResult: Sendable where Element: Sendable & ~Copyable {}

extension TryReceiveResult where Element: ~Copyable {
    /// Gives out the element, nil when there was none.
    ///
    /// - Returns: The element received.
    @inlinable
    public consuming func take() -> Element? {
        switch consume self {
        case .received(let element): element
        case .empty: nil
        case .finished: nil
        }
    }
}

/// Why a receive ended without an element and without the channel's regular end.
public enum ReceiveError<Failure: Error>: Error {
    /// The wait ended first: ``Rejection/cancelled`` or ``Rejection/timedOut``. No element was lost.
    case rejected(Rejection)
    /// The channel was finished with this error, and all that was sent before has been received.
    case failed(Failure)
}

extension ReceiveError: Equatable where Failure: Equatable {}
