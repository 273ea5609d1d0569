// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a verification runs in: how it waits for signals, and how it knows that none will come.
//
// Deterministically there is nothing to wait for: when the executor of the environment has no job, and the clock moves
// only when it is told to, whatever has not happened will not happen. In real time all that can be said is that nothing
// came for a while.

/// Where a verification runs its subjects, and how it waits for them.
public final class VerificationEnvironment: Sendable {
    /// Runs tasks only when the verification waits: give it to subjects that start tasks.
    public let executor: VerificationExecutor
    /// Stands still, unless the environment follows it: give it to subjects that need a clock.
    public let clock: ManualClock
    /// Nil for a deterministic environment.
    private let noSignal: Duration?
    private let followsClock: Bool

    private init(noSignal: Duration?, followsClock: Bool) {
        executor = VerificationExecutor()
        clock = ManualClock()
        self.noSignal = noSignal
        self.followsClock = followsClock
    }

    /// For publishers and subscribers that signal on the threads of their callers, or on ``executor`` and ``clock``.
    ///
    /// There are no time-outs, so a verification takes no time and has one result.
    public static var deterministic: VerificationEnvironment {
        VerificationEnvironment(noSignal: nil, followsClock: false)
    }

    /// As ``deterministic``; waiting advances ``clock`` to whatever a task sleeps for.
    ///
    /// For subjects that signal by the clock, such as a throttle; not for those that end by it, such as a timeout.
    public static var deterministicByClock: VerificationEnvironment {
        VerificationEnvironment(noSignal: nil, followsClock: true)
    }

    /// For publishers with threads or tasks of their own.
    ///
    /// - Parameter noSignal: After so much time without a signal none is expected any more. A signal that must come is
    ///   waited for twenty times as long.
    /// - Returns: The environment.
    public static func realTime(noSignal: Duration) -> VerificationEnvironment {
        precondition(noSignal > .zero, "a wait of \(noSignal) shows nothing")
        return VerificationEnvironment(noSignal: noSignal, followsClock: false)
    }

    var isDeterministic: Bool { noSignal == nil }

    /// Waits until nothing more will come, as far as can be known.
    func settle() async {
        if let noSignal {
            try? await ContinuousClock().sleep(for: noSignal)
        } else {
            _ = await drain { false }
        }
    }

    /// Waits until `condition` holds; false when it does not come to hold.
    func settle(until condition: () -> Bool) async -> Bool {
        guard let noSignal else { return await drain(until: condition) }
        let clock = ContinuousClock()
        let deadline = clock.now + noSignal * 20
        while clock.now < deadline {
            if condition() { return true }
            try? await clock.sleep(for: min(noSignal / 10, .milliseconds(1)))
        }
        return condition()
    }

    private func drain(until condition: () -> Bool) async -> Bool {
        // The bounds end subjects that never come to rest.
        for _ in 0..<1_000 {
            if condition() { return true }
            if executor.run(limit: 100_000) { continue }
            guard followsClock, let deadline = clock.nextDeadline else { break }
            clock.advance(to: max(deadline, clock.now))
            // The woken may run elsewhere: they get some turns, and more while something comes of it.
            for _ in 0..<64 {
                await Task.yield()
                executor.run(limit: 1_000)
            }
        }
        return condition()
    }

    /// What a call took: on the manual clock in a deterministic environment, where no time at all is allowed.
    func isSlow(_ body: () -> Void) -> Bool {
        guard let noSignal else {
            let start = clock.now
            body()
            return clock.now > start
        }
        return ContinuousClock().measure(body) > noSignal
    }
}

/// An executor whose tasks run when a verification waits, on its thread, in order.
public final class VerificationExecutor: TaskExecutor, Sendable {
    private let jobs = LockedState<[UnownedJob]>([])

    init() {}

    /// Adds a job.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// Runs jobs until none is ready, at most `limit`; whether there was any.
    @discardableResult
    func run(limit: Int) -> Bool {
        var count = 0
        while count < limit {
            let batch = jobs.withLock { jobs in
                let batch = jobs
                jobs.removeAll(keepingCapacity: true)
                return batch
            }
            if batch.isEmpty { break }
            for job in batch { job.runSynchronously(on: asUnownedTaskExecutor()) }
            count += batch.count
        }
        return count > 0
    }
}
