// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same surface as `Native/Atomics.swift`, for the model checker: every operation is a step of its scheduler.
//
// The manifest compiles this folder instead of `Native/` when `BACKPRESSURE_MODEL_CHECK=1` is set. Each method also
// tells where it was called: that names the step in a trace, and the place that a mutant changes.

public import ModelChecker

/// A 64-bit atomic at an address that outlives every use of it.
@frozen
@usableFromInline
struct AtomicWord: @unchecked Sendable {
    @usableFromInline let address: UnsafeMutableRawPointer

    /// The word at `address`, which is 8-byte aligned and holds an initialised `UInt64`.
    @inlinable
    init(at address: UnsafeMutableRawPointer) {
        self.address = address
    }

    @inlinable
    func loadRelaxed(file: StaticString = #fileID, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicLoad(address, .relaxed, file: file, line: line)
    }

    @inlinable
    func loadAcquiring(file: StaticString = #fileID, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicLoad(address, .acquiring, file: file, line: line)
    }

    @inlinable
    func storeRelaxed(_ value: UInt64, file: StaticString = #fileID, line: UInt = #line) {
        ModelRuntime.atomicStore(address, value, .relaxed, file: file, line: line)
    }

    @inlinable
    func storeReleasing(_ value: UInt64, file: StaticString = #fileID, line: UInt = #line) {
        ModelRuntime.atomicStore(address, value, .releasing, file: file, line: line)
    }

    @inlinable
    func exchangeAcquiringAndReleasing(
        _ value: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> UInt64 {
        ModelRuntime.atomicExchange(address, value, .acquiringAndReleasing, file: file, line: line)
    }

    /// May fail although the word holds `expected`; `original` is what it held.
    @inlinable
    func weakCompareExchangeAcquiringAndReleasing(
        expected: UInt64, desired: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        ModelRuntime.atomicCompareExchange(
            address, expected: expected, desired: desired, .acquiringAndReleasing, weak: true, file: file, line: line)
    }

    /// May fail although the word holds `expected`; `original` is what it held.
    @inlinable
    func weakCompareExchangeReleasing(
        expected: UInt64, desired: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        ModelRuntime.atomicCompareExchange(
            address, expected: expected, desired: desired, .releasing, weak: true, file: file, line: line)
    }

    /// Fails only when the word holds something else than `expected`.
    @inlinable
    func compareExchangeAcquiringAndReleasing(
        expected: UInt64, desired: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        ModelRuntime.atomicCompareExchange(
            address, expected: expected, desired: desired, .acquiringAndReleasing, file: file, line: line)
    }

    /// Fails only when the word holds something else than `expected`.
    @inlinable
    func compareExchangeReleasing(
        expected: UInt64, desired: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        ModelRuntime.atomicCompareExchange(
            address, expected: expected, desired: desired, .releasing, file: file, line: line)
    }

    /// Sets the bits of `mask`; returns what the word held before.
    @inlinable
    func fetchOrAcquiringAndReleasing(
        _ mask: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> UInt64 {
        ModelRuntime.atomicFetchOr(address, mask, .acquiringAndReleasing, file: file, line: line)
    }

    /// Sets the bits of `mask`; returns what the word held before.
    @inlinable
    func fetchOrRelaxed(_ mask: UInt64, file: StaticString = #fileID, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicFetchOr(address, mask, .relaxed, file: file, line: line)
    }

    /// Keeps only the bits of `mask`; returns what the word held before.
    @inlinable
    func fetchAndAcquiringAndReleasing(
        _ mask: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> UInt64 {
        ModelRuntime.atomicFetchAnd(address, mask, .acquiringAndReleasing, file: file, line: line)
    }

    /// Adds `operand`, wrapping; returns what the word held before.
    @inlinable
    func fetchAddAcquiringAndReleasing(
        _ operand: UInt64, file: StaticString = #fileID, line: UInt = #line
    ) -> UInt64 {
        ModelRuntime.atomicFetchAdd(address, operand, .acquiringAndReleasing, file: file, line: line)
    }

    /// Adds `operand`, wrapping; returns what the word held before.
    @inlinable
    func fetchAddRelaxed(_ operand: UInt64, file: StaticString = #fileID, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicFetchAdd(address, operand, .relaxed, file: file, line: line)
    }
}

/// Tells the model checker of a plain access to memory that threads share.
///
/// An access that is not ordered by an acquire that saw a release is a data race, whatever the processor does with it.
@usableFromInline
enum PlainAccess {
    @inlinable
    static func read(_ address: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        ModelRuntime.plainRead(address, file: file, line: line)
    }

    @inlinable
    static func write(_ address: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        ModelRuntime.plainWrite(address, file: file, line: line)
    }

    /// The memory at `address` is given back: any later access to it is a use after free.
    @inlinable
    static func free(
        _ address: UnsafeRawPointer, byteCount: Int, file: StaticString = #fileID, line: UInt = #line
    ) {
        ModelRuntime.free(address, byteCount: byteCount, file: file, line: line)
    }

    /// `free` and the deallocation itself, which waits for the end of the execution: an address that came back within
    /// one would look like a use after free.
    @inlinable
    static func deallocate(
        _ address: UnsafeMutableRawPointer, byteCount: Int, file: StaticString = #fileID, line: UInt = #line
    ) {
        ModelRuntime.deallocate(address, byteCount: byteCount, file: file, line: line)
    }
}

/// Leaves a contended word to its other users for a moment; here that changes nothing.
@usableFromInline
func standBack() {}

/// A turn of a loop that can end only after another thread has written: the thread is not scheduled before.
@inlinable
func spinPause(file: StaticString = #fileID, line: UInt = #line) {
    ModelRuntime.pause(file: file, line: line)
}

/// The outcome of a test that an algorithm's correctness rests on: `condition`, unless a mutant says otherwise.
@inlinable
func decide(_ condition: Bool, file: StaticString = #fileID, line: UInt = #line) -> Bool {
    ModelRuntime.decide(condition, file: file, line: line)
}

/// An invariant: a violation when it does not hold.
func verify(_ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String) {
    guard ModelRuntime.isExploring else { return }
    ModelRuntime.expect(condition(), message())
}
