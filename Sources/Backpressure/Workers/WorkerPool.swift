// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded number of workers behind a bounded queue: a channel, and tasks that receive from it.
//
// ## Algorithm
// A job that is submitted goes into a `BoundedChannel` of closures, whose capacity is the queue's bound. `workers` tasks
// receive from it and run what they get. What happens when the queue is full is the pool's policy.
//
// A job that submits to its own full pool, and waits, waits for a worker, and may be the very job that keeps the last worker
// busy: with all workers doing so nobody ever moves. A task-local list says in which pools' jobs a task runs, so such a
// submission is known, and is answered instead of queued.
//
// ## Invariants
// I1  At most `workers` jobs run in workers at once, and at most `queueLimit` wait. Jobs that run in their submitters (caller
//     runs) are not among them: they use nothing that the submitter does not have.
// I2  A job is run, or dropped and counted, or its submitter gets an error; exactly one of them.
// I3  Workers hold the line and not the pool: a pool that nobody holds finishes its queue and ends.

/// What a ``WorkerPool`` does with a job for which its queue has no room, named by what becomes of the job.
public struct SubmissionPolicy: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case suspend
        case reject
        case dropNewest
        case dropOldest
        case callerRuns
    }

    let kind: Kind

    /// The submitter waits for room.
    public static let suspend = SubmissionPolicy(kind: .suspend)
    /// The submitter gets ``Rejection/full``.
    public static let reject = SubmissionPolicy(kind: .reject)
    /// The arriving job is dropped, and counted.
    public static let dropNewest = SubmissionPolicy(kind: .dropNewest)
    /// The job that has waited longest is dropped, and counted.
    public static let dropOldest = SubmissionPolicy(kind: .dropOldest)
    /// The submitter runs the job itself, which slows it down just as much as the pool is behind.
    public static let callerRuns = SubmissionPolicy(kind: .callerRuns)

    var overflow: OverflowPolicy {
        switch kind {
        case .suspend: .suspend
        case .reject, .callerRuns: .reject
        case .dropNewest: .dropNewest
        case .dropOldest: .dropOldest
        }
    }
}

/// Why a job was not run, nor will be.
public struct SubmissionError: Error, Hashable, Sendable {
    /// Why, in one word.
    public enum Reason: Hashable, Sendable {
        /// The queue was full, the wait ended, or the pool was shut down.
        case rejected(Rejection)
        /// The job was submitted from inside a job of the same pool, whose queue is full: waiting for room could be
        /// waiting for oneself.
        case ownPoolIsFull
    }

    /// Why.
    public let reason: Reason
    /// The name that the pool was given.
    public let name: String?
}

extension SubmissionError: CustomStringConvertible {
    /// A short text for a log line.
    public var description: String {
        let pool = name.map { "\"\($0)\"" } ?? "a pool"
        switch reason {
        case .rejected(let rejection): return "\(pool) did not take a job: \(rejection)"
        case .ownPoolIsFull: return "\(pool) is full, and the job was submitted by one of its own jobs"
        }
    }
}

/// A fixed number of workers that run jobs from a bounded queue.
///
/// ```swift
/// let pool = WorkerPool(workers: 4, queueLimit: 100)
/// for name in names {
///     try await pool.submit { await upload(name) }  // waits while 100 jobs wait
/// }
/// await pool.shutdown()
/// ```
///
/// - **Bound**: at most `workers` jobs run at once, and at most `queueLimit` wait. When the queue is full, the
///   ``SubmissionPolicy`` says what happens.
/// - **Order**: jobs are started in the order in which the queue took them over.
/// - **Cancellation**: ends the submitter's wait for room, with ``Rejection/cancelled``; the job is then not run. A job that
///   the queue has taken is run whatever becomes of its submitter.
/// - **Re-entrancy**: a job may submit to its own pool. When the queue is full then, waiting could be waiting for oneself:
///   so the submission fails with ``SubmissionError/Reason/ownPoolIsFull``, or the job runs in its submitter under
///   ``SubmissionPolicy/callerRuns``. That goes for tasks that a job starts, too, unless they are detached.
/// - **End**: ``shutdown(timeout:)``; or, when nobody holds the pool any more, the queue is finished and the workers end.
public final class WorkerPool: Sendable {
    @TaskLocal static var surrounding: [ObjectIdentifier] = []

    let line: WorkerLine
    private let policy: SubmissionPolicy
    /// How many jobs run at once.
    public let workers: Int
    /// How many jobs wait at most.
    public let queueLimit: Int
    /// What errors and snapshots call it.
    public let name: String?

    /// A pool whose workers are ready.
    ///
    /// - Parameters:
    ///   - workers: How many jobs run at once, at least 1.
    ///   - queueLimit: How many jobs wait at most, at least 1.
    ///   - policy: What happens to a job for which there is no room.
    ///   - name: What errors and snapshots call it.
    ///   - clock: The clock of every timeout; tests pass a manual one.
    /// - Precondition: `workers >= 1`, `queueLimit >= 1`.
    public init(
        workers: Int, queueLimit: Int, policy: SubmissionPolicy = .suspend, name: String? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        precondition(workers >= 1, "a pool has at least 1 worker, not \(workers)")
        self.workers = workers
        self.queueLimit = queueLimit
        self.policy = policy
        self.name = name
        line = WorkerLine(queueLimit: queueLimit, overflow: policy.overflow, clock: clock)
        line.start(workers)
    }

