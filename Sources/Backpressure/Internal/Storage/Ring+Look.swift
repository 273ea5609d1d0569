// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded look before sleeping: when the other side is running on another core, what is waited for is a hundred
// nanoseconds away, and a sleep with its task switch costs ten times that.
//
// ## Algorithm
// Before a task registers as a waiter it probes the ring a limited number of times, reading a clock between the probes:
// that spaces them, so that the other side gets ahead by more than one element, and leaves the core's other thread its
// share. A look that helped is followed by the next one. One that did not makes its side skip 1, 3, 7 ... 63 looks; the
// look after that is longer than the time a sleeping task takes to wake, because two sides that both sleep would
// otherwise never find out that they could both stay awake. So on a busy machine, where the other side cannot run while
// this one looks, a wait costs a few probes on average; on free cores a ping-pong stops sleeping.
//
// The record is a hint: it is read and written relaxed, and a lost update changes nothing but a number of probes.
//
// ## Layout of the record
// [ skip : 32 | failures : 32 ]

extension Ring {
    /// A probe takes some 25 ns, nearly all of it the reading of the clock.
    private static let probes = 128
    private static let probesAfterFailure = 256
    /// Further probes, once there is one element or slot, for a few more.
    private static let patience = 6
    private static let mostFailures: UInt64 = 6

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

    /// Probes as the record says, and keeps it; `probe` says nil when only the lock can tell.
    @inline(__always)
    private func look(_ record: AtomicWord, _ probe: (_ ahead: UInt64) -> Bool?) -> Bool {
        let word = record.loadRelaxed()
        if word >> 32 > 0 {
            record.storeRelaxed(word &- (1 << 32))
            return false
        }
        for _ in 0..<(word == 0 ? Self.probes : Self.probesAfterFailure) {
            guard let found = probe(0) else { return false }
            if found {
                if word != 0 { record.storeRelaxed(0) }
                // A batch costs the two sides fewer lines to exchange than one element at a time.
                for _ in 0..<Self.patience {
                    guard probe(batch) == false else { break }
                    _ = PlatformClock.suspendingNanoseconds()
                }
                return true
            }
            _ = PlatformClock.suspendingNanoseconds()
        }
        let failures = min(word + 1, Self.mostFailures)
        record.storeRelaxed((((1 << failures) - 1) << 32) | failures)
        return false
    }
}
