// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where the threads of a model sleep, and are found by those that cancel them: what `WaiterRef.sleep` does, with a
// thread that is parked in place of the `await`.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    final class WaitPlaces: @unchecked Sendable {
        /// For each of up to eight threads the waiter that it sleeps on.
        private let words = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)

        init() { words.initializeMemory(as: UInt8.self, repeating: 0, count: 64) }

        deinit { words.deallocate() }

        private func word(of thread: Int) -> UnsafeMutableRawPointer { words + thread * 8 }

        /// Thread `me` sleeps until `waiter` is woken.
        func sleep(_ waiter: WaiterRef, by me: Int) {
            let word = word(of: me)
            ModelRuntime.atomicStore(word, UInt64(UInt(bitPattern: waiter.pointer)), .releasing)
            if waiter.park(SleepingTask(bits: 1000 + UInt64(me))) {
                ModelRuntime.park(on: waiter.cellAddress, while: { $0 != WaiterRef.resumed })
            }
            _ = waiter.isResumed
            ModelRuntime.lock(word)
            ModelRuntime.atomicStore(word, 0, .releasing)
            ModelRuntime.unlock(word)
        }

        /// The task of `thread` is cancelled, if it sleeps by now.
        func cancel(_ thread: Int, in core: some WaitCanceller) {
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            let word = word(of: thread)
            ModelRuntime.lock(word)
            let bits = ModelRuntime.atomicLoad(word, .acquiring)
            if let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(bits)) { core.cancel(WaiterRef(pointer)) }
            ModelRuntime.unlock(word)
        }

        /// The calling thread goes on once `thread` sleeps.
        func await(_ thread: Int) { ModelRuntime.park(on: word(of: thread), while: { $0 == 0 }) }
    }
#endif
