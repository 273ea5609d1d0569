// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A first-in, first-out queue that grows as it must; its users bound it.
@usableFromInline
struct FlowQueue<Element> {
    @usableFromInline var slots: ContiguousArray<Element?> = []
    @usableFromInline var head = 0
    @usableFromInline var count = 0

    @inlinable
    init() {}

    @inlinable @inline(__always)
    var isEmpty: Bool { count == 0 }

    @inlinable
    var first: Element? { count == 0 ? nil : slots[head] }

    @inlinable
    mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        // The capacity is a power of two.
        slots[(head &+ count) & (slots.count &- 1)] = element
        count &+= 1
    }

    @inlinable
    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head].take()
        head = (head &+ 1) & (slots.count &- 1)
        count &-= 1
        return element
    }

    /// Takes the youngest.
    @inlinable
    mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        count &-= 1
        return slots[(head &+ count) & (slots.count &- 1)].take()
    }

    @inlinable
    @inline(never)
    mutating func grow() {
        var larger: ContiguousArray<Element?> = []
        larger.reserveCapacity(max(slots.count * 2, 8))
        for index in 0..<count { larger.append(slots[(head + index) & (slots.count - 1)].take()) }
        while larger.count < max(slots.count * 2, 8) { larger.append(nil) }
        slots = larger
        head = 0
    }
}

extension FlowQueue: Sendable where Element: Sendable {}
