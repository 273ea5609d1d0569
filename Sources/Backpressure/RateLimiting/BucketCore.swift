// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The token bucket's fast path: one clock reading and one compare-exchange of a double word.
//
// ## Layout (of one cache line, all zero at first)
// 0   low    bits 0-63 of TAT
// 8   high   bits 64-111 of TAT, 15 bits of generation, and in the top bit the gate
// 16  units per nanosecond    24  units per token    32  burst
//
// ## States of the gate
// open    the word is the truth, and anybody exchanges it
// closed  the schedule under the lock is the truth; only the holder of the lock writes here
//
// Open -> closed: an operation took the lock. Closed -> open: it releases the lock and nobody waits.
//
// ## Why it is exact
// - An admission compares and exchanges both halves, so a reading torn between them never admits.
// - The word is loaded before the clock is read. A denial holds for the moment of the load: the clock stood no later
//   then. It is confirmed by exchanging the word with itself, or else tried again, so it is not torn either.
// - Rate and burst change only while the gate is closed, and the generation with them. They are stored releasing and
//   loaded acquiring: who has seen a new one sees the gate closed or a newer word, so its exchange fails.
//
// ## Memory ordering
// location | operation             | ordering | pairs with         | because
// high     | load                  | acquire  | publish            | terms of that generation are seen
// terms    | load / store          | acq/rel  | each other         | an exchange after a newer term must fail
// low,high | exchange              | acq_rel  | itself, the gate   | the schedule goes on from what was seen
// high     | or gate               | acq_rel  | the exchange       | after it nobody else writes
// high     | store when it opens   | release  | load               | low and terms before it
//
// ## Not promised
// The generation wraps after 32,768 changes of the rate: a thread that sleeps through exactly so many, between its load
// and its exchange, and finds the same TAT, would admit by the old terms.

/// The address of the line.
struct BucketLine: @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    var word: DoubleWord { DoubleWord(at: start) }
    var unitsPerNanosecond: AtomicWord { AtomicWord(at: start + 16) }
    var unitsPerToken: AtomicWord { AtomicWord(at: start + 24) }
    var burst: AtomicWord { AtomicWord(at: start + 32) }
}

final class BucketCore: LimiterCore<GCRA>, @unchecked Sendable {
    static let gate: UInt64 = 1 << 63
    static let tatMask: UInt64 = (1 << 48) - 1
    private static let generationMask: UInt64 = (1 << 15) - 1

    private let memory: ZeroedMemory

    /// For the facade, which keeps it: an operation then finds the word without coming by this object.
    var line: BucketLine { BucketLine(start: memory.start) }

    override init(
        schedule: GCRA, timeSource: TimeSource, maxWaiters: Int, observer: (@Sendable (RateEvent) -> Void)?
    ) {
        memory = ZeroedMemory(byteCount: 128, alignment: 128)
        super.init(schedule: schedule, timeSource: timeSource, maxWaiters: maxWaiters, observer: observer)
        store(schedule, isOpen: true)
    }

    deinit { memory.deallocate() }

    /// The address of the word with the gate, for tests.
    var gateWord: UnsafeMutableRawPointer { memory.start + 8 }

    // MARK: - The gate

    override func load(_ state: inout LimiterState<GCRA>) {
        let word = line.word
        let high = word.high.fetchOrAcquiringAndReleasing(Self.gate)
        guard high & Self.gate == 0 else { return }
        state.schedule.tat = UInt128(high & Self.tatMask) << 64 | UInt128(word.low.loadAcquiring())
    }

    override func publish(_ state: inout LimiterState<GCRA>) {
        guard decide(state.waiting.isEmpty) else { return }
        store(state.schedule, isOpen: true)
    }

    /// Writes the terms first: with the gate open they hold for what the word says.
    private func store(_ schedule: GCRA, isOpen: Bool) {
        let (line, word) = (line, line.word)
        line.unitsPerNanosecond.storeReleasing(schedule.rate.unitsPerNanosecond)
        line.unitsPerToken.storeReleasing(schedule.rate.unitsPerToken)
        line.burst.storeReleasing(schedule.burst)
        word.low.storeRelaxed(UInt64(truncatingIfNeeded: schedule.tat))
        let generation = (schedule.generation & Self.generationMask) << 48
        word.high.storeReleasing(UInt64(truncatingIfNeeded: schedule.tat >> 64) | generation)
    }

    // MARK: - The fast path

    /// What the word alone says to a request.
    private enum Attempt {
        case allowed
        case denied(retryAfter: Duration)
        /// Somebody holds the lock or waits, or the request needs explaining.
        case locked
    }

    /// Takes `count` tokens if they are there, without the lock if nobody holds it and nobody waits.
    @inline(__always)
    func tryAcquireFast(_ count: Int, debt: Int, _ line: BucketLine) -> RateDecision {
        switch attempt(checked(count), checkedDebt(debt), line) {
        case .allowed:
            note(.allowed(count))
            return .allowed
        case .denied(let retryAfter):
            note(.denied(count))
            return .denied(retryAfter: retryAfter)
        case .locked:
            return tryAcquire(count, debt: debt, now: present())
        }
    }

    /// Whether `count` tokens could be taken without the lock; nobody is told when not, because a wait follows.
    func takeFast(_ count: Int, debt: Int) -> Bool {
        guard case .allowed = attempt(checked(count), checkedDebt(debt), line) else { return false }
        note(.allowed(count))
        return true
    }

    @inline(__always)
    private func attempt(_ wanted: UInt64, _ overdraft: UInt64, _ line: BucketLine) -> Attempt {
        let word = line.word
        while true {
            let low = word.low.loadRelaxed()
            let high = word.high.loadAcquiring()
            guard decide(high & Self.gate == 0) else { return .locked }
            let now = present()
            // Behind the clock, which waits for every load before it.
            let perNanosecond = line.unitsPerNanosecond.loadAcquiring()
            let perToken = UInt128(line.unitsPerToken.loadAcquiring())
            // Both come from an Int, so the sum fits.
            let limit = line.burst.loadAcquiring() &+ overdraft

            guard perToken != 0, wanted <= limit else { return .locked }
            // Below 2^127: 63 bits of nanoseconds or tokens, at most 64 of units.
            let present = UInt128(UInt64(max(now, 0))) &* UInt128(perNanosecond)
            let tat = UInt128(high & Self.tatMask) << 64 | UInt128(low)
            let after = max(tat, present) &+ UInt128(wanted) &* perToken
            let allowed = present &+ UInt128(limit) &* perToken

            if decide(after <= allowed), after <= GCRA.maximum {
                let next = UInt64(truncatingIfNeeded: after >> 64) | high & ~Self.tatMask
                if word.weakCompareExchangeAcquiringAndReleasing(
                    expected: (low, high), desired: (UInt64(truncatingIfNeeded: after), next))
                {
                    return .allowed
                }
            } else if decide(
                word.weakCompareExchangeAcquiringAndReleasing(expected: (low, high), desired: (low, high)))
            {
                return .denied(retryAfter: Self.wait(after, allowed, perNanosecond, now))
            }
        }
    }

    @inline(never)
    private static func wait(
        _ after: UInt128, _ allowed: UInt128, _ perNanosecond: UInt64, _ now: Int64
    ) -> Duration {
        guard perNanosecond > 0, after <= GCRA.maximum else { return .nanoseconds(Int64.max) }
        let instant = max(now, 0).addingSaturating(GCRA.ceiling(after - allowed, perNanosecond))
        return instant.wait(since: now)
    }
}
