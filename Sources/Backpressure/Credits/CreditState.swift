// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a credit window decides: an event and the time in, the wakes and reports to perform out. No lock, no clock.
//
// ## Invariants
// C1  out <= ceiling: credits that are out never exceed the window. The ceiling is the capacity; after a shrink it is
//     what was out then, and falls with it.
// C2  A hold ends once: by its holder, or by being reclaimed, whichever finds it in the table first.
// C3  granted so far = settled + given back + reclaimed + out, at every unlock.
// C4  While somebody waits for a grant, the first of them does not fit, or grants are stopped.
//
// ## Time
// The caller reads the clock before it takes the lock, so readings may arrive in another order than they were taken:
// `advance` takes none that goes back. What is due ends before anything else is decided, so that a return after the
// deadline is late, whether or not the timer has come round to it.

/// Why grants are not made.
enum CreditPhase: UInt8, Sendable {
    case open
    case draining
    case closed
}

/// What a waiter for a grant asked for, and what it got.
struct GrantRequest {
    var atLeast: Int
    var atMost: Int
    var lifetime: Int64
    var key = CreditKey.none
    var count = 0
}

/// Credits by what became of them, since the window was made.
struct CreditCounters: Sendable {
    var granted: UInt64 = 0
    var spent: UInt64 = 0
    var settled: UInt64 = 0
    var givenBack: UInt64 = 0
    var reclaimed: UInt64 = 0
    var lateReturns: UInt64 = 0
    var overruns: UInt64 = 0
}

/// What is to be done once the lock is released.
struct CreditEffects: Sendable {
    var wakes = WakeBatch()
    var reclaimed: [ReclaimedCredits] = []
    var timer: TimerRequest?
}

/// The state under the lock.
struct CreditState: ~Copyable, @unchecked Sendable {
    static let granteeTag: UInt8 = 1
    static let drainerTag: UInt8 = 2
    static let requestLayout = SlotLayout(of: GrantRequest.self)

    private(set) var table = CreditTable()
    private(set) var capacity: Int
    private(set) var ceiling: Int
    private(set) var phase = CreditPhase.open
    private(set) var now = Int64.min
    private(set) var peak = 0
    var counters = CreditCounters()
    var grantees = WaiterList(tag: granteeTag)
    var drainers = WaiterList(tag: drainerTag)
    var deadlines = Deadlines(armedFor: .min)
    var alarm = Alarm()

    init(capacity: Int) {
        self.capacity = capacity
        ceiling = capacity
    }

    /// What may be granted now.
    var available: Int {
        guard decide(phase == .open) else { return 0 }
        return max(0, capacity - table.out)
    }

    // MARK: Time

    /// Takes note of the time, and reclaims what is due.
    mutating func advance(to reading: Int64, _ effects: inout CreditEffects) {
        now = max(now, reading)
        while let slot = table.due.due(at: now) { reclaim(slot, .expired, &effects) }
    }

    /// The earliest instant at which something is due.
    var earliest: Int64 { min(table.due.earliest, deadlines.earliest) }

    private func deadline(after lifetime: Int64) -> Int64 {
        lifetime == .max ? .max : now.addingSaturating(lifetime)
    }

    // MARK: Granting

    /// Makes a grant of `atLeast` to `atMost` credits, unless there are too few or somebody waits.
    mutating func grant(atLeast: Int, atMost: Int, lifetime: Int64) -> (key: CreditKey, count: Int)? {
        guard decide(grantees.isEmpty) else { return nil }
        return take(atLeast: atLeast, atMost: atMost, lifetime: lifetime)
    }

    private mutating func take(atLeast: Int, atMost: Int, lifetime: Int64) -> (key: CreditKey, count: Int)? {
        let room = available
        guard decide(room >= atLeast) else { return nil }
        let count = min(room, atMost)
        counters.granted += UInt64(count)
        let key = table.open(.granted, count: count, now: now, deadline: deadline(after: lifetime))
        peak = max(peak, table.out)
        return (key, count)
    }

    /// Serves waiters in order, and ends drains that are done.
    ///
    /// Called after anything that brings credits back.
    mutating func serve(_ effects: inout CreditEffects) {
        ceiling = max(capacity, min(ceiling, table.out))
        while let waiter = grantees.first {
            let request = waiter.payload(Self.requestLayout).assumingMemoryBound(to: GrantRequest.self)
            let wanted = request.pointee
            guard wanted.atLeast <= capacity || phase == .closed else {
                end(waiter, .abandoned, &effects)
                continue
            }
            guard
                let (key, count) = take(
                    atLeast: wanted.atLeast, atMost: wanted.atMost, lifetime: wanted.lifetime)
            else { break }
            request.pointee.key = key
            request.pointee.count = count
            end(waiter, .granted, &effects)
        }
        if decide(table.out == 0) {
            while let waiter = drainers.first { end(waiter, .granted, &effects) }
        }
    }

