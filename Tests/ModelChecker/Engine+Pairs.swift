// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The compare-exchange of two neighbouring words as one step.
//
// Each half stays a location of its own, with its own history: loads and stores of one half are the ordinary steps. The
// exchange reads the newest value of both and, when they match, stores to both. It counts as a write of both halves
// whether it will succeed or not, which keeps a few more schedules apart than necessary and loses none.

extension Engine {
    func exchangePair(
        _ address: UnsafeMutableRawPointer, _ expected: (low: UInt64, high: UInt64),
        _ desired: (low: UInt64, high: UInt64), _ order: MemoryOrder, weak: Bool, _ file: StaticString, _ line: UInt
    ) -> Bool {
        let kind = weak ? OperationKind.weakCompareExchange : .compareExchange
        let site = siteIndex(file, line, kind)
        var order = order
        var desired = desired
        var skips = false
        if isMutated(site), let mutation = state.pointee.mutation {
            order = mutation.weakened(order)
            skips = mutation.effect == .skip
            if mutation.effect == .oneMore { desired.low &+= 1 }
        }
        let cell = address.assumingMemoryBound(to: UInt64.self)
        if state.pointee.phase == .host {
            hostStep()
            guard cell[0] == expected.low, cell[1] == expected.high else { return false }
            if !skips { (cell[0], cell[1]) = (desired.low, desired.high) }
            return true
        }

        let indices = [locate(UInt(bitPattern: address), .word), locate(UInt(bitPattern: address + 8), .word)]
        announce(
            Operation(
                kind: kind, order: order, location: Int32(truncatingIfNeeded: indices[0]),
                second: Int32(truncatingIfNeeded: indices[1]), site: site, operand: desired.low,
                expected: expected.low))

        let thread = state.pointee.running
        for index in indices {
            let location = state.pointee.table.locations + index
            checkAtomic(location, thread, site, writes: true)
            location.pointee.atomicSites[thread] = site
            noteRead(location, thread)
            if order.acquires { threads[thread].clock.join(location.pointee.released) }
        }
        let original = cell[0]
        var exchanged = original == expected.low && cell[1] == expected.high
        if weak, exchanged, failsForNoReason(thread) { exchanged = false }
        if exchanged, !skips {
            (cell[0], cell[1]) = (desired.low, desired.high)
            publish(cell, indices[0], thread, order, isPlainStore: false)
            publish(cell + 1, indices[1], thread, order, isPlainStore: false)
        } else if state.pointee.options.staleLoads > 0 {
            for index in indices { noteFirstRead(newestRecord(index), thread) }
        }
        if state.pointee.isTracing { trace(thread, threads[thread].pending, (original, exchanged), after: cell[0]) }
        threads[thread].clock[thread] &+= 1
        return exchanged
    }
}
