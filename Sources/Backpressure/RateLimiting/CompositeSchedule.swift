// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Several token buckets that are always taken from together.
//
// A request is served at the latest of the instants at which the buckets could each serve it, and is charged to all of
// them at that instant. Requests are booked in order, and the bucket that holds one up holds up the next, so no booking
// is overtaken by a later one.

struct CompositeSchedule: RateSchedule {
    private(set) var parts: [GCRA]

    init(_ limits: [CompositeLimiter.Limit], now: Int64) {
        precondition(!limits.isEmpty, "a composite limiter needs at least one limit")
        parts = limits.map { GCRA(rate: $0.rate, burst: $0.burst, now: now) }
    }

    var limit: UInt64 {
        var least = UInt64.max
        for part in parts { least = min(least, part.limit) }
        return least
    }

    func earliest(_ count: UInt64, debt: UInt64, behind queued: UInt64, now: Int64) -> Int64 {
        var latest = now
        for part in parts { latest = max(latest, part.earliest(count, debt: debt, behind: queued, now: now)) }
        return latest
    }

    mutating func take(_ count: UInt64, at instant: Int64, now: Int64) -> [GCRA.Mark] {
        let isAhead = instant > now
        // A taking of the present, by far the most common, keeps nothing.
        var marks: [GCRA.Mark] = []
        for index in parts.indices {
            let mark = parts[index].take(count, at: instant, now: now)
            if isAhead { marks.append(mark) }
        }
        return marks
    }

    mutating func giveBack(_ count: UInt64, _ mark: [GCRA.Mark], now: Int64) -> UInt64 {
        var least = UInt64.max
        for (index, mark) in mark.enumerated() {
            let isFree = parts[index].rate.isUnlimited
            least = min(least, isFree ? count : parts[index].giveBack(count, mark, now: now))
        }
        return mark.isEmpty ? 0 : least
    }

    func available(now: Int64) -> Int {
        var least = Int.max
        for part in parts { least = min(least, part.available(now: now)) }
        return least
    }

    mutating func refund(_ count: UInt64, now: Int64) {
        for index in parts.indices { parts[index].refund(count, now: now) }
    }

    mutating func penalize(_ count: UInt64, now: Int64) {
        for index in parts.indices { parts[index].penalize(count, now: now) }
    }

    mutating func change(_ limits: [CompositeLimiter.Limit], now: Int64) {
        precondition(limits.count == parts.count, "\(limits.count) limits in place of \(parts.count)")
        for (index, limit) in limits.enumerated() {
            parts[index].change(rate: limit.rate, burst: limit.burst, now: now)
        }
    }
}
