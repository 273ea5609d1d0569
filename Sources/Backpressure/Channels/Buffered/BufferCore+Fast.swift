// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The fast path: the cell of an element that has room and wakes nobody, or of one that is there and lets nobody in.
//
// The caller has the lock, and moves the element itself, because it knows the type: what is called here is compiled once.
// Now and then, by the count of operations, the answer is nil for no other reason than that a task which never waits
// has to yield: the slow path says so to those that can.

extension BufferCore {
    /// A place for an element in `lane`, which counts as sent; nil when only the slow path can tell.
    ///
    /// - Parameters:
    ///   - state: Under its lock; the element is moved in before it is released.
    ///   - lane: Its lane.
    ///   - cost: Its cost.
    /// - Returns: The place, or nil.
    @usableFromInline
    @inline(never)
    func claimForSend(_ state: BufferStateRef, lane: Int, cost: Int) -> UnsafeMutableRawPointer? {
        claimForSend(&state.pointer.pointee, lane: lane, cost: cost)
    }

    @inline(__always)
    private func claimForSend(_ state: inout BufferState, lane: Int, cost: Int) -> UnsafeMutableRawPointer? {
        // Asked once: what follows is compiled for either answer.
        state.isWeighed
            ? claimForSend(&state, lane: lane, cost: cost, isWeighed: true)
            : claimForSend(&state, lane: lane, cost: cost, isWeighed: false)
    }

    @inline(__always)
    private func claimForSend(
        _ state: inout BufferState, lane: Int, cost: Int, isWeighed: Bool
    ) -> UnsafeMutableRawPointer? {
        // A cell that was never used is the slow path's: without a call in it, this is a leaf.
        guard decide(state.isPlain), hasRoom(state, lane, cost, isWeighed: isWeighed), !isYieldDue(state.entered),
            let cell = state.store.takeUsed()
        else { return nil }
        link(cell, &state, lane: lane, cost: cost, isWeighed: isWeighed)
        return layout.element(cell)
    }

    /// The place of the next element, which counts as received; nil when only the slow path can tell.
    ///
    /// - Parameter state: Under its lock; the element is moved out before it is released.
    /// - Returns: The place, or nil.
    @usableFromInline
    @inline(never)
    func claimForReceive(_ state: BufferStateRef) -> UnsafeMutableRawPointer? {
        claimForReceive(&state.pointer.pointee)
    }

    @inline(__always)
    private func claimForReceive(_ state: inout BufferState) -> UnsafeMutableRawPointer? {
        guard decide(state.isPlain), decide(state.count > 0), !isYieldDue(state.received) else { return nil }
        let mask = state.occupied
        guard mask & (mask &- 1) == 0 else { return claimOfSeveral(&state) }
        let lane = mask.trailingZeroBitCount
        let cell =
            state.isWeighed
            ? takeFirst(of: lane, &state, isWeighed: true) : takeFirst(of: lane, &state, isWeighed: false)
        return layout.element(cell)
    }

    @inline(never)
    private func claimOfSeveral(_ state: inout BufferState) -> UnsafeMutableRawPointer? {
        layout.element(takeNext(&state))
    }

    @inline(__always)
    func isYieldDue(_ operations: UInt64) -> Bool { operations & (Self.yieldInterval - 1) == Self.yieldInterval - 1 }

    // MARK: - Lanes

    /// Whether an element of this cost fits into the lane and under the ceiling.
    func hasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int) -> Bool {
        hasRoom(state, lane, cost, isWeighed: state.isWeighed)
    }

    func laneHasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int) -> Bool {
        laneHasRoom(state, lane, cost, isWeighed: state.isWeighed)
    }

    @inline(__always)
    private func hasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int, isWeighed: Bool) -> Bool {
        let taken = isWeighed ? state.weight : state.count
        return decide(cost <= state.capacity &- taken) && decide(state.count < state.maxElements)
            && laneHasRoom(state, lane, cost, isWeighed: isWeighed)
    }

    @inline(__always)
    private func laneHasRoom(_ state: borrowing BufferState, _ lane: Int, _ cost: Int, isWeighed: Bool) -> Bool {
        let lane = state.lanes + lane
        return decide(cost <= lane.pointee.bound &- (isWeighed ? lane.pointee.weight : lane.pointee.count))
    }

    /// A cell at the end of `lane` for an element that fits.
    func link(_ state: inout BufferState, lane: Int, cost: Int) -> CellPointer {
        guard let cell = state.store.takeUsed() ?? state.store.takeFresh() else {
            preconditionFailure("no cell for an element")
        }
        link(cell, &state, lane: lane, cost: cost, isWeighed: state.isWeighed)
        return cell
    }

    @inline(__always)
    private func link(
        _ cell: CellPointer, _ state: inout BufferState, lane index: Int, cost: Int, isWeighed: Bool
    ) {
        let lane = state.lanes + index
        cell.pointee.ticket = state.entered
        if isWeighed {
            cell.pointee.cost = cost
            state.weight &+= cost
        }
        if state.laneCount > 1 { cell.pointee.lane = UInt8(truncatingIfNeeded: index) }
        if lane.pointee.count == 0 {
            state.occupied |= 1 &<< UInt64(truncatingIfNeeded: index)
            state.departures.begin(index)
        }
        lane.pointee.append(cell, isWeighed: isWeighed)
        state.entered &+= 1
        if state.count > state.peakCount { state.peakCount = state.count }
    }

    /// Takes the cell whose turn it is out of its lane and gives it back to the store.
    ///
    /// The element stays in it until the lock is released. There is one.
    func takeNext(_ state: inout BufferState) -> CellPointer {
        takeFirst(of: next(state), &state, isWeighed: state.isWeighed)
    }

    @inline(__always)
    private func takeFirst(of index: Int, _ state: inout BufferState, isWeighed: Bool) -> CellPointer {
        let lane = state.lanes + index
        guard let cell = lane.pointee.removeFirst(isWeighed: isWeighed) else {
            preconditionFailure("an occupied lane has no element")
        }
        let isEmpty = lane.pointee.count == 0
        state.departures.serve(index, goesOn: !isEmpty)
        giveBack(cell, index, &state, isEmpty: isEmpty, isWeighed: isWeighed)
        return cell
    }

    /// The lane whose turn it is; some lane has elements.
    @inline(__always)
    func next(_ state: borrowing BufferState) -> Int {
        let lanes = state.lanes
        return state.departures.next(state.occupied) { lanes[$0].first?.pointee.ticket ?? .max }
    }

    /// Takes `cell` out of its lane for another end than to be received, and gives it back; its element is still in it.
    func unlink(_ cell: CellPointer, _ index: Int, _ state: inout BufferState) {
        state.lanes[index].remove(cell)
        state.dropped &+= 1
        giveBack(cell, index, &state, isEmpty: state.lanes[index].count == 0, isWeighed: state.isWeighed)
    }

    @inline(__always)
    private func giveBack(
        _ cell: CellPointer, _ index: Int, _ state: inout BufferState, isEmpty: Bool, isWeighed: Bool
    ) {
        if isEmpty { state.occupied &= ~(1 &<< UInt64(truncatingIfNeeded: index)) }
        if isWeighed { state.weight &-= cell.pointee.cost }
        state.store.give(cell)
    }
}
