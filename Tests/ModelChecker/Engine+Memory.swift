// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Atomic operations, locks and waits: what a step does to memory and to the clocks.
//
// ## Happens-before
// Vector clocks (Fidge 1988, Mattern 1989). A releasing store puts its thread's clock into the location, a relaxed one
// empties it; a read-modify-write joins or leaves it, so release sequences go on through it. An acquiring load joins
// it. A thread's own component counts its atomic steps, so an epoch names a stretch between two of them.
//
// ## Stale loads
// A word keeps its last eight stores. A load may return one of them unless a newer store of the word happens before
// the load, or was read by something that happens before it (coherence). Read-modify-writes and parks read the newest.
// The budget of stale loads is each thread's own: a shared one would make all loads depend on each other. It is not
// the whole C11 model: values come from stores that were already made (no load buffering), and a failed
// compare-exchange reads the newest value.

import ModelFibers

extension Engine {
    /// The location at `address`, noted as read or written by the mutual order of atomics.
    @inline(__always)
    func locate(_ address: UInt, _ role: Location.Role) -> Int {
        let (index, isNew) = state.pointee.table.find(address, role: role)
        if isNew { introduce(index, role) }
        return index
    }

    @inline(never)
    private func introduce(_ index: Int, _ role: Location.Role) {
        let location = state.pointee.table.locations + index
        for (range, site) in state.pointee.freed where range.contains(location.pointee.address) {
            location.pointee.freedSite = site
        }
        guard role == .word, state.pointee.options.staleLoads > 0, location.pointee.address != Self.historyAddress,
            location.pointee.freedSite < 0
        else { return }
        let cell = UnsafePointer<UInt64>(bitPattern: location.pointee.address).unsafelyUnwrapped
        state.pointee.table.history[index * LocationTable.historyLength] = StoreRecord(value: cell.pointee)
        state.pointee.table.historyCounts[index] = 1
    }

    @inline(__always)
    func siteIndex(_ file: StaticString, _ line: UInt, _ kind: OperationKind) -> Int32 {
        let index = state.pointee.sites.find(file, line, kind)
        state.pointee.sites.touched[index] = true
        return Int32(truncatingIfNeeded: index)
    }

    @inline(__always)
    func isMutated(_ site: Int32) -> Bool {
        guard state.pointee.sites.mutated[Int(site)] else { return false }
        state.pointee.mutationHits += 1
        return true
    }

    /// A step outside the threads: no choice, but still not for ever.
    func hostStep() {
        state.pointee.hostSteps += 1
        if state.pointee.hostSteps > Engine.maxHostSteps { report(.stepLimit, "setup or check does not end") }
    }

    // MARK: Atomic operations

    /// Does one atomic operation; returns what the word held, and whether a compare-exchange exchanged.
    func atomic(
        _ kind: OperationKind, _ address: UnsafeMutableRawPointer, _ order: MemoryOrder, _ operand: UInt64,
        _ expected: UInt64, _ file: StaticString, _ line: UInt
    ) -> (original: UInt64, exchanged: Bool) {
        let site = siteIndex(file, line, kind)
        var (order, operand) = (order, operand)
        var skips = false
        var seen: UInt64 = 0
        if isMutated(site), let mutation = state.pointee.mutation {
            order = mutation.weakened(order)
            switch mutation.effect {
            case .skip: skips = true
            case .oneMore: if kind == .load { seen = 1 } else { operand &+= 1 }
            case .delay:
                if state.pointee.phase == .threads, threads[state.pointee.running].delayed == nil {
                    threads[state.pointee.running].delayed = DelayedStore(
                        address: address, order: order, value: operand, site: site)
                    return (0, false)
                }
            default: break
            }
        }
        let delayed = state.pointee.phase == .host ? nil : takeDelayedStore()
        var result = atomicStep(kind, address, order, operand, expected, site, skips)
        result.original &+= seen
        if let delayed {
            _ = atomicStep(.store, delayed.address, delayed.order, delayed.value, 0, delayed.site, false)
        }
        return result
    }

