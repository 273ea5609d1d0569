// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same surface as `Native/Guess.swift`, for the model checker: a guess that no program has switched on is never made.
//
// Whether it is right is decided by the compare-exchange that follows, so most programs leave it out: every one of its
// steps would be ordered against those of all other threads. Those that switch it on show that this is so.

import ModelChecker

/// A number that a compare-exchange proves or disproves: stale, lost or never written it costs time and nothing else.
@frozen
@usableFromInline
struct Guess: @unchecked Sendable {
    @usableFromInline let address: UnsafeMutableRawPointer

    /// The guess at `address`, which is 8-byte aligned and holds an initialised `UInt64`.
    @usableFromInline
    init(at address: UnsafeMutableRawPointer) { self.address = address }

    @usableFromInline var value: UInt64 { isOn ? AtomicWord(at: address).loadRelaxed() : 0 }

    @usableFromInline
    func note(_ value: UInt64) {
        if isOn { AtomicWord(at: address).storeRelaxed(value) }
    }

    /// Switches it on, before the threads of a program begin; the word behind it says so.
    func begin(_ value: UInt64) {
        address.storeBytes(of: value, as: UInt64.self)
        (address + 8).storeBytes(of: 1, as: UInt64.self)
    }

    /// No step: whether a guess is on never changes while threads run.
    private var isOn: Bool { (address + 8).load(as: UInt64.self) != 0 }
}
