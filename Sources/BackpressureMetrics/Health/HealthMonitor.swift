// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Rules over the readings of a registry, look by look.
//
// ## Invariants
// M1  A rule's state changes at a look only, after its value was on the other side of the mark at every look for at
//     least the minimum duration, with the first of them that long ago.
// M2  A counter that falls is another primitive under the same name: it starts anew, and nothing is judged of it once.
// M3  What a minute holds is bounded: a primitive keeps at most `mostEvents` instants, the youngest.
// M4  What is kept for a primitive that is gone goes with the look that no longer finds it.

import Backpressure
import Synchronization

/// Judges the primitives of a registry by rules with hysteresis and a minimum duration.
///
/// ```swift
/// let monitor = HealthMonitor(registry)
/// let report = monitor.look()
/// print(report.isReady, report)  // true healthy
/// ```
///
/// A look takes readings, and judges rates from the difference to the last look: so looks should come regularly, a
/// second apart or ten, by ``changes(every:)`` or by whoever asks for readiness.
public final class HealthMonitor: Sendable {
    private static let mostEvents = 64
    private static let window = Duration.seconds(60)

    private struct Place: Hashable, Sendable {
        let name: String
        let labels: [Label]
    }

    /// One rule's state.
    private struct Watch: Sendable {
        var holds = false
        /// Since when the value has been on the other side of its mark.
        var turning: Duration?

        mutating func update(_ value: Double, at now: Duration, _ rule: HealthRule) {
            let turns = holds ? value <= rule.clears : value >= rule.fires
            guard turns else {
                turning = nil
                return
            }
            let since = turning ?? now
            turning = since
            guard now - since >= rule.minimumDuration else { return }
            holds.toggle()
            turning = nil
        }
    }

    /// What is kept of one primitive between looks.
    private struct Past: Sendable {
        var sent = 0.0
        var turnedAway = 0.0
        var droppedLater = 0.0
        var pauses = 0.0
        var transitions = 0.0
        var wasFull = false
        var sendWaits = WaitHistogram()
        var pressure: [Duration] = []
        var changes: [Duration] = []
        var watches: [HealthSignal: [Watch]] = [:]
    }

    private let registry: MetricsRegistry
    private let rules: HealthRules
    private let now: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void
    private let past = Mutex<[Place: Past]>([:])