    // MARK: Delayed stores

    @inline(__always)
    private func takeDelayedStore() -> DelayedStore? {
        let thread = state.pointee.running
        guard threads[thread].delayed != nil else { return nil }
        let delayed = threads[thread].delayed
        threads[thread].delayed = nil
        return delayed
    }

    /// Makes the store that a mutation has held back, if there is one.
    @inline(__always)
    func makeDelayedStore(_ thread: Int) {
        guard threads[thread].delayed != nil, let delayed = takeDelayedStore() else { return }
        _ = atomicStep(.store, delayed.address, delayed.order, delayed.value, 0, delayed.site, false)
    }

    private func atomicStep(
        _ kind: OperationKind, _ address: UnsafeMutableRawPointer, _ order: MemoryOrder, _ operand: UInt64,
        _ expected: UInt64, _ site: Int32, _ skips: Bool
    ) -> (original: UInt64, exchanged: Bool) {
        let cell = address.assumingMemoryBound(to: UInt64.self)
        if state.pointee.phase == .host {
            hostStep()
            return change(cell, kind, operand, expected, skips)
        }

        let index = locate(UInt(bitPattern: address), .word)
        announce(
            Operation(
                kind: kind, order: order, location: Int32(truncatingIfNeeded: index), site: site, operand: operand,
                expected: expected))

        let thread = state.pointee.running
        let location = state.pointee.table.locations + index
        checkAtomic(location, thread, site, writes: kind != .load)
        location.pointee.atomicSites[thread] = site
        if kind != .store { noteRead(location, thread) }

        let result: (original: UInt64, exchanged: Bool)
        if kind == .load {
            result = (load(cell, index, thread, order), false)
        } else if kind == .weakCompareExchange, cell.pointee == expected, failsForNoReason(thread) {
            if order.acquires { threads[thread].clock.join(location.pointee.released) }
            result = (expected, false)
        } else {
            result = change(cell, kind, operand, expected, skips)
            let isCompare = kind == .compareExchange || kind == .weakCompareExchange
            if order.acquires, kind != .store { threads[thread].clock.join(location.pointee.released) }
            if !(isCompare && !result.exchanged) && !skips {
                publish(cell, index, thread, order, isPlainStore: kind == .store)
            } else if state.pointee.options.staleLoads > 0 {
                noteFirstRead(newestRecord(index), thread)
            }
        }
        if state.pointee.isTracing { trace(thread, threads[thread].pending, result, after: cell.pointee) }
        threads[thread].clock[thread] &+= 1
        return result
    }

    @inline(__always)
    private func change(
        _ cell: UnsafeMutablePointer<UInt64>, _ kind: OperationKind, _ operand: UInt64, _ expected: UInt64,
        _ skips: Bool
    ) -> (original: UInt64, exchanged: Bool) {
        let original = cell.pointee
        var next = original
        var exchanged = false
        switch kind {
        case .store, .exchange: next = operand
        case .fetchOr: next = original | operand
        case .fetchAnd: next = original & operand
        case .fetchAdd: next = original &+ operand
        case .compareExchange, .weakCompareExchange:
            exchanged = original == expected
            if exchanged { next = operand }
        default: break
        }
        if !skips { cell.pointee = next }
        return (original, exchanged)
    }

    /// What a store or a successful read-modify-write leaves in the location.
    @inline(__always)
    func publish(
        _ cell: UnsafeMutablePointer<UInt64>, _ index: Int, _ thread: Int, _ order: MemoryOrder, isPlainStore: Bool
    ) {
        let location = state.pointee.table.locations + index
        let clock = threads[thread].clock
        location.pointee.atomicWrites[thread] = clock[thread]
        if isPlainStore {
            location.pointee.released = order.releases ? clock : Clock()
        } else if order.releases {
            location.pointee.released.join(clock)
        }
        wakeReaders(of: location, except: thread)
        guard state.pointee.options.staleLoads > 0 else { return }
        let count = state.pointee.table.historyCounts[index]
        let ring = state.pointee.table.history + index * LocationTable.historyLength
        var record = StoreRecord(
            value: cell.pointee, released: location.pointee.released, writer: Int32(thread), epoch: clock[thread])
        record.firstReads[thread] = clock[thread]
        ring[count & (LocationTable.historyLength - 1)] = record
        state.pointee.table.historyCounts[index] = count + 1
    }

