// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Two neighbouring 64-bit words that one compare-exchange tests and takes together.
//
// Some states do not fit 64 bits: a rate limiter's carries the exact remainder of its rate. Each half may also be used
// as an `AtomicWord` of its own. So a reader loads the halves one after the other, which is as cheap as any load, and
// lets the compare-exchange say whether the two belong together; a whole load would cost as much as the exchange.

public import Synchronization

/// A 128-bit atomic at an address that outlives every use of it; the low half comes first.
@frozen
@usableFromInline
struct DoubleWord: @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<Atomic<WordPair>>

    /// The two words at `address`, which is 16-byte aligned and holds 16 initialised bytes.
    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer) {
        cell = address.assumingMemoryBound(to: Atomic<WordPair>.self)
    }

    /// The half with the lower address.
    @inlinable @inline(__always)
    var low: AtomicWord { AtomicWord(at: UnsafeMutableRawPointer(cell)) }

    /// The half with the higher address.
    @inlinable @inline(__always)
    var high: AtomicWord { AtomicWord(at: UnsafeMutableRawPointer(cell) + 8) }

    /// Stores both halves if both hold what is expected; may fail all the same.
    @inlinable @inline(__always)
    func weakCompareExchangeAcquiringAndReleasing(
        expected: (low: UInt64, high: UInt64), desired: (low: UInt64, high: UInt64)
    ) -> Bool {
        cell.pointee.weakCompareExchange(
            expected: WordPair(first: UInt(expected.low), second: UInt(expected.high)),
            desired: WordPair(first: UInt(desired.low), second: UInt(desired.high)),
            ordering: .acquiringAndReleasing
        ).exchanged
    }
}
