// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A rule that a verification saw broken.
///
/// A test writes `#expect(violations.isEmpty)`, or prints them: the description says which rule, in which check, and what
/// was seen.
public struct Violation: Hashable, Sendable, CustomStringConvertible {
    /// The rule.
    public let rule: FlowRule
    /// The name of the check that saw it.
    public let check: String
    /// What was seen, and what would have been right.
    public let message: String

    /// `1.1 (demandIsNeverExceeded): 2 elements came for a demand of 1`.
    public var description: String { "\(rule) (\(check)): \(message)" }
}

/// What one check of a verification came to.
public struct CheckOutcome: Hashable, Sendable {
    /// The name of the check.
    public let check: String
    /// The rule that it is about.
    public let rule: FlowRule
    /// What was seen broken; empty when nothing was.
    public let violations: [Violation]
    /// Why the check could not be made of this subject; nil when it was made.
    public let skipped: String?
}

/// Collects what one check sees.
final class CheckLog: Sendable {
    private let rule: FlowRule
    private let check: String
    private let found = LockedState<[Violation]>([])
    private let reason = LockedState<String?>(nil)

    init(_ rule: FlowRule, _ check: String) {
        self.rule = rule
        self.check = check
    }

    func fail(_ message: String) {
        found.withLock { $0.append(Violation(rule: rule, check: check, message: message)) }
    }

    func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fail(message()) }
    }

    func skip(_ why: String) { reason.withLock { $0 = why } }

    var outcome: CheckOutcome {
        CheckOutcome(
            check: check, rule: rule, violations: found.withLock { $0 }, skipped: reason.withLock { $0 })
    }
}