    // MARK: Loads

    @inline(__always)
    private func load(_ cell: UnsafeMutablePointer<UInt64>, _ index: Int, _ thread: Int, _ order: MemoryOrder) -> UInt64
    {
        let location = state.pointee.table.locations + index
        location.pointee.atomicReads[thread] = threads[thread].clock[thread]
        guard state.pointee.options.staleLoads > 0 else {
            if order.acquires { threads[thread].clock.join(location.pointee.released) }
            return cell.pointee
        }
        let record = chooseRecord(index, thread)
        noteFirstRead(record, thread)
        if order.acquires { threads[thread].clock.join(record.pointee.released) }
        return record.pointee.value
    }

    func newestRecord(_ index: Int) -> UnsafeMutablePointer<StoreRecord> {
        let newest = (state.pointee.table.historyCounts[index] - 1) & (LocationTable.historyLength - 1)
        return state.pointee.table.history + (index * LocationTable.historyLength + newest)
    }

    func noteFirstRead(_ record: UnsafeMutablePointer<StoreRecord>, _ thread: Int) {
        if record.pointee.firstReads[thread] == 0 { record.pointee.firstReads[thread] = threads[thread].clock[thread] }
    }

    private func chooseRecord(_ index: Int, _ thread: Int) -> UnsafeMutablePointer<StoreRecord> {
        let length = LocationTable.historyLength
        guard threads[thread].staleLoads > 0 else { return newestRecord(index) }
        let count = state.pointee.table.historyCounts[index]
        let ring = state.pointee.table.history + index * length
        let clock = threads[thread].clock
        // The oldest store that may be read is the newest one that something before this load wrote or read.
        var options = 1
        while options < min(count, length) {
            let record = ring + ((count - options) & (length - 1))
            let writer = record.pointee.writer
            if writer < 0 || record.pointee.epoch <= clock[Int(writer)] { break }
            let reads = record.pointee.firstReads
            if any((reads .!= Clock()) .& (reads .<= clock)) { break }
            options += 1
        }
        guard options > 1 else { return newestRecord(index) }
        let age = state.pointee.search.pickValue(options)
        if age > 0 {
            threads[thread].staleLoads -= 1
            threads[thread].isWoken = true  // the newer value will be seen: a pause is not for ever
        }
        return ring + ((count - 1 - age) & (length - 1))
    }

    func failsForNoReason(_ thread: Int) -> Bool {
        guard threads[thread].spuriousFailures > 0, state.pointee.search.pickValue(2) == 1 else { return false }
        threads[thread].spuriousFailures -= 1
        threads[thread].isWoken = true
        return true
    }

    // MARK: Locks

