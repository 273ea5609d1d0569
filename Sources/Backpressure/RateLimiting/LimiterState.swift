// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a limiter keeps under its lock: the schedule, and who waits for it.
//
// ## Queues
// waiting  tasks in order; nothing is booked for them. The first one takes its tokens when they are there.
// booked   tasks whose tokens are booked: somebody reserved behind them, and a reservation's instant does not move.
//          All of them came before those of `waiting`, and their instants do not decrease.
//
// ## Invariants
// I1  While anybody waits, nobody who comes later takes tokens (a newcomer with debt passes only promised instants).
// I2  `queued` is the sum of the tokens that `waiting` wants.
// I3  A waiter has a deadline in the heap exactly while it is linked in either queue.
// I4  While anybody waits a timer is armed for the next instant at which something can happen, or for an earlier one.

/// What a waiting task wants, behind its waiter.
struct LimiterTicket<Mark: Sendable> {
    let count: UInt64
    let debt: UInt64
    /// When its booked tokens are there.
    var due: Int64 = .max
    var mark: Mark?
}

/// The state under the lock.
struct LimiterState<Schedule: RateSchedule>: ~Copyable, @unchecked Sendable {
    static var waitingTag: UInt8 { 1 }
    static var bookedTag: UInt8 { 2 }

    var schedule: Schedule
    var waiting = WaiterList(tag: waitingTag)
    var booked = WaiterList(tag: bookedTag)
    var queued: UInt64 = 0
    /// The heap only: the one timer rings for the queues too, so it is armed here.
    var deadlines = Deadlines(armedFor: .min)
    var armedFor = Int64.max
    var generation: UInt64 = 0

    var parked: UInt64 = 0
    var granted: UInt64 = 0
    var cancelled: UInt64 = 0
    var timedOut: UInt64 = 0
    var refused: UInt64 = 0

    init(schedule: Schedule) { self.schedule = schedule }

    var waiterCount: Int { waiting.count + booked.count }

    var isIdle: Bool { waiting.isEmpty && booked.isEmpty }
}

/// What is to be done once the lock is released.
struct LimiterEffects: ~Copyable {
    var wakes = WakeBatch()
    var timer: TimerRequest?
}
