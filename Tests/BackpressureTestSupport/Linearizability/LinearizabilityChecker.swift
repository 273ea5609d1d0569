// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Is there an order of these operations, true to real time, in which a sequential program would have answered so?
//
// ## Algorithm
// Wing and Gong (1993) with Lowe's memory of configurations (Testing for Linearizability, 2017): depth-first over the
// operations that may come next (nothing that is still to come ended before they began), in order of their ends. A set
// of operations that led to a state of the specification once and failed is not tried again.
//
// ## Cost
// Exponential in the number of operations that overlap; for short histories a few hundred nanoseconds an operation.
//
// A search that exceeds its budget is undecided. Whoever asks must treat that as a failure.

/// What an operation was, what it answered, and when it began and ended.
public struct HistoryOperation<Call: Hashable & Sendable, Reply: Hashable & Sendable>: Hashable, Sendable {
    /// What was asked.
    public let call: Call
    /// What was answered.
    public let reply: Reply
    /// When it began, on a clock that all operations of a history share.
    public let began: Int
    /// When it ended; an operation that ended no later than another one began may still overlap it on a coarse clock.
    public let ended: Int

    /// An operation that was recorded.
    public init(_ call: Call, _ reply: Reply, began: Int, ended: Int) {
        (self.call, self.reply, self.began, self.ended) = (call, reply, began, ended)
    }
}

/// A sequential program that says which answers are right.
public protocol SequentialSpecification: Hashable, Sendable {
    /// An operation.
    associatedtype Call: Hashable & Sendable
    /// An answer.
    associatedtype Reply: Hashable & Sendable

    /// Does the operation that stands at `index` of the history; false if its answer is wrong here.
    ///
    /// `overlaps` tells whether another operation of the history was under way at the same time: for answers that are
    /// only promised to be right while nobody is.
    mutating func accepts(_ call: Call, _ reply: Reply, at index: Int, overlaps: (Int) -> Bool) -> Bool
}

/// What a check came to.
public enum Linearizability: Hashable, Sendable {
    /// There is an order: the indices of the operations.
    case linearizable([Int])
    /// There is none.
    case violated
    /// The budget was not enough.
    case undecided
}

/// Checks histories of up to 64 operations against `Specification`.
public struct LinearizabilityChecker<Specification: SequentialSpecification> {
    /// A recorded operation.
    public typealias Operation = HistoryOperation<Specification.Call, Specification.Reply>

    private struct Configuration: Hashable {
        let done: UInt64
        let state: Specification
    }

    private let history: [Operation]
    /// By operation, those that ended before it began.
    private let predecessors: [UInt64]
    /// The operations by their ends: who ended first probably took effect first.
    private let candidates: [Int]
    private var failed: Set<Configuration> = []
    private var order: [Int] = []
    private var budget: Int

    private init(_ history: [Operation], budget: Int) {
        precondition(history.count <= 64, "a history of \(history.count) operations; at most 64 can be checked")
        self.history = history
        self.budget = budget
        predecessors = history.map { operation in
            var mask: UInt64 = 0
            for (index, other) in history.enumerated() where other.ended < operation.began { mask |= 1 << index }
            return mask
        }
        candidates = history.indices.sorted { history[$0].ended < history[$1].ended }
    }

    /// Whether `history` is linearizable from `initial`; undecided after `budget` steps of the specification.
    public static func check(
        _ history: [Operation], from initial: Specification, budget: Int = 1_000_000
    ) -> Linearizability {
        var checker = LinearizabilityChecker(history, budget: budget)
        if checker.extend(0, initial) { return .linearizable(checker.order) }
        return checker.budget > 0 ? .violated : .undecided
    }

    /// How many pairs of operations were under way at the same time.
    public static func overlaps(_ history: [Operation]) -> Int {
        var count = 0
        for (index, first) in history.enumerated() {
            for second in history[..<index] where first.began <= second.ended && second.began <= first.ended {
                count += 1
            }
        }
        return count
    }

    private mutating func extend(_ done: UInt64, _ state: Specification) -> Bool {
        if done.nonzeroBitCount == history.count { return true }
        for index in candidates where done & (1 << index) == 0 && predecessors[index] & ~done == 0 {
            budget -= 1
            guard budget > 0 else { return false }
            var next = state
            let (operation, predecessors) = (history[index], predecessors)
            let isRight = next.accepts(operation.call, operation.reply, at: index) { other in
                predecessors[other] & (1 << index) == 0 && predecessors[index] & (1 << other) == 0
            }
            guard isRight else { continue }
            let reached = done | 1 << index
            let configuration = Configuration(done: reached, state: next)
            if failed.contains(configuration) { continue }
            order.append(index)
            if extend(reached, next) { return true }
            order.removeLast()
            failed.insert(configuration)
        }
        return false
    }
}