    func lock(_ address: UnsafeRawPointer, _ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .lock)
        let index = locate(UInt(bitPattern: address) + 1, .lock)  // a place of its own beside the word's
        announce(
            Operation(kind: .lock, order: .acquiring, location: Int32(truncatingIfNeeded: index), site: site))
        let thread = state.pointee.running
        let location = state.pointee.table.locations + index
        checkFreed(location, thread, site)
        location.pointee.owner = Int32(truncatingIfNeeded: thread)
        noteRead(location, thread)
        threads[thread].clock.join(location.pointee.released)
        if state.pointee.isTracing { trace(thread, threads[thread].pending, (0, false), after: 0) }
    }

    func unlock(_ address: UnsafeRawPointer, _ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .unlock)
        let index = locate(UInt(bitPattern: address) + 1, .lock)  // a place of its own beside the word's
        announce(
            Operation(kind: .unlock, order: .releasing, location: Int32(truncatingIfNeeded: index), site: site))
        let thread = state.pointee.running
        let location = state.pointee.table.locations + index
        checkFreed(location, thread, site)
        precondition(location.pointee.owner == Int32(thread), "unlock of a lock that this thread does not hold")
        location.pointee.owner = -1
        location.pointee.released = threads[thread].clock
        wakeReaders(of: location, except: thread)
        if state.pointee.isTracing { trace(thread, threads[thread].pending, (0, false), after: 0) }
        threads[thread].clock[thread] &+= 1
        makeDelayedStore(thread)
    }

    // MARK: Histories

    /// Where the beginnings and the ends of operations meet: no memory of the model.
    private static let historyAddress = UInt(1)

    /// An operation of a history begins or ends; returns when, in the order of this execution's steps.
    func mark(_ kind: OperationKind) -> Int {
        guard state.pointee.phase != .host else {
            hostStep()
            return state.pointee.steps + state.pointee.hostSteps
        }
        let index = locate(Self.historyAddress, .word)
        announce(Operation(kind: kind, location: Int32(truncatingIfNeeded: index)))
        return state.pointee.steps
    }

    // MARK: Stretches without a switch

    /// Runs `body` when nobody holds a lock, and lets nobody else step meanwhile.
    func withoutSwitching(_ body: () -> Void) {
        guard state.pointee.phase == .threads, !state.pointee.isRescuing else { return body() }
        announce(Operation(kind: .section))
        if state.pointee.isTracing {
            trace(state.pointee.running, threads[state.pointee.running].pending, (0, false), after: 0)
        }
        state.pointee.isRescuing = true
        body()
        state.pointee.isRescuing = false
    }

    // MARK: Waits

    @inline(__always)
    func noteRead(_ location: UnsafeMutablePointer<Location>, _ thread: Int) {
        location.pointee.readers |= 1 << UInt8(thread)
    }

    /// Waits until another thread changes something that was read since the last pause.
    func pause(_ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .pause)
        announce(Operation(kind: .pause, site: site))
        let thread = state.pointee.running
        threads[thread].isWoken = false
        let locations = state.pointee.table.locations
        for index in 0..<state.pointee.table.count { locations[index].readers &= ~(1 << UInt8(thread)) }
        if state.pointee.isTracing { trace(thread, threads[thread].pending, (0, false), after: 0) }
    }

    /// Waits until `predicate` no longer holds of the words, and acquires what their writers released if it `acquires`.
    func park(
        _ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer?,
        _ predicate: @escaping (UInt64, UInt64) -> Bool, acquires: Bool = true, _ file: StaticString, _ line: UInt
    ) {
        let site = siteIndex(file, line, .park)
        if state.pointee.phase == .host {
            let other = second?.assumingMemoryBound(to: UInt64.self).pointee ?? 0
            if predicate(first.assumingMemoryBound(to: UInt64.self).pointee, other) {
                report(.deadlock, "parked for ever in setup or check (\(self.site(site)))")
            }
            return
        }
        makeDelayedStore(state.pointee.running)
        let index = locate(UInt(bitPattern: first), .word)
        let other = second.map { locate(UInt(bitPattern: $0), .word) } ?? -1
        threads[state.pointee.running].predicate = predicate
        announce(
            Operation(
                kind: .park, order: .acquiring, location: Int32(truncatingIfNeeded: index),
                second: Int32(truncatingIfNeeded: other), site: site))
        let thread = state.pointee.running
        threads[thread].predicate = nil
        for index in [index, other] where index >= 0 {
            let location = state.pointee.table.locations + index
            checkAtomic(location, thread, site, writes: false)
            location.pointee.atomicSites[thread] = site
            location.pointee.atomicReads[thread] = threads[thread].clock[thread]
            noteRead(location, thread)
            if acquires { threads[thread].clock.join(location.pointee.released) }
            if state.pointee.options.staleLoads > 0 { noteFirstRead(newestRecord(index), thread) }
        }
        if state.pointee.isTracing { trace(thread, threads[thread].pending, (0, false), after: 0) }
        threads[thread].clock[thread] &+= 1
    }
}
