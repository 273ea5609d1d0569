// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The surface of a select: try the cases; if none is ready, wait for all of them at once (`SelectRun`), and do the one
// that was decided for. `Selection` has the protocol.

/// Which case a ``Select`` prefers when several are ready.
public enum SelectOrder: Sendable, Hashable {
    /// Any of them, at random: in the long run no ready case is neglected.
    case fair
    /// The one listed first: for a case that must come before the others, such as a stop signal. A case that is always
    /// ready starves those behind it.
    case biased
}

/// Waits for the first of several channel operations that can be done, and does that one.
///
/// A select has a list of cases, each of which receives from a channel or sends to one. Exactly one of them is done, or
/// none: an element of a receive that was not chosen stays in its channel, and one of a send that was not chosen stays in
/// its ``SendOffer``.
///
/// ```swift
/// let line = try await Select(
///     .receive(from: orders) { order in order.map { "order \($0)" } ?? "no more orders" },
///     .receive(from: alarms) { _ in "alarm" }
/// ).first(timeout: .seconds(1))
/// ```
///
/// - **Order**: when several cases are ready, ``order`` says which is done. While the select waits it stands in the queue
///   of every channel at its place, like any other waiting task: nobody passes it but as ``Fairness`` allows, and the
///   first channel that comes to its turn serves it.
/// - **Delivery**: a case is done in full or not at all. What it was handed before the task was cancelled, or before the
///   time was up, is returned.
/// - **Cancellation**: ends the wait with ``Rejection/cancelled``; none of the cases is done then. A select that finds a
///   case ready succeeds in a cancelled task.
/// - **Close**: a case on a closed channel is ready; its body learns of it.
/// - **Isolation**: bodies run after the choice, in the caller's isolation, one of them. They may await, and select again.
/// - **Cost**: one try for each case in turn, without a lock where the channel has a buffer, and with no allocation. A
///   wait allocates a waiter for each case, and leaving them takes the lock of each channel once.
///
/// It is a value: build it once and use it in a loop, or change ``cases`` between two selects. Selecting in two tasks at
/// once needs two of them.
///
/// The idea is Hoare's guarded commands on channels (Communicating Sequential Processes, 1978), as in Go's `select`.
public struct Select<Output> {
    /// The cases, in the order of preference of ``SelectOrder/biased``.
    public var cases: [SelectCase<Output>]
    /// Which case is done when several are ready.
    public var order: SelectOrder

    /// A select of these cases.
    ///
    /// - Parameters:
    ///   - cases: The cases.
    ///   - order: Which one is done when several are ready.
    public init(_ cases: SelectCase<Output>..., order: SelectOrder = .fair) { self.init(cases, order: order) }

    /// A select of a list of cases.
    ///
    /// - Parameters:
    ///   - cases: The cases.
    ///   - order: Which one is done when several are ready.
    public init(_ cases: [SelectCase<Output>], order: SelectOrder = .fair) {
        self.cases = cases
        self.order = order
    }

    /// Waits for the first case that can be done, does it, and runs its body.
    ///
    /// - Returns: What the body returns.
    /// - Throws: ``Rejection/cancelled`` when the task was cancelled while it waited; the error that the channel of the
    ///   chosen case was finished with; what the body throws.
    /// - Precondition: There is a case that can be chosen: one that receives, or whose offer is not empty.
    public nonisolated(nonsending) func first() async throws -> Output {
        try await choose(.none).finish()
    }

    /// Waits for the first case that can be done, no longer than `timeout`.
    ///
    /// As ``first()``; a timeout of zero or less never waits. The body's own time does not count.
    ///
    /// - Parameter timeout: The longest wait, on the clock of the first case's channel.
    /// - Returns: What the body returns.
    /// - Throws: ``Rejection/timedOut`` when no case could be done in time, and as ``first()``.
    /// - Precondition: There is a case that can be chosen.
    public nonisolated(nonsending) func first(timeout: Duration) async throws -> Output {
        try await choose(.timeout(timeout)).finish()
    }

    /// Waits for the first case that can be done, no longer than until `deadline`.
    ///
    /// - Parameter deadline: An instant of the clock of the first case's channel.
    /// - Returns: What the body returns.
    /// - Throws: ``Rejection/timedOut`` when no case could be done in time, and as ``first()``.
    /// - Precondition: There is a case that can be chosen, and `deadline` is an instant of the type of that clock.
    public nonisolated(nonsending) func first(deadline: some InstantProtocol<Duration>) async throws -> Output {
        try await choose(timekeeper.waitLimit(until: deadline)).finish()
    }

    /// Does a case that can be done without waiting, if there is one, and runs its body.
    ///
    /// What "without waiting" means is what it means to `trySend` and `tryReceive` of the channel.
    ///
    /// - Returns: What the body returns; nil when no case can be done now.
    /// - Throws: The error that the channel of the chosen case was finished with; what the body throws.
    public nonisolated(nonsending) func tryFirst() async throws -> Output? {
        guard let (index, _) = attempt(from: startIndex) else { return nil }
        return try await cases[index].arm.finish()
    }

    // MARK: - The choice

    /// The clock of the first case that can be chosen.
    private var timekeeper: TimeSource {
        guard let first = cases.first(where: { $0.arm.isEnabled }) else {
            preconditionFailure("a select has no case that could ever be chosen")
        }
        return first.arm.core.timeSource
    }

    /// Where the look at the cases begins.
    private var startIndex: Int {
        guard order == .fair, cases.count > 1 else { return 0 }
        // The fraction of a turn of the golden ratio by which the clock has moved on: spread evenly, and no state.
        let turn = UInt64(bitPattern: PlatformClock.suspendingNanoseconds()) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: turn.multipliedFullWidth(by: UInt64(cases.count)).high)
    }

    /// Does the first case that needs no waiting.
    private func attempt(from start: Int) -> (index: Int, isYieldDue: Bool)? {
        for offset in 0..<cases.count {
            let index = (start + offset) % cases.count
            let arm = cases[index].arm
            guard arm.isEnabled else { continue }
            let outcome = arm.attempt()
            if outcome != .wouldWait { return (index, outcome == .doneYieldDue) }
        }
        return nil
    }

    /// Decides for one case and does it.
    private nonisolated(nonsending) func choose(_ limit: WaitLimit) async throws(Rejection) -> OutputArm<Output> {
        let timekeeper = timekeeper
        let start = startIndex
        if let (index, isYieldDue) = attempt(from: start) {
            if isYieldDue { await Task.yield() }
            return cases[index].arm
        }
        var times = WaitTimes(now: 0, deadline: .max)
        if case .none = limit {} else { times = timekeeper.waitTimes(limit) }
        guard times.deadline > times.now else { throw .timedOut }
        return cases[try await SelectWait.run(cases.map(\.arm), from: start, times)].arm
    }
}

/// The wait of a select; not generic, so that it is compiled once.
enum SelectWait {
    static nonisolated(nonsending) func run(
        _ arms: [SelectArm], from start: Int, _ times: WaitTimes
    ) async throws(Rejection) -> Int {
        var run = SelectRun(arms: arms)
        run.link(from: start, times: times)
        if !run.isServed {
            while run.mustPoll() { await Task.yield() }
            await run.selection.home.sleep(cancelling: run.selection)
        }
        run.record()
        let conclusion = run.conclude()
        if let duty = run.duty {
            while duty.core.mustStayOn(isSender: duty.isSender) { await Task.yield() }
        }
        switch conclusion {
        case .chosen(let index): return index
        case .cancelled: throw .cancelled
        case .timedOut: throw .timedOut
        }
    }
}
