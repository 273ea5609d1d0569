// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A suspended task as a word that fits an atomic.

/// The way to resume one suspended task, once.
struct SleepingTask {
    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    /// An unsafe continuation is one pointer; a checked one would cost an allocation and no longer fit a word.
    init(_ continuation: UnsafeContinuation<Void, Never>) {
        bits = UInt64(UInt(bitPattern: unsafeBitCast(continuation, to: UnsafeRawPointer.self)))
    }

    /// Resumes the task; the caller holds no lock.
    func resume() {
        unsafeBitCast(UnsafeRawPointer(bitPattern: UInt(bits)), to: UnsafeContinuation<Void, Never>.self).resume()
    }
}
