// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Waits against everything that ends them, by the million: a task waits, and while it does (or before, or after) it is
// granted, cancelled, timed out and finished from another thread, two of them at nearly the same moment.
//
// Every element must go exactly one way, and the task's answer must say which. The shares of the outcomes are printed:
// a storm in which one kind hardly occurs tests little.
//
// `BACKPRESSURE_RACES` in the environment sets the number of races by hand.

import BackpressureTestKit
import BackpressureTestSupport
import Foundation
import Synchronization
import Testing

@testable import Backpressure

@Suite("storms of cancellations", .serialized, .timeLimit(.minutes(60)))
struct CancellationStormTests {
    enum Side: String, CaseIterable, Sendable { case send, receive }

    struct Shares: Sendable {
        var delivered = 0
        var cancelled = 0
        var timedOut = 0
        var finished = 0
        var wrong: [String] = []

        var total: Int { delivered + cancelled + timedOut + finished }

        var line: String {
            func share(_ count: Int) -> String { "\(count * 1000 / max(1, total)) permille" }
            return "\(total) races: delivered \(share(delivered)), cancelled \(share(cancelled)), "
                + "timed out \(share(timedOut)), finished \(share(finished))"
        }
    }

    /// What strikes at a wait.
    private enum Strike: CaseIterable { case grant, cancel, timeout, finish }

    @Test("one wait, two strikes", arguments: Side.allCases)
    func races(side: Side) async throws {
        let size = LaneSize("races.\(side.rawValue)", plain: 5_000, sanitizer: 1_000, deep: 5_000_000)
        let count = ProcessInfo.processInfo.environment["BACKPRESSURE_RACES"].flatMap(Int.init) ?? size.count
        let shares = await side == .send ? storm(count, Self.raceOfSend) : storm(count, Self.raceOfReceive)
        print("storm of \(side.rawValue): \(shares.line)")
        #expect(shares.wrong.isEmpty, "\(shares.wrong.prefix(3))")
        #expect(shares.total == count)
        for part in [shares.delivered, shares.cancelled, shares.timedOut, shares.finished] {
            #expect(part * 100 >= shares.total, "a kind of outcome hardly occurs: \(shares.line)")
        }
    }

    private typealias Race =
        @Sendable (
            _ setting: Setting, _ number: Int, _ random: inout SplitMix64, _ shares: inout Shares
        ) async -> Void

    /// A channel, until it is finished, and its clock.
    private final class Setting: Sendable {
        let clock = ManualClock()
        let channel: BoundedChannel<Int, Never>
        /// How often the hook was called: never, as every element goes to somebody.
        let hooked: Tally

        final class Tally: Sendable {
            let count = Atomic(0)
            /// The number of the last race whose wait is over, and one.
            let ended = Atomic(0)
        }

        init(_ fairness: Fairness) {
            let hooked = Tally()
            self.hooked = hooked
            channel = BoundedChannel(capacity: 1, fairness: fairness, clock: clock) { _, _ in
                hooked.count.wrappingAdd(1, ordering: .relaxed)
            }
        }

        var hookCalls: Int { hooked.count.load(ordering: .relaxed) }
    }

    private func storm(_ count: Int, _ race: @escaping Race) async -> Shares {
        // Off the caller's thread, which may be the main one.
        await Task.detached {
            var (shares, random) = (Shares(), SplitMix64(seed: 5))
            var setting = Setting(.fifo)
            for number in 0..<count {
                if setting.channel.isClosed {
                    setting = Setting(number % 2 == 0 ? .fifo : .default)
                }
                await race(setting, number, &random, &shares)
                if shares.wrong.count > 3 { break }
            }
            return shares
        }.value
    }

    /// Two different strikes, in a random order, after a random moment each.
    private static func strike(
        _ setting: Setting, _ number: Int, _ task: Task<some Sendable, Never>, _ random: inout SplitMix64,
        grant: () -> Void
    ) async {
        let bits = random.next()
        let first = Strike.allCases[Int(bits & 3)]
        let second = Strike.allCases[Int((bits >> 2) & 3)]
        for (index, strike) in [first, second].enumerated() {
            // Around the time that a task takes to start on another thread.
            let spins = Int((bits >> UInt64(8 + 16 * index)) % (index == 0 ? 3_000 : 60))
            for _ in 0..<spins { _ = setting.hookCalls }
            switch strike {
            case .grant: grant()
            case .cancel: task.cancel()
            case .timeout: setting.clock.advance(by: .seconds(2))
            case .finish: if (bits >> 50) & 1 == 0 { setting.channel.finish() }
            }
        }
        // Whoever came too early for a wait that had not begun: end it now, by any of the ways. The timer is a task of
        // its own and needs its time.
        switch (bits >> 40) & 7 {
        case 0: task.cancel()
        case 1, 2: setting.channel.finish()
        case 3, 4:
            for _ in 0..<200 where setting.hooked.ended.load(ordering: .acquiring) <= number {
                setting.clock.advance(by: .seconds(2))
                await Task.yield()
            }
        default: grant()
        }
        if (bits >> 44) & 3 == 0 { setting.channel.finish() } else { task.cancel() }
    }

    private static let raceOfSend: Race = { setting, number, random, shares in
        let channel = setting.channel
        let before = setting.hookCalls
        let isFull = channel.trySend(-1).isSent
        let task = Task {
            let answer = await channel.send(number, timeout: .seconds(1))
            setting.hooked.ended.store(number + 1, ordering: .releasing)
            return answer
        }
        var taken: [Int] = []
        await strike(setting, number, task, &random) {
            if let value = channel.tryReceive().take() { taken.append(value) }
        }
        let result = await task.value
        while let value = channel.tryReceive().take() { taken.append(value) }
        let arrived = taken.count { $0 == number }
        let filler = taken.count { $0 == -1 }
        if filler != (isFull ? 1 : 0) || arrived != (result.isSent ? 1 : 0)
            || setting.hookCalls != before
        {
            shares.wrong.append("\(number): \(result), taken \(taken)")
        }
        switch result.reason {
        case nil: shares.delivered += 1
        case .cancelled?: shares.cancelled += 1
        case .timedOut?: shares.timedOut += 1
        default: shares.finished += 1
        }
    }

    private static let raceOfReceive: Race = { setting, number, random, shares in
        let channel = setting.channel
        let before = setting.hookCalls
        let task = Task { () -> Result<Int?, ReceiveError<Never>> in
            defer { setting.hooked.ended.store(number + 1, ordering: .releasing) }
            do throws(ReceiveError<Never>) { return .success(try await channel.receive(timeout: .seconds(1))) } catch {
                return .failure(error)
            }
        }
        var sent = 0
        await strike(setting, number, task, &random) { if sent == 0, channel.trySend(number).isSent { sent = 1 } }
        let result = await task.value
        let rest = channel.tryReceive().take()
        var arrived = rest == nil ? 0 : 1
        switch result {
        case .success(.some(let value)):
            if value == number { arrived += 1 } else { shares.wrong.append("\(number): got \(value)") }
            shares.delivered += 1
        case .success(.none): shares.finished += 1
        case .failure(.rejected(.cancelled)): shares.cancelled += 1
        case .failure: shares.timedOut += 1
        }
        if arrived != sent || (rest ?? number) != number || setting.hookCalls != before {
            shares.wrong.append("\(number): sent \(sent), \(result), left \(rest.map(String.init) ?? "nothing")")
        }
    }
}
