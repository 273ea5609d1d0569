// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Small scenarios of real tasks in every order of their turns, every cancellation, every pair of cancellations; large
// ones in seeded orders.

import BackpressureTestSupport
import Testing

@testable import Backpressure

extension ScheduleScenario {
    private static func crowd(
        _ name: String, _ capacity: Int, _ overflow: OverflowPolicy, _ fairness: Fairness, _ tasks: [Body]
    ) -> ScheduleScenario {
        ScheduleScenario(name: name, capacity: capacity, overflow: overflow, fairness: fairness, tasks: tasks)
    }

    private static let kinds: [(Int, OverflowPolicy, Fairness)] = [
        (1, .suspend, .fifo), (1, .suspend, .eventual(bypass: 1)), (2, .suspend, .default), (1, .dropOldest, .fifo),
        (1, .reject, .fifo), (1, .dropNewest, .default),
    ]

    /// Few turns: every order.
    static let small: [ScheduleScenario] = kinds.flatMap { capacity, overflow, fairness in
        [
            crowd(
                "two send, one receives", capacity, overflow, fairness,
                [
                    {
                        await $0.send(0)
                        await $0.send(1)
                    }, { await $0.send(10) },
                    {
                        await $0.receive()
                        await $0.receive()
                        await $0.receive()
                    },
                ]),
            crowd(
                "two receive, one sends and finishes", capacity, overflow, fairness,
                [
                    { await $0.receive() },
                    {
                        await $0.receive()
                        await $0.receive()
                    },
                    {
                        await $0.send(20)
                        await $0.send(21)
                        $0.channel.finish()
                    },
                ]),
            crowd(
                "a loop, a sender, a canceller of the channel", capacity, overflow, fairness,
                [
                    { await $0.receiveAll() },
                    {
                        await $0.send(10)
                        await $0.send(11)
                        $0.trySend(12)
                    },
                    {
                        $0.tryReceive()
                        $0.channel.cancel()
                    },
                ]),
        ]
    }

    /// Many turns: seeded orders.
    static let large: [ScheduleScenario] = kinds.map { capacity, overflow, fairness in
        let senders = (0..<4).map { sender -> Body in
            { @Sendable seat in for number in 0..<5 { await seat.send(sender * 10 + number) } }
        }
        let receiver: Body = { seat in for _ in 0..<6 { await seat.receive() } }
        return crowd(
            "four send five each, three receive", capacity, overflow, fairness,
            senders + [receiver, receiver, receiver])
    }
}

@Suite("real tasks in chosen orders", .serialized, .timeLimit(.minutes(20)))
struct ScheduleTests {
    /// Every order of turns, depth-first.
    private func everyOrder(_ scenario: ScheduleScenario, cancelling points: [CancelPoint] = [], limit: Int) -> Int {
        var script: [Int] = []
        var runs = 0
        while runs < limit {
            let outcome = scenario.run(.scripted(script), cancelling: points)
            runs += 1
            if let complaint = outcome.complaint {
                Issue.record("\(scenario.testDescription), \(points), order \(script): \(complaint)")
                return runs
            }
            var choices = outcome.choices
            while let last = choices.last, last.chosen + 1 >= last.of { choices.removeLast() }
            guard let last = choices.popLast() else { return runs }
            script = choices.map(\.chosen) + [last.chosen + 1]
        }
        Issue.record("\(scenario.testDescription) has more than \(limit) orders")
        return runs
    }

    @Test("small scenarios in every order", arguments: ScheduleScenario.small)
    func smallScenarios_inEveryOrder(scenario: ScheduleScenario) {
        let runs = everyOrder(scenario, limit: 2_000_000)
        print("orders of \(scenario.testDescription): \(runs)")
        #expect(runs > 1)
    }

    @Test("every await cancelled, in oldest-first order and in seeded ones", arguments: ScheduleScenario.small)
    func everyAwait_cancelled(scenario: ScheduleScenario) {
        let size = LaneSize("schedules.cancel, seeds", plain: 4, sanitizer: 1, deep: 400)
        var (runs, points) = (0, 0)
        for seed in 0..<UInt64(size.count) {
            let order = seed == 0 ? ScheduleOrder.oldestFirst : .seeded(seed)
            let turns = scenario.run(order).turns
            // A cancelled run may be longer than the plain one, but every turn up to its end is tried.
            let all = (0...turns).flatMap { turn in
                scenario.tasks.indices.map { CancelPoint(turn: turn, task: $0) }
            }
            points += all.count
            for (index, point) in all.enumerated() {
                let outcome = scenario.run(order, cancelling: [point])
                runs += 1
                #expect(outcome.complaint == nil, "\(scenario.testDescription), \(order), \(point)")
                guard all.count <= 30 || Lane.current == .deep || seed == 0 else { continue }
                for second in all[(index + 1)...] where seed == 0 || Lane.current == .deep {
                    let outcome = scenario.run(order, cancelling: [point, second])
                    runs += 1
                    #expect(outcome.complaint == nil, "\(scenario.testDescription), \(order), \(point), \(second)")
                }
            }
        }
        print("cancellations of \(scenario.testDescription): \(points) points, \(runs) runs")
    }

    @Test("every order of turns times every cancellation", arguments: ScheduleScenario.small.prefix(6))
    func everyOrder_timesEveryCancellation(scenario: ScheduleScenario) {
        let size = LaneSize("schedules.cancel in every order, turns", plain: 3, sanitizer: 1, deep: 12)
        var runs = 0
        for turn in 0..<size.count {
            for task in scenario.tasks.indices {
                runs += everyOrder(scenario, cancelling: [CancelPoint(turn: turn, task: task)], limit: 2_000_000)
            }
        }
        print("orders with one cancellation of \(scenario.testDescription): \(runs)")
    }

    @Test("large scenarios in seeded orders, some with cancellations", arguments: ScheduleScenario.large)
    func largeScenarios_inSeededOrders(scenario: ScheduleScenario) {
        let size = LaneSize("schedules.seeded", plain: 150, sanitizer: 20, deep: 60_000)
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed)
            let points = (0..<Int(random.next(upperBound: UInt64(4)))).map { _ in
                CancelPoint(
                    turn: Int(random.next(upperBound: UInt64(60))),
                    task: Int(random.next(upperBound: UInt64(scenario.tasks.count))))
            }
            let outcome = scenario.run(.seeded(seed), cancelling: points)
            #expect(outcome.complaint == nil, "\(scenario.testDescription), seed \(seed), \(points)")
        }
    }

    @Test("a run that loses an element is complained of")
    func lossIsNoticed() {
        let lossy = ScheduleScenario(
            name: "takes one and tells nobody",
            tasks: [{ await $0.send(0) }, { _ = try? await $0.channel.receive() }])
        #expect(lossy.run(.oldestFirst).complaint != nil)
    }
}
