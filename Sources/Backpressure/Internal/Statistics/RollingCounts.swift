// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Counts of the last so much time, in a ring of buckets.
//
// ## Algorithm
// Time is cut into slots of equal length; bucket i holds the counts of one slot. Moving on to a later slot empties the
// buckets in between, at most all of them once: a year of idleness costs as much as one window.
//
// ## Invariants
// I1  `total` is the sum of the buckets.
// I2  A reading that lies before the last one counts as the last one: a clock that steps back neither empties nor
//     revives a bucket.
// I3  The window that is counted is between (buckets - 1) and buckets slots long.

/// What can be counted: adds up and can be taken away again.
protocol RollingCount: Sendable {
    init()
    static func += (left: inout Self, right: Self)
    static func -= (left: inout Self, right: Self)
}

/// Counts over the last so much time.
struct RollingCounts<Count: RollingCount>: Sendable {
    private var buckets: [Count]
    private let slot: Int64
    private var current: Int64 = .min
    private(set) var total = Count()

    /// Counts over `window` nanoseconds, at least 1, that moves on in so many steps, at least 1.
    init(window: Int64, buckets count: Int) {
        precondition(window >= 1 && count >= 1, "a window of \(window) ns in \(count) buckets")
        buckets = Array(repeating: Count(), count: count)
        slot = max(1, window / Int64(count))
    }

    /// Forgets what is too old at `now`.
    mutating func advance(to now: Int64) {
        // Rounded towards minus infinity, or the slot around zero would be twice as long.
        let index = now >= 0 ? now / slot : -((-(now + 1)) / slot) - 1
        guard index > current else { return }
        let count = Int64(buckets.count)
        let passed = current == .min ? count : min(index.subtractingSaturating(current), count)
        for step in 0..<passed {
            let place = Self.place(index - step, count)
            total -= buckets[place]
            buckets[place] = Count()
        }
        current = index
    }

    /// Counts something at `now`.
    mutating func add(_ count: Count, at now: Int64) {
        advance(to: now)
        total += count
        buckets[Self.place(current, Int64(buckets.count))] += count
    }

    /// Forgets everything.
    mutating func clear() {
        for index in buckets.indices { buckets[index] = Count() }
        total = Count()
        current = .min
    }

    private static func place(_ index: Int64, _ count: Int64) -> Int {
        let remainder = index % count
        return Int(remainder < 0 ? remainder + count : remainder)
    }
}
