// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Any clock whose durations are Swift's, as one plain type: instants are nanoseconds in an `Int64`.
//
// Primitives keep deadlines as integers, so that a heap of them is cheap, and take whatever clock they are given without
// being generic over it.
//
// ## Invariants
// I1. No wait ends early: `now()` is rounded down, every deadline is rounded up.
// I2. Nothing traps: every sum is held to the range of `Int64`, and `.max` means never.
// I3. A reading is compared only with readings of the same time source. Its origin is arbitrary: the system's boot for
//     Swift's own clocks, the moment of `init` for any other.
//
// ## Cost
// Swift's clocks are read straight from the system; any other costs a virtual call and 128-bit arithmetic.

/// A clock with its type erased; instants are nanoseconds since an arbitrary origin.
@usableFromInline
struct TimeSource: Sendable {
    private enum Storage: Sendable {
        case continuous
        case suspending
        case other(any BoxedClock)
    }

    /// The longest single sleep that is asked of the system's clocks: one day.
    ///
    /// Longer sleeps are made of several: how far ahead a platform's timers reach is not said anywhere.
    private static let longestSystemSleep: Int64 = 86_400_000_000_000

    private let storage: Storage

    /// Time as `clock` tells it.
    @usableFromInline
    init(_ clock: some Clock<Duration>) {
        if clock is ContinuousClock {
            storage = .continuous
        } else if clock is SuspendingClock {
            storage = .suspending
        } else {
            storage = .other(ClockBox(clock))
        }
    }

    /// The present instant, rounded down.
    ///
    /// It goes back when the clock does.
    @usableFromInline
    func now() -> Int64 {
        switch storage {
        case .continuous: PlatformClock.continuousNanoseconds()
        case .suspending: PlatformClock.suspendingNanoseconds()
        case .other(let box): box.elapsed().saturatingNanosecondsRoundedDown
        }
    }

    /// The first instant at which `duration` has passed from now on.
    ///
    /// A duration of zero or less gives the present instant; one beyond 292 years gives `.max`, which means never.
    @usableFromInline
    func deadline(after duration: Duration) -> Int64 {
        guard duration > .zero else { return now() }
        let nanoseconds = duration.saturatingNanoseconds
        // Said here and not left to the sum: a clock that stands before its origin must not turn never into a date.
        guard nanoseconds < .max else { return .max }
        return nowRoundedUp().addingSaturating(nanoseconds)
    }

    /// `instant` as this time source counts, rounded up, or nil when it is not an instant of its clock's type.
    @usableFromInline
    func nanoseconds(of instant: some InstantProtocol) -> Int64? {
        switch storage {
        case .continuous:
            guard let instant = instant as? ContinuousClock.Instant else { return nil }
            return ContinuousClock().systemOrigin.duration(to: instant).saturatingNanoseconds
        case .suspending:
            guard let instant = instant as? SuspendingClock.Instant else { return nil }
            return SuspendingClock().systemOrigin.duration(to: instant).saturatingNanoseconds
        case .other(let box):
            return box.elapsed(at: instant)?.saturatingNanoseconds
        }
    }

    /// Returns once `now()` is `deadline` or later, however often the clock jumps back on the way.
    ///
    /// The clock itself does the sleeping. With a deadline of `.max` this ends only by cancellation.
    ///
    /// - Parameter deadline: An instant of this time source.
    /// - Throws: What the clock's own sleep throws: `CancellationError`, unless the clock has another habit.
    @usableFromInline
    func sleep(until deadline: Int64) async throws {
        while true {
            let present = now()
            guard present < deadline else { return }
            switch storage {
            case .continuous:
                let instant = min(deadline, present.addingSaturating(Self.longestSystemSleep))
                try await ContinuousClock().sleep(
                    until: ContinuousClock().systemOrigin.advanced(by: .nanoseconds(instant)))
            case .suspending:
                let instant = min(deadline, present.addingSaturating(Self.longestSystemSleep))
                try await SuspendingClock().sleep(
                    until: SuspendingClock().systemOrigin.advanced(by: .nanoseconds(instant)))
            case .other(let box):
                try await box.sleep(untilElapsed: .nanoseconds(deadline))
                // A clock that returns early, again and again, must neither block its thread nor outlive its task.
                if now() < deadline {
                    await Task.yield()
                    try Task.checkCancellation()
                }
            }
        }
    }

    private func nowRoundedUp() -> Int64 {
        switch storage {
        case .continuous, .suspending: now()
        case .other(let box): box.elapsed().saturatingNanoseconds
        }
    }
}

// MARK: - Boxes

/// A clock of any type and the instant at which it was boxed, which counts as zero.
private protocol BoxedClock: AnyObject, Sendable {
    func elapsed() -> Duration
    func elapsed(at instant: some InstantProtocol) -> Duration?
    func sleep(untilElapsed duration: Duration) async throws
}

private final class ClockBox<Base: Clock>: BoxedClock where Base.Duration == Duration {
    private let clock: Base
    private let origin: Base.Instant

    init(_ clock: Base) {
        self.clock = clock
        origin = clock.now
    }

    func elapsed() -> Duration {
        origin.duration(to: clock.now)
    }

    func elapsed(at instant: some InstantProtocol) -> Duration? {
        guard let instant = instant as? Base.Instant else { return nil }
        return origin.duration(to: instant)
    }

    func sleep(untilElapsed duration: Duration) async throws {
        try await clock.sleep(until: origin.advanced(by: duration), tolerance: nil)
    }
}

// MARK: - The origin of Swift's clocks

// `systemEpoch` came with Swift 6.3 and is emitted into its callers; before, the same zero is written out.

extension ContinuousClock {
    fileprivate var systemOrigin: Instant {
        #if compiler(>=6.3)
            systemEpoch
        #else
            unsafeBitCast(Duration.zero, to: Instant.self)
        #endif
    }
}

extension SuspendingClock {
    fileprivate var systemOrigin: Instant {
        #if compiler(>=6.3)
            systemEpoch
        #else
            unsafeBitCast(Duration.zero, to: Instant.self)
        #endif
    }
}
