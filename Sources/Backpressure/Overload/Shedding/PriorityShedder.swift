// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Under overload, the least important work goes first; and of equally important work, that of those who ask most.
//
// ## Algorithm
// Every request has a level: 0 is the most important, `levels - 1` the least, each with 100 sublevels (of users: the more
// of the recent requests are a user's, the greater). A histogram of recent requests by sublevel says which part of them each
// threshold would keep. Given a load (1 is all that can be done), the threshold is calibrated so that about 1/load of the
// requests are kept: the greatest one whose part does not exceed that. Between 1 and `slack` nothing is shed.
// The idea of calibrating on a distribution of priorities is that of W. Zhou et al., "Overload Control for Scaling WeChat
// Microservices", 2018 (DAGOR).
//
// ## Invariants
// I1  The threshold is 0 ... levels * 100. Level 0, sublevel 0 is kept at any load.
// I2  A greater load never gives a greater threshold, for one histogram.

/// The maths of shedding by priority.
struct PriorityCalibration: Sendable {
    static let sublevels = 100
    let levels: Int
    private var counts: [Double]
    private var total = 0.0
    /// Kept are requests whose position is below it.
    private(set) var threshold: Int

    init(levels: Int) {
        self.levels = levels
        counts = Array(repeating: 0, count: levels * Self.sublevels)
        threshold = levels * Self.sublevels
    }

    mutating func note(_ position: Int) {
        counts[position] += 1
        total += 1
    }

    /// Fits the threshold to a load, and lets what was seen so far count for half from now on.
    mutating func calibrate(load: Double, slack: Double) {
        defer { age() }
        guard !load.isNaN, load > slack, total > 0 else {
            threshold = counts.count
            return
        }
        let kept = total / load
        var sum = 0.0
        threshold = 1
        for (position, count) in counts.enumerated() {
            sum += count
            if sum > kept { break }
            threshold = position + 1
        }
    }

    private mutating func age() {
        total = 0
        for index in counts.indices {
            counts[index] /= 2
            if counts[index] < 0.01 { counts[index] = 0 }
            total += counts[index]
        }
    }
}

/// Sheds the least important requests first, as many as the load demands.
///
/// It learns how important recent requests were, and puts its threshold so that about as many pass as can be done.
/// ``update(load:)`` says how great the load is: requests per those that can be done, or what a queue or the system tells.
///
/// ```swift
/// let shedder = PriorityShedder(levels: 3)
/// shedder.update(load: 2.0)  // twice as much as can be done
/// switch shedder.admit(level: 2, user: "batch") {
/// case .none: print("do it")
/// case .some(let rejection): print("shed: \(rejection)")
/// }
/// ```
///
/// - **Fairness**: within a level, a user who made many of the recent requests is shed before one who made few. As many users as
///   `maxUsers` are told apart, by those who were seen last.
/// - **Cost**: a lock for each request; ``update(load:)`` walks over the sublevels.
public final class PriorityShedder: Sendable {
    private struct State: Sendable {
        var calibration: PriorityCalibration
        var usage: [AnyHashableSendable: Int] = [:]
        var requests = 0
        var shed: [UInt64]
    }

    /// A user's key.
    private struct AnyHashableSendable: Hashable, Sendable { let text: String }

    /// How many levels there are.
    public let levels: Int
    private let slack: Double
    private let maxUsers: Int
    private let state: LockedState<State>

    /// A shedder that has seen nothing yet, and sheds nothing.
    ///
    /// - Parameters:
    ///   - levels: How many levels of importance there are; level 0 is the most important.
    ///   - slack: Up to this load nothing is shed.
    ///   - maxUsers: How many users are told apart.
    /// - Precondition: `1 <= levels <= 100`, `slack >= 1` and finite, `maxUsers >= 1`.
    public init(levels: Int = 5, slack: Double = 1.05, maxUsers: Int = 1_000) {
        precondition((1...100).contains(levels), "\(levels) levels")
        precondition(slack >= 1 && slack.isFinite, "a slack of \(slack) is below 1 or no number")
        precondition(maxUsers >= 1, "\(maxUsers) users")
        self.levels = levels
        self.slack = slack
        self.maxUsers = maxUsers
        state = LockedState(
            State(calibration: PriorityCalibration(levels: levels), shed: Array(repeating: 0, count: levels)))
    }

    /// Whether to do a request.
    ///
    /// - Parameters:
    ///   - level: How important it is; 0 is the most important.
    ///   - user: Who asks; nil for no fairness between users.
    /// - Returns: Nil to do it, else the ``Rejection/shed`` to answer with.
    /// - Precondition: `0 <= level < levels`.
    public func admit(level: Int, user: String? = nil) -> Rejection? {
        precondition((0..<levels).contains(level), "a level of \(level) is not in 0..<\(levels)")
        return state.withLock { state in
            let position = level * PriorityCalibration.sublevels + sublevel(of: user, &state)
            state.calibration.note(position)
            guard position >= state.calibration.threshold else { return nil }
            state.shed[level] += 1
            return .shed(priority: level)
        }
    }

    /// 0 for a user with no recent requests, 99 for one who made them all.
    private func sublevel(of user: String?, _ state: inout State) -> Int {
        guard let user else { return 0 }
        let key = AnyHashableSendable(text: user)
        state.requests += 1
        let count = (state.usage[key] ?? 0) + 1
        if count > 1 || state.usage.count < maxUsers { state.usage[key] = count }
        // Of the first few requests everybody made a great part.
        return min((count - 1) * PriorityCalibration.sublevels / max(state.requests, 20), 99)
    }

    /// Puts the threshold to where about as many requests pass as can be done; call it every second or so.
    ///
    /// - Parameter load: How many times too much there is: 1 is just what can be done. What is no number counts as no load.
    public func update(load: Double) {
        state.withLock { state in
            state.calibration.calibrate(load: load, slack: slack)
            state.requests /= 2
            for (key, count) in state.usage {
                if count > 1 { state.usage[key] = count / 2 } else { state.usage[key] = nil }
            }
        }
    }

    /// Takes loads until there are no more.
    ///
    /// For signals from outside the queues: load of the processor, memory, lag of an event loop, each as the times too much
    /// that it is.
    ///
    /// - Parameter loads: The loads, one every second or so.
    /// - Throws: What `loads` throws.
    public nonisolated(nonsending) func follow<Loads: AsyncSequence>(_ loads: Loads) async throws
    where Loads.Element == Double {
        for try await load in loads { update(load: load) }
    }

    /// The threshold, in levels: requests of a level below it pass, those of the level in which it lies in part.
    public var threshold: Double {
        state.withLock { Double($0.calibration.threshold) / Double(PriorityCalibration.sublevels) }
    }

    /// How many users are told apart now.
    var userCount: Int { state.withLock { $0.usage.count } }

    /// How many requests were shed so far.
    public var shed: UInt64 { shedByLevel.reduce(0, +) }

    /// How many requests of each level were shed so far.
    public var shedByLevel: [UInt64] { state.withLock { $0.shed } }
}
