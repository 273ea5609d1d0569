// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a circuit breaker decides, event by event. No lock, no clock, no callback: the time is an argument.
//
// ## Transitions
// closed      -> open       the failure or slow call rate reached its threshold, or backpressure lasted too long
// open        -> halfOpen   a call comes after the delay (nothing happens by itself: there is no timer)
// halfOpen    -> closed     all calls of the quota have reported, and the rates are below their thresholds
// halfOpen    -> open       the rates reached a threshold, or the verdict took too long (seen by the next call)
// any         -> any        by hand
//
// ## Invariants
// I1  Every transition begins a new generation, with an empty window. A permit carries the generation in which it was
//     given; what is reported under an older one changes nothing, so a late result cannot open, close or unlock anything.
// I2  Half-open: running + reported <= quota, of the present generation. A call that is ignored gives its part of the quota back,
//     so ignored calls cannot use it up.
// I3  Never stuck: open ends with the first call after the delay; half-open with its last report, or with the first call
//     after `halfOpenWait`.

/// The state of a breaker, and its only ways to change.
struct BreakerMachine: Sendable {
    enum Phase: Sendable {
        case closed
        case open(until: Int64)
        case halfOpen(since: Int64, running: Int)
        case forcedOpen
        case disabled
        case metricsOnly
    }

    /// What a call is told.
    enum Admission: Sendable, Equatable {
        case admitted(generation: UInt64)
        case rejected(retryAfter: Duration?)
    }

    let rules: BreakerRules
    private let slowCall: Int64
    private let halfOpenWait: Int64
    private let patience: Int64
    private(set) var phase = Phase.closed
    private(set) var generation: UInt64 = 0
    private(set) var window: BreakerWindow
    /// Since it was last closed by its own verdict.
    private(set) var openings = 0
    private var lastDelay: Duration?
    private var pressureSince: Int64?
    /// Of the last transition.
    private(set) var cause = BreakerCause.manual
    private var numbers: UInt64
    private(set) var rejections: UInt64 = 0

    init(_ rules: BreakerRules, seed: UInt64) {
        rules.check()
        self.rules = rules
        slowCall = rules.slowCallDuration.saturatingNanoseconds
        halfOpenWait = rules.halfOpenWait?.saturatingNanoseconds ?? .max
        patience = rules.sustainedBackpressure?.saturatingNanoseconds ?? .max
        window = BreakerWindow(rules.window)
        numbers = seed
    }

    var state: BreakerState {
        switch phase {
        case .closed: .closed
        case .open: .open
        case .halfOpen: .halfOpen
        case .forcedOpen: .forcedOpen
        case .disabled: .disabled
        case .metricsOnly: .metricsOnly
        }
    }

    // MARK: - Events

    /// A call wants to go through.
    mutating func admit(now: Int64) -> Admission {
        if case .open(let until) = phase {
            guard decide(now >= until) else { return reject(until, now) }
            enter(.halfOpen(since: now, running: 0), .delayPassed)
        }
        switch phase {
        case .closed, .disabled, .metricsOnly: return .admitted(generation: generation)
        case .forcedOpen:
            rejections += 1
            return .rejected(retryAfter: nil)
        case .halfOpen(let since, let running):
            if decide(running + window.tally.calls < rules.halfOpenCalls) {
                phase = .halfOpen(since: since, running: running + 1)
                return .admitted(generation: generation)
            }
            // The clock stepped back: the wait begins anew, and does not last for ever.
            if now < since { phase = .halfOpen(since: now, running: running) }
            if decide(now.subtractingSaturating(since) >= halfOpenWait) { open(now, asked: nil, .noVerdict) }
            guard case .open(let until) = phase else {
                rejections += 1
                return .rejected(retryAfter: nil)
            }
            return reject(until, now)
        case .open(let until): return reject(until, now)
        }
    }

    private mutating func reject(_ until: Int64, _ now: Int64) -> Admission {
        rejections += 1
        return .rejected(retryAfter: .nanoseconds(max(until.subtractingSaturating(now), 0)))
    }

