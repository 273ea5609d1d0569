// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The arithmetic of a partitioned bulkhead: who may have a place, and who gets the next one. No lock, no task, no clock.
//
// ## The rule
// Every partition has a guaranteed share. What is guaranteed to one is never used by another; what is guaranteed to nobody
// is for everybody. With
//     committed = sum over the partitions of max(in use, share)
// a partition may take a place iff total in use < limit, and it is below its share or committed < limit.
//
// ## Invariants
// I1  total in use <= committed <= limit, but for a debt after the limit or a share was changed; then committed does not grow.
// I2  A partition below its share waits only while total in use >= limit, which without a debt cannot be.
//
// ## Who is next
// First a partition that is below its share, then, of the common places, the partitions in turn.

/// The places of the partitions.
struct PartitionBooks: Sendable {
    struct Partition: Sendable {
        var share: Int
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
        partitions = shares.map { Partition(share: $0) }
        committed = shares.reduce(0, +)
    }

    var guaranteed: Int { partitions.reduce(0) { $0 + $1.share } }

    func mayEnter(_ index: Int) -> Bool {
        total < limit && (partitions[index].inUse < partitions[index].share || committed < limit)
    }

    mutating func enter(_ index: Int) {
        if partitions[index].inUse >= partitions[index].share { committed += 1 }
        partitions[index].inUse += 1
        total += 1
    }

    mutating func leave(_ index: Int) {
        partitions[index].inUse -= 1
        if partitions[index].inUse >= partitions[index].share { committed -= 1 }
        total -= 1
    }

    mutating func beginWait(_ index: Int) { partitions[index].waiting += 1 }

    mutating func endWait(_ index: Int) { partitions[index].waiting -= 1 }

    /// The partition whose waiter gets a place now, if any does.
    mutating func next() -> Int? {
        guard total < limit else { return nil }
        if let index = inTurn(where: { $0.inUse < $0.share }) { return index }
        return committed < limit ? inTurn { _ in true } : nil
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

    mutating func setShare(_ share: Int, of index: Int) {
        let inUse = partitions[index].inUse
        committed += max(inUse, share) - max(inUse, partitions[index].share)
        partitions[index].share = share
    }
}
