// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Claiming several slots with one swap.
//
// ## Algorithm
// The slots from the position on are looked at one by one until one is not ready, the lap ends or `most` is reached;
// then one swap moves the position past them. A slot at or beyond the position can leave its state only through a claim,
// and a claim moves the position: so when the swap succeeds, all of them are still as they were seen (I2 of `Ring`).
// Stamps are stored one by one afterwards, each after its element: the other side need not wait for the whole batch.
//
// ## Memory ordering
// As for a single claim: each stamp is loaded with acquire, the swap is acq_rel, each stamp is stored with release.

/// Neighbouring slots in the caller's hands; the stamp is the same for all, because they are of one lap.
@usableFromInline
struct BatchClaim {
    @usableFromInline let slot: UnsafeMutableRawPointer
    @usableFromInline let count: Int
    @usableFromInline let stamp: UInt64

    @inlinable
    init(slot: UnsafeMutableRawPointer, count: Int, stamp: UInt64) {
        self.slot = slot
        self.count = count
        self.stamp = stamp
    }
}

extension Ring {
    /// Claims up to `most` tail slots; nil when there is none to be had without the lock.
    @inlinable
    func claimForSend(upTo most: Int, stride: Int) -> BatchClaim? {
        claim(tail, limit: tailLimit, upTo: most, stride: stride, ready: geometry.freeStamp) { word in
            geometry.publishedStamp(word)
        }
    }

    /// Claims up to `most` head slots; nil when there is none to be had without the lock.
    @inlinable
    func claimForReceive(upTo most: Int, stride: Int) -> BatchClaim? {
        claim(head, limit: headLimit, upTo: most, stride: stride, ready: geometry.publishedStamp) { word in
            geometry.releasedStamp(word)
        }
    }

    @inlinable @inline(__always)
    func claim(
        _ position: AtomicWord, limit: AtomicWord, upTo most: Int, stride: Int, ready: (UInt64) -> UInt64,
        done: (UInt64) -> UInt64
    ) -> BatchClaim? {
        while true {
            let geometry = geometry
            let word = position.loadAcquiring()
            let limit = limit.loadRelaxed()
            guard decide(word < limit) else { return nil }
            let toLapEnd = geometry.lastIndex &- (word & geometry.indexMask) &+ 1
            let reach = min(UInt64(most), toLapEnd, limit &- word)
            let first = slot(word, geometry, stride: stride)
            var count: UInt64 = 0
            while count < reach {
                let stamp = AtomicWord(at: first + Int(truncatingIfNeeded: count) &* stride)
                guard decide(stamp.loadAcquiring() == ready(word)) else { break }
                count &+= 1
            }
            guard count > 0 else { return nil }
            let swap = position.weakCompareExchangeReleasing(
                expected: word, desired: geometry.next(word &+ count &- 1))
            if swap.exchanged {
                return BatchClaim(slot: first, count: Int(truncatingIfNeeded: count), stamp: done(word))
            }
            standBack()
        }
    }
}
