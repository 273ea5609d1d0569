// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// The readings of a ``BufferedChannel`` or a ``PriorityChannel`` at one instant.
///
/// At every instant `sent == received + UInt64(depth) + evicted + expired + shed + conflated + abandoned`, for the whole and
/// for each lane: nothing that was taken over is unaccounted for. What came back to its sender was never taken over.
public struct BufferSnapshot: Hashable, Sendable {
    /// The readings of one lane of a ``PriorityChannel``, or of one class of a ``BufferedChannel``.
    public struct Lane: Hashable, Sendable {
        /// The lane's own bound.
        public let capacity: Int
        /// Elements in the lane.
        public let depth: Int
        /// The sum of their costs.
        public let cost: Int
        /// Elements the lane took over, whatever became of them later.
        public let sent: UInt64
        /// Elements that receivers got.
        public let received: UInt64
        /// Arriving elements that a policy dropped.
        public let droppedNewest: UInt64
        /// Queued elements that a policy dropped to make room.
        public let evicted: UInt64
        /// Queued elements dropped because their deadline had passed.
        public let expired: UInt64
        /// Queued elements dropped because they had stayed too long in a queue that stands.
        public let shed: UInt64
        /// Whether the queue stands, and is shed from.
        public let isShedding: Bool
        /// Arriving elements that were merged into queued ones.
        public let conflated: UInt64
        /// Queued elements dropped because the consumers cancelled the channel.
        public let abandoned: UInt64
        /// Tasks waiting for room now.
        public let waitingSenders: Int
        /// How often the lane was passed over at most, so far, before it was served.
        public let longestPassedOver: UInt64
    }

    /// The bound on the sum of the costs.
    public let capacity: Int
    /// How many elements the channel holds at most, whatever they cost.
    public let maxElements: Int
    /// Elements sent and not yet received, 0 to ``maxElements``.
    public let depth: Int
    /// The sum of their costs, 0 to ``capacity``.
    public let cost: Int
    /// The greatest depth so far, exactly.
    public let peakDepth: Int
    /// Elements the channel took over, whatever became of them later.
    public private(set) var sent: UInt64 = 0
    /// Elements that receivers got.
    public let received: UInt64
    /// Sends given back because the channel was full.
    public let refused: UInt64
    /// Sends given back because the element costs more than there ever is.
    public let exceeded: UInt64
    /// Sends given back because the element's deadline passed before it was taken over.
    public let sendsExpired: UInt64
    /// Sends that waited and ran out of time.
    public let sendsTimedOut: UInt64
    /// Sends whose task was cancelled while it waited.
    public let sendsCancelled: UInt64
    /// Receives that waited and ran out of time.
    public let receivesTimedOut: UInt64
    /// Receives whose task was cancelled while it waited.
    public let receivesCancelled: UInt64
    /// Tasks waiting for an element now.
    public let waitingReceivers: Int
    /// Sends that had to wait, so far.
    public let sendsParked: UInt64
    /// Receives that had to wait, so far.
    public let receivesParked: UInt64
    /// Whether the channel was finished or cancelled.
    public let isClosed: Bool

    /// Each lane or class, the most important first.
    public private(set) var lanes: [Lane] = []
    /// Arriving elements that a policy dropped, in all lanes.
    public private(set) var droppedNewest: UInt64 = 0
    /// Queued elements that a policy dropped to make room, in all lanes.
    public private(set) var evicted: UInt64 = 0
    /// Queued elements dropped because their deadline had passed, in all lanes.
    public private(set) var expired: UInt64 = 0
    /// Queued elements dropped because they had stayed too long in a queue that stands, in all lanes.
    public private(set) var shed: UInt64 = 0
    /// Arriving elements that were merged into queued ones.
    public private(set) var conflated: UInt64 = 0
    /// Queued elements dropped because the consumers cancelled the channel.
    public private(set) var abandoned: UInt64 = 0
    /// Tasks waiting for room now, in all lanes.
    public private(set) var waitingSenders = 0
    /// How long the sender that came first has been waiting; nil when none waits.
    public internal(set) var oldestSendWait: Duration?
    /// How long the receiver that came first has been waiting; nil when none waits.
    public internal(set) var oldestReceiveWait: Duration?
    /// How long senders waited whose wait is over, however it ended, until they ran again.
    public internal(set) var sendWaits = WaitHistogram()
    /// How long receivers waited whose wait is over, however it ended, until they ran again.
    public internal(set) var receiveWaits = WaitHistogram()

    /// ``cost`` as a share of ``capacity``, 0 to 1.
    public var costRatio: Double { Double(cost) / Double(capacity) }

    init(
        capacity: Int, maxElements: Int, depth: Int, cost: Int, peakDepth: Int, received: UInt64,
        refused: UInt64, exceeded: UInt64, sendsExpired: UInt64, sendsTimedOut: UInt64, sendsCancelled: UInt64,
        receivesTimedOut: UInt64, receivesCancelled: UInt64, waitingReceivers: Int, sendsParked: UInt64,
        receivesParked: UInt64, isClosed: Bool
    ) {
        self.capacity = capacity
        self.maxElements = maxElements
        self.depth = depth
        self.cost = cost
        self.peakDepth = peakDepth
        self.received = received
        self.refused = refused
        self.exceeded = exceeded
        self.sendsExpired = sendsExpired
        self.sendsTimedOut = sendsTimedOut
        self.sendsCancelled = sendsCancelled
        self.receivesTimedOut = receivesTimedOut
        self.receivesCancelled = receivesCancelled
        self.waitingReceivers = waitingReceivers
        self.sendsParked = sendsParked
        self.receivesParked = receivesParked
        self.isClosed = isClosed
    }

    mutating func add(_ lane: Lane) {
        lanes.append(lane)
        sent += lane.sent
        droppedNewest += lane.droppedNewest
        evicted += lane.evicted
        expired += lane.expired
        shed += lane.shed
        conflated += lane.conflated
        abandoned += lane.abandoned
        waitingSenders += lane.waitingSenders
    }
}