    /// A call of `generation` that began at `began` has ended.
    ///
    /// - Returns: Whether it was in time: in the generation in which it began.
    @discardableResult
    mutating func report(_ outcome: BreakerOutcome, generation: UInt64, began: Int64, now: Int64) -> Bool {
        guard decide(generation == self.generation) else { return false }
        count(outcome, began: began, now: now)
        return true
    }

    private mutating func count(_ outcome: BreakerOutcome, began: Int64, now: Int64) {
        if case .halfOpen(let since, let running) = phase { phase = .halfOpen(since: since, running: running - 1) }
        var call = BreakerTally(calls: 1)
        var asked: Duration?
        switch outcome {
        case .ignored: return
        case .success: break
        case .failure(let retryAfter):
            call.failures = 1
            asked = retryAfter
        }
        if now.subtractingSaturating(began) >= slowCall { call.slow = 1 }
        switch phase {
        case .closed:
            window.add(call, at: now)
            if window.tally.calls >= rules.minimumCalls, let cause = reason { open(now, asked: asked, cause) }
        case .halfOpen:
            window.add(call, at: now)
            guard window.tally.calls >= rules.halfOpenCalls else { return }
            if let cause = reason { open(now, asked: asked, cause) } else { close(.recovered) }
        case .metricsOnly: window.add(call, at: now)
        // Nothing is admitted there, or nothing is counted.
        case .open, .forcedOpen, .disabled: break
        }
    }

    /// The dependency exerts backpressure, or does not any more.
    mutating func report(backpressure: Bool, now: Int64) {
        guard backpressure, patience < .max, case .closed = phase else {
            pressureSince = nil
            return
        }
        let since = min(pressureSince ?? now, now)
        pressureSince = since
        if now.subtractingSaturating(since) >= patience { open(now, asked: nil, .sustainedBackpressure) }
    }

    /// Why the window is a reason to open; nil when it is none.
    private var reason: BreakerCause? {
        let tally = window.tally
        let (failed, slow) = (tally.rate(tally.failures), tally.rate(tally.slow))
        if failed >= rules.failureRate { return .failureRate(failed) }
        return slow >= rules.slowCallRate ? .slowCallRate(slow) : nil
    }

    // MARK: - Transitions

    private mutating func enter(_ next: Phase, _ cause: BreakerCause) {
        phase = next
        self.cause = cause
        generation += 1
        pressureSince = nil
        // Half-open counts exactly its quota, whatever the window is.
        if case .halfOpen = next {
            window = BreakerWindow(.calls(rules.halfOpenCalls))
        } else {
            window = BreakerWindow(rules.window)
        }
    }

    /// Opens, for at least as long as the last failure `asked` for.
    mutating func open(_ now: Int64, asked: Duration?, _ cause: BreakerCause = .manual) {
        openings = min(openings + 1, 1 << 30)
        let delay: Duration
        switch rules.openDelay {
        case .constant(let constant): delay = constant
        case .backoff(let backoff):
            var generator = CarriedChance(state: numbers)
            delay = backoff.delay(after: openings, previous: lastDelay, using: &generator)
            numbers = generator.state
        }
        lastDelay = delay
        let nanoseconds = max(delay, asked ?? .zero).saturatingNanoseconds
        enter(.open(until: now.addingSaturating(nanoseconds)), cause)
    }

    mutating func close(_ cause: BreakerCause = .manual) {
        (openings, lastDelay) = (0, nil)
        enter(.closed, cause)
    }

    /// By hand.
    mutating func transition(to state: BreakerState, now: Int64) {
        switch state {
        case .closed: close()
        case .open: open(now, asked: nil)
        case .halfOpen: enter(.halfOpen(since: now, running: 0), .manual)
        case .forcedOpen: enter(.forcedOpen, .manual)
        case .disabled: enter(.disabled, .manual)
        case .metricsOnly: enter(.metricsOnly, .manual)
        }
    }
}

/// Chance whose state a value keeps.
struct CarriedChance: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 { nextRandom(&state) }
}
