// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A very large number of waiting tasks: each way to end them, without recursion and without a search.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("semaphore: crowds of waiting tasks", .serialized, .timeLimit(.minutes(10)))
struct SemaphoreCrowdTests {
    private static let size = LaneSize("semaphore.crowd", plain: 50_000, sanitizer: 5_000, deep: 1_000_000)

    /// A semaphore whose one permit is taken, and so many tasks that wait for it.
    private func crowd(
        _ count: Int, fairness: Fairness = .default
    ) async throws -> (AsyncSemaphore, [Task<Rejection?, Never>]) {
        let semaphore = AsyncSemaphore(permits: 1, fairness: fairness)
        semaphore.tryAcquire()?.forget()
        let tasks = (0..<count).map { _ in
            Task { () -> Rejection? in
                do throws(AcquireError) {
                    try await semaphore.acquire().release()
                    return nil
                } catch {
                    return error.reason
                }
            }
        }
        try await settle(turns: 10_000_000) { semaphore.waiting == count }
        return (semaphore, tasks)
    }

    @Test("cancel all, from the middle outwards: the cost of one is flat")
    func cancelAll() async throws {
        let (semaphore, tasks) = try await crowd(Self.size.count)
        let clock = ContinuousClock()
        let middle = tasks.count / 2
        let start = clock.now
        for index in 0..<middle {
            tasks[middle + index].cancel()
            tasks[middle - 1 - index].cancel()
        }
        let elapsed = clock.now - start
        var wrong = 0
        for task in tasks where await task.value != .cancelled { wrong += 1 }
        #expect(wrong == 0)
        let snapshot = semaphore.snapshot()
        #expect(snapshot.waiting == 0 && snapshot.cancelled == UInt64(tasks.count))
        semaphore.release()
        #expect(semaphore.available == 1 && semaphore.isFree())
        print("semaphore.crowd: \(elapsed / tasks.count) for each of \(tasks.count) cancels")
    }

    @Test("close all")
    func closeAll() async throws {
        let (semaphore, tasks) = try await crowd(Self.size.count)
        semaphore.close()
        var wrong = 0
        for task in tasks where await task.value != .closed { wrong += 1 }
        #expect(wrong == 0 && semaphore.waiting == 0)
    }

    @Test("served one by one", arguments: [Fairness.fifo, .default])
    func serveAll(fairness: Fairness) async throws {
        let (semaphore, tasks) = try await crowd(Self.size.count / 2, fairness: fairness)
        semaphore.release()
        var wrong = 0
        for task in tasks where await task.value != nil { wrong += 1 }
        #expect(wrong == 0 && semaphore.available == 1 && semaphore.snapshot().acquisitions == UInt64(tasks.count + 1))
    }

    @Test("the limit falls and rises over a crowd")
    func resizeOverAll() async throws {
        let (semaphore, tasks) = try await crowd(Self.size.count / 2)
        semaphore.resize(to: 1_000)
        for limit in [1, 3, 500, 2] { semaphore.resize(to: limit) }
        semaphore.resize(to: 2)
        var wrong = 0
        for task in tasks where await task.value != nil { wrong += 1 }
        #expect(wrong == 0 && semaphore.available == 1 && semaphore.snapshot().isConsistent)
    }
}
