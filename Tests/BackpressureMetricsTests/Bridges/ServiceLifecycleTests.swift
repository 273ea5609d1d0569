// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if ServiceLifecycle
    import Backpressure
    import BackpressureTestKit
    import BackpressureTestSupport
    import ServiceLifecycle
    import ServiceLifecycleTestKit
    import Synchronization
    import Testing

    @testable import BackpressureMetrics

    @Suite("metrics: service-lifecycle", .timeLimit(.minutes(10)))
    struct ServiceLifecycleTests {
        /// Keeps the reports of a service.
        private final class Reports: Sendable {
            let all = Mutex<[DrainReport]>([])
            var count: Int { all.withLock { $0.count } }
            func add(_ report: DrainReport) { all.withLock { $0.append(report) } }
        }

        @Test("nothing is closed before the shutdown; then what is in is worked off, and the service ends")
        func shutdown_drains() async throws {
            let reports = Reports()
            let orders = BoundedChannel<Int, Never>(capacity: 4)
            for number in 0..<4 { _ = orders.trySend(number) }
            try await testGracefulShutdown { trigger in
                let service = DrainService(
                    Drain().stage("orders", orders), timeout: .seconds(60)
                ) { reports.add($0) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await service.run() }
                    #expect(!orders.isClosed)
                    trigger.triggerGracefulShutdown()
                    try await settle { orders.isClosed }
                    #expect(reports.count == 0)
                    while orders.tryReceive().take() != nil {}
                    try await group.waitForAll()
                }
            }
            #expect(reports.all.withLock { $0 }.map(\.description) == ["drained: orders 0 left"])
        }

        @Test("at the deadline it reports what was left")
        func deadline_reportsWhatWasLeft() async throws {
            let (reports, clock) = (Reports(), ManualClock())
            let orders = BoundedChannel<Int, Never>(capacity: 4, clock: clock)
            for number in 0..<3 { _ = orders.trySend(number) }
            try await testGracefulShutdown { trigger in
                let service = DrainService(
                    Drain().stage("orders", orders), timeout: .seconds(5), clock: clock
                ) { reports.add($0) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await service.run() }
                    trigger.triggerGracefulShutdown()
                    await clock.sleepers(atLeast: 1)
                    clock.advance(by: .seconds(5))
                    try await group.waitForAll()
                }
            }
            #expect(reports.all.withLock { $0 }.map(\.left) == [3] && orders.count == 0)
        }

        @Test("a service that is cancelled gives up at once, and reports it")
        func cancelled_givesUp() async throws {
            let reports = Reports()
            let orders = BoundedChannel<Int, Never>(capacity: 4)
            _ = orders.trySend(1)
            let service = DrainService(Drain().stage("orders", orders), timeout: nil) { reports.add($0) }
            let task = Task { try await service.run() }
            task.cancel()
            try await task.value
            #expect(reports.all.withLock { $0 }.map(\.left) == [1] && orders.isClosed)
        }
    }
#endif
