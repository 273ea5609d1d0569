// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The generic cell rate algorithm in exact integers: a token bucket without a refill.
//
// ## Algorithm
// ITU-T Recommendation I.371, the virtual scheduling algorithm. One number, the theoretical arrival time (TAT), says
// when the bucket will be full again. With a token lasting p units and a burst of B tokens, a request for n at `now`
//     after = max(TAT, now) + n p          is allowed if          after <= now + B p,
// and then TAT = after. At any time the bucket holds (now + B p - max(TAT, now)) / p tokens. It differs from the
// source in its units (see `Rate`: nothing is rounded), in requests of several tokens, and in bookings ahead of time.
//
// ## Invariants
// I1  After any decision at a reading `now`, TAT >= now unless the request was for nothing that the bucket lacks: so a
//     clock that steps back earns nothing twice, and no second number is needed to remember the last reading.
// I2  TAT <= `maximum` (112 bits): 292 years of nanoseconds at 2^48 units, and as much of burst or debt.
// I3  No window of length t admits more than B + floor(rate t), t being the running maximum of the clock.
//
// ## Giving a booking back
// `horizon` is where the last promised booking ends. What was booked behind the one that is given back,
// `horizon - mark`, stands on its tokens: the bucket would have been full of them and lost them. The rest is refunded.
// The last booking always comes back whole, and lets the horizon retreat.

struct GCRA: RateSchedule {
    /// Computed, because a stored one would be initialised lazily: a call on the hot path.
    @inline(__always) static var maximum: UInt128 { (1 << 112) - 1 }
    /// The longest that a bucket may take to fill, in nanoseconds: 292 years.
    static var longestFill: UInt128 { UInt128(Int64.max) }

    /// When the bucket is full again, in units.
    var tat: UInt128 = 0
    /// Where the last booking that was promised an instant ends, in units.
    var horizon: UInt128 = 0
    /// How often rate and burst were changed: a booking of another generation is in other units.
    var generation: UInt64 = 0
    var rate: Rate
    var burst: UInt64

    struct Mark: Sendable {
        /// TAT before and after.
        let start: UInt128
        let end: UInt128
        let generation: UInt64
    }

    /// A full bucket, or one with so many tokens.
    init(rate: Rate, burst: Int, initialTokens: Int? = nil, now: Int64) {
        Self.check(rate: rate, burst: burst)
        self.rate = rate
        self.burst = UInt64(burst)
        guard let initialTokens else { return }
        precondition(initialTokens >= 0, "a bucket starts with \(initialTokens) tokens")
        precondition(initialTokens <= burst, "a bucket of \(burst) starts with \(initialTokens) tokens")
        tat = min(units(now) + UInt128(burst - initialTokens) * UInt128(rate.unitsPerToken), Self.maximum)
    }

    static func check(rate: Rate, burst: Int) {
        precondition(burst >= 1, "a bucket holds at least 1 token, not \(burst)")
        let fill = UInt128(burst) * UInt128(rate.unitsPerToken)
        precondition(
            rate.isZero || fill <= longestFill * UInt128(rate.unitsPerNanosecond),
            "a bucket of \(burst) tokens at \(rate) takes more than 292 years to fill")
    }

    var limit: UInt64 { burst }

    /// An instant in units; what lies before the origin of the clock counts as the origin.
    @inline(__always)
    func units(_ instant: Int64) -> UInt128 {
        UInt128(UInt64(max(instant, 0))) &* UInt128(rate.unitsPerNanosecond)
    }

    /// By how much TAT may be ahead of the clock.
    func tolerance(_ debt: UInt64) -> UInt128 {
        (UInt128(burst) + UInt128(debt)) * UInt128(rate.unitsPerToken)
    }

    func earliest(_ count: UInt64, debt: UInt64, behind queued: UInt64, now: Int64) -> Int64 {
        if rate.isUnlimited { return now }
        let present = units(now)
        let after = max(tat, present) + (UInt128(queued) + UInt128(count)) * UInt128(rate.unitsPerToken)
        let allowed = present + tolerance(debt)
        if after <= allowed { return after <= Self.maximum ? now : .max }
        guard !rate.isZero, after <= Self.maximum else { return .max }
        return max(now, 0).addingSaturating(Self.ceiling(after - allowed, rate.unitsPerNanosecond))
    }

