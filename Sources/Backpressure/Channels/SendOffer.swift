// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// An element that is offered to a channel by a case of a ``Select``, and stays here while it is not sent.
///
/// A select performs one of its cases. The element of a send that was not chosen is back in its offer when the select
/// returns, whatever became of it: another case, a timeout, a cancellation. So an element is never lost and never sent
/// twice, also one that cannot be copied.
///
/// An offer belongs to the task that selects. While the select waits, the offer is empty: the element is with the
/// channel's waiter, ready to be taken.
///
/// An empty offer leaves its case out of the select.
///
/// ```swift
/// let offer = SendOffer(Ticket(number: 7))
/// let isServed = try await Select<Bool>(
///     .send(offer, to: booth) { $0.isSent },
///     .receive(from: closing) { _ in false }
/// ).first()
/// if let ticket = offer.take() { print("ticket \(ticket.number) was not served") }
/// ```
public final class SendOffer<Element: ~Copyable> {
    private var element: Element?

    /// An offer of `element`.
    ///
    /// - Parameter element: The element; the caller gives it away.
    public init(_ element: consuming sending Element) { self.element = consume element }

    /// An empty offer.
    public init() { element = nil }

    /// Whether there is nothing to send.
    public var isEmpty: Bool { element == nil }

    /// Puts an element in.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Precondition: The offer is empty.
    public func put(_ element: consuming sending Element) {
        precondition(isEmpty, "the offer holds an element already")
        self.element = consume element
    }

    /// Takes the element out.
    ///
    /// - Returns: The element, or nil when it was sent, or while a select waits.
    public func take() -> sending Element? {
        nonisolated(unsafe) let element = element.take()
        return element
    }

    /// Moves the element to `place`; false when there is none.
    func unload(to place: UnsafeMutableRawPointer) -> Bool {
        guard let element = element.take() else { return false }
        place.bindMemory(to: Element.self, capacity: 1).initialize(to: element)
        return true
    }

    /// Takes the element at `place` back.
    func reload(from place: UnsafeMutableRawPointer) {
        element = place.assumingMemoryBound(to: Element.self).move()
    }
}
