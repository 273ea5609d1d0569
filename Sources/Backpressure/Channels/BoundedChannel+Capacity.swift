// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The capacity while the channel is in use: the typed surface.

extension BoundedChannel where Element: ~Copyable {
    /// How many elements the channel holds at most, at this moment: see ``resize(capacity:)``.
    public var capacity: Int { core.capacity }

    /// How large ``capacity`` can become: what the channel was made with.
    public var maximumCapacity: Int { ring.geometry.capacity }

    /// Changes the capacity while the channel is in use.
    ///
    /// ```swift
    /// let channel = BoundedChannel<Int, Never>(capacity: 4, maximumCapacity: 64)
    /// channel.resize(capacity: 64)  // waiting senders that now fit are served
    /// channel.resize(capacity: 1)  // what is in stays in
    /// ```
    ///
    /// Synchronous, callable from anywhere. When it returns, the new bound holds for every send:
    ///
    /// - **Growing** serves, in order, the waiting senders and reservations that fit now.
    /// - **Shrinking** drops nothing. The channel may hold more than its capacity until that has been received, and lets
    ///   nobody in before. Under ``OverflowPolicy/dropOldest`` the next send evicts as many as it takes. Reservations
    ///   that are out stay valid; one that waits for more places than there are any more is refused with
    ///   ``Rejection/exceedsLimit``.
    ///
    /// - Parameter capacity: The new bound, in elements.
    /// - Precondition: `1 <= capacity <= maximumCapacity`.
    /// - Complexity: O(1) and the tasks it wakes; shrinking looks at each waiting sender. At its maximum capacity a
    ///   channel costs what it costs without this method. Below, a send takes the lock each time it has used up the
    ///   room of the last such look: at each send while the channel is full, seldom while it is nearly empty.
    public func resize(capacity: Int) { core.resize(capacity: capacity) }
}
