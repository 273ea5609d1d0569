// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One level against two marks: when to pause, when to go on. Pure arithmetic; the level and the time are arguments.
//
// ## Transitions
// open   -> paused  the level is at the high mark or above, and has been for `patience`
// paused -> open    the level is at the low mark or below, and `dwell` has passed since the pause
//
// While a change waits for its time, `due` says when to look again; a level that turns back in between calls it off.
//
// ## Invariants
// H1  Between the marks nothing changes (hysteresis).
// H2  Two pauses lie `dwell` apart at least.
// H3  `due` is `Int64.max` unless a change waits for nothing but the time.

/// The settings of one pair of marks.
struct HysteresisRule: Sendable {
    let low: Int
    let high: Int
    /// How long a level stays high before the pause, in nanoseconds.
    let patience: Int64
    /// How long a pause lasts at least, in nanoseconds.
    let dwell: Int64
}

/// Whether one level is paused.
struct Hysteresis: Sendable {
    private(set) var isPaused = false
    /// When the next change is due if the level stays; `Int64.max` when none is.
    private(set) var due = Int64.max
    private var pausedAt = Int64.min

    /// Takes note of the level at an instant.
    ///
    /// - Returns: Whether `isPaused` changed.
    mutating func update(level: Int, now: Int64, _ rule: HysteresisRule) -> Bool {
        guard isPaused ? decide(level <= rule.low) : decide(level >= rule.high) else {
            due = .max
            return false
        }
        if due == .max { due = isPaused ? pausedAt.addingSaturating(rule.dwell) : now.addingSaturating(rule.patience) }
        guard decide(now >= due) else { return false }
        due = .max
        isPaused.toggle()
        if isPaused { pausedAt = now }
        return true
    }
}
