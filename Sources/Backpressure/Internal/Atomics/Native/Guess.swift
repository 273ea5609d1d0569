// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a word may hold, noted beside it: a compare-exchange that begins with it saves the load of the word.

/// A number that a compare-exchange proves or disproves: stale, lost or never written it costs time and nothing else.
@frozen
@usableFromInline
struct Guess: @unchecked Sendable {
    @usableFromInline let word: AtomicWord

    /// The guess at `address`, which is 8-byte aligned and holds an initialised `UInt64`.
    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer) { word = AtomicWord(at: address) }

    @inlinable @inline(__always)
    var value: UInt64 { word.loadRelaxed() }

    @inlinable @inline(__always)
    func note(_ value: UInt64) { word.storeRelaxed(value) }
}