    /// Unlinks `waiter` and gives its verdict.
    mutating func end(_ waiter: WaiterRef, _ verdict: Verdict, _ effects: inout CreditEffects) {
        if grantees.contains(waiter) { grantees.remove(waiter) } else { drainers.remove(waiter) }
        deadlines.remove(waiter)
        waiter.end(verdict)
        effects.wakes.append(waiter)
    }

    // MARK: Holding

    /// Turns `count` credits of a grant into a hold of their own; nil when the grant has ended or has fewer.
    mutating func spend(_ count: Int, from key: CreditKey, lifetime: Int64) -> CreditKey? {
        guard let slot = table.find(key), decide(table.slots[slot].count >= count) else {
            counters.overruns += UInt64(count)
            return nil
        }
        table.add(-count, to: slot)
        counters.spent += UInt64(count)
        return table.open(.spent, count: count, now: now, deadline: deadline(after: lifetime))
    }

    /// Moves the credits of `other` to the grant `key`, with the deadline of `other`; false when either has ended.
    mutating func absorb(_ other: CreditKey, into key: CreditKey) -> Bool {
        guard let slot = table.find(key), let otherSlot = table.find(other) else { return false }
        let deadline = table.due.deadline(of: otherSlot) ?? .max
        table.add(table.close(otherSlot).count, to: slot)
        table.setDeadline(deadline, of: slot)
        return true
    }

    /// Ends a hold by its holder's will; its count, or nil when it has ended before.
    mutating func settle(_ key: CreditKey, late count: Int) -> Int? {
        guard let slot = table.find(key) else {
            counters.lateReturns += UInt64(count)
            return nil
        }
        let hold = table.close(slot)
        if hold.stage == .spent {
            counters.settled += UInt64(hold.count)
        } else {
            counters.givenBack += UInt64(hold.count)
        }
        return hold.count
    }

    /// Ends all spent holds up to the one with this sequence number; their credits.
    mutating func settle(through sequence: UInt64) -> Int {
        var sum = 0
        while table.firstSpent >= 0 {
            let slot = Int(table.firstSpent)
            guard table.slots[slot].sequence <= sequence else { break }
            sum += table.close(slot).count
        }
        counters.settled += UInt64(sum)
        return sum
    }

    /// Takes `count` credits of a grant back; false when it has ended or has fewer.
    mutating func giveBack(_ count: Int, of key: CreditKey) -> Bool {
        guard let slot = table.find(key), decide(table.slots[slot].count >= count) else {
            counters.lateReturns += UInt64(count)
            return false
        }
        table.add(-count, to: slot)
        counters.givenBack += UInt64(count)
        return true
    }

    /// Sets a new deadline, counted from now; false when the hold has ended.
    mutating func extend(_ key: CreditKey, lifetime: Int64) -> Bool {
        guard let slot = table.find(key) else { return false }
        table.setDeadline(deadline(after: lifetime), of: slot)
        return true
    }

    /// Takes a hold from its holder, and notes the report.
    mutating func reclaim(_ slot: Int, _ reason: ReclaimReason, _ effects: inout CreditEffects) {
        let key = table.key(of: slot)
        let hold = table.close(slot)
        counters.reclaimed += UInt64(hold.count)
        effects.reclaimed.append(
            ReclaimedCredits(
                id: CreditLease.ID(key: key), count: hold.count, wasSpent: hold.stage == .spent, reason: reason,
                heldFor: .nanoseconds(now.subtractingSaturating(hold.since))))
    }

    /// Takes every hold from its holder.
    mutating func reclaimAll(_ effects: inout CreditEffects) -> Int {
        let sum = table.out
        for slot in table.slots.indices where table.slots[slot].sequence != 0 { reclaim(slot, .revoked, &effects) }
        return sum
    }

    // MARK: Phases

    mutating func setPhase(_ phase: CreditPhase, _ effects: inout CreditEffects) {
        guard self.phase != .closed else { return }
        self.phase = phase
        if phase == .closed {
            while let waiter = grantees.first { end(waiter, .finished, &effects) }
        }
        if phase == .open {
            while let waiter = drainers.first { end(waiter, .abandoned, &effects) }
        }
    }

    mutating func setCapacity(_ capacity: Int) {
        self.capacity = capacity
        ceiling = max(capacity, table.out)
    }

    /// C1 to C4; O(1) but for the table's own, which debug builds of small windows check as well.
    func checkInvariants() -> Bool {
        let ended = counters.settled + counters.givenBack + counters.reclaimed
        guard table.out >= 0, table.out <= ceiling, counters.granted == ended + UInt64(table.out) else { return false }
        if let first = grantees.first, phase == .open {
            let request = first.payload(Self.requestLayout).assumingMemoryBound(to: GrantRequest.self)
            if request.pointee.atLeast <= available { return false }
        }
        return table.slots.count > 8 || table.checkInvariants()
    }
}
