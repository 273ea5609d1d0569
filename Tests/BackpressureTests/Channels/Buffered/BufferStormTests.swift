// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Everything at once, and the books afterwards: each element that was handed in is with a receiver, with its sender again,
// or with the hook, exactly once.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// What became of elements, added up by whoever knows.
private final class StormBooks: Sendable {
    struct Ends: Sendable {
        var ends: [Int] = []
        var returned: [Rejection: Int] = [:]
    }

    private let state = Shared(Ends())

    func end(_ element: Int) { state.update { $0.ends.append(element) } }

    func add(_ elements: [Int]) { state.update { $0.ends += elements } }

    func book(_ result: consuming SendResult<Int>, _ element: Int) {
        let reason = result.reason
        guard let reason, let back = result.take() else { return }
        #expect(back == element)
        state.update {
            $0.ends.append(back)
            $0.returned[reason, default: 0] += 1
        }
    }

    /// Whether elements `0..<count` have ended once each.
    func balance(_ count: Int, _ snapshot: BufferSnapshot) {
        let ends = state.value.ends.sorted()
        #expect(ends == Array(0..<count), "\(ends.count) ends of \(count) elements, \(Set(ends).count) different")
        #expect(snapshot.isConsistent && snapshot.depth == 0 && snapshot.cost == 0)
        #expect(snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0)
        let returned = UInt64(state.value.returned.values.reduce(0, +))
        #expect(snapshot.sent + snapshot.droppedNewest + returned == UInt64(count))
    }
}

/// The configurations that lose nothing by merging: the books of those that do are in `conflate_fromThreads`.
private let configurations = BufferConfiguration.all.filter { $0.plan.policy.action != .conflate }

@Suite("storms over buffers", .serialized, .timeLimit(.minutes(10)))
struct BufferStormTests {
    private func door(
        _ plan: BufferPlan, _ books: StormBooks, _ clock: ManualClock
    ) -> BufferDoor<Int, Never> {
        BufferDoor(plan, ttl: nil, costOf: nil, merger: nil, clock: clock) { element, _ in books.end(element) }
    }

    @Test("operations that do not wait, from threads, while the clock runs", arguments: configurations)
    fileprivate func threads(configuration: BufferConfiguration) {
        let size = LaneSize("buffer.storm.threads \(configuration.name)", plain: 1_500, sanitizer: 300, deep: 100_000)
        let (books, clock) = (StormBooks(), ManualClock())
        let door = door(configuration.plan, books, clock)
        let senders = Shared(2)
        Threads.run(4) { thread in
            var random = SplitMix64(seed: UInt64(thread) &+ 5)
            guard thread >= 2 else {
                for number in 0..<size.count {
                    let element = number * 2 + thread
                    let lane = Int.random(in: 0..<configuration.plan.lanes.count, using: &random)
                    let cost = Int.random(in: configuration.costs, using: &random)
                    let isShortLived = Int.random(in: 0..<4, using: &random) == 0
                    let ttl: Duration? = isShortLived ? .seconds(2) : nil
                    books.book(door.trySend(element, lane: lane, cost: cost, ttl: ttl), element)
                }
                senders.update { $0 -= 1 }
                return
            }
            var received: [Int] = []
            while true {
                let isOver = senders.value == 0
                if let element = door.tryReceive().take() {
                    received.append(element)
                } else if isOver {
                    break
                }
                if Int.random(in: 0..<16, using: &random) == 0 { clock.advance(by: .seconds(1)) }
            }
            books.add(received)
        }
        books.balance(2 * size.count, door.core.snapshot())
    }

    @Test("tasks that wait, are cancelled, run out of time and see the end", arguments: configurations)
    fileprivate func tasks(configuration: BufferConfiguration) async {
        let size = LaneSize("buffer.storm.tasks \(configuration.name)", plain: 200, sanitizer: 60, deep: 20_000)
        let (books, clock) = (StormBooks(), ManualClock())
        let door = door(configuration.plan, books, clock)
        let open = Shared(2)
        await withTaskGroup(of: Void.self) { group in
            for sender in 0..<3 {
                group.addTask {
                    var random = SplitMix64(seed: UInt64(sender))
                    for number in 0..<size.count {
                        await Self.send(number * 3 + sender, door, configuration, books, &random)
                    }
                }
            }
            for receiver in 0..<2 {
                Task {
                    var random = SplitMix64(seed: UInt64(receiver) &+ 100)
                    while await Self.receive(door, books, &random) {}
                    open.update { $0 -= 1 }
                }
            }
            Task {
                while open.value > 0 {
                    clock.advance(by: .seconds(1))
                    let snapshot = door.core.snapshot()
                    #expect(snapshot.isConsistent)
                    for _ in 0..<8 { await Task.yield() }
                }
            }
        }
        door.core.finish(failure: nil)
        try? await settle { open.value == 0 }
        books.balance(3 * size.count, door.core.snapshot())
        #expect(door.core.locked { $0.deadlines.isEmpty && $0.expiries.isEmpty })
    }

    private static func send(
        _ element: Int, _ door: BufferDoor<Int, Never>, _ configuration: BufferConfiguration, _ books: StormBooks,
        _ random: inout SplitMix64
    ) async {
        let lane = Int.random(in: 0..<configuration.plan.lanes.count, using: &random)
        let cost = Int.random(in: configuration.costs, using: &random)
        let ttl: Duration? = Bool.random(using: &random) ? nil : .seconds(3)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: books.book(door.trySend(element, lane: lane, cost: cost, ttl: ttl), element)
        case 1: books.book(await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .none), element)
        case 2:
            let limit = WaitLimit.timeout(.seconds(2))
            books.book(await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: limit), element)
        default:
            let task = Task {
                books.book(await door.send(element, lane: lane, cost: cost, ttl: ttl, limit: .none), element)
            }
            if Bool.random(using: &random) { await Task.yield() }
            task.cancel()
            await task.value
        }
    }

    /// Whether there may be more.
    private static func receive(
        _ door: BufferDoor<Int, Never>, _ books: StormBooks, _ random: inout SplitMix64
    ) async -> Bool {
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            switch door.tryReceive() {
            case .received(let element): books.end(element)
            case .empty: await Task.yield()
            case .finished: return false
            }
            return true
        case 1:
            let task = Task { try await door.receive(limit: .none) }
            if Bool.random(using: &random) { await Task.yield() }
            task.cancel()
            return await end(books) { try await task.value }
        default:
            return await end(books) { try await door.receive(limit: .timeout(.seconds(2))) }
        }
    }

    private static func end(_ books: StormBooks, _ body: () async throws -> Int?) async -> Bool {
        do {
            guard let element = try await body() else { return false }
            books.end(element)
        } catch {}
        return true
    }
}
