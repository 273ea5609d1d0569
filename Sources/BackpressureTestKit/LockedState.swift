// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The lock of this module: a `Mutex` around the state it guards.
//
// ThreadSanitizer does not see the ordering that `Mutex` gives on Linux. With `-DBACKPRESSURE_TSAN` a shadow word is
// loaded (acquiring) after the lock and stored (releasing) before the unlock, which says the same in terms it knows.

import Synchronization

/// State that is read and written only under its lock.
struct LockedState<State: Sendable>: ~Copyable, Sendable {
    private let mutex: Mutex<State>
    #if BACKPRESSURE_TSAN
        private let shadow = Atomic<UInt64>(0)
    #endif

    init(_ state: State) {
        mutex = Mutex(state)
    }

    /// Runs `body` with the lock held.
    ///
    /// It must not resume, await or run code of the user.
    borrowing func withLock<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        mutex.withLock { state in
            #if BACKPRESSURE_TSAN
                _ = shadow.load(ordering: .acquiring)
                defer { shadow.store(0, ordering: .releasing) }
            #endif
            return body(&state)
        }
    }
}
