// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded look before sleeping, for a primitive of one word: when the holder is running on another core, what is
// waited for is a hundred nanoseconds away, and a sleep with its task switch costs ten times that.
//
// ## Algorithm
// As for a channel's ring: probes with a reading of the clock between them, a look that did not help makes the next 1, 3,
// 7 ... 63 be skipped, and the one after that is longer than a sleeping task takes to wake. So on a busy machine a wait
// costs a few probes on average.
//
// The record is a hint: it is read and written relaxed, and a lost update changes nothing but a number of probes.
//
// ## Layout of the record
// [ skip : 32 | failures : 32 ]

/// The looks of one primitive.
struct BoundedLook {
    /// A probe takes some 25 ns, nearly all of it the reading of the clock.
    private static let probes = 128
    private static let probesAfterFailure = 256
    private static let mostFailures: UInt64 = 6

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
                if word != 0 { record.storeRelaxed(0) }
                return true
            }
            _ = PlatformClock.suspendingNanoseconds()
        }
        let failures = min(word & 0xFFFF_FFFF + 1, Self.mostFailures)
        record.storeRelaxed((((1 << failures) - 1) << 32) | failures)
        return false
    }
}
