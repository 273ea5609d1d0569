// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long a channel holds its producers back, how long it takes to recover, and how long the producers take to stop:
// measured at the edges themselves, exactly, where a look now and then would miss what comes and goes between two looks.

public import Backpressure
import Synchronization

/// Measures the pauses that a channel's watermarks order.
///
/// ```swift
/// let meter = PressureMeter()
/// let marks = Watermarks(low: 1, high: 3) { edge in
///     meter.note(edge)
///     if edge == .pause { meter.noteProducerStopped() }
/// }
/// let channel = BoundedChannel<Int, Never>(capacity: 4, watermarks: marks)
/// for number in 0..<3 { _ = channel.trySend(number) }
/// while channel.tryReceive().take() != nil {}
/// print(meter.snapshot().pauses, meter.snapshot().recoveryTimes.count)  // 1 1
/// ```
///
/// Edges alternate. One that repeats the last one is ignored, and so is the stop of a producer that was not asked to.
public final class PressureMeter: Sendable {
    /// What a meter measured up to one instant.
    public struct Snapshot: Hashable, Sendable {
        /// How many pauses began.
        public internal(set) var pauses: UInt64 = 0
        /// Whether the last edge was a pause.
        public internal(set) var isPaused = false
        /// For how long it was paused in all, up to now.
        public internal(set) var pressureTime: Duration = .zero
        /// How long the pauses took that are over.
        public internal(set) var recoveryTimes = WaitHistogram()
        /// How long it took from pauses until the producer said that it had stopped.
        public internal(set) var signalLatencies = WaitHistogram()
    }

    private struct State: Sendable {
        var total = Snapshot()
        var pausedAt: Duration?
        var isAwaitingStop = false
    }

    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// A meter that has seen no edge.
    ///
    /// - Parameter clock: The clock of all times.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        let start = clock.now
        now = { start.duration(to: clock.now) }
    }

    /// Takes note of an edge: call it from the hook of the watermarks.
    ///
    /// - Parameter edge: The edge.
    public func note(_ edge: PressureEdge) {
        let now = now()
        state.withLock { state in
            switch (edge, state.pausedAt) {
            case (.pause, nil):
                state.pausedAt = now
                state.isAwaitingStop = true
                state.total.pauses += 1
            case (.resume, .some(let began)):
                state.pausedAt = nil
                state.isAwaitingStop = false
                state.total.pressureTime += max(.zero, now - began)
                state.total.recoveryTimes.record(now - began)
            default: break
            }
        }
    }

    /// The producer has stopped, as the pause asked it to: call it where it does.
    public func noteProducerStopped() {
        let now = now()
        state.withLock { state in
            guard let began = state.pausedAt, state.isAwaitingStop else { return }
            state.isAwaitingStop = false
            state.total.signalLatencies.record(now - began)
        }
    }

    /// Everything that was measured, of one instant.
    public func snapshot() -> Snapshot {
        let now = now()
        return state.withLock { state in
            var total = state.total
            total.isPaused = state.pausedAt != nil
            if let began = state.pausedAt { total.pressureTime += max(.zero, now - began) }
            return total
        }
    }
}

extension PressureMeter: MetricSource {
    /// Pauses, the time under pressure, and how long recovering and stopping took, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.paused, now.isPaused), Reading(.pauses, now.pauses),
            Reading(.pressureTime, now.pressureTime.seconds),
            Reading(.recoveryTime, now.recoveryTimes), Reading(.signalLatency, now.signalLatencies),
        ]
    }
}
