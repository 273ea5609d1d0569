// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One timer for one stage: it rings at the earliest instant asked for, and asks the stage when it shall ring next.
//
// The timer is lazy, like that of the channel: an instant later than the armed one costs a comparison under a lock, and
// a ring that finds nothing due sleeps on. So a stage that moves its deadline with every element has one task, not one
// per element.

@usableFromInline
final class StageAlarm: DeadlineOwner {
    private struct Armed {
        /// When the timer of this generation rings; `.max` while none is armed.
        var deadline = Int64.max
        var generation: UInt64 = 0
    }

    @usableFromInline let timeSource: TimeSource
    private let timer = DeadlineTimer()
    private let armed = LockedState(Armed())
    private let rang = LockedState<(@Sendable (Int64) -> Int64)?>(nil)

    @usableFromInline
    init(_ timeSource: TimeSource) { self.timeSource = timeSource }

    deinit { timer.cancel() }

    /// What to do when the alarm rings: given the present instant it answers with the next deadline, or `.max`.
    ///
    /// It must hold the stage weakly: a sleeping timer keeps nobody alive.
    @usableFromInline
    func onRing(_ body: @escaping @Sendable (_ now: Int64) -> Int64) { rang.withLock { $0 = body } }

    /// Rings at `deadline` or earlier; the caller holds no lock.
    @usableFromInline
    func set(for deadline: Int64) {
        let request: TimerRequest? = armed.withLock { armed in
            guard deadline < armed.deadline else { return nil }
            armed.deadline = deadline
            armed.generation += 1
            return TimerRequest(deadline: deadline, generation: armed.generation)
        }
        if let request { timer.arm(request, for: self) }
    }

    /// No more rings.
    @usableFromInline
    func cancel() {
        rang.withLock { $0 = nil }
        timer.cancel()
    }

    func timerRang(generation: UInt64) -> Int64? {
        let isCurrent = armed.withLock { armed in
            guard armed.generation == generation else { return false }
            // Whoever sets a deadline from here on arms a timer of its own, and this one ends.
            armed.deadline = .max
            return true
        }
        guard isCurrent, let body = rang.withLock({ $0 }) else { return nil }
        let next = body(timeSource.now())
        guard next < .max else { return nil }
        let sleepsOn = armed.withLock { armed in
            guard armed.generation == generation else { return false }
            armed.deadline = next
            return true
        }
        if sleepsOn { return next }
        set(for: next)
        return nil
    }
}
