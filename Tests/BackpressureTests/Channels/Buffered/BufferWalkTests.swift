// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Random walks: a buffer and its oracle, driven by the same operations and compared after each.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A plan with a name, and what elements cost in it.
struct BufferConfiguration: Sendable, CustomTestStringConvertible {
    let name: String
    let plan: BufferPlan
    let costs: ClosedRange<Int>

    var testDescription: String { name }

    static let all: [BufferConfiguration] = weighed + classes + lanes

    private static let weighed: [BufferConfiguration] = [
        ("suspend", BufferPolicy(action: .suspend)), ("reject", BufferPolicy(action: .reject)),
        ("drop newest", BufferPolicy(action: .dropNewest)), ("drop oldest", BufferPolicy(action: .dropOldest)),
        ("conflate", BufferPolicy(action: .conflate)),
        ("suspend for a while", BufferPolicy(action: .suspend, patience: .seconds(4))),
    ].map { name, policy in
        let plan = BufferPlan(
            capacity: 6, maxElements: 4, lanes: [BufferPlan.Lane(bound: 6)], policy: policy)
        return BufferConfiguration(name: "weighed, \(name)", plan: plan, costs: 0...7)
    }

    private static let classes = fallbacks.map { name, action in
        let plan = BufferPlan(
            capacity: 5, maxElements: 4, lanes: Array(repeating: BufferPlan.Lane(bound: 5), count: 3),
            policy: BufferPolicy(evictsLower: true, action: action))
        return BufferConfiguration(name: "classes, \(name)", plan: plan, costs: 1...3)
    }

    private static let lanes =
        (fallbacks.map { ("lowest pays, \($0)", BufferPolicy(evictsLower: true, action: $1)) }
        + fallbacks.map { ("\($0)", BufferPolicy(action: $1)) }).map { name, policy in
            let plan = BufferPlan(
                capacity: 5, maxElements: 5,
                lanes: [BufferPlan.Lane(bound: 5), BufferPlan.Lane(bound: 3), BufferPlan.Lane(bound: 2)],
                order: .strict, aging: 2, policy: policy)
            return BufferConfiguration(name: "lanes, \(name)", plan: plan, costs: 1...1)
        }

    private static let fallbacks: [(String, BufferPolicy.Action)] = [
        ("drop newest", .dropNewest), ("reject", .reject), ("suspend", .suspend),
    ]
}

@Suite("a buffer walks with its oracle", .timeLimit(.minutes(10)))
struct BufferWalkTests {
    @Test("the same answers, hook and totals after every operation", arguments: BufferConfiguration.all)
    func agreesWithItsOracle(configuration: BufferConfiguration) async throws {
        let size = LaneSize("buffer.walk \(configuration.name)", plain: 12, sanitizer: 3, deep: 2_000)
        for seed in 0..<UInt64(size.count) {
            let walk = BufferWalk(configuration)
            var random = SplitMix64(seed: seed &* 977 &+ UInt64(configuration.name.utf8.count))
            for _ in 0..<60 {
                try await walk.step(&random)
                guard walk.check(seed) else { return }
            }
        }
    }
}

/// A buffer beside its oracle.
final class BufferWalk {
    private let configuration: BufferConfiguration
    private let bench: BufferBench
    private var oracle: BufferOracle
    private var tickets: [Ticket] = []
    private var history: [String] = []

    init(_ configuration: BufferConfiguration) {
        self.configuration = configuration
        bench = BufferBench(configuration.plan)
        oracle = BufferOracle(configuration.plan)
    }

    func step(_ random: inout SplitMix64) async throws {
        let patience: [Patience] = [
            .none, .none, .forever, .timeout(.seconds(5)), .timeout(.zero), .timeout(.seconds(9)),
        ]
        let ttls: [Duration?] = [nil, nil, nil, .seconds(3), .seconds(7), .zero]
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<48:
            let element = 100 + tickets.count
            let lane = Int.random(in: 0..<configuration.plan.lanes.count, using: &random)
            let cost = Int.random(in: configuration.costs, using: &random)
            guard let how = patience.randomElement(using: &random), let ttl = ttls.randomElement(using: &random)
            else { return }
            history.append("send \(element) lane \(lane) cost \(cost) ttl \(String(describing: ttl)) \(how)")
            oracle.send(tickets.count, element, lane: lane, cost: cost, ttl: ttl, how)
            tickets.append(bench.send(element, lane: lane, cost: cost, ttl: ttl, how))
        case 48..<82:
            guard let how = patience.randomElement(using: &random) else { return }
            history.append("receive \(how)")
            oracle.receive(tickets.count, how)
            tickets.append(bench.receive(how))
        case 82..<90:
            guard let ticket = tickets.indices.filter({ oracle.answers[$0] == nil }).randomElement(using: &random)
            else { return }
            history.append("cancel task \(ticket)")
            oracle.cancelTask(ticket)
            tickets[ticket].cancel()
        case 90..<98:
            try await advance(by: .seconds(Int.random(in: 1...4, using: &random)))
        case 98 where history.count > 30:
            let failure = Bool.random(using: &random) ? TestFailure(number: 7) : nil
            history.append("finish \(String(describing: failure))")
            oracle.finish(failure)
            bench.door.core.finish(failure: failure)
        case 99 where history.count > 40:
            history.append("cancel")
            oracle.cancel()
            bench.door.core.abandon()
        default: return
        }
        bench.executor.run()
    }

    /// Moves the clock; before, the timer must sleep for the earliest deadline, and after, it must have rung.
    private func advance(by duration: Duration) async throws {
        history.append("advance \(duration)")
        let (clock, executor) = (bench.clock, bench.executor)
        if let earliest = oracle.earliestDeadline {
            try await settle { clock.nextDeadline.map { $0.offset <= earliest } ?? false }
        }
        clock.advance(by: duration)
        oracle.advance(by: duration)
        try await settle {
            executor.run()
            return self.bench.snapshot.depth == self.oracle.buffer.count
                && self.bench.hookLog.value.count == self.oracle.hook.count
                && self.tickets.indices.allSatisfy {
                    (self.tickets[$0].answer == nil) == (self.oracle.answers[$0] == nil)
                }
        }
    }

    func check(_ seed: UInt64) -> Bool {
        let snapshot = bench.snapshot
        let answers = tickets.indices.map { oracle.answers[$0] }
        let seen = tickets.map(\.answer)
        let hook = bench.hookLog.value
        // What one operation drops has no order among itself.
        let order = { (lhs: Undelivered, rhs: Undelivered) in lhs.element < rhs.element }
        let agrees =
            oracle.agrees(with: snapshot) && snapshot.isConsistent && answers == seen
            && hook.sorted(by: order) == oracle.hook.sorted(by: order) && (oracle.waiting > 0 || bench.isAtRest)
        if !agrees {
            Issue.record(
                """
                \(configuration.name), seed \(seed), after
                \(history.joined(separator: "\n"))
                buffer: \(snapshot)
                \(seen) hook \(hook)
                oracle: \(oracle)
                \(answers)
                """)
        }
        return agrees
    }
}
