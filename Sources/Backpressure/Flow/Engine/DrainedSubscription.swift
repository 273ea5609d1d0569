// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What subscriptions with a drain loop share: the word, and the way into the loop.
//
// The class is not generic, and it reaches the loop through a function value. A witness of a generic class is compiled
// once, for any type at all, and would run the loop so; the function value is made where the subscription is made, in
// the user's module, for the types it has there.

@usableFromInline
class DrainedSubscription: Flow.Subscription, @unchecked Sendable {
    @usableFromInline final let word = DrainWord()
    /// The drain loop; whoever came to own the word calls it.
    @usableFromInline final let loop: (DrainedSubscription) -> Void

    @inlinable
    init(loop: @escaping (DrainedSubscription) -> Void) { self.loop = loop }

    @inlinable
    deinit { word.deallocate() }

    @inlinable @inline(__always)
    final func request(_ demand: Demand) {
        if word.request(demand) { loop(self) }
    }

    @inlinable
    func cancel() {
        if word.cancel() { loop(self) }
    }
}
