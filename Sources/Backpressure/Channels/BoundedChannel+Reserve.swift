// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Reserving room first and filling it later: the typed surface.

extension BoundedChannel where Element: ~Copyable {
    /// Reserves room for one element, waiting for it as ``send(_:)`` would.
    ///
    /// With the room in hand the element can be made, or fetched, in the certainty that it will be accepted: nothing is
    /// produced that then has to be thrown away. A reservation has no place in the order yet; its element is placed when
    /// it is sent, and never holds back elements that were sent meanwhile.
    ///
    /// ```swift
    /// let channel = BoundedChannel<String, Never>(capacity: 2)
    /// let room = try await channel.reserve()
    /// let line = "made only once there is room"
    /// _ = room.send(line)
    /// ```
    ///
    /// Under the policies that never wait, a full channel refuses with ``Rejection/full``. Cancelling the task ends the
    /// wait with ``Rejection/cancelled``, unless the room was granted first: then it is returned. Waiting senders and
    /// reservations are served in one order.
    ///
    /// - Returns: The room; dropping it gives it back.
    /// - Throws: ``Rejection/cancelled``, ``Rejection/full``, ``Rejection/finished`` or ``Rejection/abandoned``.
    /// - Complexity: Always takes the channel's lock, as do all sends while a reservation is out.
    public nonisolated(nonsending) func reserve() async throws(Rejection) -> Reservation<Element, Failure> {
        try await reserveSlow(1, .none)
        return Reservation(self)
    }

    /// Reserves room for one element, waiting no longer than `timeout`.
    ///
    /// As ``reserve()``; a timeout of zero or less never waits.
    ///
    /// - Parameter timeout: The longest wait, on the channel's clock.
    /// - Returns: The room; dropping it gives it back.
    /// - Throws: As ``reserve()``, and ``Rejection/timedOut``.
    public nonisolated(nonsending) func reserve(
        timeout: Duration
    ) async throws(Rejection) -> Reservation<Element, Failure> {
        try await reserveSlow(1, .timeout(timeout))
        return Reservation(self)
    }

    /// Reserves room for one element, waiting no longer than until `deadline`.
    ///
    /// - Parameter deadline: An instant of the channel's clock.
    /// - Returns: The room; dropping it gives it back.
    /// - Throws: As ``reserve()``, and ``Rejection/timedOut``.
    /// - Precondition: `deadline` is an instant of the type of the channel's clock.
    public nonisolated(nonsending) func reserve(
        deadline: some InstantProtocol<Duration>
    ) async throws(Rejection) -> Reservation<Element, Failure> {
        try await reserveSlow(1, core.waitLimit(until: deadline))
        return Reservation(self)
    }

    /// Reserves room for one element if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere; never evicts.
    ///
    /// - Returns: The room; dropping it gives it back.
    /// - Throws: ``Rejection/full``, ``Rejection/finished`` or ``Rejection/abandoned``.
    public func tryReserve() throws(Rejection) -> Reservation<Element, Failure> {
        try granted(core.reserve(count: 1, times: nil).0)
        return Reservation(self)
    }

    /// Reserves room for `count` elements at once, waiting until all of it is there.
    ///
    /// The room is collected for the first in the queue, so a large reservation is not starved by small sends behind
    /// it, and none is held while another waits for the rest.
    ///
    /// - Parameters:
    ///   - count: How many elements; at least 1.
    ///   - timeout: The longest wait, on the channel's clock; nil for none.
    /// - Returns: The room, to be filled one by one; dropping it gives back what is left.
    /// - Throws: As ``reserve()``; ``Rejection/timedOut``; ``Rejection/exceedsLimit`` at once when `count` is more than
    ///   the capacity.
    /// - Precondition: `count >= 1`.
    public nonisolated(nonsending) func reserve(
        count: Int, timeout: Duration? = nil
    ) async throws(Rejection) -> ReservedBatch<Element, Failure> {
        precondition(count >= 1, "a reservation is for at least 1 element, not \(count)")
        try await reserveSlow(count, timeout.map { .timeout($0) } ?? .none)
        return ReservedBatch(self, count: count)
    }

