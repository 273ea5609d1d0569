// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The circuit breaker: `BreakerMachine` behind one lock, and permits that report once.

/// Keeps calls from a dependency that fails, and lets a few through now and then to see whether it is well again.
///
/// Calling what fails costs callers their time and the dependency its chance to recover. The breaker counts failures and
/// slow calls; at a threshold it opens and rejects calls at once. After a delay it is half-open: a quota of calls goes
/// through, and their results close it or open it again.
///
/// ```swift
/// var rules = BreakerRules()
/// rules.window = .time(.seconds(10))
/// rules.minimumCalls = 20
/// let breaker = CircuitBreaker("prices", rules: rules)
/// let price = try await breaker.withFallback {
///     try await ask()
/// } fallback: { _ in
///     lastKnownPrice
/// }
/// ```
///
/// - **Permits**: each call that goes through holds one, which cannot be copied and reports exactly once: as success,
///   failure or ignored; one that goes out of scope unreported counts as ignored. It carries the generation in which it was
///   given: results that come in after the state has changed are ignored.
/// - **Half-open**: never more calls than the quota, and never for ever: without a verdict after
///   ``BreakerRules/halfOpenWait`` the breaker opens again.
/// - **Time**: transitions happen when somebody calls; there is no timer.
/// - **Cost**: a lock and a reading of the clock to begin, and the same to report; no allocation.
///
/// It is shared by reference; a breaker per dependency, not per call. A ``CircuitBreakerRegistry`` keeps one for each of many.
public final class CircuitBreaker: Sendable {
    /// What errors and snapshots call it.
    public let name: String?
    private let timeSource: TimeSource
    let machine: LockedState<BreakerMachine>
    private let onTransition: (@Sendable (BreakerTransition) -> Void)?
    private let onEvent: (@Sendable (BreakerEvent) -> Void)?

    /// A breaker that is closed.
    ///
    /// - Parameters:
    ///   - name: What snapshots call it.
    ///   - rules: When it opens, and how it closes again.
    ///   - clock: The clock of delays and slow calls; tests pass a manual one.
    ///   - onTransition: Is told of each change of state, outside the lock, by whoever caused it. Two that follow each
    ///     other quickly may be told in either order: ``BreakerTransition/generation`` says which was later.
    ///   - onEvent: Is told of each call and each change of state, outside the lock, by whoever caused it.
    /// - Precondition: Rates are above 0 and at most 1; counts and durations are positive.
    public init(
        _ name: String? = nil, rules: BreakerRules = BreakerRules(), clock: some Clock<Duration> = ContinuousClock(),
        onTransition: (@Sendable (BreakerTransition) -> Void)? = nil,
        onEvent: (@Sendable (BreakerEvent) -> Void)? = nil
    ) {
        self.name = name
        timeSource = TimeSource(clock)
        machine = LockedState(BreakerMachine(rules, seed: .random(in: .min ... .max)))
        self.onTransition = onTransition
        self.onEvent = onEvent
    }

    // MARK: - Calls

    /// A call that the breaker let through, until it reports.
    public struct Permit: ~Copyable, Sendable {
        private let breaker: CircuitBreaker
        private let began: Int64
        /// Nil once it has reported.
        private var generation: UInt64?

        init(_ breaker: CircuitBreaker, _ generation: UInt64, began: Int64) {
            self.breaker = breaker
            self.generation = generation
            self.began = began
        }

        deinit {
            if let generation { breaker.report(.ignored, generation, began) }
        }

        /// The dependency did what was asked.
        public consuming func succeed() { report(.success) }

        /// The dependency failed.
        ///
        /// - Parameter retryAfter: When it asked to come again; if the breaker opens, it stays open that long at least.
        public consuming func fail(retryAfter: Duration? = nil) { report(.failure(retryAfter: retryAfter)) }

        /// The call says nothing about the dependency.
        public consuming func ignore() { report(.ignored) }

        /// Reports how the call ended.
        ///
        /// - Parameter outcome: How it ended.
        public consuming func report(_ outcome: BreakerOutcome) {
            if let generation { breaker.report(outcome, generation, began) }
            generation = nil
        }
    }

    /// Lets a call through, or says why not.
    ///
    /// Synchronous, callable from anywhere.
    ///
    /// - Returns: The call, which must report.
    /// - Throws: ``Rejection/breakerOpen``, with the time to come again where it is known.
    public func begin() throws(Rejection) -> Permit {
        let now = timeSource.now()
        switch change({ $0.admit(now: now) }) {
        case .admitted(let generation): return Permit(self, generation, began: now)
        case .rejected(let retryAfter):
            onEvent?(.rejected(retryAfter: retryAfter))
            throw .breakerOpen(retryAfter: retryAfter)
        }
    }

    fileprivate func report(_ outcome: BreakerOutcome, _ generation: UInt64, _ began: Int64) {
        let now = timeSource.now()
        let isInTime = change { $0.report(outcome, generation: generation, began: began, now: now) }
        guard let onEvent else { return }
        let took = Duration.nanoseconds(max(now.subtractingSaturating(began), 0))
        switch outcome {
        case _ where !isInTime: onEvent(.late)
        case .success: onEvent(.succeeded(took: took))
        case .failure: onEvent(.failed(took: took))
        case .ignored: onEvent(.ignored)
        }
    }

