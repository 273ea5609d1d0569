// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Merging an arriving element into the newest one, without running the user's code under the lock.
//
// ## Algorithm
// As with a compare-and-swap: look (copy the newest element and note its ticket), compute outside the lock, and put the
// result in the newest one's place if that still is the newest. If it is not, somebody else got on: look again. The
// arriving element is only read meanwhile, so nothing is lost when the buffer has room by then, or is closed. A receiver
// never finds the buffer empty because of a merge, and takes the element as it was before or after it.
//
// So the user's function may run more than once for one send, as the functions of any compare-and-swap loop may.

/// What knows how to merge elements of some type, in memory.
@usableFromInline
struct ElementMerger: Sendable {
    /// Copies the element at `source`.
    let copy: @Sendable (_ destination: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer) -> Void
    /// Merges two elements, of which the first is consumed and the second is left in its place.
    let merge:
        @Sendable (
            _ result: UnsafeMutableRawPointer, _ buffered: UnsafeMutableRawPointer, _ arriving: UnsafeMutableRawPointer
        ) -> Void
    /// Ends the element's life; it is no loss, for it lives on in another.
    let destroy: @Sendable (_ source: UnsafeMutableRawPointer) -> Void

    init<Element: Sendable>(_ function: @escaping @Sendable (_ buffered: Element, _ arriving: Element) -> Element) {
        copy = { destination, source in
            destination.bindMemory(to: Element.self, capacity: 1)
                .initialize(from: source.assumingMemoryBound(to: Element.self), count: 1)
        }
        merge = { result, buffered, arriving in
            let old = buffered.assumingMemoryBound(to: Element.self).move()
            result.bindMemory(to: Element.self, capacity: 1)
                .initialize(to: function(old, arriving.assumingMemoryBound(to: Element.self).pointee))
        }
        destroy = { source in source.assumingMemoryBound(to: Element.self).deinitialize(count: 1) }
    }
}

extension BufferCore {
    private enum Look {
        case ended(BufferOutcome)
        /// The newest element was copied.
        case copied(ticket: UInt64)
    }

    private enum Swap {
        case done
        /// Another element is the newest now.
        case outdated
        case refused(BufferOutcome)
    }

    /// Merges the element at `source` into the newest one, or takes it over if there is room by now.
    ///
    /// - Parameters:
    ///   - source: The element. It is gone exactly when the outcome is done.
    ///   - offer: What is known of it.
    ///   - merger: What to do.
    ///   - copied: Memory for one element.
    ///   - merged: Memory for one element.
    ///   - cost: What a merged element costs.
    /// - Returns: Done, or why not.
    @usableFromInline
    func conflate(
        _ source: UnsafeMutableRawPointer, _ offer: BufferOffer, _ merger: ElementMerger,
        copied: UnsafeMutableRawPointer, merged: UnsafeMutableRawPointer, cost: (UnsafeMutableRawPointer) -> Int
    ) -> BufferOutcome {
        let now = timeSource.now()
        while true {
            switch look(source, offer, merger, copied, now) {
            case .ended(let outcome): return outcome
            case .copied(let ticket):
                merger.merge(merged, copied, source)
                let swap = swap(merged, copied, ticket: ticket, cost: cost(merged), expiry: offer.expiry)
                // After a swap the one that was replaced is in `copied`, and nothing in `merged`.
                switch swap {
                case .done:
                    merger.destroy(copied)
                    merger.destroy(source)
                    return .done
                case .outdated: merger.destroy(merged)
                case .refused(let outcome):
                    merger.destroy(merged)
                    return outcome
                }
            }
        }
    }

    private func look(
        _ source: UnsafeMutableRawPointer, _ offer: BufferOffer, _ merger: ElementMerger,
        _ copied: UnsafeMutableRawPointer, _ now: Int64
    ) -> Look {
        withState { state, effects in
            guard state.closure == .open else { return .ended(closedOutcome(state)) }
            state.delays?.present = now
            expire(&state, &effects, now: now)
            guard !hasRoom(state, offer.lane, offer.cost), let newest = state.lanes[offer.lane].last else {
                enter(&state, from: source, lane: offer.lane, cost: offer.cost, expiry: offer.expiry)
                pump(&state, &effects)
                return .ended(.done)
            }
            PlainAccess.read(layout.element(newest))
            merger.copy(copied, layout.element(newest))
            return .copied(ticket: newest.pointee.ticket)
        }
    }

    private func swap(
        _ merged: UnsafeMutableRawPointer, _ copied: UnsafeMutableRawPointer, ticket: UInt64, cost: Int, expiry: Int64
    ) -> Swap {
        withState { state, _ in
            guard state.closure == .open else { return .refused(closedOutcome(state)) }
            guard let newest = state.lanes[0].last, decide(newest.pointee.ticket == ticket) else { return .outdated }
            let lane = state.lanes
            let change = cost - newest.pointee.cost
            guard cost <= state.capacity else {
                state.counters.exceeded += 1
                return .refused(.exceedsLimit)
            }
            guard change <= state.capacity - state.cost else {
                state.counters.refused += 1
                return .refused(.wouldWait)
            }
            PlainAccess.write(layout.element(newest))
            actions.move(copied, layout.element(newest))
            actions.move(layout.element(newest), merged)
            lane.pointee.recost(newest, to: cost)
            if state.isWeighed { state.weight += change }
            // Of its own, and no other element's.
            newest.pointee.ticket = ~lane.pointee.counters.conflated
            lane.pointee.counters.conflated += 1
            setExpiry(of: newest, lane: 0, expiry, &state)
            return .done
        }
    }
}
