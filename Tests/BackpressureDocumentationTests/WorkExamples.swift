// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of bulkheads, worker pools and bounded task groups: of their documentation comments.

import Backpressure
import Testing

@Suite("Examples of work that is bounded", .timeLimit(.minutes(10)))
struct WorkExamples {
    @Test("Bulkhead")
    func bulkhead() async throws {
        func pay() async -> Int { 1 }

        let payments = Bulkhead("payments", limit: 10, waiterLimit: 20, maximumWait: .seconds(1))
        let receipt = try await payments.run {
            await pay()
        }

        #expect(receipt == 1)
    }

    @Test("PartitionedBulkhead")
    func partitionedBulkhead() async throws {
        func find() async -> [String] { ["hit"] }

        let search = PartitionedBulkhead("search", limit: 10, shares: ["batch": 1, "interactive": 6])
        let hits = try await search.run("interactive") {
            await find()
        }

        #expect(hits == ["hit"])
    }

    @Test("WorkerPool")
    func workerPool() async throws {
        @Sendable func upload(_ name: String) async {}
        let names = ["a", "b"]

        let pool = WorkerPool(workers: 4, queueLimit: 100)
        for name in names {
            try await pool.submit { await upload(name) }  // waits while 100 jobs wait
        }
        await pool.shutdown()

        #expect(pool.snapshot().finished == 2)
    }

    @Test("mapConcurrent of a sequence")
    func sequence() async {
        @Sendable func download(_ name: String) async -> String { name + "!" }

        let pages = await ["a", "b", "c"].mapConcurrent(limit: 2) { name in
            await download(name)
        }

        #expect(pages == ["a!", "b!", "c!"])
    }

    @Test("mapConcurrent of an asynchronous sequence")
    func asyncSequence() async throws {
        @Sendable func measure(_ name: String) async -> Int { name.count }
        let names = BoundedChannel<String, Never>(capacity: 2)
        _ = names.trySend("abc")
        _ = names.trySend("de")
        names.finish()

        var total = 0
        for try await size in names.mapConcurrent(limit: 4, { name in await measure(name) }) {
            total += size
        }

        #expect(total == 5)
    }
}
