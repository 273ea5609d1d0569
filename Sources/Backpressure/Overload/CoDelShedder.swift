// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Controlled delay for a channel whose ring keeps no times: elements bring their own, and are judged as they come out.
//
// A `BoundedChannel` decides everything by one compare-and-swap; a time per slot and a lock for the discipline would cost
// every user what few need. So who wants it stamps the elements (`Timestamped`), and receives them through a shedder.
//
// ## Invariants
// I1  Each element that comes out of the channel is judged once, under the lock, and then returned or handed to the hook,
//     outside it.

/// Sheds from a channel whose queue stands: what has waited for too long goes to a hook instead of to the receiver.
///
/// ```swift
/// let shedder = CoDelShedder<String, ContinuousClock>(CoDel(target: .milliseconds(5))) { job, reason in
///     print("\(job): \(reason)")
/// }
/// let jobs = BoundedChannel<Timestamped<String, ContinuousClock>, Never>(capacity: 1_000)
/// _ = await jobs.send(Timestamped("thumbnail"))
/// if let job = try await jobs.receive(through: shedder) {
///     print("doing \(job)")
/// }
/// ```
///
/// All receivers of one channel share one shedder. The time that counts is the whole time since the stamp, so stamp elements
/// before they are sent: then the wait of the sender for room is in it.
///
/// A ``BufferedChannel`` and a ``PriorityChannel`` have this built in, and need no stamps.
///
/// - **Cost**: a reading of the clock at each end and a lock for each element that comes out.
/// - **Source**: see ``CoDel``.
public final class CoDelShedder<Element: ~Copyable, C: Clock<Duration>>: Sendable {
    private struct State: Sendable {
        var codel: CoDel
        var admitted: UInt64 = 0
        var shed: UInt64 = 0
    }

    private let clock: C
    private let origin: C.Instant
    private let onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)?
    private let state: LockedState<State>

    /// A shedder that has seen nothing yet.
    ///
    /// - Parameters:
    ///   - codel: When to shed.
    ///   - clock: The clock of the stamps; tests pass a manual one.
    ///   - onUndelivered: Gets each element that is shed, once, with ``Rejection/shed``; outside all locks, on the task that
    ///     receives.
    public init(
        _ codel: CoDel = CoDel(), clock: C,
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)? = nil
    ) {
        self.clock = clock
        origin = clock.now
        self.onUndelivered = onUndelivered
        state = LockedState(State(codel: codel))
    }

    /// Judges an element that came out of a queue.
    ///
    /// Synchronous, callable from anywhere; once for each element.
    ///
    /// - Parameter stamped: The element, stamped when it went in.
    /// - Returns: The element; nil when it was shed, and handed to the hook.
    public func admit(_ stamped: consuming sending Timestamped<Element, C>) -> sending Element? {
        let now = clock.now
        let delay = stamped.instant.duration(to: now)
        let isShed = state.withLock { state in
            let isShed = state.codel.shouldShed(after: delay, now: origin.duration(to: now))
            if isShed { state.shed += 1 } else { state.admitted += 1 }
            return isShed
        }
        guard isShed else { return stamped.take() }
        if let onUndelivered {
            onUndelivered(stamped.take(), .shed)
        }
        return nil
    }

    /// The readings of this instant.
    ///
    /// - Returns: Counts and state, of one instant.
    public func snapshot() -> CoDelSnapshot {
        state.withLock {
            CoDelSnapshot(admitted: $0.admitted, shed: $0.shed, isShedding: $0.codel.isOverloaded)
        }
    }
}

extension CoDelShedder where C == ContinuousClock, Element: ~Copyable {
    /// A shedder on the continuous clock that has seen nothing yet.
    ///
    /// - Parameters:
    ///   - codel: When to shed.
    ///   - onUndelivered: Gets each element that is shed, once, with ``Rejection/shed``; outside all locks, on the task that
    ///     receives.
    public convenience init(
        _ codel: CoDel = CoDel(),
        onUndelivered: (@Sendable (_ element: consuming sending Element, _ reason: Rejection) -> Void)? = nil
    ) {
        self.init(codel, clock: ContinuousClock(), onUndelivered: onUndelivered)
    }
}

/// The readings of a shedder at one instant.
public struct CoDelSnapshot: Hashable, Sendable {
    /// Elements that passed, so far.
    public let admitted: UInt64
    /// Elements that were shed, so far.
    public let shed: UInt64
    /// Whether the queue stands, and is shed from.
    public let isShedding: Bool
}

extension BoundedChannel where Element: ~Copyable {
    /// Receives the oldest element that has not waited for too long, waiting while there is none.
    ///
    /// What `shedder` sheds goes to its hook and frees its room at once. Cancellation, order and errors are those of
    /// ``receive()``: an element that was taken out is returned or handed to the hook, also in a cancelled task.
    ///
    /// - Parameter shedder: Judges the elements; all receivers of the channel share it.
    /// - Returns: The element without its stamp, or nil once the channel was finished and all elements have been received.
    /// - Throws: As ``receive()``.
    public nonisolated(nonsending) func receive<Content: ~Copyable, C>(
        through shedder: CoDelShedder<Content, C>
    ) async throws(ReceiveError<Failure>) -> sending Content? where Element == Timestamped<Content, C> {
        while let stamped = try await receive() {
            if let element = shedder.admit(stamped) { return element }
        }
        return nil
    }

    /// Receives the oldest element that has not waited for too long, if that takes no waiting.
    ///
    /// - Parameter shedder: Judges the elements; all receivers of the channel share it.
    /// - Returns: The element without its stamp, `.empty` or `.finished`.
    /// - Throws: As ``tryReceive()``.
    public func tryReceive<Content: ~Copyable, C>(
        through shedder: CoDelShedder<Content, C>
    ) throws(Failure) -> TryReceiveResult<Content> where Element == Timestamped<Content, C> {
        while true {
            switch try tryReceive() {
            case .received(let stamped):
                if let element = shedder.admit(stamped) { return .received(element) }
            case .empty: return .empty
            case .finished: return .finished
            }
        }
    }
}
