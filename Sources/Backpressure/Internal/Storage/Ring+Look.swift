// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded look before sleeping: when the other side is running on another core, what is waited for is a hundred
// nanoseconds away, and a sleep with its task switch costs ten times that.
//
// ## Algorithm
// Before a task registers as a waiter it probes the ring a limited number of times. What the last looks of this side
// brought decides about the next one: a look that helped doubles the number of probes (up to 256); one that did not
// halves it (down to 32) and makes the side skip 1, 3, 7 ... 63 looks. So on a busy machine, where the other side
// cannot run while this one looks, a wait costs under two probes more on average; on free cores a ping-pong never sleeps.
//
// The record is a hint: it is read and written relaxed, and a lost update changes nothing but a number of probes.
//
// ## Layout of the record
// [ skip : 32 | failures : 16 | probes : 16 ]

extension Ring {
    private static let fewestProbes: UInt64 = 2
    private static let mostProbes: UInt64 = 8
    private static let mostFailures: UInt64 = 6

    /// On the line of the refusals, which no fast path touches.
    private var sendRecord: AtomicWord { AtomicWord(at: base + 72) }
    private var receiveRecord: AtomicWord { AtomicWord(at: base + 80) }

    /// Looks for room; true when a send is worth another try.
    func lookForRoom(stride: Int) -> Bool {
        look(sendRecord) {
            let word = tail.loadRelaxed()
            if word >= tailLimit.loadRelaxed() { return nil }
            return AtomicWord(at: slot(word, stride: stride)).loadRelaxed() == geometry.freeStamp(word)
        }
    }

    /// Looks for an element; true when a receive is worth another try.
    func lookForElement(stride: Int) -> Bool {
        look(receiveRecord) {
            let word = head.loadRelaxed()
            if word >= headLimit.loadRelaxed() { return nil }
            return AtomicWord(at: slot(word, stride: stride)).loadRelaxed() == geometry.publishedStamp(word)
        }
    }

    /// Probes as the record says, and keeps it; `probe` says nil when only the lock can tell.
    @inline(__always)
    private func look(_ record: AtomicWord, _ probe: () -> Bool?) -> Bool {
        let word = record.loadRelaxed()
        let skip = word >> 32
        if skip > 0 {
            record.storeRelaxed(word &- (1 << 32))
            return false
        }
        let failures = (word >> 16) & 0xffff
        let probes = max(word & 0xffff, Self.fewestProbes)
        for _ in 0..<probes {
            guard let found = probe() else { return false }
            if found {
                record.storeRelaxed(min(probes * 2, Self.mostProbes))
                return true
            }
            for _ in 0..<3 { _ = PlatformClock.suspendingNanoseconds() }
        }
        let failed = min(failures + 1, Self.mostFailures)
        record.storeRelaxed((((1 << failed) - 1) << 32) | (failed << 16) | (probes / 2))
        return false
    }
}
