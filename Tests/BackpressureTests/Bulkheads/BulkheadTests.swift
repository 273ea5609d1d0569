// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Compartments: one kind of caller, and several kinds under one ceiling.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("bulkhead", .timeLimit(.minutes(10)))
struct BulkheadTests {
    @Test("so many at once, so many waiting, for so long; errors carry the name")
    func bounds() async throws {
        let clock = ManualClock()
        let bulkhead = Bulkhead("db", limit: 1, waiterLimit: 1, maximumWait: .seconds(2), clock: clock)
        let permit = try await bulkhead.semaphore.acquire()
        let waiting = Task { try await bulkhead.run { 1 } }
        await clock.sleepers(atLeast: 1)
        let full = await #expect(throws: AcquireError.self) { try await bulkhead.run { 2 } }
        #expect(full?.reason == .full && full?.name == "db" && bulkhead.name == "db")
        clock.advance(by: .seconds(2))
        let late = await #expect(throws: AcquireError.self) { try await waiting.value }
        #expect(late?.reason == .timedOut)
        bulkhead.resize(to: 2)
        #expect(try await bulkhead.run { bulkhead.snapshot().inUse } == 2)
        permit.release()
        #expect(bulkhead.close() && !bulkhead.close())
        let closed = await #expect(throws: AcquireError.self) { try await bulkhead.run {} }
        #expect(closed?.reason == .closed && bulkhead.snapshot().available == 2)
    }

    @Test("vector#26457, linkerd2-proxy#751: a place ends with the body")
    func placeEndsWithBody() async throws {
        final class Response: Sendable {}
        let bulkhead = Bulkhead("http", limit: 1)
        let first = try await bulkhead.run { Response() }
        let second = try await bulkhead.run { Response() }
        withExtendedLifetime((first, second)) {}
        #expect(bulkhead.snapshot().acquisitions == 2)
    }

    // MARK: Partitions

    @Test("books: seeded walks keep the ceiling, the shares and the sums")
    func books_walks() {
        let size = LaneSize("bulkhead.books", plain: 200, sanitizer: 50, deep: 50_000)
        for seed in 0..<UInt64(size.count) {
            var random = SplitMix64(seed: seed)
            let shares = [0, 1, 2, 0].map { $0 + Int(random.next(upperBound: UInt64(2))) }
            var books = PartitionBooks(limit: 8, shares: shares)
            var ceiling = 8
            for _ in 0..<300 {
                let index = Int(random.next(upperBound: UInt64(4)))
                switch random.next(upperBound: UInt64(8)) {
                case 0: if books.partitions[index].inUse > 0 { books.leave(index) }
                case 1: books.beginWait(index)
                case 2: if books.partitions[index].waiting > 0 { books.endWait(index) }
                case 3:
                    ceiling = books.guaranteed + Int(random.next(upperBound: UInt64(6)))
                    books.resize(to: ceiling)
                default:
                    let before = books.total
                    if books.mayEnter(index) { books.enter(index) }
                    #expect(books.total == before || books.total <= ceiling)
                }
                while let next = books.next() {
                    #expect(books.total < ceiling)
                    books.endWait(next)
                    books.enter(next)
                }
                let parts = books.partitions
                #expect(books.total == parts.reduce(0) { $0 + $1.inUse })
                #expect(books.committed == parts.reduce(0) { $0 + max($1.inUse, $1.share) })
                // Without a debt whoever is below its share may enter.
                if books.committed <= ceiling {
                    for index in parts.indices where parts[index].inUse < parts[index].share {
                        #expect(books.mayEnter(index))
                    }
                }
            }
        }
    }

    @Test("a flood of one kind fills the common places and its own, and no other's share")
    func partitions_sharesAreKept() async throws {
        let bulkhead = PartitionedBulkhead("search", limit: 5, shares: ["a": 2, "b": 1], waiterLimit: 100)
        let gate = AsyncSemaphore(permits: 1)
        gate.tryAcquire()?.forget()
        let flood = (0..<10).map { _ in Task { try await bulkhead.run("a") { try await gate.withPermits {} } } }
        try await settle { gate.waiting + bulkhead.snapshot().partitions[Optional("a")]!.waiting == 10 }
        let snapshot = bulkhead.snapshot()
        #expect(snapshot.inUse == 4 && snapshot.partitions[Optional("a")]!.inUse == 4)
        // The share of "b" is free, and nothing is for the others.
        #expect(try await bulkhead.tryRun("b") { bulkhead.snapshot().inUse } == 5)
        #expect(try await bulkhead.tryRun("unknown") { 1 } == nil)
        gate.release()
        for task in flood { try await task.value }
        #expect(try await bulkhead.tryRun("unknown") { 1 } == 1)
        #expect(bulkhead.snapshot().inUse == 0)
        #expect(bulkhead.snapshot().partitions[nil]?.entered == 1 && bulkhead.snapshot().partitions[nil]?.rejected == 1)
    }

