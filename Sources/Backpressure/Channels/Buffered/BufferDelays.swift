// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long elements stay in a buffer, and which of them stayed too long in a queue that stands.
//
// ## Idea
// `CoDel` is asked once for each element whose turn it is to be received. What it sheds is dropped to the hook instead,
// and the next one has its turn. Each lane has a discipline of its own: the least delay of all lanes together would be that
// of the lane that is served first, and hide the queue that stands behind it. A lane that was empty has no queue that
// could stand, however long the one element in it then waits (RFC 8289 says the same of a queue of one packet).
//
// When an element came in is kept beside the cells, by number, so that buffers that shed nothing have no room for it.
//
// ## Invariants
// I1  `present` is the reading of the clock that the operation under the lock began with, or the last one before it.

/// Arrivals of elements, and a discipline for each lane.
///
/// It is part of a state that a lock guards.
struct BufferDelays: Sendable {
    private var disciplines: [CoDel]
    /// Of elements in lanes, by the number of their cell.
    private var arrivals: [Int64] = []
    var present: Int64 = 0

    init(_ codel: CoDel, lanes: Int) { disciplines = Array(repeating: codel, count: lanes) }

    /// An element came into a lane.
    mutating func entered(_ cell: CellPointer, lane: Int, wasEmpty: Bool) {
        if wasEmpty { disciplines[lane].emptied(now: present) }
        let number = Int(cell.pointee.number)
        while arrivals.count <= number { arrivals.append(present) }
        arrivals[number] = present
    }

    /// Whether the element whose turn it is has stayed for too long; to be asked once for each.
    mutating func shouldShed(_ cell: CellPointer, lane: Int) -> Bool {
        let delay = present.subtractingSaturating(arrivals[Int(cell.pointee.number)])
        return disciplines[lane].shouldShed(after: delay, now: present)
    }

    /// Whether the queue of a lane stands, as far as is known.
    func isShedding(_ lane: Int) -> Bool { disciplines[lane].isOverloaded }
}

extension BufferCore {
    /// Drops elements that have stayed too long, until one is next that has not; lets in who then fits.
    func shed(_ state: inout BufferState, _ effects: inout BufferEffects) {
        while state.delays != nil, state.count > 0 {
            let lane = Self.next(state)
            guard let cell = state.lanes[lane].first else { preconditionFailure("an occupied lane has no element") }
            guard decide(state.delays?.shouldShed(cell, lane: lane) == true) else { return }
            state.lanes[lane].counters.shed += 1
            drop(cell, lane, &state, &effects, reason: .shed)
            if decide(state.waiting != 0) { admit(&state, &effects) }
        }
    }
}
