// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the workers of a pool hold: the queue, their counts, and the way to end them.

/// The part of a pool that its workers hold.
final class WorkerLine: Sendable {
    typealias Job = @Sendable () async -> Void

    struct Counts: Sendable {
        var running = 0
        var finished: UInt64 = 0
        var callerRan: UInt64 = 0
        var tasks: [Task<Void, Never>] = []
    }

    let queue: BoundedChannel<Job, Never>
    /// Closed when all workers have ended; nothing is ever sent.
    private let ended: BoundedChannel<Void, Never>
    private let state = LockedState(Counts())

    init(queueLimit: Int, overflow: OverflowPolicy, clock: some Clock<Duration>) {
        queue = BoundedChannel(capacity: queueLimit, overflow: overflow, clock: clock)
        ended = BoundedChannel(capacity: 1, clock: clock)
    }

    var counts: Counts { state.withLock { $0 } }

    func noteCallerRan() { state.withLock { $0.callerRan += 1 } }

    func start(_ workers: Int) {
        let left = AsyncSemaphore(permits: workers)
        for _ in 0..<workers {
            left.tryAcquire()?.forget()
            let task = Task.detached { [self] in
                await work()
                left.release()
                if left.available == workers { ended.finish() }
            }
            state.withLock { $0.tasks.append(task) }
        }
    }

    private func work() async {
        let surrounding = WorkerPool.surrounding + [ObjectIdentifier(self)]
        await WorkerPool.$surrounding.withValue(surrounding) {
            // Not `for await`, which a cancelled worker would leave while jobs are still owed their end.
            while true {
                do throws(ReceiveError<Never>) {
                    guard let job = try await queue.receive() else { return }
                    state.withLock { $0.running += 1 }
                    await job()
                    state.withLock { counts in
                        counts.running -= 1
                        counts.finished += 1
                    }
                } catch {
                    // Cancelled by a shutdown, which has also dropped what was queued: the next receive says the end.
                    await Task.yield()
                }
            }
        }
    }

    nonisolated(nonsending) func shutdown(timeout: Duration?) async -> Int {
        queue.finish()
        if await hasEnded(timeout) { return 0 }
        let before = queue.snapshot().abandoned
        queue.cancel()
        let left = queue.snapshot().abandoned - before
        for task in counts.tasks { task.cancel() }
        _ = await hasEnded(nil)
        return Int(left)
    }

    /// Waits for the workers' end; false when the time is up first, or the caller is cancelled.
    private nonisolated(nonsending) func hasEnded(_ timeout: Duration?) async -> Bool {
        do throws(ReceiveError<Never>) {
            if let timeout { _ = try await ended.receive(timeout: timeout) } else { _ = try await ended.receive() }
            return true
        } catch {
            return false
        }
    }
}

/// Where the result of a job goes: a channel of capacity 1, abandoned when the job is dropped.
final class WorkerReply<Value: Sendable>: Sendable {
    let channel = BoundedChannel<Result<Value, any Error>, Never>(capacity: 1)
    private struct Progress: Sendable {
        var isCancelled = false
        var task: Task<Result<Value, any Error>, Never>?
    }

    private let progress = LockedState(Progress())

    /// The caller was cancelled: so is the job, begun or not.
    func cancel() {
        let task = progress.withLock { progress in
            progress.isCancelled = true
            return progress.task
        }
        task?.cancel()
    }

    func run(_ job: @escaping @Sendable () async throws -> Value) async {
        let task = Task { () async -> Result<Value, any Error> in
            do { return .success(try await job()) } catch { return .failure(error) }
        }
        let isCancelled = progress.withLock { progress in
            progress.task = task
            return progress.isCancelled
        }
        if isCancelled { task.cancel() }
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        _ = channel.trySend(result)
    }
}

/// The job's hold on its reply: when it goes unused, the caller learns that the job was dropped.
final class WorkerTicket<Value: Sendable>: Sendable {
    private let reply: WorkerReply<Value>

    init(_ reply: WorkerReply<Value>) { self.reply = reply }

    deinit { reply.channel.finish() }

    func run(_ job: @escaping @Sendable () async throws -> Value) async { await reply.run(job) }
}