    /// A monitor of a registry's primitives.
    ///
    /// - Parameters:
    ///   - registry: The primitives; the monitor holds the registry.
    ///   - rules: What is judged.
    ///   - clock: The clock of minimum durations and rates.
    public init<C: Clock<Duration>>(
        _ registry: MetricsRegistry, rules: HealthRules = .standard, clock: C = ContinuousClock()
    ) {
        self.registry = registry
        self.rules = rules
        let start = clock.now
        now = { start.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
    }

    /// Reads every primitive and judges it.
    ///
    /// Never waits. Looks of several callers are judged one after the other.
    ///
    /// - Returns: The status, and the rules that hold.
    public func look() -> HealthReport {
        let samples = registry.collect()
        let now = now()
        return past.withLock { past in
            var kept: [Place: Past] = [:]
            var reasons: [HealthReport.Reason] = []
            for sample in samples {
                let place = Place(name: sample.name, labels: sample.labels)
                var memory = past[place] ?? Self.beginning(sample)
                judge(sample, &memory, now, &reasons)
                kept[place] = memory
            }
            past = kept
            return HealthReport(reasons)
        }
    }

    /// Looks again and again; an element comes when the status or the set of rules that hold has changed.
    ///
    /// The first look gives the first element. The sequence ends when its task is cancelled. It looks only while it is
    /// iterated: changes that come and go while its consumer is busy are not told.
    ///
    /// - Parameter interval: How long to sleep between two looks, on the monitor's clock.
    /// - Returns: The reports at the edges.
    public func changes(every interval: Duration) -> Changes { Changes(monitor: self, interval: interval) }

    /// The edges of a monitor's judgement.
    public struct Changes: AsyncSequence, Sendable {
        /// A report.
        public typealias Element = HealthReport
        /// It does not fail.
        public typealias Failure = Never

        fileprivate let monitor: HealthMonitor
        fileprivate let interval: Duration

        /// Starts to look.
        public func makeAsyncIterator() -> Iterator { Iterator(monitor: monitor, interval: interval) }

        /// Looks, sleeps, looks again.
        public struct Iterator: AsyncIteratorProtocol {
            fileprivate let monitor: HealthMonitor
            fileprivate let interval: Duration
            private var last: Set<String>?

            fileprivate init(monitor: HealthMonitor, interval: Duration) {
                self.monitor = monitor
                self.interval = interval
            }

            /// The next report that differs from the last one; nil when the task is cancelled.
            public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> HealthReport? {
                while !Task.isCancelled {
                    if last != nil {
                        guard (try? await monitor.sleep(interval)) != nil else { return nil }
                    }
                    let report = monitor.look()
                    let holding = Set(
                        report.reasons.map { "\($0.primitive) \($0.labels) \($0.signal) \($0.rule.fires)" })
                    if holding != last {
                        last = holding
                        return report
                    }
                }
                return nil
            }
        }
    }

    // MARK: - Judging

    /// Totals up to the first look are nobody's rate.
    private static func beginning(_ sample: MetricSample) -> Past {
        var past = Past()
        past.sent = sample.value(.sent) ?? sample.value(.admitted) ?? 0
        past.turnedAway = turnedAway(sample)
        past.droppedLater = droppedLater(sample)
        past.pauses = sample.value(.pauses) ?? 0
        past.transitions = sample.value(.transitions) ?? 0
        past.sendWaits = sample.histogram(.waitTime, .send) ?? WaitHistogram()
        return past
    }

    /// What was never taken for want of room or of time to wait for it; who cancelled wanted no more.
    private static func turnedAway(_ sample: MetricSample) -> Double {
        let rejections = ["full", "over_limit", "shed", "rate_limited", "timed_out"].reduce(0.0) { total, reason in
            total + sum(of: .rejected, .reason(reason), in: sample)
        }
        return rejections + sum(of: .dropped, .reason("newest"), in: sample)
    }

    /// What was taken and then dropped; what a cancel dropped is nobody's pressure.
    private static func droppedLater(_ sample: MetricSample) -> Double {
        ["evicted", "expired", "shed"].reduce(0.0) { $0 + sum(of: .dropped, .reason($1), in: sample) }
    }

    private static func sum(of metric: Metric, _ label: Label, in sample: MetricSample) -> Double {
        sample.readings.reduce(0) { sum, reading in
            let counts = reading.metric == metric && reading.labels.contains(label)
            return sum + (counts && !reading.labels.contains(.side("receive")) ? reading.value : 0)
        }
    }

    private func judge(
        _ sample: MetricSample, _ past: inout Past, _ now: Duration, _ reasons: inout [HealthReport.Reason]
    ) {
        for (signal, value) in signals(of: sample, &past, now) {
            guard let rules = rules.rules[signal] else { continue }
            var watches = past.watches[signal] ?? Array(repeating: Watch(), count: rules.count)
            for (index, rule) in rules.enumerated() {
                watches[index].update(value, at: now, rule)
                guard watches[index].holds else { continue }
                reasons.append(
                    HealthReport.Reason(
                        primitive: sample.name, labels: sample.labels, signal: signal, value: value, rule: rule))
            }
            past.watches[signal] = watches
        }
    }

    private func signals(
        of sample: MetricSample, _ past: inout Past, _ now: Duration
    ) -> [(HealthSignal, Double)] {
        var signals: [(HealthSignal, Double)] = []
        let fullness = sample.value(.depthRatio) ?? sample.value(.utilization)
        if let fullness { signals.append((.fullness, fullness)) }
        let pauses = sample.value(.pauses)
        if fullness != nil || pauses != nil {
            let isFull = (fullness ?? 0) >= (rules.rules[.fullness]?.map(\.fires).min() ?? .infinity)
            let rises = max(0, (pauses ?? 0) - past.pauses) + (isFull && !past.wasFull ? 1 : 0)
            Self.note(rises, now, &past.pressure)
            (past.wasFull, past.pauses) = (isFull, pauses ?? 0)
            signals.append((.pressureEvents, Double(past.pressure.count)))
        }
        if let sent = sample.value(.sent) ?? sample.value(.admitted) {
            let (away, later) = (Self.turnedAway(sample), Self.droppedLater(sample))
            let offered = sent - past.sent + away - past.turnedAway
            let lost = away - past.turnedAway + later - past.droppedLater
            if sent >= past.sent, away >= past.turnedAway, later >= past.droppedLater {
                signals.append((.dropRate, offered > 0 ? min(1, lost / offered) : lost > 0 ? 1 : 0))
            }
            (past.sent, past.turnedAway, past.droppedLater) = (sent, away, later)
        }
        if let transitions = sample.value(.transitions) {
            let isOpen = ["open", "forcedOpen"].contains { sample.value(.state, Label("state", $0)) == 1 }
            signals.append((.breakerOpen, isOpen ? 1 : 0))
            Self.note(max(0, transitions - past.transitions), now, &past.changes)
            past.transitions = transitions
            signals.append((.breakerChanges, Double(past.changes.count)))
        }
        return signals + waitSignals(of: sample, &past)
    }

    private func waitSignals(of sample: MetricSample, _ past: inout Past) -> [(HealthSignal, Double)] {
        var signals: [(HealthSignal, Double)] = []
        if let waits = sample.histogram(.waitTime, .send) {
            // A count that falls is another primitive under the same name (M2).
            let recent = waits.count >= past.sendWaits.count ? waits.subtracting(past.sendWaits) : WaitHistogram()
            past.sendWaits = waits
            let oldest = sample.value(.oldestWait, .send) ?? 0
            signals.append((.blockTime, max(oldest, recent.p99?.seconds ?? 0)))
        }
        let ages = sample.readings.filter { $0.metric == .oldestWait && !$0.labels.contains(.receive) }.map(\.value)
        if let oldest = ages.max() { signals.append((.oldestWait, oldest)) }
        if let idle = sample.value(.idleSubscribers) { signals.append((.idleSubscribers, idle)) }
        return signals
    }

    /// Keeps what lies within the last minute.
    private static func note(_ count: Double, _ now: Duration, _ events: inout [Duration]) {
        events.removeAll { now - $0 > window }
        events.append(contentsOf: repeatElement(now, count: Int(min(count, Double(mostEvents)))))
        if events.count > mostEvents { events.removeFirst(events.count - mostEvents) }
    }
}
