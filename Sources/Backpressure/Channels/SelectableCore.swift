// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a select needs of a channel: to try, to link a case, to look again, to withdraw it. `Selection` has the protocol.

/// What came of linking a case.
enum SelectStep: Sendable {
    /// It is linked and waits.
    case waits
    /// It is linked, and must look again before its task may sleep: a sender is half-way.
    case waitsPending
    /// The task has taken the decision for this case itself: it is done, and its verdict is in the waiter.
    case served
    /// Somebody else has decided for another case; this one is not linked.
    case decided
}

/// The core of a channel that can be a case of a select.
protocol SelectableCore: AnyObject, Sendable {
    var layout: SlotLayout { get }
    var timeSource: TimeSource { get }
    /// The error the channel was finished with.
    var failure: (any Error)? { get }

    /// Sends the element at `source` if that takes no waiting; it stays there exactly if the outcome is `wouldWait`,
    /// `finished` or `abandoned`.
    func attemptSend(from source: UnsafeMutableRawPointer) -> ChannelOutcome

    /// Receives into `destination` if that takes no waiting; it holds an element exactly if the outcome is `done` or
    /// `doneYieldDue`.
    func attemptReceive(into destination: UnsafeMutableRawPointer) -> ChannelOutcome

    /// Looks once more and, if that is in vain, links `node`, which has joined a select; a sender's element is in it.
    func link(_ node: WaiterRef, isSender: Bool, times: WaitTimes) -> SelectStep

    /// Unlinks `node` if it is still linked, and promotes whoever now fits.
    ///
    /// After it nobody but the caller has to do with `node`.
    func withdraw(_ node: WaiterRef)

    /// Where the waits of one side are recorded.
    func waitLog(isSender: Bool) -> WaitLog

    /// Whether a linked receiver must look again before it may sleep.
    func mustPoll(_ node: WaiterRef) -> Bool

    /// What a task that woke as its side's steward does first; whether it must come again.
    func mustStayOn(isSender: Bool) -> Bool
}
