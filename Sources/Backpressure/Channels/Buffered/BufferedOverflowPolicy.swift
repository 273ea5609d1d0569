// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The policies of a buffered channel: plain data, and the functions of a user that some of them need.

/// What a send does that less important elements could make no room for.
public enum OverflowFallback: Hashable, Sendable {
    /// The arriving element is dropped: it goes to the `onUndelivered` hook, and the sender gets `.dropped`.
    case dropNewest
    /// The sender gets its element back with ``Rejection/full``.
    case reject
    /// The sender's task waits until there is room.
    case suspend
}

/// What a ``BufferedChannel`` does with an element for which it has no room, named by what is lost.
///
/// | policy | who waits | what is lost | who learns of it |
/// |---|---|---|---|
/// | ``suspend`` | the sender's task | nothing | - |
/// | ``suspend(for:)`` | the sender's task, for so long | the arriving element, after that | the hook (``Rejection/timedOut``), and the sender by `.dropped` |
/// | ``reject`` | nobody | nothing: the sender gets its element back | the sender |
/// | ``dropNewest`` | nobody | the arriving element | the hook (``Rejection/full``), and the sender by `.dropped` |
/// | ``dropOldest`` | nobody | the elements that waited longest, as many as it takes | the hook (``Rejection/evicted``) |
/// | ``conflate(_:)`` | nobody | nothing, if the function keeps it: two elements become one | the counter `conflated` |
/// | ``dropLowest(classes:otherwise:classOf:)`` | nobody, or as the fallback says | the newest elements of the least important class, as many as it takes, if less important than the arriving one | the hook (``Rejection/evicted``) |
///
/// What has expired makes room before any policy is asked. No policy makes the buffer grow beyond its bounds, and an
/// element that costs more than the capacity comes back with ``Rejection/exceedsLimit`` under every one.
public struct BufferedOverflowPolicy<Element: ~Copyable>: Sendable {
    let policy: BufferPolicy
    var classes = 1
    let classOf: (@Sendable (borrowing Element) -> Int)?
    let merger: ElementMerger?

    private init(
        _ policy: BufferPolicy, classOf: (@Sendable (borrowing Element) -> Int)? = nil, merger: ElementMerger? = nil
    ) {
        self.policy = policy
        self.classOf = classOf
        self.merger = merger
    }

    /// The sender's task waits until there is room.
    public static var suspend: BufferedOverflowPolicy { BufferedOverflowPolicy(BufferPolicy(action: .suspend)) }

    /// The sender gets its element back at once.
    public static var reject: BufferedOverflowPolicy { BufferedOverflowPolicy(BufferPolicy(action: .reject)) }

    /// The arriving element is dropped.
    public static var dropNewest: BufferedOverflowPolicy { BufferedOverflowPolicy(BufferPolicy(action: .dropNewest)) }

    /// The elements that have been queued longest are dropped, as many as it takes until the arriving one fits.
    public static var dropOldest: BufferedOverflowPolicy { BufferedOverflowPolicy(BufferPolicy(action: .dropOldest)) }

    /// The sender's task waits for room, but no longer than `patience`; then the arriving element is dropped.
    ///
    /// A timeout or deadline of the call that ends first brings the element back instead. `trySend` does not wait: it
    /// gets its element back.
    ///
    /// - Parameter patience: How long to wait, on the channel's clock.
    /// - Returns: The policy.
    /// - Precondition: `patience > .zero`.
    public static func suspend(for patience: Duration) -> BufferedOverflowPolicy {
        precondition(patience > .zero, "waiting for \(patience) is not waiting")
        return BufferedOverflowPolicy(BufferPolicy(action: .suspend, patience: patience))
    }

    /// Elements of less important classes are dropped to make room: the newest of the least important class first.
    ///
    /// As many are dropped as it takes, all less important than the arriving element; none if all of them together
    /// would not make room enough: then `fallback` says what becomes of the arriving one. Receivers get elements in order
    /// of arrival, whatever their class.
    ///
    /// - Parameters:
    ///   - classes: How many classes there are, 1 to 64.
    ///   - fallback: What happens when nothing less important can make room.
    ///   - classOf: The class of an element, 0 (most important) to `classes - 1`. Called once for each send, outside all
    ///     locks.
    /// - Returns: The policy.
    /// - Precondition: `classes` is in 1...64, and so is what `classOf` answers in its range.
    public static func dropLowest(
        classes: Int, otherwise fallback: OverflowFallback = .dropNewest,
        classOf: @escaping @Sendable (borrowing Element) -> Int
    ) -> BufferedOverflowPolicy {
        precondition((1...64).contains(classes), "there are 1 to 64 classes, not \(classes)")
        var overflow = BufferedOverflowPolicy(
            BufferPolicy(evictsLower: true, action: fallback.action), classOf: classOf)
        overflow.classes = classes
        return overflow
    }
}

extension BufferedOverflowPolicy where Element: Sendable {
    /// The arriving element is merged with the newest one that is queued, and takes its place.
    ///
    /// The function runs outside all locks, so it may take its time and use the channel; receivers go on meanwhile. It may
    /// run more than once for one send, when somebody else changes the newest element at the same time: it should do
    /// nothing but compute. The merged element has the deadline of the arriving one. If it costs so much more than the
    /// one it replaces that it does not fit, the arriving element comes back with ``Rejection/full``.
    ///
    /// - Parameter merge: Makes one element of two, the queued one given first.
    /// - Returns: The policy.
    public static func conflate(
        _ merge: @escaping @Sendable (_ queued: Element, _ arriving: Element) -> Element
    ) -> BufferedOverflowPolicy {
        BufferedOverflowPolicy(BufferPolicy(action: .conflate), merger: ElementMerger(merge))
    }
}

extension OverflowFallback {
    var action: BufferPolicy.Action {
        switch self {
        case .dropNewest: .dropNewest
        case .reject: .reject
        case .suspend: .suspend
        }
    }
}
