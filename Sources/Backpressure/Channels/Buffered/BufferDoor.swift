// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The typed side of a buffer: the fast path with its lock and moves, and the way from an element to memory and back.
//
// `BufferedChannel` and `PriorityChannel` are this, each with its own words. What is inlined into a user's module is the
// lock, the move of the element and one call; the rest is one call away.
//
// A class: the fields of a structure this large would be copied to the stack by every operation, and a field read back
// across two of the copy's stores costs as much as the lock.

@usableFromInline
final class BufferDoor<Element: ~Copyable, Failure: Error>: Sendable {
    @usableFromInline let core: BufferCore
    @usableFromInline let merger: ElementMerger?
    /// What a merged element costs; elements that are not merged are weighed by the channel.
    @usableFromInline let costOf: (@Sendable (borrowing Element) -> Int)?
    /// How long elements live that are not told otherwise.
    ///
    /// If that is not for ever, the core is never plain.
    @usableFromInline let life: WaitLimit

    init(
        _ plan: BufferPlan, ttl: Duration?, costOf: (@Sendable (borrowing Element) -> Int)?, merger: ElementMerger?,
        clock: some Clock<Duration>,
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)?
    ) {
        precondition(ttl.map { $0 > .zero } ?? true, "elements live for longer than \(ttl ?? .zero)")
        var plan = plan
        plan.isExpiring = ttl != nil
        core = BufferCore(
            plan, layout: CellLayout(of: Element.self),
            actions: ElementActions(of: Element.self, onUndelivered: onUndelivered), timeSource: TimeSource(clock))
        self.merger = merger
        self.costOf = costOf
        life = ttl.map(WaitLimit.timeout) ?? .none
    }

    /// What `element` costs; code of a user, so no lock is held.
    @inlinable @inline(__always)
    func cost(of element: borrowing Element) -> Int {
        guard let costOf else { return 1 }
        let cost = costOf(element)
        precondition(cost >= 0, "an element costs nothing or more, not \(cost)")
        return cost
    }

    /// When an element ends that has `ttl` to live, or what the channel says.
    @inlinable @inline(__always)
    func life(_ ttl: Duration?) -> WaitLimit {
        guard let ttl else { return life }
        return .timeout(ttl)
    }

    // MARK: - The fast path

    /// Moves the element in `slot` in, which has no time of its own, if that takes no more than that.
    @inlinable @inline(__always)
    func enter(_ slot: inout Element?, lane: Int, cost: Int) -> Bool {
        let state = core.state
        return core.lock.withLock { _ in
            guard let cell = Backpressure.claimForSend(state, lane: lane, cost: cost) else { return false }
            guard let element = slot.take() else { preconditionFailure("no element to send") }
            let place = UnsafeMutableRawPointer(cell) + CellLayout.elementOffset(of: Element.self)
            PlainAccess.write(place)
            place.bindMemory(to: Element.self, capacity: 1).initialize(to: element)
            return true
        }
    }

    /// Moves the next element out to `slot`, if that takes no more than that.
    @inlinable @inline(__always)
    func leave(_ slot: inout Element?) -> Bool {
        let state = core.state
        return core.lock.withLock { _ in
            guard let cell = Backpressure.claimForReceive(state) else { return false }
            let place = UnsafeMutableRawPointer(cell) + CellLayout.elementOffset(of: Element.self)
            PlainAccess.read(place)
            slot = place.assumingMemoryBound(to: Element.self).move()
            return true
        }
    }

    // MARK: - Sending

    @inlinable @inline(__always)
    func trySend(_ element: consuming Element, lane: Int, cost: Int, ttl: Duration?) -> SendResult<Element> {
        guard ttl == nil else { return trySendSlow(element, lane: lane, cost: cost, life: life(ttl)) }
        var slot: Element? = consume element
        if enter(&slot, lane: lane, cost: cost) { return .sent }
        // By value: a slot whose address goes out is memory, and all that it is written waits for the lock to be free.
        guard let element = slot.take() else { preconditionFailure("no element to send") }
        return trySendSlow(element, lane: lane, cost: cost, life: life)
    }

    @inlinable @inline(__always)
    nonisolated(nonsending) func send(
        _ element: consuming Element, lane: Int, cost: Int, ttl: Duration?, limit: WaitLimit
    ) async -> SendResult<Element> {
        guard ttl == nil else { return await sendSlow(element, lane: lane, cost: cost, life: life(ttl), limit: limit) }
        var slot: Element? = consume element
        if enter(&slot, lane: lane, cost: cost) { return .sent }
        guard let element = slot.take() else { preconditionFailure("no element to send") }
        return await sendSlow(element, lane: lane, cost: cost, life: life, limit: limit)
    }

    @inlinable
    @inline(never)
    func trySendSlow(
        _ element: consuming Element, lane: Int, cost: Int, life: WaitLimit
    ) -> SendResult<Element> {
        var slot: Element? = consume element
        let offer = core.offer(lane: lane, cost: cost, life: life, limit: nil)
        return answer(show(&slot, offer).outcome, &slot, refusal: .full)
    }

    @inlinable
    @inline(never)
    nonisolated(nonsending) func sendSlow(
        _ element: consuming Element, lane: Int, cost: Int, life: WaitLimit, limit: WaitLimit
    ) async -> SendResult<Element> {
        var slot: Element? = consume element
        let offer = core.offer(lane: lane, cost: cost, life: life, limit: core.isSuspending ? limit : nil)
        let (outcome, waiter) = show(&slot, offer)
        if outcome == .doneYieldDue { await Task.yield() }
        guard let waiter else { return answer(outcome, &slot, refusal: .full) }
        await core.wait(waiter, isSender: true)
        let end = core.outcome(ofSender: waiter)
        if end == .dropped {
            core.discard(core.element(of: waiter), .timedOut)
        } else if end != .done {
            slot = core.element(of: waiter).assumingMemoryBound(to: Element.self).move()
        }
        core.release(waiter)
        return answer(end, &slot, refusal: .cancelled)
    }

    /// Shows the core the element in `slot`, and takes it out of there if the core took it over.
    @inlinable
    func show(_ slot: inout Element?, _ offer: BufferOffer) -> (outcome: BufferOutcome, waiter: WaiterRef?) {
        let stride = MemoryLayout<Element>.stride
        return withUnsafeTemporaryAllocation(byteCount: 2 &* stride, alignment: MemoryLayout<Element>.alignment) {
            buffer in
            guard let start = buffer.baseAddress, let element = slot.take() else {
                preconditionFailure("no element to send")
            }
            let place = start.bindMemory(to: Element.self, capacity: 1)
            place.initialize(to: element)
            var result = core.send(from: start, offer, scratch: start + stride)
            if result.0 == .conflates { result.0 = conflate(start, offer) }
            switch result.0 {
            case .done, .doneYieldDue, .registered: break
            case .dropped: core.discard(start, .full)
            case .wouldWait, .timedOut, .expired, .exceedsLimit, .finished, .abandoned, .conflates, .needsTime:
                slot = place.move()
            }
            return result
        }
    }

    @inlinable
    func conflate(_ source: UnsafeMutableRawPointer, _ offer: BufferOffer) -> BufferOutcome {
        guard let merger else { preconditionFailure("a buffer that merges has a function for it") }
        let stride = MemoryLayout<Element>.stride
        return withUnsafeTemporaryAllocation(byteCount: 2 &* stride, alignment: MemoryLayout<Element>.alignment) {
            buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            return core.conflate(source, offer, merger, copied: start, merged: start + stride) { merged in
                cost(of: merged.assumingMemoryBound(to: Element.self).pointee)
            }
        }
    }

    @inlinable
    func answer(_ outcome: BufferOutcome, _ slot: inout Element?, refusal: Rejection) -> SendResult<Element> {
        switch outcome {
        case .done, .doneYieldDue, .registered: return .sent
        case .dropped: return .dropped
        case .wouldWait: return returned(&slot, refusal)
        case .timedOut: return returned(&slot, .timedOut)
        case .expired: return returned(&slot, .expired)
        case .exceedsLimit: return returned(&slot, .exceedsLimit)
        case .finished: return returned(&slot, .finished)
        case .abandoned: return returned(&slot, .abandoned)
        case .conflates, .needsTime: preconditionFailure("a send has no outcome")
        }
    }

    @inlinable
    func returned(_ slot: inout Element?, _ reason: Rejection) -> SendResult<Element> {
        guard let element = slot.take() else { preconditionFailure("an element was lost on its way back") }
        return .returned(Rejected(element: element, reason: reason))
    }

    // MARK: - Receiving

    @inlinable @inline(__always)
    func tryReceive() throws(Failure) -> TryReceiveResult<Element> {
        var slot: Element?
        if leave(&slot), let element = slot.take() { return .received(element) }
        return try tryReceiveSlow()
    }

    @inlinable @inline(__always)
    nonisolated(nonsending) func receive(
        limit: WaitLimit
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        nonisolated(unsafe) var slot: Element?
        if leave(&slot) { return slot }
        return try await receiveSlow(limit: limit)
    }

    @inlinable
    @inline(never)
    func tryReceiveSlow() throws(Failure) -> TryReceiveResult<Element> {
        var slot: Element?
        switch poll(&slot, times: nil).outcome {
        case .done, .doneYieldDue:
            guard let element = slot.take() else { preconditionFailure("an element was lost on its way out") }
            return .received(element)
        case .finished, .abandoned:
            if let failure = core.failure as? Failure { throw failure }
            return .finished
        case .wouldWait, .timedOut, .dropped, .registered, .expired, .exceedsLimit, .conflates, .needsTime:
            return .empty
        }
    }

    @inlinable
    @inline(never)
    nonisolated(nonsending) func receiveSlow(
        limit: WaitLimit
    ) async throws(ReceiveError<Failure>) -> sending Element? {
        nonisolated(unsafe) var slot: Element?
        let (outcome, waiter) = poll(&slot, times: core.waitTimes(limit))
        if outcome == .doneYieldDue { await Task.yield() }
        guard let waiter else {
            if outcome == .timedOut { throw .rejected(.timedOut) }
            if outcome == .done || outcome == .doneYieldDue { return slot }
            if let failure = core.failure as? Failure { throw .failed(failure) }
            return nil
        }
        await core.wait(waiter, isSender: false)
        let verdict = waiter.verdict
        if verdict == .granted {
            slot = core.element(of: waiter).assumingMemoryBound(to: Element.self).move()
        }
        core.release(waiter)
        switch verdict {
        case .granted: return slot
        case .cancelled: throw .rejected(.cancelled)
        case .timedOut: throw .rejected(.timedOut)
        case .finished, .abandoned:
            if let failure = core.failure as? Failure { throw .failed(failure) }
            return nil
        case .none: preconditionFailure("a receiver woke without a verdict")
        }
    }

    /// Asks the core for an element, and puts it into `slot` if there was one.
    @inlinable
    func poll(_ slot: inout Element?, times: WaitTimes?) -> (outcome: BufferOutcome, waiter: WaiterRef?) {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            let result = core.receive(into: start, times: times)
            if result.0 == .done || result.0 == .doneYieldDue {
                slot = start.bindMemory(to: Element.self, capacity: 1).move()
            }
            return result
        }
    }

    // MARK: - The end

    nonisolated(nonsending) func untilFinished() async throws(Rejection) { try await watch(core.watch()) }

    nonisolated(nonsending) func untilDrained() async throws(Rejection) { try await watch(core.watchDrain()) }

    private nonisolated(nonsending) func watch(_ waiter: WaiterRef?) async throws(Rejection) {
        guard let waiter else { return }
        await waiter.sleep(cancelling: core)
        let verdict = waiter.verdict
        core.release(waiter)
        if verdict == .cancelled { throw .cancelled }
    }
}

extension BufferDoor {
    @inlinable
    @inline(never)
    nonisolated(nonsending) func nextSlow() async throws(Failure) -> Element? {
        do throws(ReceiveError<Failure>) {
            return try await receiveSlow(limit: .none)
        } catch {
            switch error {
            case .failed(let failure): throw failure
            case .rejected: return nil
            }
        }
    }
}

extension BufferCore {
    /// What is known of an element that is sent now; the clock is read where it matters, before the lock.
    @usableFromInline
    func offer(lane: Int, cost: Int, life: WaitLimit, limit: WaitLimit?) -> BufferOffer {
        let times = limit.map { timeSource.waitTimes($0) }
        guard case .none = life else {
            let end = timeSource.waitTimes(life)
            return BufferOffer(lane: lane, cost: cost, expiry: end.deadline, times: times, now: end.now)
        }
        return BufferOffer(lane: lane, cost: cost, expiry: .max, times: times, now: times?.now)
    }

    /// Takes an element that nobody will receive out of memory, and hands it to the hook or destroys it.
    @usableFromInline
    func discard(_ source: UnsafeMutableRawPointer, _ reason: Rejection) { actions.discard(source, reason) }
}
