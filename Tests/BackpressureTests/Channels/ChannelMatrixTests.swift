// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every event in every state of every kind of channel, against the oracle: contracts 1, 2, 4, 6, 8 and 10.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A state of a channel, and how to get there.
enum ChannelStage: String, CaseIterable, Sendable {
    case empty, partlyFilled, wrapped, full, fullWithSenders, fullWithTimedSenders, emptyWithReceivers
    case emptyWithTimedReceivers, finishedWithElements, finishedDrained, failedWithElements, failedDrained
    case cancelled, cancelledWithElements, finishedThenCancelled

    /// The way there, nil where this kind of channel has no such state.
    func path(_ configuration: ChannelConfiguration) -> [ChannelEvent]? {
        let capacity = configuration.capacity
        let fill = Array(repeating: ChannelEvent.send(.forever), count: capacity)
        let some = Array(repeating: ChannelEvent.send(.forever), count: max(1, capacity / 2))
        let suspends = configuration.overflow == .suspend
        switch self {
        case .empty: return []
        case .partlyFilled: return capacity > 1 ? some : nil
        case .wrapped: return fill + [.receive(.none)] + some.dropLast() + [.send(.none)]
        case .full: return fill
        case .fullWithSenders: return suspends ? fill + [.send(.forever), .send(.forever), .send(.forever)] : nil
        case .fullWithTimedSenders:
            let timed: [ChannelEvent] = [.send(.timeout(.seconds(20))), .send(.timeout(.seconds(3))), .send(.forever)]
            return suspends ? fill + timed : nil
        case .emptyWithReceivers: return [.receive(.forever), .receive(.forever), .receive(.forever)]
        case .emptyWithTimedReceivers:
            return some + some.map { _ in .receive(.none) }
                + [.receive(.timeout(.seconds(20))), .receive(.timeout(.seconds(3))), .receive(.forever)]
        case .finishedWithElements: return some + [.finish]
        case .finishedDrained: return some + [.finish] + some.map { _ in .receive(.forever) }
        case .failedWithElements: return some + [.finishThrowing]
        case .failedDrained: return some + [.finishThrowing] + some.map { _ in .receive(.forever) }
        case .cancelled: return [.cancel]
        case .cancelledWithElements: return fill + [.cancel]
        case .finishedThenCancelled: return fill + [.finishThrowing, .cancel]
        }
    }
}

@Suite("channel: event x state", .timeLimit(.minutes(10)))
struct ChannelMatrixTests {
    private static let matrixSize = LaneSize(
        "channel.matrix configurations", plain: ChannelConfiguration.all.count,
        sanitizer: ChannelConfiguration.all.count, deep: ChannelConfiguration.all.count)

    @Test("every event in every state, then the channel drained and closed", arguments: ChannelConfiguration.all)
    func everyEvent_inEveryState_agreesWithOracle(configuration: ChannelConfiguration) async throws {
        _ = Self.matrixSize
        for stage in ChannelStage.allCases {
            guard let path = stage.path(configuration) else { continue }
            for event in ChannelEvent.all {
                let pair = ChannelPair(configuration)
                for step in path { try await pair.perform(step) }
                guard pair.check() else { return }
                try await pair.perform(event)
                guard pair.check() else { return }
                // The state after the event is whole: it takes a send and a receive, and ends.
                for step: ChannelEvent in [.send(.none), .receive(.none), .cancelFirstWaiter, .receive(.none)] {
                    try await pair.perform(step)
                    guard pair.check() else { return }
                }
                try await pair.perform(.finish)
                try await pair.perform(.cancel)
                guard pair.check(), pair.oracle.waiting == 0, pair.bench.holdsNobody else { return }
            }
        }
    }

    @Test("two events in a row, in the states with waiting tasks", arguments: ChannelConfiguration.fairnesses)
    func twoEvents_whenTasksWait_agreeWithOracle(fairness: Fairness) async throws {
        for capacity in [1, 3] {
            let configuration = ChannelConfiguration(capacity: capacity, overflow: .suspend, fairness: fairness)
            for stage: ChannelStage in [.fullWithTimedSenders, .emptyWithTimedReceivers] {
                for first in ChannelEvent.all {
                    for second in ChannelEvent.all {
                        let pair = ChannelPair(configuration)
                        for step in stage.path(configuration) ?? [] { try await pair.perform(step) }
                        try await pair.perform(first)
                        try await pair.perform(second)
                        guard pair.check() else { return }
                        try await pair.perform(.cancel)
                        guard pair.check() else { return }
                    }
                }
            }
        }
    }

    @Test("seeded walks of many operations", arguments: ChannelConfiguration.all)
    func walks_agreeWithOracle(configuration: ChannelConfiguration) async throws {
        let size = LaneSize("channel.walk \(configuration.testDescription)", plain: 6, sanitizer: 2, deep: 400)
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed &* 977 &+ UInt64(configuration.capacity))
            let pair = ChannelPair(configuration)
            for _ in 0..<120 {
                let last = random.next(upperBound: UInt64(100))
                let event: ChannelEvent
                switch last {
                case 0: event = .finish
                case 1: event = random.next() & 7 == 0 ? .cancel : .read
                case 2..<70: event = ChannelEvent.all[Int(random.next(upperBound: UInt64(12)))]
                case 70..<80: event = .cancelFirstWaiter
                case 80..<90: event = .cancelLastWaiter
                default: event = .advance(.seconds(Int64(random.next(upperBound: UInt64(6)))))
                }
                try await pair.perform(event)
                guard pair.check() else {
                    Issue.record("seed \(seed)")
                    return
                }
            }
            try await pair.perform(.cancel)
            guard pair.check() else { return }
        }
    }
}
