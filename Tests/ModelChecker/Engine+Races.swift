// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Data races and uses after free.
//
// ## Algorithm
// Epochs as in FastTrack (Flanagan, Freund, 2009): of the last plain write a thread and its clock; of reads one epoch
// a thread. An access races if an earlier conflicting one is not covered by its thread's clock. Plain accesses are not
// scheduling points: whether two of them race depends on the order of atomic steps alone, and every such order is
// explored. An atomic access and a plain one of the same address are compared the same way.
//
// Memory given back is remembered until the execution ends. Access to it is reported before it is made.

extension Engine {
    func plainRead(_ address: UnsafeRawPointer, _ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .plainRead)
        let index = locate(UInt(bitPattern: address), .plain)
        let location = state.pointee.table.locations + index
        let thread = state.pointee.running
        let clock = threads[thread].clock
        if state.pointee.isTracing { tracePlain(thread, "reads", index, site) }
        checkFreed(location, thread, site)
        checkPlainWrite(location, thread, site, "read")
        if !location.pointee.atomicWrites.isBefore(clock) { reportAtomicRace(location, thread, site, "read") }
        location.pointee.plainReads[thread] = clock[thread]
        location.pointee.plainReadSites[thread] = site
    }

    func plainWrite(_ address: UnsafeRawPointer, _ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .plainWrite)
        let index = locate(UInt(bitPattern: address), .plain)
        let location = state.pointee.table.locations + index
        let thread = state.pointee.running
        if state.pointee.isTracing { tracePlain(thread, "writes", index, site) }
        checkFreed(location, thread, site)
        checkExclusive(location, thread, site, "write")
        location.pointee.plainWriter = Int32(truncatingIfNeeded: thread)
        location.pointee.plainWriteEpoch = threads[thread].clock[thread]
        location.pointee.plainWriteSite = site
    }

    func free(_ address: UnsafeRawPointer, _ byteCount: Int, _ file: StaticString, _ line: UInt) {
        guard state.pointee.phase != .host else { return hostStep() }
        let site = siteIndex(file, line, .free)
        let thread = state.pointee.running
        let start = UInt(bitPattern: address)
        let range = start..<(start + UInt(max(byteCount, 1)))
        if state.pointee.isTracing { traceText(thread, "frees \(byteCount) bytes", site) }
        for (other, earlier) in state.pointee.freed where other.overlaps(range) {
            report(
                .useAfterFree,
                "thread \(thread) frees (\(self.site(site))) memory that was freed at \(self.site(earlier))")
        }
        for index in 0..<state.pointee.table.count {
            let location = state.pointee.table.locations + index
            guard range.contains(location.pointee.address) else { continue }
            checkExclusive(location, thread, site, "free")
            location.pointee.freedSite = site
        }
        state.pointee.freed.append((range, site))
    }

    /// Fresh memory: what was known of these addresses was about something else.
    func allocated(_ address: UnsafeRawPointer, _ byteCount: Int) {
        guard state.pointee.phase == .threads || state.pointee.phase == .starting else { return }
        let start = UInt(bitPattern: address)
        let range = start..<(start + UInt(max(byteCount, 1)))
        state.pointee.freed.removeAll { $0.range.overlaps(range) }
        for index in 0..<state.pointee.table.count {
            let location = state.pointee.table.locations + index
            guard range.contains(location.pointee.address) else { continue }
            var fresh = Location()
            fresh.address = location.pointee.address
            fresh.number = location.pointee.number
            fresh.role = location.pointee.role
            // The order of steps is one of addresses: what was done here before still counts.
            fresh.order = location.pointee.order
            location.pointee = fresh
            guard state.pointee.options.staleLoads > 0 else { continue }
            state.pointee.table.historyCounts[index] = 1
            state.pointee.table.history[index * LocationTable.historyLength] = StoreRecord()
        }
    }

    // MARK: Checks

    @inline(__always)
    func checkFreed(_ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32) {
        guard location.pointee.freedSite >= 0 else { return }
        report(
            .useAfterFree,
            "thread \(thread) uses (\(self.site(site))) memory that was freed at \(self.site(location.pointee.freedSite))"
        )
    }

    @inline(__always)
    func checkAtomic(_ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, writes: Bool) {
        checkFreed(location, thread, site)
        checkPlainWrite(location, thread, site, "atomic access")
        if writes { checkPlainReads(location, thread, site, "atomic access") }
    }

    @inline(__always)
    private func checkExclusive(
        _ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, _ what: StaticString
    ) {
        checkPlainWrite(location, thread, site, what)
        checkPlainReads(location, thread, site, what)
        let clock = threads[thread].clock
        if !location.pointee.atomicWrites.isBefore(clock) || !location.pointee.atomicReads.isBefore(clock) {
            reportAtomicRace(location, thread, site, what)
        }
    }

    @inline(__always)
    private func checkPlainWrite(
        _ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, _ what: StaticString
    ) {
        let writer = Int(location.pointee.plainWriter)
        if writer >= 0, location.pointee.plainWriteEpoch > threads[thread].clock[writer] {
            reportRace(location, thread, site, what, writer, "write", location.pointee.plainWriteSite)
        }
    }

    @inline(__always)
    private func checkPlainReads(
        _ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, _ what: StaticString
    ) {
        let clock = threads[thread].clock
        guard !location.pointee.plainReads.isBefore(clock) else { return }
        for other in 0..<Engine.maxThreads where location.pointee.plainReads[other] > clock[other] {
            reportRace(location, thread, site, what, other, "read", location.pointee.plainReadSites[other])
        }
    }

    @inline(never)
    private func reportAtomicRace(
        _ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, _ what: StaticString
    ) -> Never {
        let clock = threads[thread].clock
        let accesses = pointwiseMax(location.pointee.atomicWrites, location.pointee.atomicReads)
        let other = (0..<Engine.maxThreads).first { accesses[$0] > clock[$0] } ?? 0
        reportRace(location, thread, site, what, other, "atomic access", location.pointee.atomicSites[other])
    }

    @inline(never)
    private func reportRace(
        _ location: UnsafeMutablePointer<Location>, _ thread: Int, _ site: Int32, _ what: StaticString, _ other: Int,
        _ otherWhat: StaticString, _ otherSite: Int32
    ) -> Never {
        report(
            .dataRace,
            "\(what) by thread \(thread) (\(self.site(site))) and \(otherWhat) by thread \(other) "
                + "(\(self.site(otherSite))) of \(name(of: location.pointee)) are not ordered")
    }
}
