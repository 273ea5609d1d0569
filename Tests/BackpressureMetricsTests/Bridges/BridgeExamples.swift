// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the bridges: they stand here and not with the others because only the traits' builds see what they use.

import Backpressure
import BackpressureMetrics
import Testing

#if SwiftMetrics
    import Metrics
    import MetricsTestKit
#endif
#if Logging
    import InMemoryLogging
    import Logging
#endif
#if Tracing
    import InMemoryTracing
    import Tracing
#endif
#if ServiceLifecycle
    import ServiceLifecycle
#endif

@Suite("Examples of the bridges", .timeLimit(.minutes(10)))
struct BridgeExamples {
    #if SwiftMetrics
        @Test("a report to swift-metrics")
        func swiftMetrics() throws {
            let factory = TestMetrics()
            let registry = MetricsRegistry()
            let orders = BoundedChannel<Int, Never>(capacity: 64)
            try registry.add(orders, named: "orders")
            let reporter = SwiftMetricsReporter(registry, factory: factory)
            _ = orders.trySend(1)
            reporter.report()
            let sent = try factory.expectCounter("backpressure_sent_total", [("primitive", "orders")])
            #expect(sent.totalValue == 1)
        }

        @Test("reports at an interval")
        func swiftMetricsLoop() async throws {
            let registry = MetricsRegistry()
            let factory = TestMetrics()
            let slots = AsyncSemaphore(permits: 1)
            try registry.add(slots, named: "slots")
            let task = Task {
                let reporter = SwiftMetricsReporter(registry, factory: factory)
                await reporter.run(every: .seconds(10))
            }
            while factory.recorders.isEmpty { await Task.yield() }
            task.cancel()
            await task.value
            #expect(factory.recorders.contains { $0.label == "backpressure_limit" })
        }
    #endif

    #if Logging
        @Test("edges as log lines")
        func logging() throws {
            let registry = MetricsRegistry()
            let orders = BoundedChannel<Int, Never>(capacity: 1)
            try registry.add(orders, named: "orders")
            let monitor = HealthMonitor(registry)
            let health = HealthLogger(monitor, logger: Logger(label: "backpressure"))
            health.look()
            #expect(health.look().isReady)
        }
    #endif

    #if Tracing
        @Test("waits as spans")
        func tracing() async throws {
            let tracer = InMemoryTracer()
            let slots = AsyncSemaphore(permits: 1)
            func work() async {}
            try await WaitObserver.$current.withValue(.tracing(queue: "orders", tracer: tracer)) {
                try await slots.withPermits { await work() }
            }
            #expect(tracer.finishedSpans.isEmpty)
        }
    #endif

    #if ServiceLifecycle
        @Test("a drain as a service")
        func lifecycle() async throws {
            let orders = BoundedChannel<Int, Never>(capacity: 8)
            let service = DrainService(Drain().stage("orders", orders), timeout: .seconds(30)) { report in
                print(report)  // drained: orders 0 left
            }
            let task = Task { try await service.run() }
            task.cancel()
            try await task.value
            #expect(orders.isClosed)
        }
    #endif
}