    @Test("waits are bounded, timed, cancelled and closed, and leave nothing behind")
    func partitions_waitsEnd() async throws {
        let clock = ManualClock()
        let bulkhead = PartitionedBulkhead(
            "x", limit: 1, shares: [1: 0, 2: 0], waiterLimit: 1, maximumWait: .seconds(5), clock: clock)
        let gate = AsyncSemaphore(permits: 1)
        gate.tryAcquire()?.forget()
        let holder = Task { try await bulkhead.run(1) { try await gate.withPermits {} } }
        try await settle { gate.waiting == 1 }
        let timed = Task { try await bulkhead.run(1) {} }
        await clock.sleepers(atLeast: 1)
        let full = await #expect(throws: AcquireError.self) { try await bulkhead.run(1) {} }
        #expect(full?.reason == .full && full?.name == "x")
        clock.advance(by: .seconds(5))
        #expect(await (#expect(throws: AcquireError.self) { try await timed.value })?.reason == .timedOut)
        let cancelled = Task { try await bulkhead.run(2) {} }
        try await settle { bulkhead.snapshot().partitions[2]?.waiting == 1 }
        cancelled.cancel()
        #expect(await (#expect(throws: AcquireError.self) { try await cancelled.value })?.reason == .cancelled)
        let patient = Task { try await bulkhead.run(2) { 3 } }
        try await settle { bulkhead.snapshot().partitions[2]?.waiting == 1 }
        bulkhead.resize(to: 2)
        #expect(try await patient.value == 3)
        let closed = [Task { try await bulkhead.run(2) { try await gate.withPermits {} } }]
        try await settle { gate.waiting == 2 }
        let last = Task { try await bulkhead.run(1) {} }
        try await settle { bulkhead.snapshot().partitions[1]?.waiting == 1 }
        #expect(bulkhead.close() && !bulkhead.close())
        #expect(await (#expect(throws: AcquireError.self) { try await last.value })?.reason == .closed)
        gate.release()
        try await holder.value
        for task in closed { try await task.value }
        #expect(bulkhead.snapshot().inUse == 0 && bulkhead.snapshot().isClosed)
    }

    @Test("a new share is whole once the places have come back")
    func partitions_setShare() async throws {
        let bulkhead = PartitionedBulkhead("x", limit: 2, shares: ["a": 0, "b": 0])
        #expect(bulkhead.setShare(1, for: "b") && !bulkhead.setShare(1, for: "c"))
        try await bulkhead.run("a") {
            let second = try await bulkhead.tryRun("a") { 1 }
            let shared = try await bulkhead.tryRun("b") { 1 }
            bulkhead.setShare(2, for: "b")
            let owed = try await bulkhead.tryRun("b") { 1 }
            #expect(second == nil && shared == 1 && owed == 1)
        }
        #expect(try await bulkhead.tryRun("a") { 1 } == nil)
        #expect(bulkhead.snapshot().partitions["b"]?.share == 2)
    }

    @Test("storm: never more at once than the ceiling")
    func partitions_storm() async {
        let size = LaneSize("bulkhead.storm", plain: 400, sanitizer: 80, deep: 50_000)
        let bulkhead = PartitionedBulkhead("x", limit: 3, shares: [0: 1, 1: 1], waiterLimit: 4)
        let gauge = Shared((now: 0, most: 0))
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<6 {
                group.addTask {
                    var random = SplitMix64(seed: UInt64(worker))
                    for _ in 0..<size.count {
                        let yields = random.next() & 1 == 0
                        _ = try? await bulkhead.run(worker % 3) {
                            gauge.update {
                                $0.now += 1
                                $0.most = max($0.most, $0.now)
                            }
                            if yields { await Task.yield() }
                            gauge.update { $0.now -= 1 }
                        }
                    }
                }
            }
        }
        #expect(gauge.value.most <= 3 && gauge.value.now == 0 && bulkhead.snapshot().inUse == 0)
        #expect(bulkhead.snapshot().partitions.values.allSatisfy { $0.waiting == 0 })
    }
}
