// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// The judgement of one look.
public struct HealthReport: Hashable, Sendable, CustomStringConvertible {
    /// A rule that holds.
    public struct Reason: Hashable, Sendable, CustomStringConvertible {
        /// The primitive's name.
        public let primitive: String
        /// The primitive's labels.
        public let labels: [Label]
        /// What was judged.
        public let signal: HealthSignal
        /// The value at this look.
        public let value: Double
        /// The rule.
        public let rule: HealthRule

        /// The primitive, the signal, the value and the threshold, for a log line.
        public var description: String {
            let place = labels.isEmpty ? primitive : "\(primitive) \(labels)"
            return "\(place): \(signal.rawValue) \(value), threshold \(rule.fires), \(rule.status)"
        }
    }

    /// The worst of the reasons' statuses; healthy without any.
    public let status: HealthStatus
    /// The rules that hold, in the order of primitives.
    public let reasons: [Reason]

    /// Whether more work may be sent: for a readiness check.
    public var isReady: Bool { status < .overloaded }

    init(_ reasons: [Reason]) {
        self.reasons = reasons
        status = reasons.map(\.rule.status).max() ?? .healthy
    }

    /// The status and its reasons, for a log line.
    public var description: String {
        reasons.isEmpty ? "\(status)" : "\(status): \(reasons.map(\.description).joined(separator: "; "))"
    }
}
