// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Publishers of what is there already: a sequence, a range, one element, none, an error.

extension Flow {
    /// Publishes the elements of a sequence, to each subscriber from the start.
    ///
    /// Elements are sent on the thread that requests them. The iterator is asked for one element more than was sent, so
    /// that the end is told with the last element and not with the next request; the first is asked for when a
    /// subscriber subscribes.
    ///
    /// ```
    /// request    --2-------1----------
    ///              |       |
    /// output     --a-b-----c|            sequence: a b c
    /// ```
    ///
    /// - Parameter elements: The sequence; each subscriber makes an iterator of it.
    /// - Returns: A publisher of its elements.
    @inlinable
    public static func sequence<Elements: Sequence & Sendable>(_ elements: Elements) -> SequencePublisher<Elements> {
        SequencePublisher(elements)
    }

    /// Publishes the integers of a range, to each subscriber from the start.
    ///
    /// - Parameter range: The integers, from the lower bound up.
    /// - Returns: A publisher of them.
    @inlinable
    public static func range(_ range: Range<Int>) -> SequencePublisher<Range<Int>> {
        SequencePublisher(range)
    }

    /// Publishes one element, to each subscriber.
    ///
    /// - Parameter element: The element.
    /// - Returns: A publisher of it.
    @inlinable
    public static func just<Output: Sendable>(_ element: Output) -> SequencePublisher<CollectionOfOne<Output>> {
        SequencePublisher(CollectionOfOne(element))
    }

    /// Publishes nothing and ends at once, without waiting for demand.
    ///
    /// - Parameter type: The type of the elements that do not come.
    /// - Returns: A publisher that only ends.
    @inlinable
    public static func empty<Output>(_ type: Output.Type = Output.self) -> Empty<Output> { Empty() }

    /// Publishes nothing and fails at once, without waiting for demand.
    ///
    /// - Parameters:
    ///   - error: The error that every subscriber gets.
    ///   - type: The type of the elements that do not come.
    /// - Returns: A publisher that only fails.
    @inlinable
    public static func fail<Output>(_ error: any Error, _ type: Output.Type = Output.self) -> Fail<Output> {
        Fail(error)
    }

    /// The publisher that ``Flow/sequence(_:)`` makes.
    public struct SequencePublisher<Elements: Sequence & Sendable>: Publisher, Sendable {
        /// The sequence's elements.
        public typealias Output = Elements.Element

        @usableFromInline let elements: Elements

        @inlinable
        init(_ elements: Elements) { self.elements = elements }

        /// Makes an iterator for `subscriber`, and a subscription.
        ///
        /// - Parameter subscriber: Gets the signals.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            PullSubscription(elements.makeIterator(), subscriber).start()
        }
    }

    /// The publisher that ``Flow/empty(_:)`` makes.
    public struct Empty<Output>: Publisher, Sendable {
        @inlinable
        init() {}

        /// Ends at once.
        ///
        /// - Parameter subscriber: Gets the end.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            PullSubscription(EmptyCollection<Output>().makeIterator(), subscriber).start()
        }
    }

    /// The publisher that ``Flow/fail(_:_:)`` makes.
    public struct Fail<Output>: Publisher, Sendable {
        @usableFromInline let error: any Error

        @inlinable
        init(_ error: any Error) { self.error = error }

        /// Fails at once.
        ///
        /// - Parameter subscriber: Gets the error.
        @inlinable
        public func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output {
            PullSubscription(EmptyCollection<Output>().makeIterator(), subscriber, failure: error).start()
        }
    }
}
