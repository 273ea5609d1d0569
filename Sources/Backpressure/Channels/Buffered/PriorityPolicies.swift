// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What is said of the lanes of a priority channel when it is made.

/// One lane of a ``PriorityChannel``.
public struct PriorityLane: Hashable, Sendable {
    /// How many elements the lane holds at most, of those that the channel holds.
    public let capacity: Int
    /// Its share under ``PriorityOrder/weighted(aging:)``.
    public let weight: Int

    /// A lane.
    ///
    /// - Parameters:
    ///   - capacity: Its own bound, in elements; at least 1. One that is the channel's capacity or more is no bound.
    ///   - weight: Its share of the receives while all lanes have elements, as part of the sum of all weights.
    /// - Precondition: `capacity >= 1` and `1 <= weight <= 10_000`.
    public init(capacity: Int, weight: Int = 1) {
        precondition(capacity >= 1, "a lane holds at least 1 element, not \(capacity)")
        precondition((1...10_000).contains(weight), "a weight is 1 to 10,000, not \(weight)")
        self.capacity = capacity
        self.weight = weight
    }
}

/// The order between the lanes of a ``PriorityChannel``.
///
/// Within a lane elements come out in the order in which they went in. Between lanes, two rules:
///
/// - ``strict(aging:)``: the most important lane that has elements.
/// - ``weighted(aging:)``: each lane gets its share of the receives, by weight.
///
/// Both have a bound on starvation: a lane that has elements and was passed over `aging` times is served next. With k
/// lanes that makes at most `aging + k - 2` receives from other lanes between two of its own, so an element with n before
/// it in its lane is received after at most `(n + 1) * (aging + k - 1)` receives.
public struct PriorityOrder: Hashable, Sendable {
    let order: TurnOrder
    let aging: Int

    /// The most important lane first, but no lane is passed over more often than `aging` says.
    ///
    /// - Parameter aging: How often a lane is passed over before it is served, at least 1. A lane that always has elements
    ///   gets at least one receive in `aging + 1`, or so; with 1 the two lanes of a channel take turns.
    /// - Returns: The order.
    /// - Precondition: `aging >= 1`.
    public static func strict(aging: Int = 64) -> PriorityOrder { PriorityOrder(order: .strict, checking: aging) }

    /// Each lane gets its share of the receives, by ``PriorityLane/weight``, among the lanes that have elements.
    ///
    /// A lane that was empty claims no arrears. While a set of lanes always has elements, no lane is further from its
    /// share than one receive for each lane, unless aging moved it forward.
    ///
    /// - Parameter aging: How often a lane is passed over before it is served, at least 1.
    /// - Returns: The order.
    /// - Precondition: `aging >= 1`.
    public static func weighted(aging: Int = 1024) -> PriorityOrder { PriorityOrder(order: .weighted, checking: aging) }

    private init(order: TurnOrder, checking aging: Int) {
        precondition(aging >= 1, "a lane is passed over at least once before it is served, not \(aging) times")
        self.order = order
        self.aging = aging
    }
}

/// What a ``PriorityChannel`` does with an element for which it has no room, named by what is lost.
///
/// | policy | who waits | what is lost | who learns of it |
/// |---|---|---|---|
/// | ``dropLowest(otherwise:)`` | nobody, or as the fallback says | the newest element of the lowest lane, if that is below the arriving one | the hook (``Rejection/evicted``) |
/// | ``suspend`` | the sender's task | nothing | - |
/// | ``reject`` | nobody | nothing: the sender gets its element back | the sender |
/// | ``dropNewest`` | nobody | the arriving element | the hook (``Rejection/full``), and the sender by `.dropped` |
///
/// A lane that has reached its own bound gets no room from others: then the fallback decides at once.
public struct PriorityOverflowPolicy: Hashable, Sendable {
    let policy: BufferPolicy

    /// The lowest lane pays first: its newest element makes room for one of a lane above.
    ///
    /// The newest, because those before it have waited for longer, and are next in turn. When there is nothing below the
    /// arriving element it is the lowest itself, and `fallback` says what becomes of it.
    ///
    /// - Parameter fallback: What happens when nothing lower can make room.
    /// - Returns: The policy.
    public static func dropLowest(otherwise fallback: OverflowFallback = .dropNewest) -> PriorityOverflowPolicy {
        PriorityOverflowPolicy(policy: BufferPolicy(evictsLower: true, action: fallback.action))
    }

    /// The sender's task waits until there is room.
    public static let suspend = PriorityOverflowPolicy(policy: BufferPolicy(action: .suspend))

    /// The sender gets its element back at once.
    public static let reject = PriorityOverflowPolicy(policy: BufferPolicy(action: .reject))

    /// The arriving element is dropped, whatever its lane.
    public static let dropNewest = PriorityOverflowPolicy(policy: BufferPolicy(action: .dropNewest))
}
