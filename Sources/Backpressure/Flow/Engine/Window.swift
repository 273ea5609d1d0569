// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a stage has asked one upstream for, and what has come of it: a bounded queue that replenishes itself.
//
// ## Invariants
// I1. outstanding + count <= high: that is the bound of the buffer, whatever downstream asks for.
// I2. An upstream that sends what was not asked for is cut off with an error; nothing grows.

@usableFromInline
struct Window<Element> {
    /// Nil before `connect` and after the end.
    @usableFromInline var upstream: (any Flow.Subscription)?
    @usableFromInline var queue = FlowQueue<Element>()
    /// Requested and not yet come.
    @usableFromInline var outstanding: UInt64 = 0
    /// How many elements are asked for and held at most.
    @usableFromInline let high: UInt64
    /// How many are asked for at once, unless all that is asked for is fewer.
    @usableFromInline let low: UInt64
    @usableFromInline var isEnded = false
    @usableFromInline var error: (any Error)?

    /// - Parameters:
    ///   - high: The bound.
    ///   - low: The size of a top-up; by default three quarters of the bound, at least 1.
    @inlinable
    init(high: Int, low: Int? = nil) {
        self.high = UInt64(high)
        self.low = UInt64(low ?? max(1, high - high / 4))
    }

    /// What a closed stage has: it refuses every upstream.
    @inlinable
    static func ended() -> Window {
        var window = Window(high: 1)
        window.isEnded = true
        return window
    }

    /// Takes an upstream; false when the caller must cancel it, because there is one or none is wanted any more.
    @inlinable
    mutating func connect(_ subscription: any Flow.Subscription) -> Bool {
        guard upstream == nil, !isEnded else { return false }
        upstream = subscription
        return true
    }

    /// Takes an element; one that was not asked for is answered with the subscription to cancel.
    @inlinable
    mutating func receive(_ element: Element) -> (any Flow.Subscription)? {
        guard !isEnded else { return nil }
        guard outstanding > 0 else {
            isEnded = true
            error = Rejection.full
            return upstream.take()
        }
        outstanding &-= 1
        queue.append(element)
        return nil
    }

    /// Upstream has ended; the first end counts.
    @inlinable
    mutating func end(_ error: (any Error)?) {
        guard !isEnded else { return }
        isEnded = true
        self.error = error
        upstream = nil
    }

    /// Nothing is in and nothing will come.
    @inlinable
    var isDrained: Bool { isEnded && queue.isEmpty }

    /// The next request, if one is due, so that asked for and held come to `limit` at most.
    @inlinable
    mutating func demand(upTo limit: UInt64) -> (upstream: any Flow.Subscription, demand: Demand)? {
        guard let upstream, !isEnded else { return nil }
        let bound = min(limit, high)
        let held = outstanding &+ UInt64(queue.count)
        guard bound > held else { return nil }
        let want = bound &- held
        // A top-up is worth its call when it is large, or when it is all that may be asked for.
        guard want >= low || bound == limit else { return nil }
        outstanding &+= want
        return (upstream, Demand(want))
    }
}
