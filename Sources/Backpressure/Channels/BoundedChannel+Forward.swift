// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// From an asynchronous sequence into a channel: room first, element later.
//
// A loop that pulls an element and then sends it holds one element more than the bound, and has it in its hands when the
// channel is closed meanwhile. So under `suspend` the room is reserved before the sequence is asked. Policies that drop
// or refuse need the element to do so: there it is pulled first.

/// How far ``BoundedChannel/forward(_:)`` came, and why it stopped.
public struct ForwardResult<Element, Failure: Error> {
    /// Why it stopped.
    public enum End {
        /// The sequence ended.
        case exhausted
        /// The sequence threw this error.
        case failed(Failure)
        /// The channel took no more, ``Rejection/finished``, ``Rejection/abandoned`` or, under a policy that does not
        /// wait, ``Rejection/full``; or the task was cancelled, ``Rejection/cancelled``.
        case rejected(Rejection)
    }

    /// How many elements the channel got.
    public internal(set) var sent = 0
    /// How many arriving elements the policy dropped.
    public internal(set) var dropped = 0
    /// The element that was pulled and not delivered, if there is one.
    public internal(set) var unsent: Element?
    /// Why it stopped.
    public internal(set) var end: End

    @usableFromInline
    init() { end = .exhausted }
}

extension ForwardResult: Sendable where Element: Sendable {}
extension ForwardResult.End: Sendable {}
extension ForwardResult: Equatable where Element: Equatable, Failure: Equatable {}
extension ForwardResult.End: Equatable where Failure: Equatable {}

extension BoundedChannel where Element: Sendable {
    /// Sends the elements of `sequence`, one by one, until it ends or the channel takes no more; the channel stays open.
    ///
    /// Under ``OverflowPolicy/suspend`` an element is pulled only when there is room for it, so the source runs at the
    /// pace of the channel's consumers and nothing is pulled that then cannot be delivered. The room is reserved while
    /// the sequence makes its next element: meanwhile it is nobody else's, and other sends take the lock. Under the
    /// other policies each element is pulled and then sent as the policy says.
    ///
    /// Cancelling the task ends it while it waits for room. While it waits for the sequence it ends as the sequence does
    /// then; a sequence that answers a cancellation with its end is reported as ``Rejection/cancelled``. A sequence that
    /// is waiting does not notice that the channel was closed: the element it then brings is in the result.
    ///
    /// ```swift
    /// let channel = BoundedChannel<String, Never>(capacity: 16)
    /// let result = await channel.forward(lines)
    /// print("\(result.sent) lines, ended by \(result.end)")
    /// ```
    ///
    /// - Parameter sequence: The source.
    /// - Returns: How many were sent and dropped, and why it ended.
    public nonisolated(nonsending) func forward<Source: AsyncSequence>(
        _ sequence: Source
    ) async -> ForwardResult<Element, Source.Failure> where Source.Element == Element {
        var result = ForwardResult<Element, Source.Failure>()
        var iterator = sequence.makeAsyncIterator()
        do throws(ForwardStop<Source.Failure>) {
            while try await forwardOne(&iterator, &result) {}
            if Task.isCancelled { result.end = .rejected(.cancelled) }
        } catch {
            switch error {
            case .failed(let failure): result.end = .failed(failure)
            case .rejected(let reason): result.end = .rejected(reason)
            }
        }
        return result
    }

    /// As ``forward(_:)``, and then finishes the channel, whatever ended it: with the source's error if it threw one.
    ///
    /// For a channel with this one producer.
    ///
    /// ```swift
    /// let channel = BoundedChannel<Int, SensorError>(capacity: 16)
    /// _ = await channel.forward(readings, finishingWith: { $0 })
    /// ```
    ///
    /// - Parameters:
    ///   - sequence: The source.
    ///   - failure: Makes the channel's error of the source's; `{ $0 }` where they are of one type.
    /// - Returns: How many were sent and dropped, and why it ended.
    @discardableResult
    public nonisolated(nonsending) func forward<Source: AsyncSequence>(
        _ sequence: Source, finishingWith failure: (Source.Failure) -> Failure
    ) async -> ForwardResult<Element, Source.Failure> where Source.Element == Element {
        let result = await forward(sequence)
        if case .failed(let error) = result.end { finish(throwing: failure(error)) } else { finish() }
        return result
    }

    /// Pulls and sends one element; false when there is none any more.
    private nonisolated(nonsending) func forwardOne<Iterator: AsyncIteratorProtocol>(
        _ iterator: inout Iterator, _ result: inout ForwardResult<Element, Iterator.Failure>
    ) async throws(ForwardStop<Iterator.Failure>) -> Bool where Iterator.Element == Element {
        let answer: SendResult<Element>
        if core.overflow == .suspend {
            let room = try await room(Iterator.Failure.self)
            guard let element = try await pull(&iterator) else { return false }
            answer = room.send(element)
        } else {
            guard let element = try await pull(&iterator) else { return false }
            answer = await send(element)
        }
        switch answer {
        case .sent: result.sent += 1
        case .dropped: result.dropped += 1
        case .returned(let rejected):
            result.unsent = rejected.element
            throw .rejected(rejected.reason)
        }
        return true
    }

    private nonisolated(nonsending) func room<SourceFailure>(
        _: SourceFailure.Type
    ) async throws(ForwardStop<SourceFailure>) -> Reservation<Element, Failure> {
        do throws(Rejection) { return try await reserve() } catch { throw .rejected(error) }
    }

    private nonisolated(nonsending) func pull<Iterator: AsyncIteratorProtocol>(
        _ iterator: inout Iterator
    ) async throws(ForwardStop<Iterator.Failure>) -> Element? where Iterator.Element == Element {
        do throws(Iterator.Failure) {
            return try await iterator.next(isolation: #isolation)
        } catch { throw .failed(error) }
    }
}

/// Why forwarding stops before the end of its source.
private enum ForwardStop<Failure: Error>: Error {
    case failed(Failure)
    case rejected(Rejection)
}
