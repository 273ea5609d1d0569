// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A wait for a permit against everything that can end it at the same moment: one of them wins, and the books agree.

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

@Suite("races over one wait for a permit", .serialized, .timeLimit(.minutes(10)))
struct SemaphoreRaceTests {
    enum Rival: String, CaseIterable, Sendable {
        case cancel, timeout, close, shrink
    }

    struct Race: Sendable, CustomTestStringConvertible {
        let rival: Rival
        let fairness: Fairness
        var testDescription: String { "\(rival), bypass \(fairness.bypass)" }

        static let all = Rival.allCases.flatMap { rival in
            [Fairness.fifo, .default].map { Race(rival: rival, fairness: $0) }
        }
    }

    @Test("a release against cancel, timeout, close, a lower limit", arguments: Race.all)
    func waitingAcquire(race: Race) async throws {
        let size = LaneSize("race.semaphore \(race.testDescription)", plain: 400, sanitizer: 100, deep: 300_000)
        var outcomes: [String: Int] = [:]
        for round in 0..<size.count {
            let clock = ManualClock()
            let semaphore = AsyncSemaphore(permits: 2, fairness: race.fairness, clock: clock)
            semaphore.tryAcquire(2)?.forget()
            let task = Task { () -> Rejection? in
                do throws(AcquireError) {
                    try await semaphore.acquire(2, timeout: .seconds(1)).release()
                    return nil
                } catch {
                    return error.reason
                }
            }
            if round % 4 > 0 { try await settle { semaphore.waiting == 1 } }
            if race.rival == .timeout { await clock.sleepers(atLeast: 1) }
            collide(round, head: race.rival == .timeout ? 3_000 : 60) {
                switch race.rival {
                case .cancel: task.cancel()
                case .timeout: clock.advance(by: .seconds(1))
                case .close: semaphore.close()
                case .shrink: semaphore.resize(to: 1)
                }
            } against: {
                semaphore.release(2)
            }
            let outcome = await task.value
            outcomes[outcome?.description ?? "acquired", default: 0] += 1
            let snapshot = semaphore.snapshot()
            #expect(snapshot.inUse == 0 && snapshot.waiting == 0 && snapshot.available == snapshot.limit)
            #expect(snapshot.acquisitions == (outcome == nil ? 2 : 1), "round \(round): \(snapshot)")
        }
        print("race.semaphore \(race.testDescription): \(outcomes.sorted { $0.key < $1.key })")
    }

    /// Runs both on threads of their own, let loose at one instant, one of them a little later.
    private func collide(
        _ round: Int, head: Int, _ first: @escaping @Sendable () -> Void, against second: @escaping @Sendable () -> Void
    ) {
        var random = SplitMix64(seed: UInt64(round))
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
}
