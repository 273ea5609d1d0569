// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A subscription to elements that can be had at once: the iterator is asked inside the drain loop.
//
// ## Algorithm
// The drain loop of `DrainWord`, one look at the word per element. The iterator is kept one element ahead, because the
// end needs no demand and can be told only by asking it.
//
// ## Cost
// An element costs one load of the word. A `request` costs one swap; from inside `onNext` nothing else, from outside
// another swap to leave the loop.

/// What the owner of the word alone touches.
@usableFromInline
struct PullState<Iterator: IteratorProtocol, Downstream: Flow.Subscriber> where Downstream.Input == Iterator.Element {
    @usableFromInline var iterator: Iterator
    /// The element that comes next.
    @usableFromInline var ahead: Iterator.Element?
    @usableFromInline var emitted: UInt64 = 0
    /// Nil after the end.
    @usableFromInline var downstream: Downstream?

    @inlinable
    init(iterator: Iterator, downstream: Downstream) {
        self.iterator = iterator
        self.downstream = downstream
    }
}

@usableFromInline
final class PullSubscription<Iterator: IteratorProtocol, Downstream: Flow.Subscriber>: Flow.Subscription,
    @unchecked Sendable
where Downstream.Input == Iterator.Element {
    @usableFromInline let word = DrainWord()
    /// Behind a pointer: an exclusivity check per element would cost more than the element.
    @usableFromInline let state: UnsafeMutablePointer<PullState<Iterator, Downstream>>

    /// What comes at the end; nil is success.
    @usableFromInline let failure: (any Error)?

    @inlinable
    init(_ iterator: Iterator, _ downstream: Downstream, failure: (any Error)? = nil) {
        self.failure = failure
        state = .allocate(capacity: 1)
        state.initialize(to: PullState(iterator: iterator, downstream: downstream))
    }

    @inlinable
    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
        word.deallocate()
    }

    /// Tells the subscriber of its subscription, and sends what it asked for meanwhile.
    @inlinable
    func start() {
        state.pointee.downstream?.onSubscribe(self)
        if !word.look().mustStop { state.pointee.ahead = state.pointee.iterator.next() }
        drain()
    }

    @inlinable @inline(__always)
    func request(_ demand: Demand) {
        if word.request(demand) { drain() }
    }

    @inlinable
    func cancel() {
        if word.cancel() { drain() }
    }

    /// The caller owns the word.
    @inlinable
    @inline(never)
    func drain() {
        let state = self.state
        PlainAccess.write(state)
        var emitted = state.pointee.emitted
        var look = word.look()
        while true {
            guard !look.mustStop, state.pointee.ahead != nil else { return end(look) }
            if emitted < look.requested, let element = state.pointee.ahead {
                emitted &+= 1
                state.pointee.downstream?.onNext(element)
                look = word.look()
                // A cancelled iterator is not asked again.
                if look.mustStop { continue }
                state.pointee.ahead = state.pointee.iterator.next()
            } else {
                state.pointee.emitted = emitted
                if word.leave(&look) { return }
            }
        }
    }

    /// Lets go of the subscriber, and tells it why unless it cancelled.
    @inlinable
    @inline(never)
    func end(_ look: DrainLook) {
        word.close()
        state.pointee.ahead = nil
        guard var downstream = state.pointee.downstream.take() else { return }
        if look.isCancelled { return }
        if look.isInvalid {
            downstream.onError(Flow.InvalidDemand(word.invalidDemand))
        } else if let failure {
            downstream.onError(failure)
        } else {
            downstream.onComplete()
        }
    }
}