    /// Runs `body` if the breaker lets it through.
    ///
    /// - Parameters:
    ///   - recordError: How an error counts; by default as ``outcome(of:)`` says.
    ///   - recordResult: How a result counts; by default as success.
    ///   - body: The call.
    /// - Returns: What `body` returned.
    /// - Throws: ``Rejection/breakerOpen``, and `body` was not run; else what `body` throws.
    public nonisolated(nonsending) func run<Result>(
        recordError: (any Error) -> BreakerOutcome = CircuitBreaker.outcome(of:),
        recordResult: (Result) -> BreakerOutcome = { _ in .success },
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        let permit = try begin()
        let result: Result
        do {
            result = try await body()
        } catch {
            permit.report(recordError(error))
            throw error
        }
        permit.report(recordResult(result))
        return result
    }

    /// Runs `body` if the breaker lets it through, and `fallback` if it does not, or if `body` fails.
    ///
    /// - Parameters:
    ///   - recordError: How an error counts; by default as ``outcome(of:)`` says.
    ///   - body: The call.
    ///   - fallback: Makes a degraded answer from the rejection or error. A cancellation is not answered: it is thrown.
    /// - Returns: What `body` or `fallback` returned.
    /// - Throws: `CancellationError` when `body` throws it, or what `fallback` throws.
    public nonisolated(nonsending) func withFallback<Result>(
        recordError: (any Error) -> BreakerOutcome = CircuitBreaker.outcome(of:),
        _ body: nonisolated(nonsending) () async throws -> Result,
        fallback: nonisolated(nonsending) (any Error) async throws -> Result
    ) async throws -> Result {
        do {
            return try await run(recordError: recordError, body)
        } catch let error as CancellationError {
            throw error
        } catch {
            return try await fallback(error)
        }
    }

    /// How an error counts, unless it is said otherwise.
    ///
    /// A cancellation is ignored; anything else is a failure, with what a ``Rejection`` says about when to come again.
    ///
    /// - Parameter error: What a call threw.
    /// - Returns: Ignored or failure.
    public static func outcome(of error: any Error) -> BreakerOutcome {
        if error is CancellationError { return .ignored }
        let rejection = rejection(of: error)
        if case .some(.cancelled) = rejection { return .ignored }
        return .failure(retryAfter: rejection?.retryAfter)
    }

    /// Says whether the dependency exerts backpressure at this moment, as a full queue in front of it does.
    ///
    /// Reported without a break for ``BreakerRules/sustainedBackpressure``, it opens the breaker.
    ///
    /// - Parameter isUnderPressure: Whether it does.
    public func reportBackpressure(_ isUnderPressure: Bool) {
        let now = timeSource.now()
        change { $0.report(backpressure: isUnderPressure, now: now) }
    }

    // MARK: - By hand

    /// Puts the breaker into a state, with an empty window.
    ///
    /// What calls report that were let through before is ignored.
    ///
    /// - Parameter state: The state from now on; ``BreakerState/closed`` is a reset.
    public func transition(to state: BreakerState) {
        let now = timeSource.now()
        change { $0.transition(to: state, now: now) }
    }

    /// The state at this moment.
    ///
    /// Open stays open until a call comes after the delay.
    public var state: BreakerState { machine.withLock { $0.state } }

    /// The readings of this instant.
    ///
    /// A window of time has moved on with the clock, also when nobody called.
    ///
    /// - Returns: State and window, of one instant.
    public func snapshot() -> BreakerSnapshot {
        let now = timeSource.now()
        return machine.withLock { machine in
            let tally = machine.window.tally(at: now)
            return BreakerSnapshot(
                name: name, state: machine.state, generation: machine.generation, calls: tally.calls,
                failures: tally.failures, slowCalls: tally.slow, rejections: machine.rejections)
        }
    }

    /// Runs `body` under the lock, and tells of a change of state after it.
    @discardableResult
    private func change<Result>(_ body: (inout BreakerMachine) -> Result) -> Result {
        let (result, transition) = machine.withLock { machine in
            let (from, before) = (machine.state, machine.generation)
            let result = body(&machine)
            guard machine.generation != before else { return (result, BreakerTransition?.none) }
            return (
                result,
                BreakerTransition(from: from, to: machine.state, generation: machine.generation, cause: machine.cause)
            )
        }
        if let transition {
            onTransition?(transition)
            onEvent?(.changed(transition))
        }
        return result
    }
}

/// The readings of a circuit breaker at one instant.
public struct BreakerSnapshot: Hashable, Sendable {
    /// The name that the breaker was given.
    public let name: String?
    /// The state.
    public let state: BreakerState
    /// How many changes of state there were.
    public let generation: UInt64
    /// Calls in the window.
    public let calls: Int
    /// Calls in the window that failed.
    public let failures: Int
    /// Calls in the window that were slow.
    public let slowCalls: Int
    /// Calls rejected so far.
    public let rejections: UInt64
}
