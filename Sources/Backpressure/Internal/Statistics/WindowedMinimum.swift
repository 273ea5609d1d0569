// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The least value of an interval that has ended, and of the one that runs.
//
// ## Invariants
// I1  An interval ends at the first reading that lies `interval` or more after its start; a reading that lies before
//     the start begins it anew, so that a clock that steps back cannot make it last for ever.

/// The least value per interval of time.
struct WindowedMinimum: Sendable {
    private let interval: Int64
    private var start: Int64?
    private(set) var present: Int64 = .max

    init(interval: Int64) { self.interval = max(1, interval) }

    /// Adds a value; returns the least one of the interval that it ended, if it ended one.
    mutating func add(_ value: Int64, now: Int64) -> Int64? {
        guard let start, now >= start else {
            self.start = now
            present = value
            return nil
        }
        guard now.subtractingSaturating(start) >= interval else {
            present = min(present, value)
            return nil
        }
        let ended = present
        self.start = now
        present = value
        return ended
    }
}
