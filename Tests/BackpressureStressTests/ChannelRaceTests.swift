// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A wait against everything that can end it at the same moment: one of them wins, and the books say which.

import BackpressureTestKit
import BackpressureTestSupport
import Synchronization
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("races over one wait", .serialized, .timeLimit(.minutes(10)))
struct ChannelRaceTests {
    /// What ends a wait, besides its fulfilment.
    enum Rival: String, CaseIterable, Sendable {
        case cancel, timeout, finish, abandon
    }

    struct Race: Sendable, CustomTestStringConvertible {
        let rival: Rival
        let fairness: Fairness
        var testDescription: String { "\(rival), bypass \(fairness.bypass)" }

        static let all = Rival.allCases.flatMap { rival in
            [Fairness.fifo, .default].map { Race(rival: rival, fairness: $0) }
        }
    }

    private func strike(
        _ race: Race, _ channel: BoundedChannel<Int, Never>, _ clock: ManualClock, _ task: Task<some Sendable, Never>
    ) {
        switch race.rival {
        case .cancel: task.cancel()
        case .timeout: clock.advance(by: .seconds(1))
        case .finish: channel.finish()
        case .abandon: channel.cancel()
        }
    }

    /// Runs both on threads of their own, let loose at one instant, one of them a little later.
    private func collide(
        _ race: Race, _ round: Int, _ first: @escaping @Sendable () -> Void,
        against second: @escaping @Sendable () -> Void
    ) {
        var random = SplitMix64(seed: UInt64(round))
        let head = race.rival == .timeout ? 3_000 : 60
        let delays = [Int(random.next(upperBound: UInt64(60))), Int(random.next(upperBound: UInt64(head)))]
        let ready = Atomic(0)
        Threads.run(2) { index in
            ready.wrappingAdd(1, ordering: .acquiringAndReleasing)
            var spins = 0
            while ready.load(ordering: .acquiring) < 2 {
                spins += 1
                if spins % 1_000 == 0 { sched_yield() }
            }
            for _ in 0..<delays[index] { _ = ready.load(ordering: .relaxed) }
            if index == 0 { first() } else { second() }
        }
    }

    @Test("a waiting send: room against cancel, timeout, finish, abandon (2)", arguments: Race.all)
    func waitingSend(race: Race) async throws {
        let size = LaneSize("race.send \(race.testDescription)", plain: 500, sanitizer: 100, deep: 300_000)
        var outcomes: [String: Int] = [:]
        for round in 0..<size.count {
            let (clock, hook) = (ManualClock(), Shared<[Int]>([]))
            let channel = BoundedChannel<Int, Never>(capacity: 1, fairness: race.fairness, clock: clock) { element, _ in
                let value = element
                hook.update { $0.append(value) }
            }
            _ = channel.trySend(-1)
            let sender = Task { await channel.send(round, timeout: .seconds(1)) }
            if round % 4 > 0 { try await settle { channel.snapshot().waitingSenders == 1 } }
            if race.rival == .timeout { await clock.sleepers(atLeast: 1) }
            let taken = Shared<Int?>(nil)
            collide(race, round) {
                strike(race, channel, clock, sender)
            } against: {
                let value = channel.tryReceive().take()
                taken.update { $0 = value }
            }
            var received = taken.value.map { [$0] } ?? []
            // If neither ended it: the strike came before the wait, so the wait goes on until this.
            if race.rival == .timeout || round % 4 == 0 { channel.finish() }
            let result = await sender.value
            while let value = channel.tryReceive().take() { received.append(value) }
            let gone = received + hook.value
            outcomes[result.isSent ? "sent" : "\(result.reason.map(\.description) ?? "dropped")", default: 0] += 1
            #expect(gone.contains(round) == result.isSent, "round \(round): \(result), received \(gone)")
            #expect(gone.count { $0 == -1 } == 1 && gone.count { $0 == round } <= 1)
            if !result.isSent { #expect(result.take() == round) }
            let snapshot = channel.snapshot()
            #expect(snapshot.waitingSenders == 0 && snapshot.depth == 0)
        }
        print(
            "race.send \(race.testDescription): \(outcomes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
    }

    @Test("a waiting receive: an element against cancel, timeout, finish, abandon (2)", arguments: Race.all)
    func waitingReceive(race: Race) async throws {
        let size = LaneSize("race.receive \(race.testDescription)", plain: 500, sanitizer: 100, deep: 300_000)
        var outcomes: [String: Int] = [:]
        for round in 0..<size.count {
            let (clock, hook) = (ManualClock(), Shared<[Int]>([]))
            let channel = BoundedChannel<Int, Never>(capacity: 1, fairness: race.fairness, clock: clock) { element, _ in
                let value = element
                hook.update { $0.append(value) }
            }
            let receiver = Task { () -> Int? in (try? await channel.receive(timeout: .seconds(1))) ?? nil }
            if round % 4 > 0 { try await settle { channel.snapshot().waitingReceivers == 1 } }
            if race.rival == .timeout { await clock.sleepers(atLeast: 1) }
            let offered = Shared<SendResult<Int>>(.dropped)
            collide(race, round) {
                strike(race, channel, clock, receiver)
            } against: {
                let result = channel.trySend(round)
                offered.update { $0 = result }
            }
            let result = offered.value
            channel.finish()
            let element = await receiver.value
            let rest = channel.tryReceive().take()
            let places = [element, rest].compactMap { $0 } + hook.value
            outcomes[
                element != nil ? "received" : rest != nil ? "left in" : "\(result.reason.map(\.description) ?? "hook")",
                default: 0] += 1
            #expect(places == (result.isSent ? [round] : []), "round \(round): \(result), \(places)")
            let snapshot = channel.snapshot()
            #expect(snapshot.waitingReceivers == 0 && snapshot.depth == 0)
        }
        print(
            "race.receive \(race.testDescription): \(outcomes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })"
        )
    }

    /// The lost wake-up that a half-published send would cause, with real threads: nobody may sleep over an element.
    @Test(
        "few elements, many sleepers: every element finds its receiver",
        arguments: [Fairness.fifo, .eventual(bypass: 2), .default])
    func fastSends_whenReceiversSleep_wakeAll(fairness: Fairness) async throws {
        let size = LaneSize("race.sleepers \(fairness.bypass)", plain: 400, sanitizer: 60, deep: 200_000)
        for round in 0..<size.count {
            let channel = BoundedChannel<Int, Never>(capacity: 4, fairness: fairness)
            let receivers = (0..<4).map { _ in Task { (try? await channel.receive()) ?? nil } }
            if round % 2 == 0 { try await settle { channel.snapshot().waitingReceivers == 4 } }
            async let first: Void = { for number in 0..<2 { _ = await channel.send(number) } }()
            async let second: Void = { for number in 2..<4 { _ = await channel.send(number) } }()
            _ = await (first, second)
            var seen: Set<Int> = []
            for receiver in receivers { if let element = await receiver.value { seen.insert(element) } }
            guard seen == [0, 1, 2, 3] else {
                Issue.record("round \(round): \(seen)")
                return
            }
        }
    }
}
