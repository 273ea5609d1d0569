// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same surface as `Native/SleepingTask.swift`, for the model checker: in an exploration nothing is suspended, a
// thread of the model sleeps on the cell itself.

import ModelChecker

/// The way to resume one suspended task, once.
struct SleepingTask {
    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    init(_ continuation: UnsafeContinuation<Void, Never>) {
        bits = UInt64(UInt(bitPattern: unsafeBitCast(continuation, to: UnsafeRawPointer.self)))
    }

    /// The stand-in for a suspended task: a number below the first page, its own for each sleep.
    ///
    /// It names the frame that a task writes before it is suspended, and that its waker reads to resume it.
    init(frame: UInt) {
        bits = UInt64(frame)
        if let address = UnsafeRawPointer(bitPattern: frame) { PlainAccess.write(address) }
    }

    /// A word below the first page is no continuation but a thread of a model, which sleeps on the cell.
    func resume() {
        guard bits < 4096 else {
            unsafeBitCast(UnsafeRawPointer(bitPattern: UInt(bits)), to: UnsafeContinuation<Void, Never>.self).resume()
            return
        }
        guard ModelRuntime.isExploring else { return }
        ModelRuntime.expect(bits != WaiterRef.resumed, "a waiter was resumed twice")
        ModelRuntime.expect(bits != WaiterRef.empty, "a task was resumed that nobody had offered")
        if let frame = UnsafeRawPointer(bitPattern: UInt(bits)) { PlainAccess.read(frame) }
    }
}
