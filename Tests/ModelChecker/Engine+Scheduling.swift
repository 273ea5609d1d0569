// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The scheduler: who can step, whose turn it is, and which steps depend on each other.
//
// ## Algorithm
// A fibre announces its next step, then calls the scheduler on its own stack. The scheduler finds out who can step,
// asks the search whose turn it is, and switches there; the chosen fibre comes out of its own announcement and does
// its step, and everything up to its next announcement. So each thread stops *before* its next step, which is what
// lets sleep sets compare steps that have not been taken.

extension Engine {
    /// Announces the running thread's next step; returns when it is this thread's turn to do it.
    @inline(__always)
    func announce(_ operation: Operation) {
        let thread = state.pointee.running
        threads[thread].pending = operation
        if state.pointee.phase == .starting { return switchTo(state.pointee.host) }
        if state.pointee.isRescuing { return goOn(thread) }
        let next = choose()
        if next != thread {
            state.pointee.running = next
            switchTo(threads[next].fiber)
        }
    }

    /// The next step of the rescuer, whose turn lasts until it has finished.
    private func goOn(_ thread: Int) {
        state.pointee.steps += 1
        if state.pointee.steps > state.pointee.options.maxSteps || !canStep(thread) { reportDeadlock() }
        if state.pointee.search.reverses { noteStep(of: thread, at: -1) }
    }

    /// The thread that steps next, or -1 if all have finished.
    func choose() -> Int {
        var enabled: UInt8 = 0
        for thread in 0..<state.pointee.threadCount where canStep(thread) { enabled |= 1 << UInt8(thread) }
        if state.pointee.search.reverses { noteWaiting(except: enabled) }
        if enabled == 0, state.pointee.scenario?.rescue != nil {
            // The rescuer is the last thread.
            let rescuer = state.pointee.threadCount - 1
            if !threads[rescuer].isFinished, threads[rescuer].pending.kind == .rescue { enabled = 1 << UInt8(rescuer) }
        }
        if enabled == 0 {
            if state.pointee.finished == state.pointee.threadCount {
                if state.pointee.search.hasChoicesLeft { reportDivergence() }
                return -1
            }
            reportDeadlock()
        }
        state.pointee.steps += 1
        if state.pointee.steps > state.pointee.options.maxSteps {
            report(.stepLimit, "the execution did not end within \(state.pointee.options.maxSteps) steps")
        }
        let chosen: Int
        var node = -1
        if enabled & (enabled &- 1) == 0 {
            chosen = enabled.trailingZeroBitCount
            state.pointee.search.noteForced(chosen)
        } else {
            let running = state.pointee.running
            let mayGoOn = running >= 0 && !threads[running].isFinished && threads[running].pending.kind != .pause
            chosen = state.pointee.search.pickThread(
                enabled, running: running, mayGoOn: mayGoOn, step: state.pointee.steps)
            if state.pointee.search.diverged || !state.pointee.search.confirm(threads[chosen].pending.site) {
                reportDivergence()
            }
            node = state.pointee.search.currentNode
        }
        if state.pointee.search.reduces { wakeDependents(of: chosen) }
        if state.pointee.search.reverses { noteStep(of: chosen, at: node) }
        return chosen
    }

    @inline(__always)
    private func canStep(_ thread: Int) -> Bool {
        let record = threads + thread
        if record.pointee.isFinished { return false }
        switch record.pointee.pending.kind {
        case .lock: return state.pointee.table.locations[Int(record.pointee.pending.location)].owner < 0
        case .pause: return record.pointee.isWoken
        case .rescue: return false
        case .section: return !state.pointee.table.hasOwnedLock
        case .park: return !isParked(thread)
        default: return true
        }
    }

    func isParked(_ thread: Int) -> Bool {
        let pending = threads[thread].pending
        guard let predicate = threads[thread].predicate else { return false }
        let second = pending.second >= 0 ? value(pending.second) : 0
        return predicate(value(pending.location), second)
    }

    @inline(__always)
    func value(_ location: Int32) -> UInt64 {
        let address = state.pointee.table.locations[Int(location)].address
        return UnsafePointer<UInt64>(bitPattern: address).unsafelyUnwrapped.pointee
    }

    // MARK: Dependence

    /// Takes out of the sleep set every thread whose step depends on the one `chosen` is about to take.
    private func wakeDependents(of chosen: Int) {
        var rest = state.pointee.search.sleep & ~(1 << UInt8(chosen))
        var sleep = rest
        while rest != 0 {
            let thread = rest.trailingZeroBitCount
            rest &= rest &- 1
            if depend(threads[thread].pending, threads[chosen].pending) { sleep &= ~(1 << UInt8(thread)) }
        }
        state.pointee.search.sleep = sleep
    }

    /// May the order of two steps matter, in the present state? A pause depends on nothing: what enables it does so
    /// for good, and it touches nothing but its own thread.
    private func depend(_ first: Operation, _ second: Operation) -> Bool {
        let shared =
            first.location >= 0
            && (first.location == second.location || first.location == second.second
                || (first.second >= 0 && (first.second == second.location || first.second == second.second)))
        guard shared else { return false }
        if isOfHistory(first.kind) { return first.kind != second.kind }
        return writes(first) || writes(second)
    }

    @inline(__always)
    private func isOfHistory(_ kind: OperationKind) -> Bool { kind == .invoke || kind == .respond }

    /// A compare-exchange that would fail now is a read; one of a pair of words is taken for a write.
    func writes(_ operation: Operation) -> Bool {
        switch operation.kind {
        case .load, .park, .pause, .rescue, .section: false
        case .compareExchange, .weakCompareExchange:
            operation.second >= 0 || value(operation.location) == operation.expected
        default: true
        }
    }

    /// Another thread than `thread` changed this location: pauses of those that had read it end.
    @inline(__always)
    func wakeReaders(of location: UnsafeMutablePointer<Location>, except thread: Int) {
        var readers = location.pointee.readers & ~(1 << UInt8(thread))
        while readers != 0 {
            threads[readers.trailingZeroBitCount].isWoken = true
            readers &= readers &- 1
        }
    }

    // MARK: Violations

    /// Ends the execution and the exploration here.
    func report(_ kind: Violation.Kind, _ message: String) -> Never {
        let replay = state.pointee.search.replay.map { String($0) }.joined(separator: ",")
        state.pointee.violation = Violation(
            kind: kind, message: message, steps: state.pointee.trace, replay: replay)
        switchTo(state.pointee.root)
        preconditionFailure("an abandoned fibre was continued")
    }

    @inline(never)
    private func reportDivergence() -> Never {
        report(.nondeterminism, "the same choices led to other steps than before")
    }

    private func reportDeadlock() -> Never {
        var parts: [String] = []
        for thread in 0..<state.pointee.threadCount where !threads[thread].isFinished {
            let pending = threads[thread].pending
            var text = "thread \(thread) waits in \(pending.kind)"
            if pending.location >= 0 {
                text += " at \(name(of: pending.location))"
                let owner = state.pointee.table.locations[Int(pending.location)].owner
                if pending.kind == .lock, owner >= 0 { text += " held by thread \(owner)" }
                if pending.kind == .park { text += " = \(value(pending.location))" }
            }
            parts.append("\(text) (\(site(pending.site)))")
        }
        report(.deadlock, parts.joined(separator: "; "))
    }
}
