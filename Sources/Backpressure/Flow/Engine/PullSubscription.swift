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
struct PullState<Iterator: IteratorProtocol> {
    @usableFromInline var iterator: Iterator
    /// The element that comes next.
    @usableFromInline var ahead: Iterator.Element?
    @usableFromInline var emitted: UInt64 = 0
    /// Whether the subscriber is in its place: until the end.
    @usableFromInline var isSeated = true

    @inlinable
    init(iterator: Iterator) { self.iterator = iterator }
}

@usableFromInline
final class PullSubscription<Iterator: IteratorProtocol, Downstream: Flow.Subscriber>: DrainedSubscription,
    @unchecked Sendable
where Downstream.Input == Iterator.Element {
    /// Behind a pointer: an exclusivity check per element would cost more than the element.
    @usableFromInline let state: UnsafeMutablePointer<PullState<Iterator>>
    @usableFromInline let downstream: UnsafeMutablePointer<Downstream>

    /// What comes at the end; nil is success.
    @usableFromInline let failure: (any Error)?

    @inlinable
    init(_ iterator: Iterator, _ downstream: Downstream, failure: (any Error)? = nil) {
        self.failure = failure
        state = .allocate(capacity: 1)
        state.initialize(to: PullState(iterator: iterator))
        self.downstream = .allocate(capacity: 1)
        self.downstream.initialize(to: downstream)
        super.init { unsafeDowncast($0, to: PullSubscription.self).drain() }
    }

    @inlinable
    deinit {
        if state.pointee.isSeated { downstream.deinitialize(count: 1) }
        downstream.deallocate()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Tells the subscriber of its subscription, and sends what it asked for meanwhile.
    @inlinable
    func start() {
        downstream.pointee.onSubscribe(self)
        if !word.look().mustStop { state.pointee.ahead = state.pointee.iterator.next() }
        drain()
    }

    /// The caller owns the word.
    @inlinable
    @inline(never)
    func drain() {
        PlainAccess.write(state)
        var look = word.look()
        while true {
            look = send(&state.pointee, to: &downstream.pointee, look)
            if decide(look.mustStop) || state.pointee.ahead == nil { return end(look) }
            if word.leave(&look) { return }
        }
    }

    /// Sends what is asked for; says how the word looked when there was nothing more to send.
    ///
    /// The subscriber is `inout` so that the optimiser knows it for exclusive: what `onNext` calls on a subscription that
    /// it keeps then costs no retain.
    @inlinable
    @inline(never)
    func send(
        _ state: inout PullState<Iterator>, to downstream: inout Downstream, _ first: DrainLook
    ) -> DrainLook {
        let word = self.word
        var look = first
        while decide(!look.mustStop), decide(state.emitted < look.requested), let element = state.ahead {
            state.emitted &+= 1
            downstream.onNext(element)
            look = word.look()
            // A cancelled iterator is not asked again.
            if decide(!look.mustStop) { state.ahead = state.iterator.next() }
        }
        return look
    }

    /// Lets go of the subscriber, and tells it why unless it cancelled.
    @inlinable
    @inline(never)
    func end(_ look: DrainLook) {
        word.close()
        state.pointee.ahead = nil
        state.pointee.isSeated = false
        var downstream = self.downstream.move()
        if decide(look.isCancelled) { return }
        if decide(look.isInvalid) {
            downstream.onError(Flow.InvalidDemand(word.invalidDemand))
        } else if let failure {
            downstream.onError(failure)
        } else {
            downstream.onComplete()
        }
    }
}
