// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A growable ring: what the contenders with a lock or an actor keep their elements and waiters in. It has no
// copy-on-write, no uniqueness check and no bounds check, so that they lose nothing to their container.

/// A first-in first-out queue that doubles when it is full.
struct RingDeque<Element>: ~Copyable {
    private var slots: UnsafeMutablePointer<Element>
    private var mask: Int
    private var head = 0
    private(set) var count = 0

    /// `minimumCapacity` is rounded up to a power of two.
    init(minimumCapacity: Int) {
        var capacity = 1
        while capacity < minimumCapacity { capacity *= 2 }
        slots = .allocate(capacity: capacity)
        mask = capacity - 1
    }

    deinit {
        for offset in 0..<count { (slots + ((head &+ offset) & mask)).deinitialize(count: 1) }
        slots.deallocate()
    }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count > mask { grow() }
        (slots + ((head &+ count) & mask)).initialize(to: element)
        count &+= 1
    }

    @inline(__always)
    mutating func popFirst() -> Element? {
        if count == 0 { return nil }
        let element = (slots + head).move()
        head = (head &+ 1) & mask
        count &-= 1
        return element
    }

    @inline(never)
    private mutating func grow() {
        let capacity = (mask + 1) * 2
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
        for offset in 0..<count { (larger + offset).initialize(to: (slots + ((head &+ offset) & mask)).move()) }
        slots.deallocate()
        slots = larger
        mask = capacity - 1
        head = 0
    }
}
