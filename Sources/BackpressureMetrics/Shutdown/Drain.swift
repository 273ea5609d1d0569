// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The end of a pipeline: stage by stage, its intake is closed, what is in is worked off, and what is not by the deadline
// is given up and counted.
//
// ## Invariants
// S1  A stage is closed only when those before it are empty or given up: what is in an early stage still finds its way
//     into the later ones.
// S2  After the deadline nothing is waited for: every stage that is left is closed and given up at once.

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
        let drain: @Sendable (_ pace: Pace) async -> Int
    }

    /// How a stage is waited for.
    fileprivate struct Pace: Sendable {
        /// What is left of the time; zero or less when it is up.
        let left: @Sendable () -> Duration
        /// Waits for a moment; false when the task is cancelled.
        let pause: @Sendable () async -> Bool

        func wait(until isDone: () -> Bool) async {
            while !isDone(), left() > .zero {
                guard await pause() else { return }
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
        adding(name) { pace in
            stage.closeIntake()
            await pace.wait { stage.outstanding == 0 }
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
        adding(name) { pace in await pool.shutdown(timeout: max(.zero, pace.left())) }
    }

    private func adding(_ name: String, _ drain: @escaping @Sendable (Pace) async -> Int) -> Drain {
        var longer = self
        longer.stages.append(Stage(name: name, drain: drain))
        return longer
    }

    /// Shuts the stages down, one after the other.
    ///
    /// Cancelling the task ends the waiting: what is left is given up at once.
    ///
    /// - Parameters:
    ///   - timeout: How long it may take in all; nil for as long as it takes.
    ///   - interval: How often a stage is looked at.
    ///   - clock: The clock of both.
    /// - Returns: What was left in each stage, and how long it took.
    /// - Precondition: `interval > .zero`.
    public func run<C: Clock<Duration>>(
        timeout: Duration? = nil, interval: Duration = .milliseconds(20), clock: C = ContinuousClock()
    ) async -> DrainReport {
        precondition(interval > .zero, "a stage is looked at every \(interval)")
        let start = clock.now
        let left: @Sendable () -> Duration = {
            if Task.isCancelled { return .zero }
            guard let timeout else { return .seconds(Int64.max / 4) }
            return timeout - start.duration(to: clock.now)
        }
        let pace = Pace(left: left) { (try? await clock.sleep(for: min(interval, left()))) != nil }
        var report = DrainReport()
        for stage in stages {
            let began = clock.now
            let count = await stage.drain(pace)
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
public protocol Drainable: AnyObject, Sendable {
    /// Takes in nothing more; idempotent.
    func closeIntake()

    /// What is still in it.
    var outstanding: Int { get }

    /// Gives up what is still in it, and says how much that is.
    func giveUp() -> Int
}

extension BoundedChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Elements that are in.
    public var outstanding: Int { count }

    /// Cancels the channel: what is in goes to its hook.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension BufferedChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Elements that are in.
    public var outstanding: Int { snapshot().depth }

    /// Cancels the channel: what is in goes to its hook.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension PriorityChannel: Drainable where Element: ~Copyable {
    /// Finishes the channel: senders get their elements back, receivers what is in.
    public func closeIntake() { finish() }

    /// Elements that are in.
    public var outstanding: Int { snapshot().depth }

    /// Cancels the channel: what is in goes to its hook.
    public func giveUp() -> Int {
        let before = snapshot().abandoned
        cancel()
        return Int(clamping: snapshot().abandoned - before)
    }
}

extension AsyncSemaphore: Drainable {
    /// Closes the semaphore: nobody gets permits any more, and those who wait are told.
    public func closeIntake() { close() }

    /// Permits that are out.
    public var outstanding: Int { snapshot().inUse }

    /// How many permits are still out; nothing can be done about them.
    public func giveUp() -> Int { outstanding }
}

extension ConcurrencyLimiter: Drainable {
    /// Closes the limiter: no call is admitted any more, and those that wait are told.
    public func closeIntake() { close() }

    /// Calls that run.
    public var outstanding: Int { snapshot().inFlight }

    /// How many calls still run; nothing can be done about them.
    public func giveUp() -> Int { outstanding }
}
