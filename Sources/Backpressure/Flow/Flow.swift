// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Credit-based demand: the four protocols of Reactive Streams 1.0.4, in Swift's terms. No code, only the contract.
//
// ## What differs from the Java interfaces
// - The subscriber's methods are `mutating`, so a subscriber may be a struct that its publisher stores in place. An
//   operator is then a struct inside a struct: a chain is one object, and an element passes it without a call through
//   an existential. Serial signals (1.3) are what makes the exclusive access right.
// - Input and output have names of their own, because a processor has both.
// - Amounts are `Demand`, which cannot wrap; only its sign can be wrong.
// - `null` cannot be passed, so the rules about it (part of 1.9 and 2.13) have nothing to say here. Signal methods do
//   not throw, so "returns normally" (1.9, 2.13, 3.15, 3.16) means: returns.

/// Publishers that send only what their subscribers have asked for.
///
/// A ``Publisher`` makes a ``Subscription`` for each ``Subscriber`` and then sends it at most as many elements as it has
/// requested, so the subscriber's pace is the publisher's, through any number of operators and across threads.
///
/// The contract is that of [Reactive Streams 1.0.4](https://github.com/reactive-streams/reactive-streams-jvm); numbers
/// in brackets are its rules.
///
/// | signal | when | how often |
/// |---|---|---|
/// | `onSubscribe` | before any other signal [1.9] | once |
/// | `onNext` | only against demand [1.1], never two at a time [1.3] | up to the demand |
/// | `onComplete` | the end; needs no demand [1.5] | these two together at most once, |
/// | `onError` | the end; needs no demand [1.4] | and nothing after it [1.7] |
///
/// Each signal happens before the next, whatever threads they run on. No signal runs inside another signal of the same
/// subscriber, also not on the same thread: what is requested inside `onSubscribe` or `onNext` is sent after that has
/// returned. (This is stricter than rules 3.3 and 3.10; it is what lets a subscriber be a struct.) Nothing here starts a task or switches threads
/// unless its own text says so: elements are sent on the thread that requests them, or that brings them.
///
/// Elements are `Copyable`. They, and the subscribers, need be `Sendable` only where a stage says so: where it has several
/// subscribers, or hands over to another thread. A subscription is always `Sendable`: whoever requests from another
/// thread takes the whole chain there, one thread at a time.
public enum Flow {}

extension Flow {
    /// Sends elements to its subscribers as they ask for them.
    ///
    /// A publisher may serve one subscriber or many, each from the start or from now on; its own text says which [1.11].
    public protocol Publisher<Output>: SendableMetatype {
        /// What it sends.
        associatedtype Output

        /// Makes a subscription for `subscriber` and gives it to its `onSubscribe`, before any other signal [1.9].
        ///
        /// It returns normally, also when the publisher cannot serve the subscriber: then `onSubscribe` gets a
        /// subscription without effect (``Flow/inertSubscription``), and `onError` follows. The publisher owns the
        /// subscriber from here on, and lets go of it after the terminal signal or the cancellation [3.13].
        ///
        /// - Parameter subscriber: Gets the signals. It is given away: its publisher will use it from any one thread at
        ///   a time. To subscribe again, pass another one [1.10, 2.12].
        func subscribe<S: Subscriber>(_ subscriber: sending S) where S.Input == Output
    }

    /// Receives what it has asked for.
    ///
    /// A subscriber may be a struct, which its publisher then stores in place, or a class. Its methods are called one
    /// after the other, never two at a time, and each call sees all that the previous ones did; so its state needs no
    /// lock, except against the subscriber's own other methods.
    ///
    /// The methods return soon: what takes long goes to a task [2.2].
    public protocol Subscriber<Input>: SendableMetatype {
        /// What it receives.
        associatedtype Input

        /// The first signal: keep `subscription`, and ask it for elements when ready for them [2.1].
        ///
        /// `request` may be called from here. A subscriber that has a subscription already cancels the new one [2.5].
        ///
        /// - Parameter subscription: The way to ask for elements, and to stop.
        mutating func onSubscribe(_ subscription: any Subscription)

        /// An element that was asked for.
        ///
        /// `request` and `cancel` may be called from here. It may still be called after `cancel`, with elements that
        /// were on their way [2.8].
        ///
        /// - Parameter element: The element.
        mutating func onNext(_ element: Input)

        /// The end, by an error; no other signal follows.
        ///
        /// It may come without any demand [2.10]. The subscription counts as cancelled: nothing may be called on it from
        /// here [2.3, 2.4].
        ///
        /// - Parameter error: What went wrong.
        mutating func onError(_ error: any Error)

        /// The end; no other signal follows.
        ///
        /// It may come without any demand [2.9]. The subscription counts as cancelled: nothing may be called on it from
        /// here [2.3, 2.4].
        mutating func onComplete()
    }

    /// One subscriber's tie to its publisher.
    ///
    /// Both methods may be called from any thread, at any time, from inside any signal, and together. They return
    /// normally [3.15, 3.16]; signals may run inside them [3.10, 3.11], unless they are themselves called from a signal.
    public protocol Subscription: AnyObject, Sendable {
        /// Asks for `demand` more elements [3.8].
        ///
        /// Demands add up; the sum is held to ``Demand/unbounded``, which is never used up [3.17]. Called from inside
        /// `onNext` it only notes the demand, and the publisher goes on when `onNext` has returned: requests do not
        /// nest, however many elements there are [3.3]. After the end or a cancellation it does nothing [3.6].
        ///
        /// - Parameter demand: How many. With 0 or less the stream ends with ``Flow/InvalidDemand`` [3.9].
        func request(_ demand: Demand)

        /// Asks the publisher to stop and to let go of the subscriber.
        ///
        /// Idempotent [3.7]. No terminal signal follows. Signals that run meanwhile on another thread may still arrive
        /// [2.8, 3.12]; called from inside a signal, none does from the publishers of this library. The reference to the
        /// subscriber is dropped as soon as no signal runs [3.13].
        func cancel()
    }

    /// A stage with two sides: a subscriber to its upstream and a publisher to its downstream; both contracts hold [4.1].
    ///
    /// It is an object, because its two sides are used by different owners, from different threads. An error from
    /// upstream goes to every downstream at once, unless the processor says how it recovers [4.2].
    ///
    /// Operators are not processors: they are publishers made from a publisher, and subscribe anew for each subscriber.
    public protocol Processor<Input, Output>: Publisher, Subscriber, AnyObject, Sendable {}
}

extension Flow {
    /// What a subscriber's stream ends with when it has requested 0 elements or fewer [3.9].
    public struct InvalidDemand: Error, Hashable, Sendable, CustomStringConvertible {
        /// The demand, 0 or less.
        public let demand: Demand

        /// The error for `demand`.
        @inlinable
        public init(_ demand: Demand) { self.demand = demand }

        /// A short text for a log line.
        public var description: String {
            "a subscriber requested \(demand.count) elements; rule 3.9 of Reactive Streams asks for 1 or more"
        }
    }

    /// A subscription without effect, for a publisher that refuses a subscriber or has nothing to send [1.9].
    ///
    /// Its `request` ignores any demand, also an invalid one: the stream it belongs to has ended or is about to.
    public static var inertSubscription: any Subscription { InertSubscription.shared }

    private final class InertSubscription: Subscription {
        static let shared = InertSubscription()

        func request(_ demand: Demand) {}
        func cancel() {}
    }
}
