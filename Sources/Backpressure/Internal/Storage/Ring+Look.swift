// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded look before sleeping: when the other side is running on another core, what is waited for is a hundred
// nanoseconds away, and a sleep with its task switch costs ten times that.
//
// `BoundedLook` has the policy; what is here is what a ring looks for, and where its two records lie.

extension Ring {
    /// Further probes, once there is one element or slot, for a few more.
    private static let patience = 6

    /// On the line of the refusals, which no fast path touches.
    private var sendRecord: AtomicWord { AtomicWord(at: base + 72) }
    private var receiveRecord: AtomicWord { AtomicWord(at: base + 80) }

    /// How many elements or slots beyond the first are worth a little more of a look.
    private var batch: UInt64 { UInt64(min(geometry.capacity / 4, 16)) }

    /// The position `count` after `word`; less than a lap ahead.
    private func ahead(of word: UInt64, by count: UInt64) -> UInt64 {
        let index = word & geometry.indexMask
        let beyond = geometry.lastIndex &- index
        return count <= beyond ? word &+ count : (word &- index &+ geometry.indexMask &+ count &- beyond)
    }

    /// Looks for room; true when a send is worth another try.
    func lookForRoom(stride: Int) -> Bool {
        look(sendRecord) {
            let word = tail.loadRelaxed()
            if word >= tailLimit.loadRelaxed() { return nil }
            let place = ahead(of: word, by: $0)
            return AtomicWord(at: slot(place, stride: stride)).loadRelaxed() == geometry.freeStamp(place)
        }
    }

    /// Looks for an element; true when a receive is worth another try.
    func lookForElement(stride: Int) -> Bool {
        look(receiveRecord) {
            let word = head.loadRelaxed()
            if word >= headLimit.loadRelaxed() { return nil }
            let place = ahead(of: word, by: $0)
            return AtomicWord(at: slot(place, stride: stride)).loadRelaxed() == geometry.publishedStamp(place)
        }
    }

    /// A bounded look; one that helped waits a moment for a batch.
    ///
    /// `probe` says nil when only the lock can tell.
    @inline(__always)
    private func look(_ record: AtomicWord, _ probe: (_ ahead: UInt64) -> Bool?) -> Bool {
        guard BoundedLook(record: record).look({ probe(0) }) else { return false }
        // A batch costs the two sides fewer lines to exchange than one element at a time.
        for _ in 0..<Self.patience {
            guard probe(batch) == false else { break }
            _ = PlatformClock.suspendingNanoseconds()
        }
        return true
    }
}
