// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same surface as `Native/DoubleWord.swift`, for the model checker: the exchange of both halves is one step, a load
// of each half is a step of its own, so a torn reading is explored like any other.

public import ModelChecker

/// A 128-bit atomic at an address that outlives every use of it; the low half comes first.
@frozen
@usableFromInline
struct DoubleWord: @unchecked Sendable {
    @usableFromInline let address: UnsafeMutableRawPointer

    /// The two words at `address`, which is 16-byte aligned and holds 16 initialised bytes.
    @inlinable
    init(at address: UnsafeMutableRawPointer) {
        self.address = address
    }

    /// The half with the lower address.
    @inlinable
    var low: AtomicWord { AtomicWord(at: address) }

    /// The half with the higher address.
    @inlinable
    var high: AtomicWord { AtomicWord(at: address + 8) }

    /// Stores both halves if both hold what is expected; may fail all the same.
    @inlinable
    func weakCompareExchangeAcquiringAndReleasing(
        expected: (low: UInt64, high: UInt64), desired: (low: UInt64, high: UInt64),
        file: StaticString = #fileID, line: UInt = #line
    ) -> Bool {
        ModelRuntime.atomicCompareExchangePair(
            address, expected: expected, desired: desired, .acquiringAndReleasing, weak: true, file: file, line: line)
    }
}
