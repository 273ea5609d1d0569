// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded look before sleeping: when the other side is running on another core, what is waited for is a hundred
// nanoseconds away, and a sleep with its task switch costs ten times that.
//
// ## Algorithm
// Before a task registers as a waiter it probes what it waits for a limited number of times, reading a clock between
// the probes: that spaces them, so that the other side gets ahead by more than one element, and leaves the core's
// other thread its share. A look that helped is followed by the next one. One that did not makes its side skip 1, 3,
// 7 ... 255 looks; the look after that is longer than the time a sleeping thread takes to wake, because two sides that
// both sleep would otherwise never find out that they could both stay awake. A look that helped takes back one failure
// and not all: where one look in a few helps, as on a busy machine, looks stay rare. So there a wait costs a few probes
// on average; on free cores a ping-pong stops sleeping.
//
// Another policy was measured beside this one: an account of probes in which a look that helps earns what a sleep costs
// and one that does not is charged. On a machine of which others take a part (busy loops on one core, thieves of time)
// it was no better, and came back later to looks that would have helped; a side that never looks needs three times as
// long for a round trip on a free machine, and is hardly better off on a busy one.
//
// The record is a hint: it is read and written relaxed, and a lost update changes nothing but a number of probes.
//
// ## Layout of the record
// [ skip : 32 | failures : 32 ]

/// The looks of one primitive.
struct BoundedLook {
    /// A probe takes some 25 ns, nearly all of it the reading of the clock.
    private static let probes = 128
    private static let probesAfterFailure = 1024
    private static let mostFailures: UInt64 = 8

    let record: AtomicWord

    /// Probes as the record says, and keeps it; `probe` says nil when looking on is useless.
    @inline(__always)
    func look(_ probe: () -> Bool?) -> Bool {
        let word = record.loadRelaxed()
        if word >> 32 > 0 {
            record.storeRelaxed(word &- (1 << 32))
            return false
        }
        for _ in 0..<(word == 0 ? Self.probes : Self.probesAfterFailure) {
            guard let found = probe() else { return false }
            if found {
                if word != 0 { record.storeRelaxed(word &- 1) }
                return true
            }
            _ = PlatformClock.suspendingNanoseconds()
        }
        let failures = min(word & 0xFFFF_FFFF + 1, Self.mostFailures)
        record.storeRelaxed((((1 << failures) - 1) << 32) | failures)
        return false
    }
}
