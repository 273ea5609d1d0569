// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A window as a ring of counts, and where the next tokens fit.
//
// ## Algorithm
// Time is cut into slices of `width` nanoseconds, `slices` of them at least as long as the window. A window touches no
// more than slices + 1 of them, so it is enough that no slices + 1 neighbours hold more than `limit`. The ring keeps
// those that end with `frontier`, the last slice in which anything was taken or booked. Tokens are placed in the first
// slice, from the frontier or the present one on, for which that holds.
//
// ## Invariants
// I1  total is the sum of the ring, which is that of slices frontier - slices ... frontier.
// I2  Unless by debt or penalty, no slices + 1 neighbours ever held more than `limit`.
// I3  `latest` is the furthest reading of the clock: one that steps back stands still there. Refusals count, too: what
//     is admitted after a step back lies, for whoever saw the later reading, in the window that ends there.

struct SlidingSchedule: RateSchedule {
    private(set) var limit: UInt64
    private let width: Int64
    private let slices: Int64
    private var counts: [UInt64]
    private var total: UInt64 = 0
    private var frontier: Int64 = 0
    private var latest: Int64 = 0

    init(limit: Int, window: Duration, slices: Int) {
        precondition(limit >= 1, "a window of \(limit) tokens admits nothing")
        precondition((1...65_536).contains(slices), "a window of \(slices) slices")
        let nanoseconds = window.saturatingNanoseconds
        precondition(nanoseconds > 0 && nanoseconds < .max, "a window of \(window)")
        self.limit = UInt64(limit)
        self.slices = Int64(slices)
        width = (nanoseconds - 1) / Int64(slices) + 1
        counts = Array(repeating: 0, count: slices + 1)
    }

    mutating func setLimit(_ limit: Int) {
        precondition(limit >= 1, "a window of \(limit) tokens admits nothing")
        self.limit = UInt64(limit)
    }

    mutating func note(reading now: Int64) { latest = max(latest, now) }

    private func place(_ slice: Int64) -> Int { Int(slice % (slices + 1)) }

    /// What slices + 1 neighbours that end with `slice`, the frontier or later, hold.
    private func sum(endingWith slice: Int64) -> UInt64 {
        var sum = total
        var leaving = frontier - slices
        while leaving < slice - slices, leaving <= frontier {
            if leaving >= 0 { sum -= counts[place(leaving)] }
            leaving += 1
        }
        return sum
    }

    /// The slice of the present.
    private func slice(of now: Int64) -> Int64 { max(now, latest, 0) / width }

    func earliest(_ count: UInt64, debt: UInt64, behind queued: UInt64, now: Int64) -> Int64 {
        let room = Int128(limit) + Int128(debt)
        guard Int128(count) <= room else { return .max }
        let present = slice(of: now)
        let start = max(frontier, present)
        let wanted = Int128(queued) + Int128(count)
        // What does not fit one ring takes as many rings as it fills.
        let (rings, rest) = (wanted - 1).quotientAndRemainder(dividingBy: room)
        var slice = start
        var sum = Int128(self.sum(endingWith: start))
        while sum + rest + 1 > room, slice - slices <= frontier {
            let leaving = slice - slices
            if leaving >= 0, leaving >= frontier - slices { sum -= Int128(counts[place(leaving)]) }
            slice += 1
        }
        if rings > 0 {
            let later = Int128(start) + rings * Int128(slices + 1)
            guard later <= Int128(Int64.max / width) else { return .max }
            slice = max(slice, Int64(later))
        }
        if slice == present { return now }
        let (instant, overflow) = slice.multipliedReportingOverflow(by: width)
        return overflow ? .max : max(instant, now)
    }

    private mutating func advance(to slice: Int64) {
        guard slice > frontier else { return }
        if slice - frontier > slices {
            for index in counts.indices { counts[index] = 0 }
            total = 0
        } else {
            for fresh in (frontier + 1)...slice {
                total -= counts[place(fresh)]
                counts[place(fresh)] = 0
            }
        }
        frontier = slice
    }

    mutating func take(_ count: UInt64, at instant: Int64, now: Int64) -> Int64 {
        advance(to: slice(of: instant))
        counts[place(frontier)] += count
        total += count
        return frontier
    }

    mutating func giveBack(_ count: UInt64, _ mark: Int64, now: Int64) -> UInt64 {
        guard mark >= frontier - slices else { return 0 }
        return remove(count, from: mark)
    }

    private mutating func remove(_ count: UInt64, from slice: Int64) -> UInt64 {
        let removed = min(count, counts[place(slice)])
        counts[place(slice)] -= removed
        total -= removed
        return removed
    }

    func available(now: Int64) -> Int {
        let present = slice(of: now)
        guard frontier <= present else { return 0 }
        return Int(clamping: Int128(limit) - Int128(sum(endingWith: present)))
    }

    mutating func refund(_ count: UInt64, now: Int64) {
        var rest = count
        for slice in stride(from: frontier, through: max(0, frontier - slices), by: -1) where rest > 0 {
            rest -= remove(rest, from: slice)
        }
    }

    mutating func penalize(_ count: UInt64, now: Int64) {
        advance(to: slice(of: now))
        // Held to what the sum can hold.
        let added = min(count, UInt64(Int64.max) - min(total, UInt64(Int64.max)))
        counts[place(frontier)] += added
        total += added
    }
}
