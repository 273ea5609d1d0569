// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Real tasks under the model checker: the threads of a model are the threads of an executor.
//
// A worker takes a ready job and runs it: the shipped `async` code, its atomics and locks being steps of the checker,
// its continuations and cancellation handlers the runtime's own. Enqueueing is no step: it happens inside the runtime,
// where nobody may be stopped. A worker that finds nothing ready sleeps as any thread of a model does; if tasks are left
// and nobody is ready, that is the deadlock which a lost wake-up is.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker

    final class BatonExecutor: TaskExecutor, @unchecked Sendable {
        private var ready: [UnownedJob] = []
        private var moment = ModelRuntime.Moment()
        private var unfinished = 0
        /// How many jobs are ready; once all tasks have ended, enough for every worker.
        private let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)

        init() { word.initialize(to: 0) }

        deinit { word.deallocate() }

        func enqueue(_ job: consuming ExecutorJob) {
            ModelRuntime.release(to: &moment)
            ready.append(UnownedJob(job))
            word.pointee += 1
        }

        /// Starts a task; before the threads of the model run.
        func start(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
            unfinished += 1
            return Task(executorPreference: self) {
                await body()
                self.unfinished -= 1
                if self.unfinished == 0 { self.word.pointee += 1 << 32 }
            }
        }

        /// What a worker thread does: jobs, until all tasks have ended.
        func work() {
            while true {
                ModelRuntime.park(on: word) { $0 == 0 }
                guard !ready.isEmpty else { return }
                word.pointee -= 1
                let job = ready.removeFirst()
                ModelRuntime.acquire(moment)
                job.runSynchronously(on: asUnownedTaskExecutor())
            }
        }
    }
#endif
