// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// An executor whose tasks run only when a test says so, on the test's own thread: schedules are then exact.

@testable import Backpressure

/// A task executor that holds its jobs until it is told to run them.
///
/// A timer of the library is no task of this executor and comes back by way of the global pool: see `run(until:)`.
final class StepExecutor: TaskExecutor, Sendable {
    private let jobs = LockedState<[UnownedJob]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// The number of jobs that are ready.
    var readyCount: Int { jobs.withLock { $0.count } }

    /// Runs one ready job: the oldest, or the one at `index`.
    @discardableResult
    func step(at index: Int = 0) -> Bool {
        let job = jobs.withLock { jobs in
            index < jobs.count ? jobs.remove(at: index) : nil
        }
        guard let job else { return false }
        job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }

    /// Runs jobs, in order, until none is ready; a task that polls, and so is always ready, gets `rounds` turns.
    func run(rounds: Int = 256) {
        for _ in 0..<rounds {
            let batch = jobs.withLock { jobs in
                let batch = jobs
                jobs.removeAll()
                return batch
            }
            if batch.isEmpty { return }
            for job in batch { job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }

    /// Runs jobs until `condition` holds; the bound is one of turns, generous for tasks that come back from the pool.
    ///
    /// - Returns: Whether the condition came to hold.
    func run(until condition: () -> Bool) async -> Bool {
        for _ in 0..<20_000 {
            if condition() { return true }
            run(rounds: 16)
            await Task.yield()
        }
        return condition()
    }
}

/// A value behind the library's lock, which the sanitizers know.
final class Shared<Value: Sendable>: Sendable {
    private let state: LockedState<Value>

    init(_ value: Value) { state = LockedState(value) }

    var value: Value { state.withLock { $0 } }

    @discardableResult
    func update<Result>(_ body: (inout Value) -> Result) -> Result { state.withLock(body) }
}
