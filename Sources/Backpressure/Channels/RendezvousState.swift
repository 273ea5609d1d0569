// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a rendezvous keeps under its lock, and what can be read of it.

/// The state under the lock.
struct RendezvousState: ~Copyable, @unchecked Sendable {
    var senders = WaiterList(tag: ChannelState.senderTag)
    var receivers = WaiterList(tag: ChannelState.receiverTag)
    /// Who waits for the channel to be closed.
    var watchers = WaiterList(tag: ChannelState.watcherTag)
    var closure = ChannelClosure.open
    var failure: (any Error)?
    var deadlines = Deadlines()
    /// Whether the lists say who waits, and not the word.
    var isGated = false
    var counters = RendezvousCounters()

    var closedOutcome: ChannelOutcome { closure == .abandoned ? .abandoned : .finished }

    /// Takes a waiter out of its list; nobody is woken.
    mutating func detach(_ waiter: WaiterRef) {
        switch waiter.pointer.pointee.list {
        case ChannelState.senderTag: senders.remove(waiter)
        case ChannelState.receiverTag: receivers.remove(waiter)
        default: watchers.remove(waiter)
        }
        deadlines.remove(waiter)
    }
}

/// Events of a rendezvous, written under the lock.
struct RendezvousCounters: Sendable {
    var sendsTimedOut: UInt64 = 0
    var sendsCancelled: UInt64 = 0
    var receivesTimedOut: UInt64 = 0
    var receivesCancelled: UInt64 = 0
}

/// The readings of a ``RendezvousChannel`` at one instant.
///
/// There is no depth: an element is with its sender or with its receiver, never in between.
public struct RendezvousSnapshot: Hashable, Sendable {
    /// Elements that went from a sender to a receiver.
    public let handedOver: UInt64
    /// Elements given back by a send that does not wait, because no receiver waited.
    public let refused: UInt64
    /// Sends that waited and ran out of time.
    public let sendsTimedOut: UInt64
    /// Sends whose task was cancelled while it waited.
    public let sendsCancelled: UInt64
    /// Receives that waited and ran out of time.
    public let receivesTimedOut: UInt64
    /// Receives whose task was cancelled while it waited.
    public let receivesCancelled: UInt64
    /// Tasks waiting for a receiver now.
    public let waitingSenders: Int
    /// Tasks waiting for a sender now.
    public let waitingReceivers: Int
    /// Whether the channel was finished or cancelled.
    public let isClosed: Bool
    /// How long the sender that came first has been waiting; nil when none waits.
    public let oldestSendWait: Duration?
    /// How long the receiver that came first has been waiting; nil when none waits.
    public let oldestReceiveWait: Duration?
    /// How long senders slept whose wait is over, however it ended; waits that a short look ended are not among them.
    public internal(set) var sendWaits = WaitHistogram()
    /// How long receivers slept whose wait is over, however it ended; waits that a short look ended are not among them.
    public internal(set) var receiveWaits = WaitHistogram()
}
