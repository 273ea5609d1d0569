// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// When a reading is a reason for concern.
///
/// A rule begins to hold once its value has been at `fires` or above for as long as `minimumDuration`, and ceases once
/// it has been at `clears` or below for as long: so a value that moves about one threshold does not flap.
public struct HealthRule: Hashable, Sendable {
    /// From here on it is a reason.
    public let fires: Double
    /// From here down it is none any more; at most `fires`.
    public let clears: Double
    /// How long a value must stay before it counts.
    public let minimumDuration: Duration
    /// What the reason makes of the whole.
    public let status: HealthStatus

    /// A rule.
    ///
    /// - Parameters:
    ///   - fires: From here on it is a reason.
    ///   - clears: From here down it is none any more.
    ///   - minimumDuration: How long a value must stay before it counts.
    ///   - status: What the reason makes of the whole.
    /// - Precondition: Both are numbers, `clears <= fires`, and the duration is not negative.
    public init(fires: Double, clears: Double, minimumDuration: Duration = .zero, status: HealthStatus = .degraded) {
        precondition(clears <= fires, "a rule that clears at \(clears) and fires at \(fires)")
        precondition(minimumDuration >= .zero, "a minimum duration of \(minimumDuration)")
        self.fires = fires
        self.clears = clears
        self.minimumDuration = minimumDuration
        self.status = status
    }
}

/// How well the whole is.
public enum HealthStatus: Int, Hashable, Sendable, Comparable {
    /// No rule holds.
    case healthy
    /// It works, under pressure.
    case degraded
    /// It should not be sent more work.
    case overloaded

    /// By severity.
    public static func < (lhs: HealthStatus, rhs: HealthStatus) -> Bool { lhs.rawValue < rhs.rawValue }
}

/// What is computed from a primitive's readings, and judged by rules.
public enum HealthSignal: String, Hashable, Sendable, CaseIterable {
    /// How full it is, 0 to 1: ``Metric/depthRatio``, or ``Metric/utilization`` where nothing is queued.
    case fullness
    /// How often in the last minute it began to hold somebody back: its pauses, or the looks that found it at the high
    /// threshold of ``fullness`` after one that did not.
    case pressureEvents
    /// Which share of the elements offered since the last look was dropped or rejected for want of room, 0 to 1.
    case dropRate
    /// 1 while a breaker rejects, 0 otherwise.
    case breakerOpen
    /// How often a breaker changed its state in the last minute.
    case breakerChanges
    /// For how many seconds producers are blocked: the p99 of the sends' waits that ended since the last look, or the age
    /// of the oldest that lasts, whichever is more.
    case blockTime
    /// For how many seconds who came first has been waiting for room, permits, tokens or credits; who waits for elements
    /// has nothing to do, and does not count.
    case oldestWait
    /// How many subscribers ask for nothing: give it a minimum duration.
    case idleSubscribers
}

/// The rules by signal; several for one signal may lead to different statuses.
public struct HealthRules: Hashable, Sendable {
    /// The rules.
    public var rules: [HealthSignal: [HealthRule]]

    /// Rules of your own.
    ///
    /// - Parameter rules: By signal; a signal without a rule is not judged.
    public init(_ rules: [HealthSignal: [HealthRule]]) { self.rules = rules }

    /// What has proved itself.
    ///
    /// Fullness above 0.85 degrades (clears at 0.7) and 0.98 for ten seconds overloads; more than 5 pressure events a minute
    /// degrade; a drop rate above 0.1 % degrades and above 5 % overloads; an open breaker degrades, and so do more than 4
    /// changes of its state a minute. Producers that are blocked for more than a second degrade, somebody who waits for 10
    /// seconds does, and a subscriber that asks for nothing for half a minute.
    public static let standard = HealthRules([
        .fullness: [
            HealthRule(fires: 0.85, clears: 0.7),
            HealthRule(fires: 0.98, clears: 0.85, minimumDuration: .seconds(10), status: .overloaded),
        ],
        .pressureEvents: [HealthRule(fires: 6, clears: 3)],
        .dropRate: [
            HealthRule(fires: 0.001, clears: 0),
            HealthRule(fires: 0.05, clears: 0.01, status: .overloaded),
        ],
        .breakerOpen: [HealthRule(fires: 1, clears: 0)],
        .breakerChanges: [HealthRule(fires: 5, clears: 1)],
        .blockTime: [HealthRule(fires: 1, clears: 0.5)],
        .oldestWait: [HealthRule(fires: 10, clears: 5)],
        .idleSubscribers: [HealthRule(fires: 1, clears: 0, minimumDuration: .seconds(30))],
    ])
}
