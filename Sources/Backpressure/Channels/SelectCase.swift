// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The public face of a case: which operation, on which channel, and what to do when it was chosen.

/// One of the operations that a ``Select`` waits for, and what is to be done when it is chosen.
///
/// A case is a value that can be kept and used again, one select after the other; it belongs to the task that selects.
/// Cases of one select may be of channels of any kind and of any element type: what their bodies return is what they
/// have in common.
public struct SelectCase<Output> {
    let arm: OutputArm<Output>

    /// Receives the next element of `channel`.
    ///
    /// The case is ready when there is an element, and when the channel has ended: then it is ready for ever, so leave
    /// it out of the next select.
    ///
    /// - Parameters:
    ///   - channel: A channel with a buffer.
    ///   - body: Gets the element, or nil at the end of the channel. It runs when the select is over, in the caller's
    ///     isolation; what it returns or throws is the select's outcome. When the channel was finished with an error
    ///     the select throws that, and the body does not run.
    /// - Returns: A case of a select.
    public static func receive<Element: ~Copyable, Failure: Error>(
        from channel: BoundedChannel<Element, Failure>,
        _ body: nonisolated(nonsending) @escaping (_ element: consuming sending Element?) async throws -> Output
    ) -> SelectCase {
        SelectCase(arm: ReceiveArm(core: channel.core, body: body))
    }

    /// Receives an element of a sender of `channel`.
    ///
    /// The case is ready when a sender waits, and when the channel is closed: then it is ready for ever, so leave it out
    /// of the next select.
    ///
    /// - Parameters:
    ///   - channel: A channel without a buffer.
    ///   - body: Gets the element, or nil at the end of the channel: as for the channels with a buffer.
    /// - Returns: A case of a select.
    public static func receive<Element: ~Copyable, Failure: Error>(
        from channel: RendezvousChannel<Element, Failure>,
        _ body: nonisolated(nonsending) @escaping (_ element: consuming sending Element?) async throws -> Output
    ) -> SelectCase {
        SelectCase(arm: ReceiveArm(core: channel.core, body: body))
    }

    /// Sends what `offer` holds to `channel`.
    ///
    /// The case is ready when there is room, when the overflow policy drops something at once, and when the channel is
    /// closed. Under ``OverflowPolicy/reject`` it waits for room, too: a select asks when an operation can be done.
    /// While the offer is empty the case is left out.
    ///
    /// - Parameters:
    ///   - offer: The element; if the case is not chosen it stays in here.
    ///   - channel: A channel with a buffer.
    ///   - body: Gets `.sent`, `.dropped` by the policy, or `.returned` with the element by a closed channel. It runs
    ///     when the select is over, in the caller's isolation; what it returns or throws is the select's outcome.
    /// - Returns: A case of a select.
    public static func send<Element: ~Copyable, Failure: Error>(
        _ offer: SendOffer<Element>, to channel: BoundedChannel<Element, Failure>,
        _ body:
            nonisolated(nonsending) @escaping (_ result: consuming sending SendResult<Element>) async throws -> Output
    ) -> SelectCase {
        SelectCase(arm: SendArm(core: channel.core, offer: offer, body: body))
    }

    /// Hands what `offer` holds to a receiver of `channel`.
    ///
    /// The case is ready when a receiver waits, and when the channel is closed. While the offer is empty the case is
    /// left out.
    ///
    /// - Parameters:
    ///   - offer: The element; if the case is not chosen it stays in here.
    ///   - channel: A channel without a buffer.
    ///   - body: Gets `.sent` once a receiver has the element, or `.returned` with it by a closed channel.
    /// - Returns: A case of a select.
    public static func send<Element: ~Copyable, Failure: Error>(
        _ offer: SendOffer<Element>, to channel: RendezvousChannel<Element, Failure>,
        _ body:
            nonisolated(nonsending) @escaping (_ result: consuming sending SendResult<Element>) async throws -> Output
    ) -> SelectCase {
        SelectCase(arm: SendArm(core: channel.core, offer: offer, body: body))
    }

    /// Sends `element` to `channel`: as with a ``SendOffer``, for an element of which the caller
    /// keeps a copy.
    ///
    /// The case sends it once; after that it is left out.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - channel: A channel with a buffer.
    ///   - body: Gets what became of the element.
    /// - Returns: A case of a select.
    public static func send<Element: Sendable, Failure: Error>(
        _ element: Element, to channel: BoundedChannel<Element, Failure>,
        _ body:
            nonisolated(nonsending) @escaping (_ result: consuming sending SendResult<Element>) async throws -> Output
    ) -> SelectCase {
        send(SendOffer(element), to: channel, body)
    }

    /// Hands `element` to a receiver of `channel`, for an element of which the caller keeps a copy.
    ///
    /// The case sends it once; after that it is left out.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - channel: A channel without a buffer.
    ///   - body: Gets what became of the element.
    /// - Returns: A case of a select.
    public static func send<Element: Sendable, Failure: Error>(
        _ element: Element, to channel: RendezvousChannel<Element, Failure>,
        _ body:
            nonisolated(nonsending) @escaping (_ result: consuming sending SendResult<Element>) async throws -> Output
    ) -> SelectCase {
        send(SendOffer(element), to: channel, body)
    }
}
