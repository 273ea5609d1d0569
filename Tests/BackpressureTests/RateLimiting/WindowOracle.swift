// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What every window of every length may hold, checked in O(1) an admission.
//
// ## Algorithm
// Let A be the tokens admitted so far, M the running maximum of the clock, both in the units of the rate: n units a
// nanosecond, p units a token. A window from one admission to another holds no more than burst + floor(rate t) exactly
// if  (A after the second) p - M n  -  ((A before the first) p - M' n)  <=  burst p,  because tokens are whole. So the
// least of the second term, over all admissions so far, is all that need be kept.

@testable import Backpressure

/// Judges the admissions of one token bucket.
struct WindowOracle {
    private let perNanosecond: Int128
    private let perToken: Int128
    private let burst: Int128
    private var admitted: Int128 = 0
    private(set) var furthest: Int64 = 0
    private var least = Int128.max
    /// By how many units the worst window exceeded its bound.
    private(set) var excess: Int128 = 0

    init(rate: Rate, burst: Int) {
        perNanosecond = Int128(rate.unitsPerNanosecond)
        perToken = Int128(rate.unitsPerToken)
        self.burst = Int128(burst)
    }

    /// The clock was read.
    mutating func read(_ now: Int64) { furthest = max(furthest, now) }

    /// So many tokens were admitted at the reading noted last.
    ///
    /// - Returns: Whether every window still holds what it may.
    mutating func admit(_ count: Int) -> Bool {
        let time = Int128(furthest) * perNanosecond
        least = min(least, admitted * perToken - time)
        admitted += Int128(count)
        excess = max(excess, admitted * perToken - time - least - burst * perToken)
        return excess <= 0
    }

    /// A pacer admits a request of any size when a single one may go, which then counts in full.
    mutating func admitPaced(_ count: Int) -> Bool {
        let time = Int128(furthest) * perNanosecond
        least = min(least, admitted * perToken - time)
        excess = max(excess, (admitted + 1) * perToken - time - least - burst * perToken)
        admitted += Int128(count)
        return excess <= 0
    }

    /// The excess in whole tokens, rounded up.
    var excessTokens: Int { Int((excess + perToken - 1) / perToken) }
}

/// Judges the admissions of a sliding window: no window of its length holds more than the limit.
struct SlidingOracle {
    private let limit: Int
    private let window: Int64
    private var recent: [(time: Int64, count: Int)] = []
    private var first = 0
    private var sum = 0
    private(set) var furthest: Int64 = 0

    init(limit: Int, window: Int64) {
        self.limit = limit
        self.window = window
    }

    mutating func read(_ now: Int64) { furthest = max(furthest, now) }

    mutating func admit(_ count: Int) -> Bool {
        recent.append((furthest, count))
        sum += count
        while recent[first].time < furthest - window {
            sum -= recent[first].count
            first += 1
        }
        if first > 4_096 {
            recent.removeFirst(first)
            first = 0
        }
        return sum <= limit
    }
}