    /// The quotient rounded up, held to `Int64`.
    static func ceiling(_ dividend: UInt128, _ divisor: UInt64) -> Int64 {
        if dividend <= UInt128(UInt64.max) {
            let (quotient, remainder) = UInt64(dividend).quotientAndRemainder(dividingBy: divisor)
            return Int64(clamping: remainder == 0 ? quotient : quotient + 1)
        }
        return Int64(clamping: (dividend + UInt128(divisor) - 1) / UInt128(divisor))
    }

    mutating func take(_ count: UInt64, at instant: Int64, now: Int64) -> Mark {
        guard !rate.isUnlimited else { return Mark(start: 0, end: 0, generation: .max) }
        let start = tat
        tat = min(max(tat, units(instant)) + UInt128(count) * UInt128(rate.unitsPerToken), Self.maximum)
        if instant > now { horizon = max(horizon, tat) }
        return Mark(start: start, end: tat, generation: generation)
    }

    mutating func giveBack(_ count: UInt64, _ mark: Mark, now: Int64) -> UInt64 {
        guard mark.generation == generation else { return 0 }
        let cost = UInt128(count) * UInt128(rate.unitsPerToken)
        // The instants behind were each rounded up by less than a nanosecond, and that much sooner the bucket is full.
        let later = horizon > mark.end ? horizon - mark.end + UInt128(max(1, rate.unitsPerNanosecond)) - 1 : 0
        guard later < cost else { return 0 }
        if horizon == mark.end {
            horizon = mark.start
            if tat == mark.end {
                // As if it had never been, also to the part of a nanosecond by which its instant was rounded up.
                tat = mark.start
                return count
            }
        }
        let refund = min(cost - later, tat)
        tat -= refund
        return UInt64(refund / UInt128(rate.unitsPerToken))
    }

    func available(now: Int64) -> Int {
        guard !rate.isUnlimited else { return .max }
        let present = units(now)
        let (full, token) = (present + tolerance(0), UInt128(rate.unitsPerToken))
        let end = max(tat, present)
        if end <= full { return Int(clamping: (full - end) / token) }
        return -Int(clamping: (end - full + token - 1) / token)
    }

    mutating func refund(_ count: UInt64, now: Int64) {
        tat -= min(UInt128(count) * UInt128(rate.unitsPerToken), tat)
    }

    mutating func penalize(_ count: UInt64, now: Int64) {
        guard !rate.isUnlimited else { return }
        tat = min(max(tat, units(now)) + UInt128(count) * UInt128(rate.unitsPerToken), Self.maximum)
    }

    /// Changes rate and burst: the tokens held are kept up to the new burst, and so is a debt.
    ///
    /// A part of a token is kept as that part, rounded down by less than a unit. Bookings keep their instants, and can
    /// no longer be given back.
    mutating func change(rate newRate: Rate, burst newBurst: Int, now: Int64) {
        Self.check(rate: newRate, burst: newBurst)
        let present = units(now)
        let old = UInt128(rate.unitsPerToken)
        let new = UInt128(newRate.unitsPerToken)
        let (full, end) = (present + tolerance(0), max(tat, present))
        let isUnknown = rate.isUnlimited
        rate = newRate
        burst = UInt64(newBurst)
        generation += 1
        let newFull = units(now) + tolerance(0)
        if isUnknown || newRate.isUnlimited {
            tat = 0
        } else if end <= full {
            let held = (full - end).quotientAndRemainder(dividingBy: old)
            let kept = min(held.quotient, UInt128(burst)) * new + held.remainder * new / old
            tat = newFull - min(kept, tolerance(0), newFull)
        } else {
            let owed = (end - full).quotientAndRemainder(dividingBy: old)
            // A debt of more tokens than anybody's lifetime is held to `maximum` before it is multiplied.
            let tokens = min(owed.quotient, UInt128(UInt64.max >> 1))
            tat = min(newFull + tokens * new + (owed.remainder * new + old - 1) / old, Self.maximum)
        }
        horizon = tat
    }
}
