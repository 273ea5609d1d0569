// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The one timer task of a primitive.
//
// The task holds its primitive weakly while it sleeps: a channel that nobody else holds goes away, and cancels it. It
// is started outside every lock and outside every continuation.

/// A primitive whose waiters have deadlines.
protocol DeadlineOwner: AnyObject, Sendable {
    var timeSource: TimeSource { get }

    /// Ends every wait that is due, wakes those tasks, and says until when the timer sleeps next; nil ends it.
    func timerRang(generation: UInt64) -> Int64?
}

/// Holds the task that sleeps for the earliest deadline.
struct DeadlineTimer: ~Copyable, Sendable {
    struct Armed {
        var generation: UInt64 = 0
        var task: Task<Void, Never>?
        var started = 0
    }

    let armed = LockedState(Armed())

    /// How many timer tasks have been started so far.
    var startedTasks: Int { armed.withLock { $0.started } }

    /// Starts a task for `request` in place of the one that sleeps for a later deadline.
    func arm(_ request: TimerRequest, for owner: some DeadlineOwner) {
        let timeSource = owner.timeSource
        let task = Task.detached { [weak owner] in
            var deadline = request.deadline
            while true {
                do {
                    try await timeSource.sleep(until: deadline)
                } catch {
                    if Task.isCancelled { return }
                    // A clock that refuses to sleep is asked again and again; its deadlines still hold.
                    await Task.yield()
                }
                guard let next = owner?.timerRang(generation: request.generation) else { return }
                deadline = next
            }
        }
        // Two requests may arrive here in either order: the younger generation stays.
        let obsolete: Task<Void, Never>? = armed.withLock { armed in
            armed.started += 1
            guard request.generation > armed.generation else { return task }
            let previous = armed.task
            armed.generation = request.generation
            armed.task = task
            return previous
        }
        obsolete?.cancel()
    }

    /// Ends the timer; its owner is going away.
    func cancel() {
        armed.withLock { $0.task }?.cancel()
    }
}
