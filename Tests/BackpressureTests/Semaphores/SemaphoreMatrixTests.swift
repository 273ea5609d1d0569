// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every event in every state of every kind of semaphore, against the oracle: contracts 3, 4, 5, 6, 8 and 10.

import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A state of a semaphore, and how to get there.
enum SemaphoreStage: String, CaseIterable, Sendable {
    case free, partlyTaken, taken, takenWithWaiters, takenWithTimedWaiters, bigWaiterFirst, smallWaiterFirst
    case forgotten, debt, debtWithWaiters, grown, closed, closedWithHolders, closedWithWaiters

    func path(_ configuration: SemaphoreConfiguration) -> [SemaphoreEvent] {
        let permits = configuration.permits
        let fill = Array(repeating: SemaphoreEvent.acquire(1, .forever), count: permits)
        let all = min(permits, 2)
        switch self {
        case .free: return []
        case .partlyTaken: return Array(fill.dropLast(permits > 1 ? 1 : 0))
        case .taken: return fill
        case .takenWithWaiters: return fill + [.acquire(1, .forever), .acquire(1, .forever), .acquire(1, .forever)]
        case .takenWithTimedWaiters:
            return fill + [
                .acquire(1, .timeout(.seconds(20))), .acquire(1, .timeout(.seconds(3))), .acquire(1, .forever),
            ]
        case .bigWaiterFirst: return fill + [.acquire(all, .forever), .acquire(1, .forever), .acquire(1, .forever)]
        case .smallWaiterFirst: return fill + [.acquire(1, .forever), .acquire(all, .forever), .acquire(1, .forever)]
        case .forgotten: return fill + [.forgetFirst, .acquire(1, .forever)]
        case .debt: return fill + [.resize(1)]
        case .debtWithWaiters: return fill + [.acquire(1, .forever), .acquire(all, .forever), .resize(1)]
        case .grown: return fill + [.acquire(1, .forever), .resize(6), .acquire(3, .forever)]
        case .closed: return [.close]
        case .closedWithHolders: return fill + [.closeThrowing]
        case .closedWithWaiters: return fill + [.acquire(1, .forever), .acquire(1, .timeout(.seconds(3))), .close]
        }
    }
}

@Suite("semaphore: event x state", .timeLimit(.minutes(10)))
struct SemaphoreMatrixTests {
    @Test("every event in every state, then all given back and closed", arguments: SemaphoreConfiguration.all)
    func everyEvent_inEveryState_agreesWithOracle(configuration: SemaphoreConfiguration) async throws {
        for stage in SemaphoreStage.allCases {
            for event in SemaphoreEvent.all {
                let pair = SemaphorePair(configuration)
                for step in stage.path(configuration) { try await pair.perform(step) }
                guard pair.check() else { return }
                try await pair.perform(event)
                guard pair.check() else { return }
                // The state after the event is whole.
                for step: SemaphoreEvent in [.releaseFirst, .acquire(1, .none), .cancelFirstWaiter, .releaseLast] {
                    try await pair.perform(step)
                    guard pair.check() else { return }
                }
                for _ in 0..<10 { try await pair.perform(.releaseFirst) }
                try await pair.perform(.close)
                guard pair.check(), pair.oracle.waiting == 0, pair.bench.holdsNobody else { return }
            }
        }
    }

    @Test("two events in a row, in the states with waiting tasks", arguments: SemaphoreConfiguration.orders)
    func twoEvents_whenTasksWait_agreeWithOracle(order: WaiterOrder) async throws {
        let configuration = SemaphoreConfiguration(permits: 3, fairness: .default, order: order, waiterLimit: .max)
        for stage: SemaphoreStage in [.takenWithTimedWaiters, .bigWaiterFirst, .debtWithWaiters] {
            for first in SemaphoreEvent.all {
                for second in SemaphoreEvent.all {
                    let pair = SemaphorePair(configuration)
                    for step in stage.path(configuration) { try await pair.perform(step) }
                    try await pair.perform(first)
                    try await pair.perform(second)
                    guard pair.check() else { return }
                }
            }
        }
    }

    @Test("seeded walks of many operations", arguments: SemaphoreConfiguration.all)
    func walks_agreeWithOracle(configuration: SemaphoreConfiguration) async throws {
        let size = LaneSize("semaphore.walk \(configuration.testDescription)", plain: 8, sanitizer: 2, deep: 400)
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed &* 977 &+ UInt64(configuration.permits))
            let pair = SemaphorePair(configuration)
            for _ in 0..<120 {
                let event: SemaphoreEvent
                switch random.next(upperBound: UInt64(100)) {
                case 0: event = random.next() & 7 == 0 ? .close : .read
                case 1..<50: event = SemaphoreEvent.all[Int(random.next(upperBound: UInt64(11)))]
                case 50..<75: event = random.next() & 1 == 0 ? .releaseFirst : .releaseLast
                case 75..<80: event = random.next() & 1 == 0 ? .forgetFirst : .restore
                case 80..<88: event = random.next() & 1 == 0 ? .cancelFirstWaiter : .cancelLastWaiter
                case 88..<93: event = .resize(1 + Int(random.next(upperBound: UInt64(6))))
                default: event = .advance(.seconds(Int64(random.next(upperBound: UInt64(6)))))
                }
                try await pair.perform(event)
                guard pair.check() else {
                    Issue.record("seed \(seed)")
                    return
                }
            }
        }
    }
}
