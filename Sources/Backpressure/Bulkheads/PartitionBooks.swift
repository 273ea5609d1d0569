// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The arithmetic of partitions: who may have a place, and who gets the next one. No lock, no task, no clock.
//
// ## The rule
// Every partition has a share: below it, it is served before others. So much of the share as is reserved is never used by
// another partition (in a bulkhead all of it is); what is reserved for nobody is for everybody. With
//     committed = sum over the partitions of max(in use, reserved)
// a partition may take a place iff total in use < limit, and it is below what is reserved for it or committed < limit.
//
// ## Invariants
// I1  total in use <= committed <= limit, but for a debt after the limit or a share was changed; then committed does not grow.
// I2  A partition below what is reserved for it waits only while total in use >= limit, which without a debt cannot be.
// I3  reserved <= share, of every partition.
//
// ## Who is next
// First a partition that is below its share, then, of the common places, the partitions in turn.

/// The places of the partitions.
struct PartitionBooks: Sendable {
    struct Partition: Sendable {
        var share: Int
        var reserved: Int
        var inUse = 0
        var waiting = 0
    }

    private(set) var limit: Int
    private(set) var partitions: [Partition]
    private(set) var total = 0
    private(set) var committed: Int
    private var turn = 0

    init(limit: Int, shares: [Int]) {
        self.limit = limit
        partitions = shares.map { Partition(share: $0, reserved: $0) }
        committed = shares.reduce(0, +)
    }

    var guaranteed: Int { partitions.reduce(0) { $0 + $1.share } }

    func mayEnter(_ index: Int) -> Bool {
        guard decide(total < limit) else { return false }
        if decide(isReserved(index)) { return true }
        return decide(committed < limit)
    }

    /// Whether a place that is kept free for a partition is.
    private func isReserved(_ index: Int) -> Bool { partitions[index].inUse < partitions[index].reserved }

    mutating func enter(_ index: Int) {
        if partitions[index].inUse >= partitions[index].reserved { committed += 1 }
        partitions[index].inUse += 1
        total += 1
    }

    mutating func leave(_ index: Int) {
        partitions[index].inUse -= 1
        if partitions[index].inUse >= partitions[index].reserved { committed -= 1 }
        total -= 1
    }

    mutating func beginWait(_ index: Int) { partitions[index].waiting += 1 }

    mutating func endWait(_ index: Int) { partitions[index].waiting -= 1 }

    /// The partition whose waiter gets a place now, if any does.
    mutating func next() -> Int? {
        guard decide(total < limit) else { return nil }
        let hasCommon = decide(committed < limit)
        if let index = inTurn(where: { $0.inUse < $0.share && (hasCommon || $0.inUse < $0.reserved) }) { return index }
        return hasCommon ? inTurn { _ in true } : nil
    }

    /// Of the partitions in which somebody waits, the first from `turn` on that fits.
    private mutating func inTurn(where fits: (Partition) -> Bool) -> Int? {
        for step in 0..<partitions.count {
            let index = (turn + step) % partitions.count
            guard partitions[index].waiting > 0, fits(partitions[index]) else { continue }
            turn = (index + 1) % partitions.count
            return index
        }
        return nil
    }

    mutating func resize(to limit: Int) { self.limit = limit }

    /// Changes a share, all of which is reserved unless it is said how much.
    mutating func setShare(_ share: Int, reserved: Int? = nil, of index: Int) {
        let (inUse, reserved) = (partitions[index].inUse, reserved ?? share)
        committed += max(inUse, reserved) - max(inUse, partitions[index].reserved)
        partitions[index].share = share
        partitions[index].reserved = reserved
    }
}
