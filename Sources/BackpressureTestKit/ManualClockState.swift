// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a manual clock knows, and every change to it: an event in, the continuations to resume out.
//
// ## States of a suspension
// fresh   -> linked   register
// fresh   -> decided  register with nothing to wait for; cancel
// linked  -> parked   park
// linked  -> decided  due; cancel   (park then says that there is no need to wait)
// parked  -> decided  due; cancel   (the continuation is handed out, once)

/// One wait of one task, touched only under the lock of its clock.
class Suspension: @unchecked Sendable {
    enum Verdict {
        case due
        case cancelled
    }

    private enum Phase {
        case waiting(UnsafeContinuation<Void, Never>?)
        case decided(Verdict)
    }

    private var phase = Phase.waiting(nil)

    var isDecided: Bool {
        switch phase {
        case .waiting: false
        case .decided: true
        }
    }

    var verdict: Verdict {
        switch phase {
        case .waiting: preconditionFailure("a task of a manual clock runs on before anything has woken it")
        case .decided(let verdict): verdict
        }
    }

    /// Keeps the continuation; false when the verdict is there already and the caller must resume it.
    func park(_ continuation: UnsafeContinuation<Void, Never>) -> Bool {
        switch phase {
        case .waiting:
            phase = .waiting(continuation)
            return true
        case .decided:
            return false
        }
    }

    /// Gives the verdict, the first one only, and hands out the continuation if the task is parked.
    func decide(_ verdict: Verdict) -> UnsafeContinuation<Void, Never>? {
        switch phase {
        case .waiting(let continuation):
            phase = .decided(verdict)
            return continuation
        case .decided:
            return nil
        }
    }
}

/// A task that waits for an instant.
final class Sleeper: Suspension, @unchecked Sendable {
    let deadline: ManualClock.Instant
    /// The place in the order of registration.
    fileprivate(set) var order: UInt64 = 0
    /// The place in the heap, or nil outside of it.
    var heapIndex: Int?

    init(deadline: ManualClock.Instant) {
        self.deadline = deadline
    }

    func wakes(before other: Sleeper) -> Bool {
        (deadline, order) < (other.deadline, other.order)
    }
}

/// A task that waits for a number of sleepers.
final class SleeperObserver: Suspension, @unchecked Sendable {
    let count: Int

    init(count: Int) {
        self.count = count
    }
}

/// The instant, the sleepers and those who wait for sleepers.
struct ManualClockState {
    private(set) var now: ManualClock.Instant
    private(set) var sleepers = SleeperHeap()
    private(set) var registrations: UInt64 = 0
    private var observers: [SleeperObserver] = []

    init(now: ManualClock.Instant) {
        self.now = now
    }

    /// Links `sleeper`, unless it is cancelled or due, and returns those who waited for so many sleepers.
    mutating func register(_ sleeper: Sleeper) -> [UnsafeContinuation<Void, Never>] {
        guard !sleeper.isDecided else { return [] }
        guard sleeper.deadline > now else {
            // It is not parked yet, so nobody needs to be resumed: it finds the verdict as it parks.
            _ = sleeper.decide(.due)
            return []
        }
        registrations += 1
        sleeper.order = registrations
        sleepers.insert(sleeper)
        return satisfyObservers()
    }

    /// Links `observer`, unless it is cancelled or there are sleepers enough.
    mutating func register(_ observer: SleeperObserver) -> [UnsafeContinuation<Void, Never>] {
        guard !observer.isDecided else { return [] }
        observers.append(observer)
        return satisfyObservers()
    }

    /// Takes out a suspension whose task was cancelled; nil when it is not parked or has its verdict.
    mutating func cancel(_ suspension: Suspension) -> UnsafeContinuation<Void, Never>? {
        if let sleeper = suspension as? Sleeper {
            sleepers.remove(sleeper)
        } else {
            observers.removeAll { $0 === suspension }
        }
        return suspension.decide(.cancelled)
    }

    /// Puts the clock to `instant` and takes out the sleepers that are due, in the order in which they wake.
    mutating func move(to instant: ManualClock.Instant) -> [UnsafeContinuation<Void, Never>] {
        now = instant
        var woken: [UnsafeContinuation<Void, Never>] = []
        while let first = sleepers.first, first.deadline <= instant {
            sleepers.remove(first)
            if let continuation = first.decide(.due) { woken.append(continuation) }
        }
        return woken
    }

    /// Moves to the earliest deadline, or nil when nobody sleeps.
    mutating func moveToNextDeadline() -> [UnsafeContinuation<Void, Never>]? {
        guard let first = sleepers.first else { return nil }
        return move(to: max(now, first.deadline))
    }

    private mutating func satisfyObservers() -> [UnsafeContinuation<Void, Never>] {
        guard !observers.isEmpty else { return [] }
        var woken: [UnsafeContinuation<Void, Never>] = []
        observers.removeAll { observer in
            guard observer.count <= sleepers.count else { return false }
            if let continuation = observer.decide(.due) { woken.append(continuation) }
            return true
        }
        return woken
    }
}
