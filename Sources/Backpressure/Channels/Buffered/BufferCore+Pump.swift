// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where elements, room and waiters meet; and where elements leave that nobody receives. All under the lock.

extension BufferCore {
    // MARK: - Who comes in, who gets one

    /// Serves senders and receivers until nothing more fits.
    ///
    /// Idempotent.
    func pump(_ state: inout BufferState, _ effects: inout BufferEffects) {
        admit(&state, &effects)
        while let receiver = state.receivers.first, decide(state.count > 0) {
            let cell = takeOut(&state)
            PlainAccess.read(layout.element(cell))
            PlainAccess.write(element(of: receiver))
            actions.move(element(of: receiver), layout.element(cell))
            end(receiver, .granted, &state, &effects)
            admit(&state, &effects)
        }
        guard state.closure != .open, decide(state.count == 0) else { return }
        let verdict = state.closure == .abandoned ? Verdict.abandoned : .finished
        while let receiver = state.receivers.first { end(receiver, verdict, &state, &effects) }
        while let drainer = state.drainers.first { end(drainer, .granted, &state, &effects) }
    }

    /// Lets waiting senders in while they fit, each in its turn.
    func admit(_ state: inout BufferState, _ effects: inout BufferEffects) {
        while state.waiting != 0, let lane = admissible(state) {
            guard let sender = state.lanes[lane].senders.first else { preconditionFailure("nobody waits in the lane") }
            state.admissions.serve(lane)
            let head = cell(of: sender)
            enter(
                &state, from: layout.element(head), lane: lane, cost: head.pointee.cost, expiry: head.pointee.deadline)
            end(sender, .granted, &state, &effects)
        }
    }

    /// The lane whose first sender is next and fits; nil when nobody may come in.
    ///
    /// A sender without room in its own lane holds up only that lane. One that is next and does not fit under the
    /// ceiling holds up everybody: a large element is not starved by small ones.
    func admissible(_ state: borrowing BufferState) -> Int? {
        var mask = state.waiting
        let lanes = state.lanes
        while decide(mask != 0) {
            let lane = state.admissions.next(mask) { lanes[$0].senders.first?.pointer.pointee.ordinal ?? .max }
            guard let sender = lanes[lane].senders.first else { preconditionFailure("nobody waits in the lane") }
            let cost = cell(of: sender).pointee.cost
            if laneHasRoom(state, lane, cost) { return hasRoom(state, lane, cost) ? lane : nil }
            guard order != .arrival else { return nil }
            mask &= ~(1 << UInt64(lane))
        }
        return nil
    }

    /// Moves the element at `source`, which fits, to the end of its lane.
    func enter(_ state: inout BufferState, from source: UnsafeMutableRawPointer, lane: Int, cost: Int, expiry: Int64) {
        let wasEmpty = state.lanes[lane].count == 0
        let cell = link(&state, lane: lane, cost: cost)
        state.delays?.entered(cell, lane: lane, wasEmpty: wasEmpty)
        PlainAccess.read(source)
        PlainAccess.write(layout.element(cell))
        actions.move(layout.element(cell), source)
        setExpiry(of: cell, lane: lane, expiry, &state)
    }

    /// Gives the element in `cell`, which is in `lane`, a deadline.
    func setExpiry(of cell: CellPointer, lane: Int, _ expiry: Int64, _ state: inout BufferState) {
        let number = Int(cell.pointee.number)
        cell.pointee.deadline = expiry
        cell.pointee.lane = UInt8(truncatingIfNeeded: lane)
        guard expiry != .max else { return state.expiries.remove(number) }
        while state.cellsByNumber.count <= number { state.cellsByNumber.append(nil) }
        state.cellsByNumber[number] = cell
        state.expiries.set(number, deadline: expiry)
    }

    /// Takes the next element out of its lane; it stays in its cell until the lock is released.
    func takeOut(_ state: inout BufferState) -> CellPointer {
        let cell = Self.takeNext(&state)
        forgetExpiry(of: cell, &state)
        return cell
    }

    private func forgetExpiry(of cell: CellPointer, _ state: inout BufferState) {
        guard cell.pointee.deadline != .max else { return }
        cell.pointee.deadline = .max
        state.expiries.remove(Int(cell.pointee.number))
    }

    /// Takes a waiter out of its list and orders its wake.
    func end(
        _ waiter: WaiterRef, _ verdict: Verdict, _ state: inout BufferState, _ effects: inout BufferEffects
    ) {
        switch waiter.pointer.pointee.list {
        case BufferState.receiverTag: state.receivers.remove(waiter)
        case BufferState.watcherTag: state.watchers.remove(waiter)
        case BufferState.drainerTag: state.drainers.remove(waiter)
        default:
            let lane = Int(cell(of: waiter).pointee.lane)
            state.lanes[lane].senders.remove(waiter)
            if state.lanes[lane].senders.isEmpty { state.waiting &= ~(1 << UInt64(lane)) }
        }
        state.deadlines.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    // MARK: - What nobody receives

    /// Takes `cell` out of its lane and orders its element to the hook; the caller has counted it.
    func drop(
        _ cell: CellPointer, _ lane: Int, _ state: inout BufferState, _ effects: inout BufferEffects,
        reason: Rejection.Code
    ) {
        forgetExpiry(of: cell, &state)
        unlink(cell, lane, &state)
        let source = layout.element(cell)
        PlainAccess.read(source)
        if let scratch = effects.scratch, effects.scratchReason == nil {
            actions.move(scratch, source)
            effects.scratchReason = reason
        } else {
            let node = node()
            self.cell(of: node).pointee.reason = reason
            actions.move(element(of: node), source)
            effects.undelivered.append(node)
        }
    }

    /// Drops what is due, lets in who then fits, and drops what of that is due.
    func expire(_ state: inout BufferState, _ effects: inout BufferEffects, now: Int64) {
        while let number = state.expiries.due(at: now) {
            guard let cell = state.cellsByNumber[number] else { preconditionFailure("a cell without a place") }
            let lane = Int(cell.pointee.lane)
            state.lanes[lane].counters.expired += 1
            drop(cell, lane, &state, &effects, reason: .expired)
            if state.expiries.due(at: now) == nil { pump(&state, &effects) }
        }
    }
}