    private nonisolated(nonsending) func reserveSlow(_ count: Int, _ limit: WaitLimit) async throws(Rejection) {
        let (outcome, waiter) = core.reserve(count: count, times: core.isSuspending ? core.sendTimes(limit) : nil)
        guard let waiter else { return try granted(outcome) }
        await core.wait(waiter, isSender: true, polling: false)
        let verdict = waiter.verdict
        let reason = core.reasonOfTimeout(waiter)
        core.releaseReserving(waiter)
        switch verdict {
        case .granted: return
        case .cancelled: throw .cancelled
        case .timedOut: throw reason
        case .finished: throw .finished
        case .abandoned: throw core.isAbandoned ? .abandoned : .exceedsLimit
        case .none: preconditionFailure("a reservation woke without a verdict")
        }
    }

    private func granted(_ outcome: ChannelOutcome) throws(Rejection) {
        switch outcome {
        case .done, .doneYieldDue, .registered, .registeredPending: return
        case .dropped: throw .exceedsLimit
        case .wouldWait:
            core.noteRefusal()
            throw .full
        case .timedOut: throw .timedOut
        case .finished: throw .finished
        case .abandoned: throw .abandoned
        }
    }

    /// Puts `element` into a place that is reserved.
    func fillReserved(_ element: consuming Element) -> SendResult<Element> {
        var slot: Element? = consume element
        let outcome = withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress, let element = slot.take() else {
                preconditionFailure("no element to send")
            }
            let place = start.bindMemory(to: Element.self, capacity: 1)
            place.initialize(to: element)
            let outcome = core.fill(from: start)
            if outcome == .abandoned { slot = place.move() }
            return outcome
        }
        return answer(outcome, &slot, refusal: .full)
    }
}

/// Room for one element in a channel, to be filled later or given back.
///
/// It keeps the channel alive and open to this one element: after ``BoundedChannel/finish()`` it can still be filled,
/// and receivers get the end only after it was. Dropping it gives the room back and lets the next waiting sender in.
public struct Reservation<Element: ~Copyable, Failure: Error>: ~Copyable, Sendable {
    private let channel: BoundedChannel<Element, Failure>
    private var isHeld = true

    init(_ channel: BoundedChannel<Element, Failure>) { self.channel = channel }

    deinit {
        if isHeld { channel.core.giveBack(1) }
    }

    /// Sends `element` in the reserved room; synchronous, never waits.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`, or `.returned` with ``Rejection/abandoned`` when the consumers have cancelled the channel.
    @discardableResult
    public consuming func send(_ element: consuming sending Element) -> SendResult<Element> {
        isHeld = false
        return channel.fillReserved(element)
    }
}

/// Room for several elements in a channel, to be filled one by one; what is left is given back when it is dropped.
public struct ReservedBatch<Element: ~Copyable, Failure: Error>: ~Copyable, Sendable {
    private let channel: BoundedChannel<Element, Failure>
    /// How many elements there is still room for.
    public private(set) var count: Int

    init(_ channel: BoundedChannel<Element, Failure>, count: Int) {
        self.channel = channel
        self.count = count
    }

    deinit {
        if count > 0 { channel.core.giveBack(count) }
    }

    /// Sends `element` in one place of the reserved room; synchronous, never waits.
    ///
    /// - Parameter element: The element; the caller gives it away.
    /// - Returns: `.sent`, or `.returned` with ``Rejection/abandoned`` when the consumers have cancelled the channel.
    /// - Precondition: ``count`` is at least 1.
    @discardableResult
    public mutating func send(_ element: consuming sending Element) -> SendResult<Element> {
        precondition(count >= 1, "all the reserved room is filled")
        count -= 1
        return channel.fillReserved(element)
    }

    /// Takes one place out, to be filled somewhere else; nil when there is none left.
    ///
    /// - Returns: A reservation of its own.
    public mutating func next() -> Reservation<Element, Failure>? {
        guard count >= 1 else { return nil }
        count -= 1
        return Reservation(channel)
    }
}
