// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The books of a storm: every value is unique, and at the end each must have gone exactly one way.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A value of a storm: who made it, and which of theirs it is.
struct StormValue: Hashable, Sendable {
    let producer: Int
    let number: Int
}

/// What a storm is made with.
struct StormConfiguration: Hashable, Sendable, CustomTestStringConvertible {
    let capacity: Int
    let overflow: OverflowPolicy
    let fairness: Fairness

    var testDescription: String { "capacity \(capacity), \(overflow), bypass \(fairness.bypass)" }

    static let fairnesses: [Fairness] = [.fifo, .eventual(bypass: 1), .default]

    static let all: [StormConfiguration] = [1, 2, 3, 64].flatMap { capacity in
        [OverflowPolicy.suspend, .reject, .dropNewest, .dropOldest].flatMap { overflow in
            fairnesses.map { StormConfiguration(capacity: capacity, overflow: overflow, fairness: $0) }
        }
    }
}

/// A value behind the library's lock, which the sanitizers know.
final class Shared<Value: Sendable>: Sendable {
    private let state: LockedState<Value>

    init(_ value: Value) { state = LockedState(value) }

    var value: Value { state.withLock { $0 } }

    @discardableResult
    func update<Result>(_ body: (inout Value) -> Result) -> Result { state.withLock(body) }
}

/// What became of the values one producer made, or one consumer saw.
struct StormAccount: Sendable {
    var made: [StormValue] = []
    var sent: [StormValue] = []
    var dropped: [StormValue] = []
    var returned: [StormValue] = []
    var received: [StormValue] = []

    mutating func book(_ result: SendResult<StormValue>, _ value: StormValue) {
        made.append(value)
        switch result {
        case .sent: sent.append(value)
        case .dropped: dropped.append(value)
        case .returned(let rejected): returned.append(rejected.element)
        }
    }

    static func + (left: StormAccount, right: StormAccount) -> StormAccount {
        StormAccount(
            made: left.made + right.made, sent: left.sent + right.sent, dropped: left.dropped + right.dropped,
            returned: left.returned + right.returned, received: left.received + right.received)
    }

    /// Whether this consumer saw each producer's values in the order in which they were sent.
    var isOrdered: Bool {
        var last: [Int: Int] = [:]
        for value in received {
            if value.number <= last[value.producer, default: -1] { return false }
            last[value.producer] = value.number
        }
        return true
    }
}

/// The channel of a storm, its hook's log, and the check at the end.
final class Storm: Sendable {
    let configuration: StormConfiguration
    let channel: BoundedChannel<StormValue, Never>
    private let hookLog = Shared<[(StormValue, Rejection)]>([])
    private let accounts = Shared<[StormAccount]>([])
    private let samples = Shared((taken: 0, wrong: 0))
    private let over = Shared(false)

    init(_ configuration: StormConfiguration, clock: some Clock<Duration> = ContinuousClock()) {
        self.configuration = configuration
        let hookLog = hookLog
        channel = BoundedChannel(
            capacity: configuration.capacity, overflow: configuration.overflow, fairness: configuration.fairness,
            clock: clock
        ) { element, reason in
            let value = element
            hookLog.update { $0.append((value, reason)) }
        }
    }

    var isOver: Bool { over.value }
    func end() { over.update { $0 = true } }

    func hand(in account: StormAccount) { accounts.update { $0.append(account) } }

    /// One look from outside: the bound and the identities hold at every instant.
    func sample() {
        let (snapshot, count) = (channel.snapshot(), channel.count)
        let right =
            snapshot.depth >= 0 && snapshot.depth <= snapshot.capacity && count >= 0 && count <= snapshot.capacity
            && snapshot.sent == snapshot.received + UInt64(snapshot.depth) + snapshot.evicted + snapshot.abandoned
        samples.update { samples in
            samples.taken += 1
            if !right { samples.wrong += 1 }
        }
    }

    /// Takes what is left, fills the channel to the brim, closes it and balances the books.
    func check(_ seed: UInt64, sourceLocation: SourceLocation = #_sourceLocation) {
        var rest = StormAccount()
        while let value = channel.tryReceive().take() { rest.received.append(value) }
        if !channel.isClosed && configuration.overflow != .dropOldest {
            for number in 0...configuration.capacity {
                let value = StormValue(producer: -1, number: number)
                let result = channel.trySend(value)
                rest.book(result, value)
                #expect(result.isSent == (number < configuration.capacity), "the whole capacity is usable")
            }
            while let value = channel.tryReceive().take() { rest.received.append(value) }
        }
        channel.finish()
        let all = accounts.value
        let total = all.reduce(rest, +)
        let hook = hookLog.value
        let snapshot = channel.snapshot()
        let undelivered = hook.filter { $0.1 != .full }.map(\.0)
        let passed = total.received + undelivered
        let context: Comment = "seed \(seed), \(configuration.testDescription): \(snapshot)"
        #expect(Set(total.made).count == total.made.count, context, sourceLocation: sourceLocation)
        #expect(Set(passed).count == passed.count, "duplicated; \(context)", sourceLocation: sourceLocation)
        #expect(Set(passed) == Set(total.sent), "lost or invented; \(context)", sourceLocation: sourceLocation)
        #expect(
            Set(hook.filter { $0.1 == .full }.map(\.0)) == Set(total.dropped)
                && hook.count { $0.1 == .full } == total.dropped.count,
            context, sourceLocation: sourceLocation)
        #expect(
            total.sent.count + total.dropped.count + total.returned.count == total.made.count, context,
            sourceLocation: sourceLocation)
        let disorder = all.count { !$0.isOrdered }
        #expect(disorder == 0, "order; \(context)", sourceLocation: sourceLocation)
        #expect(
            snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0 && snapshot.depth == 0, context,
            sourceLocation: sourceLocation)
        #expect(
            snapshot.sent == UInt64(total.sent.count) && snapshot.received == UInt64(total.received.count)
                && snapshot.droppedNewest == UInt64(total.dropped.count)
                && snapshot.evicted + snapshot.abandoned == UInt64(undelivered.count), context,
            sourceLocation: sourceLocation)
        #expect(
            samples.value.wrong == 0, "a snapshot showed what cannot be; \(context)", sourceLocation: sourceLocation)
    }
}
