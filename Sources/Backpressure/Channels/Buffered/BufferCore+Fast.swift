// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The fast path: the cell of an element that has room and wakes nobody, or of one that is there and lets nobody in.
//
// The caller has the lock, and moves the element itself, because it knows the type: what is called here is compiled once.
// It gets the state and nothing else, not even the core: each word that is looked up after the lock is taken waits for it,
// and each one stored before it is given back holds it up.
// Now and then, by the count of operations, the answer is nil for no other reason than that a task which never waits
// has to yield: the slow path says so to those that can.

/// A place for an element in `lane`, which counts as sent; nil when only the slow path can tell.
///
/// - Parameters:
///   - state: Under its lock; the element is moved in before it is released.
///   - lane: Its lane.
///   - cost: Its cost.
/// - Returns: The cell, or nil.
@usableFromInline
@inline(never)
func claimForSend(_ state: BufferStateRef, lane: Int, cost: Int) -> CellPointer? {
    BufferCore.claimForSend(&state.pointer.pointee, lane: lane, cost: cost)
}

/// The place of the next element, which counts as received; nil when only the slow path can tell.
///
/// - Parameter state: Under its lock; the element is moved out before it is released.
/// - Returns: The cell, or nil.
@usableFromInline
@inline(never)
func claimForReceive(_ state: BufferStateRef) -> CellPointer? {
    BufferCore.claimForReceive(&state.pointer.pointee)
}

extension BufferCore {
    @inline(__always)
    fileprivate static func claimForSend(_ state: inout BufferState, lane: Int, cost: Int) -> CellPointer? {
        // Asked once: what follows is compiled for either answer, and for the usual one there is nothing else here.
        guard state.isUniform else { return claimWeighed(&state, lane: lane, cost: cost) }
        return claimForSend(&state, lane: lane, cost: cost, isUniform: true)
    }

    @inline(never)
    private static func claimWeighed(_ state: inout BufferState, lane: Int, cost: Int) -> CellPointer? {
        claimForSend(&state, lane: lane, cost: cost, isUniform: false)
    }

    @inline(__always)
    private static func claimForSend(
        _ state: inout BufferState, lane: Int, cost: Int, isUniform: Bool
    ) -> CellPointer? {
        let isWeighed = isUniform ? false : state.isWeighed
        // A cell that was never used is the slow path's: without a call in it, this is a leaf.
        guard decide(state.isPlain), hasRoom(state, lane, cost, isWeighed: isWeighed), !isYieldDue(state.entered),
            let cell = state.store.takeUsed()
        else { return nil }
        link(cell, &state, lane: lane, cost: cost, isUniform: isUniform)
        return cell
    }

    @inline(__always)
    fileprivate static func claimForReceive(_ state: inout BufferState) -> CellPointer? {
        guard decide(state.isPlain), decide(state.count > 0), !isYieldDue(state.received) else { return nil }
        guard state.departures.isLone else { return claimOfSeveral(&state) }
        let index = state.occupied.trailingZeroBitCount
        let lane = state.lanes + index
        let cell = lane.pointee.removeFirst(isWeighed: false)
        state.departures.serveLone()
        giveBack(cell, index, &state, isEmpty: lane.pointee.count == 0, isWeighed: false)
        return cell
    }

    @inline(never)
    private static func claimOfSeveral(_ state: inout BufferState) -> CellPointer? { takeNext(&state) }

    @inline(__always)
    static func isYieldDue(_ operations: UInt64) -> Bool { operations & (yieldInterval - 1) == yieldInterval - 1 }

    // MARK: - Lanes

    /// Whether an element of this cost fits into the lane and under the ceiling.
    func hasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int) -> Bool {
        Self.hasRoom(state, lane, cost, isWeighed: state.isWeighed)
    }

    func laneHasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int) -> Bool {
        Self.laneHasRoom(state, lane, cost, isWeighed: state.isWeighed)
    }

    @inline(__always)
    private static func hasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int, isWeighed: Bool) -> Bool {
        let taken = isWeighed ? state.weight : state.count
        return decide(cost <= state.capacity &- taken) && decide(state.count < state.maxElements)
            && laneHasRoom(state, lane, cost, isWeighed: isWeighed)
    }

    @inline(__always)
    private static func laneHasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int, isWeighed: Bool) -> Bool {
        let lane = state.lanes + lane
        return decide(cost <= lane.pointee.bound &- (isWeighed ? lane.pointee.weight : lane.pointee.count))
    }

    /// A cell at the end of `lane` for an element that fits.
    func link(_ state: inout BufferState, lane: Int, cost: Int) -> CellPointer {
        guard let cell = state.store.takeUsed() ?? state.store.takeFresh() else {
            preconditionFailure("no cell for an element")
        }
        Self.link(cell, &state, lane: lane, cost: cost, isUniform: false)
        return cell
    }

    @inline(__always)
    private static func link(
        _ cell: CellPointer, _ state: inout BufferState, lane index: Int, cost: Int, isUniform: Bool
    ) {
        let lane = state.lanes + index
        let isWeighed = isUniform ? false : state.isWeighed
        // Before the stores, after which every count would be read again.
        if state.count >= state.peakCount { state.peakCount = state.count &+ 1 }
        if !isUniform { cell.pointee.ticket = state.entered }
        if isWeighed {
            cell.pointee.cost = cost
            state.weight &+= cost
        }
        let ahead = lane.pointee.count
        if ahead == 0 {
            if isUniform || state.isUniform {
                state.departures.begin(index, beside: state.occupied)
            } else {
                state.departures.begin(index)
            }
            state.occupied |= 1 &<< UInt64(truncatingIfNeeded: index)
        }
        lane.pointee.append(cell, behind: ahead, isWeighed: isWeighed)
        state.entered &+= 1
    }

    /// Takes the cell whose turn it is out of its lane and gives it back to the store.
    ///
    /// The element stays in it until the lock is released. There is one.
    static func takeNext(_ state: inout BufferState) -> CellPointer {
        let index = next(state)
        let lane = state.lanes + index
        let cell = lane.pointee.removeFirst(isWeighed: state.isWeighed)
        let isEmpty = lane.pointee.count == 0
        state.departures.serve(index, goesOn: !isEmpty)
        giveBack(cell, index, &state, isEmpty: isEmpty, isWeighed: state.isWeighed)
        return cell
    }

    /// The lane whose turn it is; some lane has elements.
    @inline(__always)
    static func next(_ state: borrowing BufferState) -> Int {
        let lanes = state.lanes
        return state.departures.next(state.occupied) { lanes[$0].first?.pointee.ticket ?? .max }
    }

    /// Takes `cell` out of its lane for another end than to be received, and gives it back; its element is still in it.
    func unlink(_ cell: CellPointer, _ index: Int, _ state: inout BufferState) {
        state.lanes[index].remove(cell)
        state.dropped &+= 1
        Self.giveBack(cell, index, &state, isEmpty: state.lanes[index].count == 0, isWeighed: state.isWeighed)
    }

    @inline(__always)
    private static func giveBack(
        _ cell: CellPointer, _ index: Int, _ state: inout BufferState, isEmpty: Bool, isWeighed: Bool
    ) {
        if isEmpty { state.occupied &= ~(1 &<< UInt64(truncatingIfNeeded: index)) }
        if isWeighed { state.weight &-= cell.pointee.cost }
        state.store.give(cell)
    }
}
