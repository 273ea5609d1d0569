// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a kind of limiter knows: when tokens may be taken. Pure values; the time is an argument.
//
// ## Booking
// Tokens are taken at an instant, now or in the future. Takings are made in order: each at the earliest instant that
// the ones before it leave. A taking in the future is a booking: its instant is promised and does not move.

/// The maths of a limiter, under its lock.
protocol RateSchedule: Sendable {
    /// What must be known to give a booking back.
    associatedtype Mark: Sendable

    /// The most tokens of one request, without debt.
    var limit: UInt64 { get }

    /// The clock reads `now`: told before anything is asked or done at that reading.
    mutating func note(reading now: Int64)

    /// The earliest instant, `now` or later, at which `count` tokens may be taken behind `queued` others.
    ///
    /// - Returns: An instant; `Int64.max` is never. With `queued` above 0 the true one may be later.
    func earliest(_ count: UInt64, debt: UInt64, behind queued: UInt64, now: Int64) -> Int64

    /// Takes `count` tokens at `instant`, which is `earliest` or later.
    mutating func take(_ count: UInt64, at instant: Int64, now: Int64) -> Mark

    /// Gives back of a booking what no later one stands on; its instant has not come.
    ///
    /// - Returns: Whole tokens given back.
    mutating func giveBack(_ count: UInt64, _ mark: Mark, now: Int64) -> UInt64

    /// Whole tokens there now; negative in debt.
    func available(now: Int64) -> Int

    /// Adds tokens, up to a full limiter.
    mutating func refund(_ count: UInt64, now: Int64)

    /// Takes tokens whether they are there or not.
    mutating func penalize(_ count: UInt64, now: Int64)
}

extension RateSchedule {
    /// A schedule that is as strict after a step back of the clock whether it knew the later reading or not.
    mutating func note(reading now: Int64) {}
}

extension Int64 {
    /// The time from `earlier` to this instant; an instant of `.max` is never.
    func wait(since earlier: Int64) -> Duration {
        self == .max ? .nanoseconds(Int64.max) : .nanoseconds(Swift.max(0, subtractingSaturating(earlier)))
    }
}
