// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The only door to atomics and to shared plain memory: one method per memory ordering.
//
// Every algorithm of this library reaches shared memory through the types of this folder. Two files have the same
// surface: this one forwards to `Synchronization`, the one under `Modelled/` reports each step to the model checker,
// and the manifest picks one of them. Orderings must be literals where `Atomic` is called, hence the long names.
//
// ## Layout
// An `AtomicWord` is the *address* of eight bytes that somebody else owns; all-zero memory is a word that holds 0. So
// words can lie wherever an algorithm wants them (apart from each other, beside an element) and a large array of them
// can be committed lazily by the system.

public import Synchronization

/// A 64-bit atomic at an address that outlives every use of it.
@frozen
@usableFromInline
struct AtomicWord: @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<Atomic<UInt64>>

    /// The word at `address`, which is 8-byte aligned and holds an initialised `UInt64`.
    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer) {
        cell = address.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inlinable @inline(__always)
    func loadRelaxed() -> UInt64 { cell.pointee.load(ordering: .relaxed) }

    @inlinable @inline(__always)
    func loadAcquiring() -> UInt64 { cell.pointee.load(ordering: .acquiring) }

    @inlinable @inline(__always)
    func storeRelaxed(_ value: UInt64) { cell.pointee.store(value, ordering: .relaxed) }

    @inlinable @inline(__always)
    func storeReleasing(_ value: UInt64) { cell.pointee.store(value, ordering: .releasing) }

    @inlinable @inline(__always)
    func exchangeAcquiringAndReleasing(_ value: UInt64) -> UInt64 {
        cell.pointee.exchange(value, ordering: .acquiringAndReleasing)
    }

    /// May fail although the word holds `expected`; `original` is what it held.
    @inlinable @inline(__always)
    func weakCompareExchangeAcquiringAndReleasing(
        expected: UInt64, desired: UInt64
    ) -> (exchanged: Bool, original: UInt64) {
        cell.pointee.weakCompareExchange(expected: expected, desired: desired, ordering: .acquiringAndReleasing)
    }

    /// May fail although the word holds `expected`; `original` is what it held.
    @inlinable @inline(__always)
    func weakCompareExchangeReleasing(
        expected: UInt64, desired: UInt64
    ) -> (exchanged: Bool, original: UInt64) {
        cell.pointee.weakCompareExchange(expected: expected, desired: desired, ordering: .releasing)
    }

    /// Fails only when the word holds something else than `expected`.
    @inlinable @inline(__always)
    func compareExchangeAcquiringAndReleasing(
        expected: UInt64, desired: UInt64
    ) -> (exchanged: Bool, original: UInt64) {
        cell.pointee.compareExchange(expected: expected, desired: desired, ordering: .acquiringAndReleasing)
    }

    /// Fails only when the word holds something else than `expected`.
    @inlinable @inline(__always)
    func compareExchangeReleasing(
        expected: UInt64, desired: UInt64
    ) -> (exchanged: Bool, original: UInt64) {
        cell.pointee.compareExchange(expected: expected, desired: desired, ordering: .releasing)
    }

    /// Sets the bits of `mask`; returns what the word held before.
    @inlinable @inline(__always)
    func fetchOrAcquiringAndReleasing(_ mask: UInt64) -> UInt64 {
        cell.pointee.bitwiseOr(mask, ordering: .acquiringAndReleasing).oldValue
    }

    /// Sets the bits of `mask`; returns what the word held before.
    @inlinable @inline(__always)
    func fetchOrRelaxed(_ mask: UInt64) -> UInt64 {
        cell.pointee.bitwiseOr(mask, ordering: .relaxed).oldValue
    }

    /// Keeps only the bits of `mask`; returns what the word held before.
    @inlinable @inline(__always)
    func fetchAndAcquiringAndReleasing(_ mask: UInt64) -> UInt64 {
        cell.pointee.bitwiseAnd(mask, ordering: .acquiringAndReleasing).oldValue
    }

    /// Adds `operand`, wrapping; returns what the word held before.
    @inlinable @inline(__always)
    func fetchAddAcquiringAndReleasing(_ operand: UInt64) -> UInt64 {
        cell.pointee.wrappingAdd(operand, ordering: .acquiringAndReleasing).oldValue
    }

    /// Adds `operand`, wrapping; returns what the word held before.
    @inlinable @inline(__always)
    func fetchAddRelaxed(_ operand: UInt64) -> UInt64 {
        cell.pointee.wrappingAdd(operand, ordering: .relaxed).oldValue
    }
}

/// Tells the model checker of a plain access to memory that threads share; natively it is nothing.
///
/// An access that is not ordered by an acquire that saw a release is a data race, whatever the processor does with it.
@usableFromInline
enum PlainAccess {
    @inlinable @inline(__always)
    static func read(_ address: UnsafeRawPointer) {}

    @inlinable @inline(__always)
    static func write(_ address: UnsafeRawPointer) {}

    /// The memory at `address` is given back: any later access to it is a use after free.
    @inlinable @inline(__always)
    static func free(_ address: UnsafeRawPointer, byteCount: Int) {}

    /// `free` and the deallocation itself.
    @inlinable @inline(__always)
    static func deallocate(_ address: UnsafeMutableRawPointer, byteCount: Int) { address.deallocate() }
}

/// A turn of a loop that can end only after another thread has written; natively it is nothing.
@inlinable @inline(__always)
func spinPause() {}

/// Leaves a contended word to its other users for a moment, half a microsecond at most; may do nothing at all.
///
/// Readings of a clock: they leave the core's other thread its share, and cost about the same on every processor.
@usableFromInline
@inline(never)
func standBack() {
    for _ in 0..<24 { _ = PlatformClock.suspendingNanoseconds() }
}

/// The outcome of a test that an algorithm's correctness rests on; natively `condition` itself.
///
/// Under the model checker a mutant can force the outcome at one place, to show that some test notices.
@inlinable @inline(__always)
func decide(_ condition: Bool) -> Bool { condition }

/// An invariant.
///
/// Natively it is asserted in debug builds, under the model checker at every step that states it.
@inline(__always)
func verify(_ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String) {
    assert(condition(), message())
}
