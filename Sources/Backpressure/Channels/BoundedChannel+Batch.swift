// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Many elements at a time: one claim in the ring for a run of slots, the bound held all the while.

/// What became of a batch.
public struct BatchSendResult: Hashable, Sendable {
    /// How many of the first elements were dealt with; the rest was not touched.
    public internal(set) var accepted = 0
    /// How many of those were dropped by the policy instead of sent.
    public internal(set) var dropped = 0
    /// Why it stopped before the last element; nil when it did not.
    public internal(set) var rejection: Rejection?

    /// How many elements the channel got.
    public var sent: Int { accepted - dropped }

    @usableFromInline
    init() {}
}

extension BoundedChannel where Element: Sendable {
    /// Sends `elements` in order, waiting for room as often as needed.
    ///
    /// The bound holds for each element: a batch larger than the capacity goes through piece by piece. Elements of other
    /// senders may come between. Cancelling the task stops it; what was accepted by then stays sent.
    ///
    /// - Parameter elements: The elements; each is copied into the channel.
    /// - Returns: How many of them, from the first, were accepted, and why not all.
    /// - Complexity: One compare-and-swap for as many elements as there is room for in one piece.
    @inlinable
    public nonisolated(nonsending) func send(contentsOf elements: some Collection<Element>) async -> BatchSendResult {
        var result = BatchSendResult()
        var index = elements.startIndex
        let total = elements.count
        while result.accepted < total {
            let run = sendRun(elements, &index, upTo: total - result.accepted)
            if run > 0 {
                result.note(accepted: run)
                continue
            }
            guard result.note(await send(elements[index])) else { break }
            elements.formIndex(after: &index)
        }
        return result
    }

    /// Sends as many of `elements`, in order, as take no waiting.
    ///
    /// Synchronous, callable from anywhere.
    ///
    /// - Parameter elements: The elements; each is copied into the channel.
    /// - Returns: How many of them, from the first, were accepted, and why not all.
    @inlinable
    public func trySend(contentsOf elements: some Collection<Element>) -> BatchSendResult {
        var result = BatchSendResult()
        var index = elements.startIndex
        let total = elements.count
        while result.accepted < total {
            let run = sendRun(elements, &index, upTo: total - result.accepted)
            if run > 0 {
                result.note(accepted: run)
                continue
            }
            guard result.note(trySend(elements[index])) else { break }
            elements.formIndex(after: &index)
        }
        return result
    }

    /// Fills the free slots that lie side by side, without the lock.
    @inlinable
    func sendRun<Elements: Collection<Element>>(
        _ elements: Elements, _ index: inout Elements.Index, upTo most: Int
    ) -> Int {
        let stride = SlotLayout(of: Element.self).stride
        guard let claim = ring.claimForSend(upTo: most, stride: stride) else { return 0 }
        var slot = claim.slot
        for _ in 0..<claim.count {
            publish(elements[index], in: slot, stamp: claim.stamp)
            elements.formIndex(after: &index)
            slot += stride
        }
        return claim.count
    }
}

extension BatchSendResult {
    @usableFromInline
    mutating func note(accepted count: Int) { accepted += count }

    /// Whether to go on.
    @usableFromInline
    mutating func note(_ answer: SendResult<some Any>) -> Bool {
        switch answer {
        case .sent: accepted += 1
        case .dropped:
            accepted += 1
            dropped += 1
        case .returned(let rejected):
            rejection = rejected.reason
            return false
        }
        return true
    }
}

extension BoundedChannel {
    /// Receives at least one element, and with it all that are ready, up to `most`; waits only for the first.
    ///
    /// The elements are appended to `buffer`: empty it with `removeAll(keepingCapacity: true)` between the calls, and no
    /// call allocates. Cancelling the task ends the wait; an element that was granted first is returned.
    ///
    /// - Parameters:
    ///   - buffer: Where the elements go, in order, behind what is there.
    ///   - most: The largest batch; at least 1.
    /// - Returns: How many elements were appended; 0 once the channel was finished and all have been received.
    /// - Throws: As ``receive()``; nothing was appended then.
    /// - Precondition: `most >= 1`.
    @inlinable
    public nonisolated(nonsending) func receive(
        into buffer: inout [Element], upTo most: Int
    ) async throws(ReceiveError<Failure>) -> Int {
        precondition(most >= 1, "a batch is of at least 1 element, not \(most)")
        let ready = receiveReady(into: &buffer, upTo: most)
        if ready > 0 { return ready }
        guard let first = try await receive() else { return 0 }
        buffer.append(first)
        return 1 + receiveReady(into: &buffer, upTo: most - 1)
    }

    /// Receives a batch by size or time: up to `most` elements, but no later than `linger` after the first.
    ///
    /// Waits for the first element as long as it takes. The end of the channel, its error, and the task's cancellation
    /// end a batch that has begun; the next call finds them again. So no element is lost.
    ///
    /// - Parameters:
    ///   - most: The largest batch; at least 1.
    ///   - linger: How long to wait for more after the first element, on the channel's clock.
    /// - Returns: The elements in order; empty once the channel was finished and all have been received.
    /// - Throws: As ``receive()``, when there was no first element.
    /// - Precondition: `most >= 1`.
    public nonisolated(nonsending) func receive(
        upTo most: Int, linger: Duration
    ) async throws(ReceiveError<Failure>) -> [Element] {
        var batch: [Element] = []
        guard try await receive(into: &batch, upTo: most) > 0, batch.count < most else { return batch }
        let deadline = WaitLimit.deadline(core.waitTimes(.timeout(linger)).deadline)
        while batch.count < most {
            do {
                guard let element = try await receiveSlow(limit: deadline) else { break }
                batch.append(element)
            } catch { break }
            _ = receiveReady(into: &batch, upTo: most - batch.count)
        }
        return batch
    }

    /// Appends what can be had without waiting.
    @inlinable
    func receiveReady(into buffer: inout [Element], upTo most: Int) -> Int {
        let stride = SlotLayout(of: Element.self).stride
        var count = 0
        while count < most {
            if let claim = ring.claimForReceive(upTo: most - count, stride: stride) {
                var slot = claim.slot
                for _ in 0..<claim.count {
                    buffer.append(take(from: slot, stamp: claim.stamp))
                    slot += stride
                }
                count += claim.count
            } else if case .received(let element)? = try? tryReceive() {
                buffer.append(element)
                count += 1
            } else {
                break
            }
        }
        return count
    }
}
