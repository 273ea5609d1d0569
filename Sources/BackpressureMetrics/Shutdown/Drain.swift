// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The end of a pipeline: stage by stage, its intake is closed, what is in is worked off, and what is not by the deadline
// is given up and counted.
//
// ## Invariants
// S1  A stage is closed only when those before it are empty or given up: what is in an early stage still finds its way
//     into the later ones.
// S2  After the deadline nothing is waited for: every stage that is left is closed and given up at once.
//
// A stage is waited for by its own event (`untilDrained`), in a task beside one that sleeps until the deadline; whichever
// ends first, the other is cancelled. Nothing is looked at now and then.

public import Backpressure

/// Stages to be shut down in order, each drained before the next one is closed.
///
/// ```swift
/// let orders = BoundedChannel<Int, Never>(capacity: 8)
/// let slots = AsyncSemaphore(permits: 2)
/// let drain = Drain()
///     .stage("orders", orders)
///     .stage("slots", slots)
/// let report = await drain.run(timeout: .seconds(5))
/// print(report)  // drained: orders 0 left, slots 0 left
/// ```
///
/// Stages come in the order in which elements pass them. What is in a stage is counted, not touched: whoever receives from a
/// channel goes on doing so until it is empty. When the time is up the channels that are left are cancelled: their
/// elements go to their hooks.
public struct Drain: Sendable {
    fileprivate struct Stage: Sendable {
        let name: String
        /// Takes in nothing more, waits until nothing is in or the time left is up, gives up the rest and counts it.
        let drain: @Sendable (_ patience: Patience) async -> Int
    }

    /// How long a stage is waited for.
    fileprivate struct Patience: Sendable {
        /// What is left of the time; nil for as long as it takes, zero or less when it is up.
        let left: @Sendable () -> Duration?
        let sleep: @Sendable (Duration) async throws -> Void

        /// Waits for an event, until the time is up or the task is cancelled.
        func wait(for event: @escaping @Sendable () async -> Void) async {
            guard let left = left() else { return await event() }
            guard left > .zero else { return }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await event() }
                group.addTask { try? await sleep(left) }
                _ = await group.next()
                group.cancelAll()
            }
        }
    }

    private var stages: [Stage] = []

    /// A drain of nothing.
    public init() {}

    /// This drain and another stage behind it.
    ///
    /// - Parameters:
    ///   - name: Its name in the report.
    ///   - stage: The stage.
    /// - Returns: The longer drain.
    public func stage(_ name: String, _ stage: some Drainable) -> Drain {
        adding(name) { patience in
            stage.closeIntake()
            await patience.wait { try? await stage.untilDrained() }
            return stage.giveUp()
        }
    }

    /// This drain and a pool of workers behind it: its jobs are waited for, and cancelled when the time is up.
    ///
    /// - Parameters:
    ///   - name: Its name in the report.
    ///   - pool: The pool; what is left of it are jobs that were not begun.
    /// - Returns: The longer drain.
    public func stage(_ name: String, _ pool: WorkerPool) -> Drain {
        adding(name) { patience in
            await pool.shutdown(timeout: patience.left().map { max(.zero, $0) })
        }
    }

    private func adding(_ name: String, _ drain: @escaping @Sendable (Patience) async -> Int) -> Drain {
        var longer = self
        longer.stages.append(Stage(name: name, drain: drain))
        return longer
    }

    /// Shuts the stages down, one after the other.
    ///
    /// It goes on as soon as a stage is drained. Cancelling the task ends the waiting: what is left is given up at once.
    ///
    /// - Parameters:
    ///   - timeout: How long it may take in all; nil for as long as it takes.
    ///   - clock: The clock of the timeout and of the report.
    /// - Returns: What was left in each stage, and how long it took.
    public func run<C: Clock<Duration>>(
        timeout: Duration? = nil, clock: C = ContinuousClock()
    ) async -> DrainReport {
        let start = clock.now
        let patience = Patience(
            left: {
                if Task.isCancelled { return .zero }
                return timeout.map { $0 - start.duration(to: clock.now) }
            },
            sleep: { try await clock.sleep(for: $0) })
        var report = DrainReport()
        for stage in stages {
            let began = clock.now
            let count = await stage.drain(patience)
            report.stages.append(
                DrainReport.Stage(name: stage.name, left: count, duration: began.duration(to: clock.now)))
        }
        return report
    }
}

/// What a ``Drain`` came to.
public struct DrainReport: Hashable, Sendable, CustomStringConvertible {
    /// What one stage came to.
    public struct Stage: Hashable, Sendable {
        /// Its name.
        public let name: String
        /// What was in it when it was given up: elements, calls or jobs.
        public let left: Int
        /// How long it was waited for.
        public let duration: Duration
    }

    /// The stages, in order.
    public internal(set) var stages: [Stage] = []

    /// What was left in all stages.
    public var left: Int { stages.reduce(0) { $0 + $1.left } }

    /// Whether nothing was left.
    public var isComplete: Bool { left == 0 }

    /// What was left by stage, for a log line.
    public var description: String {
        let parts = stages.map { "\($0.name) \($0.left) left" }
        return "\(isComplete ? "drained" : "given up"): \(parts.joined(separator: ", "))"
    }
}

/// Something that can be shut down in two steps: it takes in nothing more, and when what is in it has gone it is empty.
///
/// The channels with a buffer, the semaphore and the concurrency limiter are. For a stage of your own:
///
/// ```swift
/// final class Batcher: Drainable {
///     private let slots = AsyncSemaphore(permits: 4)
///
///     func closeIntake() { slots.close() }
///     func untilDrained() async throws(Rejection) { try await slots.untilDrained() }
///     func giveUp() -> Int { slots.inUse }
/// }
/// ```
public protocol Drainable: AnyObject, Sendable {
    /// Takes in nothing more; idempotent.
    func closeIntake()

    /// Waits until nothing is in it any more; its intake is closed.
    ///
    /// - Throws: `Rejection.cancelled`, soon, when the task is cancelled: that is how a drain ends the wait.
    nonisolated(nonsending) func untilDrained() async throws(Rejection)

    /// Gives up what is still in it, and says how much that is.
    ///
    /// - Returns: How many elements, calls or permits were left.
    func giveUp() -> Int
}

extension BoundedChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Cancels the channel: what is in goes to its hook.
    ///
    /// - Returns: How many elements that were.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension BufferedChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Cancels the channel: what is in goes to its hook.
    ///
    /// - Returns: How many elements that were.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension PriorityChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Cancels the channel: what is in goes to its hook.
    ///
    /// - Returns: How many elements that were.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension AsyncSemaphore: Drainable {
    /// Closes the semaphore: nobody gets permits any more, and those who wait are told.
    public func closeIntake() { close() }

    /// How many permits are still out; nothing can be done about them.
    ///
    /// - Returns: Their number.
    public func giveUp() -> Int { inUse }
}

extension ConcurrencyLimiter: Drainable {
    /// Closes the limiter: no call is admitted any more, and those that wait are told.
    public func closeIntake() { close() }

    /// How many calls still run; nothing can be done about them.
    ///
    /// - Returns: Their number.
    public func giveUp() -> Int { snapshot().inFlight }
}
