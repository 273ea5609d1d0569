// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the comments on histograms, stamps and observers of waits.

import Backpressure
import Testing

@Suite("Examples of measuring", .timeLimit(.minutes(10)))
struct MeasuringExamples {
    @Test("a histogram")
    func histogram() {
        var waits = WaitHistogram()
        for milliseconds in 1...100 { waits.record(.milliseconds(milliseconds)) }
        print(waits.count, waits.p95 ?? .zero)  // 100, and 95 ms within 2 %

        #expect(waits.count == 100 && (.milliseconds(93)...(.milliseconds(97))).contains(waits.p95 ?? .zero))
    }

    @Test("stamped elements")
    func timestamped() async throws {
        let orders = BoundedChannel<Timestamped<String, ContinuousClock>, Never>(capacity: 16)
        _ = await orders.send(Timestamped("tea"))
        if let order = try await orders.receive() {
            print("\(order.element) waited \(order.age())")
        }
        #expect(orders.count == 0)
    }

    @Test("a meter of a stage")
    func stageMeter() async throws {
        let meter = StageMeter()
        let jobs = BoundedChannel<Timestamped<Int, ContinuousClock>, Never>(capacity: 16)
        _ = await jobs.send(meter.stamp(7))
        if let job = try await jobs.receive() {
            let square = await meter.process(job) { $0 * $0 }
            print(square, meter.snapshot().queueTimes.count)  // 49 1
        }
        #expect(meter.snapshot().processingTimes.count == 1 && meter.snapshot().running == 0)
    }

    @Test("an observer of waits")
    func observer() async throws {
        let slots = AsyncSemaphore(permits: 1)
        func work() async {}
        let observer = WaitObserver { wait in
            print("\(wait.kind) waits at position \(wait.position)")
            return { outcome in print("\(wait.kind): \(outcome)") }
        }
        try await WaitObserver.$current.withValue(observer) {
            try await slots.withPermits { await work() }
        }
        #expect(slots.snapshot().acquisitions == 1 && slots.snapshot().parked == 0)
    }
}
