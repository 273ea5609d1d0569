// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The books of a partitioned bulkhead and those who wait for a place, behind one lock.
//
// ## Algorithm
// `PartitionBooks` decides; a list per partition queues, first in, first out. A place that comes free is booked for the next
// waiter under the lock, so whoever is unlinked with `granted` has its place, and nobody re-races. Each operation takes the
// lock once: a bulkhead guards calls that take far longer.
//
// ## Invariants
// I1  The lock free => no waiter could have a place (`books.next() == nil`).
// I2  books.partitions[i].waiting == lists[i].count.

final class PartitionCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    struct State: ~Copyable, @unchecked Sendable {
        var books: PartitionBooks
        var lists: [WaiterList]
        var deadlines = Deadlines()
        var counters: [PartitionCounters]
        var isClosed = false
    }

    struct Effects: Sendable {
        var wakes = WakeBatch()
        var timer: TimerRequest?
    }

    private static let layout = SlotLayout(of: Int.self)

    let name: String
    let waiterLimit: Int
    let maximumWait: Duration?
    let timeSource: TimeSource
    let state: LockedState<State>
    let timer = DeadlineTimer()
    let waits = OwnedWaitLog()

    init(
        name: String, limit: Int, shares: [Int], waiterLimit: Int, maximumWait: Duration?, timeSource: TimeSource
    ) {
        precondition(waiterLimit >= 0, "a bound of \(waiterLimit) waiters is negative")
        Self.check(limit: limit, shares: shares)
        self.name = name
        self.waiterLimit = waiterLimit
        self.maximumWait = maximumWait
        self.timeSource = timeSource
        state = LockedState(
            State(
                books: PartitionBooks(limit: limit, shares: shares),
                lists: Array(repeating: WaiterList(tag: 1), count: shares.count),
                counters: Array(repeating: PartitionCounters(), count: shares.count)))
    }

    deinit { timer.cancel() }

    private static func check(limit: Int, shares: [Int]) {
        precondition(limit >= 1 && limit <= PermitLayout.maximum, "a limit of \(limit) is not in 1...2^44")
        var sum = 0
        for share in shares {
            precondition(share >= 0, "a share of \(share) is negative")
            let (next, overflow) = sum.addingReportingOverflow(share)
            precondition(!overflow && next <= limit, "the shares exceed the limit of \(limit)")
            sum = next
        }
    }

    private func withState<Result>(_ body: (inout State, inout Effects) -> Result) -> Result {
        var effects = Effects()
        let result = state.withLock { state in
            let result = body(&state, &effects)
            verify(holds(state), "an invariant of the bulkhead is broken")
            return result
        }
        let (wakes, timer) = (effects.wakes, effects.timer)
        if !wakes.isEmpty { wakes.wakeAll() }
        if let timer { self.timer.arm(timer, for: self) }
        return result
    }

    private func holds(_ state: borrowing State) -> Bool {
        var books = state.books
        return books.next() == nil && zip(books.partitions, state.lists).allSatisfy { $0.waiting == $1.count }
    }

    // MARK: Entering and leaving

    enum Entry {
        case entered
        case rejected(Rejection)
        case waits(WaiterRef)
    }

    func enter(_ index: Int, times: WaitTimes?) -> Entry {
        withState { state, effects in
            guard decide(!state.isClosed) else { return .rejected(.closed) }
            if decide(state.lists[index].isEmpty), decide(state.books.mayEnter(index)) {
                book(index, &state)
                return .entered
            }
            guard let times else {
                state.counters[index].rejected += 1
                return .rejected(.full)
            }
            guard decide(state.lists[index].count < waiterLimit) else {
                state.counters[index].rejected += 1
                return .rejected(.full)
            }
            guard times.deadline > times.now else {
                state.counters[index].timedOut += 1
                return .rejected(.timedOut)
            }
            let waiter = WaiterRef.allocate(payload: Self.layout)
            waiter.payload(Self.layout).initializeMemory(as: Int.self, to: index)
            waiter.pointer.pointee.deadline = times.deadline
            waiter.pointer.pointee.parkedAt = times.now
            state.lists[index].append(waiter)
            state.books.beginWait(index)
            effects.timer = state.deadlines.insert(waiter)
            return .waits(waiter)
        }
    }

    private func book(_ index: Int, _ state: inout State) {
        state.books.enter(index)
        state.counters[index].entered += 1
    }

    func leave(_ index: Int) {
        withState { state, effects in
            state.books.leave(index)
            serve(&state, &effects)
        }
    }

    /// Books places for those who wait, as long as there are any.
    private func serve(_ state: inout State, _ effects: inout Effects) {
        while let index = state.books.next(), let waiter = state.lists[index].first {
            end(waiter, .granted, &state, &effects)
            book(index, &state)
        }
    }

    private func end(_ waiter: WaiterRef, _ verdict: Verdict, _ state: inout State, _ effects: inout Effects) {
        let index = partition(of: waiter)
        state.lists[index].remove(waiter)
        state.books.endWait(index)
        state.deadlines.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    private func partition(of waiter: WaiterRef) -> Int {
        waiter.payload(Self.layout).assumingMemoryBound(to: Int.self).pointee
    }

    /// Enters, waiting if need be; nil when the place is the caller's.
    nonisolated(nonsending) func enterSlow(_ index: Int) async -> Rejection? {
        let times = timeSource.waitTimes(maximumWait.map(WaitLimit.timeout) ?? .none)
        switch enter(index, times: times) {
        case .entered: return nil
        case .rejected(let reason): return reason
        case .waits(let waiter):
            let watch = WaitWatch(.acquire, waiter, name: name) {
                state.withLock { $0.lists.reduce(0) { $0 + $1.count } }
            }
            await waiter.sleep(cancelling: self)
            watch.end(waiter, waits.log, timeSource)
            return conclude(waiter)
        }
    }

    /// Frees a waiter whose wait is over; nil when it has its place.
    func conclude(_ waiter: WaiterRef) -> Rejection? {
        let verdict = waiter.verdict
        waiter.deallocate(payload: Self.layout)
        switch verdict {
        case .granted: return nil
        case .cancelled: return .cancelled
        case .timedOut: return .timedOut
        case .finished, .abandoned: return .closed
        case .none: preconditionFailure("a call woke without a verdict")
        }
    }

    // MARK: What ends a wait

    func cancel(_ waiter: WaiterRef) {
        withState { state, effects in
            guard decide(waiter.pointer.pointee.list != 0) else { return }
            state.counters[partition(of: waiter)].cancelled += 1
            end(waiter, .cancelled, &state, &effects)
        }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = timeSource.now()
        return withState { state, effects in
            while let waiter = state.deadlines.due(at: now) {
                state.counters[partition(of: waiter)].timedOut += 1
                end(waiter, .timedOut, &state, &effects)
            }
            return state.deadlines.rearm(generation: generation)
        }
    }

    func close() -> Bool {
        withState { state, effects in
            guard !state.isClosed else { return false }
            state.isClosed = true
            for index in state.lists.indices {
                while let waiter = state.lists[index].first { end(waiter, .finished, &state, &effects) }
            }
            return true
        }
    }

    // MARK: Changing

    func resize(to limit: Int) {
        withState { state, effects in
            Self.check(limit: limit, shares: state.books.partitions.map(\.share))
            state.books.resize(to: limit)
            serve(&state, &effects)
        }
    }

    func setShare(_ share: Int, of index: Int) {
        withState { state, effects in
            var shares = state.books.partitions.map(\.share)
            shares[index] = share
            Self.check(limit: state.books.limit, shares: shares)
            state.books.setShare(share, of: index)
            serve(&state, &effects)
        }
    }
}

/// What the books do not tell.
struct PartitionCounters: Sendable {
    var entered: UInt64 = 0
    var rejected: UInt64 = 0
    var timedOut: UInt64 = 0
    var cancelled: UInt64 = 0
}
