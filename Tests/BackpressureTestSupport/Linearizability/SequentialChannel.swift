// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded channel as a plain sequential program: what every concurrent history must be explained by.
//
// An operation that waits has no place in the order before it can go on: a send takes effect when there is room, a
// receive when there is an element or the end. One that was cancelled or timed out has no effect at all.

public import Backpressure

/// What is asked of a channel.
public enum ChannelCall: Hashable, Sendable {
    case send(Int)
    case trySend(Int)
    case receive
    case tryReceive
    case count
    case isClosed
    case isFinished
    /// Room for one element, to be filled or given back later by the same caller.
    case reserve
    case tryReserve
    case fill(Int)
    case giveBack
    case resize(Int)
    case finish
    case cancel
    /// Asked at the end: all that was handed to the hook.
    case undelivered
}

/// What a channel answers.
public enum ChannelReply: Hashable, Sendable {
    case sent
    case dropped
    case returned(Rejection)
    case received(Int)
    case empty
    case ended
    /// A receive gave up.
    case gaveUp(Rejection)
    case number(Int)
    case flag(Bool)
    case elements([Int])
    case done
}

/// The specification.
public struct SequentialChannel: SequentialSpecification {
    /// When `tryReceive` may say "empty".
    public enum Emptiness: Hashable, Sendable {
        /// When nothing is in.
        case exact
        /// Also while the send of the oldest element is still under way, or that of one evicted before it.
        case untilSent
    }

    private struct Element: Hashable, Sendable {
        let value: Int
        /// The send that brought it, by its place in the history.
        let origin: Int
    }

    private var capacity: Int
    private let overflow: OverflowPolicy
    private let emptiness: Emptiness
    private var buffer: [Element] = []
    private var reserved = 0
    private var undelivered: Set<Int> = []
    /// The sends of the evicted elements.
    private var evicted: Set<Int> = []
    /// Nil while open; then why sends are returned.
    private var closure: Rejection?
    /// What follows when a policy waits no longer.
    private let fallback: OverflowPolicy.Fallback?
    private let low: Int
    private let high: Int
    /// Whether the level has reached the high mark, and not fallen to the low one since.
    private var isPaused = false

    /// A channel with `elements` in it.
    public init(
        capacity: Int, overflow: OverflowPolicy = .suspend, emptiness: Emptiness = .exact,
        fallback: OverflowPolicy.Fallback? = nil, marks: (low: Int, high: Int)? = nil, elements: [Int] = []
    ) {
        (low, high) = marks ?? (.max, .max)
        self.fallback = fallback
        (self.capacity, self.overflow, self.emptiness) = (capacity, overflow, emptiness)
        buffer = elements.map { Element(value: $0, origin: -1) }
        notePressure()
    }

    private mutating func notePressure() {
        guard high < .max else { return }
        let level = buffer.count + reserved
        if level >= min(high, capacity) { isPaused = true }
        if level <= min(low, capacity - 1) { isPaused = false }
    }

    /// Whether an operation that may wait has to.
    private var mustWait: Bool { buffer.count + reserved >= capacity || isPaused }

    /// Whether `reply` is the right answer to `call` here; does what it says.
    public mutating func accepts(
        _ call: ChannelCall, _ reply: ChannelReply, at index: Int, overlaps: (Int) -> Bool
    ) -> Bool {
        defer { notePressure() }
        switch (call, reply) {
        case (.resize(let capacity), _):
            self.capacity = capacity
            return true
        case (.send, .returned(.cancelled)), (.send, .returned(.timedOut)), (.receive, .gaveUp): return true
        case (.reserve, .returned(.cancelled)), (.reserve, .returned(.timedOut)): return true
        case (.reserve, .returned(.full)): return closure == nil && overflow != .suspend && mustWait
        case (.tryReserve, .returned(.full)): return closure == nil && mustWait
        case (.reserve, _), (.tryReserve, _): return reply == reserve()
        case (.fill(let value), _):
            reserved -= 1
            if closure == .abandoned { return reply == .returned(.abandoned) }
            buffer.append(Element(value: value, origin: index))
            return reply == .sent
        case (.giveBack, _):
            reserved -= 1
            return true
        // Who does not wait may pass nobody who does.
        case (.trySend, .returned(.full)) where isPaused && closure == nil: return true
        case (.send(let value), _), (.trySend(let value), _): return reply == send(value, index, call)
        case (.receive, .received), (.tryReceive, .received):
            return !buffer.isEmpty && reply == .received(buffer.removeFirst().value)
        case (.receive, .ended), (.tryReceive, .ended): return isEnded
        case (.tryReceive, .empty):
            guard let oldest = buffer.first else { return !isEnded }
            guard emptiness == .untilSent else { return false }
            return evicted.union([oldest.origin]).contains { $0 >= 0 && overlaps($0) }
        case (.count, _): return reply == .number(buffer.count)
        case (.isClosed, _): return reply == .flag(closure != nil)
        case (.isFinished, _): return reply == .flag(isEnded)
        case (.finish, _):
            closure = closure ?? .finished
            return true
        case (.cancel, _):
            closure = .abandoned
            undelivered.formUnion(buffer.map(\.value))
            buffer = []
            return true
        case (.undelivered, _): return reply == .elements(undelivered.sorted())
        default: return false
        }
    }

    private var isEnded: Bool { buffer.isEmpty && closure != nil && (closure == .abandoned || reserved == 0) }

    /// The right answer to a reservation; nil if it would have to wait.
    private mutating func reserve() -> ChannelReply? {
        if let closure { return .returned(closure) }
        if mustWait { return nil }
        reserved += 1
        return .flag(true)
    }

    /// The right answer to a send; nil if it would have to wait.
    private mutating func send(_ value: Int, _ index: Int, _ call: ChannelCall) -> ChannelReply? {
        if let closure { return .returned(closure) }
        if call == .send(value), overflow == .suspend, isPaused { return nil }
        while buffer.count + reserved >= capacity {
            switch overflow {
            case .suspend:
                guard call == .send(value) else { return .returned(.full) }
                return nil
            case .reject,
                _ where fallback == .reject:
                return .returned(.full)
            case .dropNewest,
                _ where fallback == .dropNewest:
                undelivered.insert(value)
                return .dropped
            default:
                if reserved >= capacity { return .returned(.full) }
                let oldest = buffer.removeFirst()
                undelivered.insert(oldest.value)
                evicted.insert(oldest.origin)
            }
        }
        buffer.append(Element(value: value, origin: index))
        return .sent
    }
}
