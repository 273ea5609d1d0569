// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The credits that are out of a window: who holds how many, since when, until when.
//
// ## Algorithm
// A table of slots, each one hold of at least one credit; so there are never more slots than credits. A hold is named
// by its slot and by a number that is never given twice: a late name finds its slot empty or in other hands.
// Holds that were spent are chained in the order of spending, for the acknowledgement of "everything up to here".
//
// ## States of a slot
// free    -> granted | spent       open
// granted -> free                  all given back, spent, absorbed, or reclaimed
// spent   -> free                  settled or reclaimed
//
// ## Invariants
// I1  A slot is free exactly when its sequence is 0; sequences only grow.
// I2  `out` is the sum of the counts of all slots that are not free; each of these counts is 1 or more.
// I3  The chain holds the spent slots, by ascending sequence.

/// What a hold is: credit that may yet be spent, or that stands for something delivered.
enum CreditStage: UInt8, Sendable {
    case granted
    case spent
}

/// One hold.
struct CreditSlot: Sendable {
    /// 0 while the slot is free.
    var sequence: UInt64
    var count: Int
    var since: Int64
    /// In the chain of spent slots, or of free ones; -1 is the end.
    var next: Int32
    var previous: Int32
    var stage: CreditStage
}

/// The name of a hold.
///
/// Sequence numbers are never given twice.
@usableFromInline
struct CreditKey: Hashable, Sendable {
    @usableFromInline let sequence: UInt64
    @usableFromInline let slot: Int32

    /// The key of no hold.
    static let none = CreditKey(sequence: 0, slot: -1)
}

/// All holds of a window.
struct CreditTable: ~Copyable, Sendable {
    private(set) var slots: [CreditSlot] = []
    /// Credits in all holds (I2).
    private(set) var out = 0
    private(set) var granted = 0
    private(set) var live = 0
    private(set) var due = DueHeap()
    private var lastSequence: UInt64 = 0
    private var firstFree: Int32 = -1
    private(set) var firstSpent: Int32 = -1
    private var lastSpent: Int32 = -1

    /// Makes a hold of `count` credits.
    mutating func open(_ stage: CreditStage, count: Int, now: Int64, deadline: Int64) -> CreditKey {
        lastSequence += 1
        var slot = CreditSlot(sequence: lastSequence, count: count, since: now, next: -1, previous: -1, stage: stage)
        let index: Int32
        if firstFree >= 0 {
            index = firstFree
            firstFree = slots[Int(index)].next
        } else {
            index = Int32(truncatingIfNeeded: slots.count)
            slots.append(slot)
        }
        if stage == .spent {
            slot.previous = lastSpent
            if lastSpent >= 0 { slots[Int(lastSpent)].next = index } else { firstSpent = index }
            lastSpent = index
        } else {
            granted += count
        }
        slots[Int(index)] = slot
        out += count
        live += 1
        due.set(Int(index), deadline: deadline)
        return CreditKey(sequence: lastSequence, slot: index)
    }

    /// The slot of `key`, or nil when the hold has ended.
    func find(_ key: CreditKey) -> Int? {
        let index = Int(key.slot)
        guard index >= 0, index < slots.count, decide(slots[index].sequence == key.sequence) else { return nil }
        return index
    }

    /// The key of the hold in `slot`, which is not free.
    func key(of slot: Int) -> CreditKey {
        CreditKey(sequence: slots[slot].sequence, slot: Int32(truncatingIfNeeded: slot))
    }

    /// Adds `count` credits, which may be negative, to a granted hold; one that comes to none ends.
    mutating func add(_ count: Int, to slot: Int) {
        slots[slot].count += count
        out += count
        granted += count
        if slots[slot].count == 0 { _ = close(slot) }
    }

    mutating func setDeadline(_ deadline: Int64, of slot: Int) { due.set(slot, deadline: deadline) }

    /// Ends the hold in `slot`.
    ///
    /// - Returns: The hold as it was.
    @discardableResult
    mutating func close(_ slot: Int) -> CreditSlot {
        let old = slots[slot]
        out -= old.count
        live -= 1
        switch old.stage {
        case .granted: granted -= old.count
        case .spent:
            if old.previous >= 0 { slots[Int(old.previous)].next = old.next } else { firstSpent = old.next }
            if old.next >= 0 { slots[Int(old.next)].previous = old.previous } else { lastSpent = old.previous }
        }
        due.remove(slot)
        slots[slot] = CreditSlot(sequence: 0, count: 0, since: 0, next: firstFree, previous: -1, stage: .granted)
        firstFree = Int32(truncatingIfNeeded: slot)
        return old
    }

    /// Whether the invariants hold; O(n).
    func checkInvariants() -> Bool {
        var (sum, sumGranted, number) = (0, 0, 0)
        for slot in slots where slot.sequence != 0 {
            guard slot.count >= 1 else { return false }
            sum += slot.count
            if slot.stage == .granted { sumGranted += slot.count }
            number += 1
        }
        var (index, last, chained) = (firstSpent, UInt64(0), 0)
        while index >= 0 {
            let slot = slots[Int(index)]
            guard slot.stage == .spent, slot.sequence > last else { return false }
            (last, index, chained) = (slot.sequence, slot.next, chained + 1)
        }
        let spent = slots.count { $0.sequence != 0 && $0.stage == .spent }
        return sum == out && sumGranted == granted && number == live && chained == spent && due.checkInvariants()
    }
}
