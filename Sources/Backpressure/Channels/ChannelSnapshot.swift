// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// The readings of a channel at one instant.
///
/// At every quiet point `sent == received + UInt64(depth) + evicted + abandoned`. Totals come from the positions that
/// the channel keeps anyway, so they cost its operations nothing.
public struct ChannelSnapshot: Hashable, Sendable {
    /// How many elements the channel held at most at that instant: see ``BoundedChannel/resize(capacity:)``.
    public let capacity: Int
    /// Elements sent and not yet received, 0 to ``capacity``; more only after a resize below what was in.
    public let depth: Int
    /// Room that is promised to ``Reservation``s and not yet filled.
    public let reserved: Int
    /// The greatest depth seen so far, sampled when a sender had to wait and at snapshots; not of every instant.
    public let peakDepth: Int
    /// Elements the channel took over, whatever became of them later.
    public let sent: UInt64
    /// Elements that receivers got.
    public let received: UInt64
    /// Arriving elements dropped by ``OverflowPolicy/dropNewest``, at once or after a wait.
    public let droppedNewest: UInt64
    /// Queued elements dropped by ``OverflowPolicy/dropOldest``, at once or after a wait, or by force.
    public let evicted: UInt64
    /// Queued elements dropped because the consumers cancelled the channel.
    public let abandoned: UInt64
    /// Sends given back because the channel was full and nobody waits for room.
    public let refused: UInt64
    /// Sends that waited and ran out of time.
    public let sendsTimedOut: UInt64
    /// Sends whose task was cancelled while it waited.
    public let sendsCancelled: UInt64
    /// Receives that waited and ran out of time.
    public let receivesTimedOut: UInt64
    /// Receives whose task was cancelled while it waited.
    public let receivesCancelled: UInt64
    /// Tasks waiting for room now.
    public let waitingSenders: Int
    /// Tasks waiting for an element now.
    public let waitingReceivers: Int
    /// Sends that had to wait, so far.
    public let sendsParked: UInt64
    /// Receives that had to wait, so far.
    public let receivesParked: UInt64
    /// Whether the channel was finished or cancelled.
    public let isClosed: Bool
    /// Whether the watermarks hold senders back: see ``Watermarks``.
    public internal(set) var isPaused = false
    /// How long the sender that came first has been waiting; nil when none waits.
    public internal(set) var oldestSendWait: Duration?
    /// How long the receiver that came first has been waiting; nil when none waits.
    public internal(set) var oldestReceiveWait: Duration?
    /// How long senders waited whose wait is over, however it ended, until they ran again.
    ///
    /// A select counts in the queue of each of its cases. At every quiet point there are ``sendsParked`` of them.
    public internal(set) var sendWaits = WaitHistogram()
    /// How long receivers waited whose wait is over, however it ended, until they ran again.
    ///
    /// A select counts in the queue of each of its cases. At every quiet point there are ``receivesParked`` of them.
    public internal(set) var receiveWaits = WaitHistogram()

    /// ``depth`` as a share of ``capacity``, 0 to 1.
    public var depthRatio: Double { Double(depth) / Double(capacity) }

    /// The mean time that elements were in the channel between an earlier snapshot and this one, by Little's law.
    ///
    /// How many were in on average, by how many left in a second (J. D. C. Little, 1961). The mean of the two depths stands
    /// for the average, so the answer is as good as the depth is steady: take snapshots often. It costs the channel
    /// nothing. For percentiles send ``Timestamped`` elements.
    ///
    /// ```swift
    /// let channel = BoundedChannel<Int, Never>(capacity: 8)
    /// let before = channel.snapshot()
    /// for order in 1...4 { _ = channel.trySend(order) }
    /// for _ in 1...2 { _ = channel.tryReceive() }
    /// let mean = channel.snapshot().meanTimeInQueue(since: before, elapsed: .seconds(2))
    /// print(mean ?? .zero)  // 1.0 seconds: one was in on average, and one left a second
    /// ```
    ///
    /// - Parameters:
    ///   - earlier: A snapshot of the same channel.
    ///   - elapsed: The time between the two.
    /// - Returns: The time, 292 years at most; nil if nothing left the channel, or `elapsed` is not positive.
    public func meanTimeInQueue(since earlier: ChannelSnapshot, elapsed: Duration) -> Duration? {
        let now = received &+ evicted &+ abandoned
        let then = earlier.received &+ earlier.evicted &+ earlier.abandoned
        guard elapsed > .zero, now > then else { return nil }
        let meanDepth = (Double(depth) + Double(earlier.depth)) / 2
        let (seconds, attoseconds) = elapsed.components
        let time = (Double(seconds) + Double(attoseconds) * 1e-18) * meanDepth / Double(now - then)
        return time < 9.2e9 ? .seconds(time) : .nanoseconds(Int64.max)
    }
}
