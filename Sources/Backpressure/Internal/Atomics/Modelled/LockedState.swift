// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same surface as `Native/LockedState.swift`, for the model checker: taking and giving back are its steps.
//
// No OS lock is held: the threads of a model are fibres of one OS thread and switch inside the body. Mutual exclusion is
// the checker's. Outside an exploration there is none, so there only one thread may use it.
//
// The state lies behind a pointer: an exclusivity record of a stored property would stay open across a switch.

public import ModelChecker

/// State that is read and written only under its lock.
@usableFromInline
struct LockedState<State: ~Copyable & Sendable>: ~Copyable, @unchecked Sendable {
    @usableFromInline let box: UnsafeMutablePointer<State>

    @inlinable
    init(_ state: consuming State) {
        // Not `allocate(capacity:)`: the address is the lock's identity, also of a state without size.
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: max(MemoryLayout<State>.size, 8), alignment: max(MemoryLayout<State>.alignment, 8))
        ModelRuntime.allocated(raw, byteCount: max(MemoryLayout<State>.size, 8))
        box = raw.bindMemory(to: State.self, capacity: 1)
        box.initialize(to: state)
    }

    @inlinable
    deinit {
        box.deinitialize(count: 1)
        UnsafeMutableRawPointer(box).deallocate()
    }

    /// Runs `body` with the lock held.
    @inlinable
    borrowing func withLock<Result: ~Copyable>(
        file: StaticString = #fileID, line: UInt = #line, _ body: (inout State) -> Result
    ) -> Result {
        ModelRuntime.lock(box, file: file, line: line)
        let result = body(&box.pointee)
        ModelRuntime.unlock(box, file: file, line: line)
        return result
    }
}
