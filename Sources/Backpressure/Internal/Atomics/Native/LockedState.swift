// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The only lock of this library: a `Mutex` around the state it guards.
//
// Rules for the body of `withLock`: no `await`, no resume of a continuation, no code or destructor of a user, no
// allocation that can be avoided. Collect what is to be done and do it after.
//
// ThreadSanitizer does not see the ordering that `Mutex` gives on Linux. With `-DBACKPRESSURE_TSAN` a shadow word is
// loaded (acquiring) after the lock and stored (releasing) before the unlock, which says the same in terms it knows.

public import Synchronization

/// State that is read and written only under its lock.
@usableFromInline
struct LockedState<State: ~Copyable & Sendable>: ~Copyable, Sendable {
    @usableFromInline let mutex: Mutex<State>
    #if BACKPRESSURE_TSAN
        @usableFromInline let shadow = Atomic<UInt64>(0)
    #endif

    @inlinable
    init(_ state: consuming State) {
        mutex = Mutex(state)
    }

    /// Runs `body` with the lock held.
    @inlinable @inline(__always)
    borrowing func withLock<Result: ~Copyable>(_ body: (inout State) -> Result) -> Result {
        var result: Result?
        mutex.withLock { state in
            #if BACKPRESSURE_TSAN
                _ = shadow.load(ordering: .acquiring)
            #endif
            result = body(&state)
            #if BACKPRESSURE_TSAN
                shadow.store(0, ordering: .releasing)
            #endif
        }
        switch consume result {
        case .some(let value): return value
        case .none: preconditionFailure("Mutex.withLock did not run its body")
        }
    }
}
