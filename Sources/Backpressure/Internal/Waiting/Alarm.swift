// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// When the one timer of a primitive must ring, where several kinds of deadlines share it.
//
// As in `Deadlines`, the timer is lazy: it stays armed for an instant that has lost its purpose, rings, and sleeps on.
//
// ## Invariants
// I1  After `request` or `rearm` a timer is armed for the earliest deadline or for an earlier instant.
// I2  A timer of an older generation does nothing.

/// The instant for which the timer is armed.
///
/// It is part of a state that a lock guards.
struct Alarm: Sendable {
    /// `Int64.max` while no timer is armed.
    private(set) var armedFor: Int64 = .max
    private var generation: UInt64 = 0

    /// - Parameter armedFor: When a timer rings already; by default there is none.
    init(armedFor: Int64 = .max) { self.armedFor = armedFor }

    /// What the caller must arm once it has released the lock, if anything, so that it rings at `earliest`.
    mutating func request(_ earliest: Int64) -> TimerRequest? {
        guard earliest < armedFor else { return nil }
        armedFor = earliest
        generation += 1
        return TimerRequest(deadline: earliest, generation: generation)
    }

    /// The timer of `generation` rang and all that was due is out: what it must sleep for next, or nil to end.
    mutating func rearm(_ earliest: Int64, generation: UInt64) -> Int64? {
        guard generation == self.generation else { return nil }
        armedFor = earliest
        return earliest == .max ? nil : earliest
    }
}