    deinit { line.queue.finish() }

    // MARK: Submitting

    /// Hands `job` to the pool, waiting for room if the policy says so.
    ///
    /// Returns as soon as the queue has the job, or under ``SubmissionPolicy/callerRuns`` once it has run here.
    ///
    /// - Parameters:
    ///   - timeout: The longest wait for room, on the pool's clock; nil for none.
    ///   - job: What a worker does.
    /// - Throws: ``SubmissionError``; then the job will not be run.
    public nonisolated(nonsending) func submit(
        timeout: Duration? = nil, _ job: @escaping @Sendable () async -> Void
    ) async throws(SubmissionError) {
        let isInside = Self.surrounding.contains(ObjectIdentifier(line))
        let result: SendResult<WorkerLine.Job>
        if isInside || policy != .suspend {
            result = line.queue.trySend(job)
        } else if let timeout {
            result = await line.queue.send(job, timeout: timeout)
        } else {
            result = await line.queue.send(job)
        }
        guard let reason = result.reason else { return }
        guard reason == .full else { throw SubmissionError(reason: .rejected(reason), name: name) }
        guard policy == .callerRuns else {
            throw SubmissionError(
                reason: isInside && policy == .suspend ? .ownPoolIsFull : .rejected(.full), name: name)
        }
        line.noteCallerRan()
        await job()
    }

    /// Runs `job` in the pool and waits for what it returns.
    ///
    /// As ``submit(timeout:_:)``. Cancelling the calling task ends the wait with `CancellationError` and cancels the job,
    /// begun or not. From inside a job of the same pool `job` runs at once in its caller: it would keep a worker waiting for a
    /// worker.
    ///
    /// - Parameters:
    ///   - timeout: The longest wait for room, on the pool's clock; nil for none.
    ///   - job: What a worker does.
    /// - Returns: What `job` returned.
    /// - Throws: ``SubmissionError`` when the job was not taken, or was dropped by the policy or by a shutdown; else what `job` throws.
    public nonisolated(nonsending) func run<Value: Sendable>(
        timeout: Duration? = nil, _ job: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        if Self.surrounding.contains(ObjectIdentifier(line)) {
            line.noteCallerRan()
            return try await job()
        }
        let reply = WorkerReply<Value>()
        try await submit(timeout: timeout) { [ticket = WorkerTicket(reply)] in await ticket.run(job) }
        return try await withTaskCancellationHandler {
            let received: Result<Value, any Error>?
            do throws(ReceiveError<Never>) {
                received = try await reply.channel.receive()
            } catch {
                throw CancellationError()
            }
            guard let received else { throw SubmissionError(reason: .rejected(.abandoned), name: name) }
            return try received.get()
        } onCancel: {
            reply.cancel()
        }
    }

    // MARK: Ending

    /// Takes no more jobs, waits for those it has, and says how many were not begun.
    ///
    /// When the time is up first, the jobs that still wait are dropped, and those that run are cancelled and waited for.
    /// Idempotent: a second call waits as well.
    ///
    /// - Parameter timeout: How long to wait for the queue to drain, on the pool's clock; nil for as long as it takes.
    /// - Returns: How many jobs were dropped by this shutdown.
    @discardableResult
    public nonisolated(nonsending) func shutdown(timeout: Duration? = nil) async -> Int {
        await line.shutdown(timeout: timeout)
    }

    /// The readings of this instant.
    ///
    /// - Returns: Jobs, totals and workers.
    public func snapshot() -> WorkerPoolSnapshot {
        let queue = line.queue.snapshot()
        let counts = line.counts
        return WorkerPoolSnapshot(
            name: name, workers: workers, queueLimit: queueLimit, running: counts.running, waiting: queue.depth,
            peakWaiting: queue.peakDepth, finished: counts.finished, callerRan: counts.callerRan,
            rejected: queue.refused, dropped: queue.droppedNewest + queue.evicted + queue.abandoned,
            isShutDown: queue.isClosed, oldestSubmitWait: queue.oldestSendWait, submitWaits: queue.sendWaits,
            idleWaits: queue.receiveWaits)
    }
}

/// The readings of a worker pool at one instant.
public struct WorkerPoolSnapshot: Hashable, Sendable {
    /// The name that the pool was given.
    public let name: String?
    /// How many jobs run at once.
    public let workers: Int
    /// How many jobs wait at most.
    public let queueLimit: Int
    /// Jobs that run in workers now.
    public let running: Int
    /// Jobs that wait now.
    public let waiting: Int
    /// The greatest number of waiting jobs seen so far; sampled.
    public let peakWaiting: Int
    /// Jobs that workers have finished.
    public let finished: UInt64
    /// Jobs that ran in their submitters.
    public let callerRan: UInt64
    /// Times that the queue had no room for a job and nobody waited for any.
    public let rejected: UInt64
    /// Jobs that were dropped by the policy or by a shutdown.
    public let dropped: UInt64
    /// Whether the pool takes no more jobs.
    public let isShutDown: Bool
    /// How long the submitter that came first has been waiting for a place in the queue; nil when none waits.
    public let oldestSubmitWait: Duration?
    /// How long submitters waited for a place in the queue, of those whose wait is over, however it ended.
    public let submitWaits: WaitHistogram
    /// How long workers waited for a job, of the waits that are over.
    public let idleWaits: WaitHistogram
}
