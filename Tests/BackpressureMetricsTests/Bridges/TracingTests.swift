// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if Tracing
    import Backpressure
    import BackpressureTestKit
    import BackpressureTestSupport
    import InMemoryTracing
    import Testing
    import Tracing

    @testable import BackpressureMetrics

    @Suite("metrics: tracing", .timeLimit(.minutes(10)))
    struct TracingTests {
        @Test("what does not suspend makes no span")
        func fastPath_makesNoSpan() async throws {
            let tracer = InMemoryTracer()
            let channel = BoundedChannel<Int, Never>(capacity: 4)
            let slots = AsyncSemaphore(permits: 1)
            try await WaitObserver.$current.withValue(.tracing(queue: "orders", tracer: tracer)) {
                for number in 0..<4 { _ = await channel.send(number) }
                for _ in 0..<4 { _ = try await channel.receive() }
                try await slots.withPermits {}
            }
            #expect(tracer.finishedSpans.isEmpty && tracer.activeSpans.isEmpty)
        }

        @Test("a wait is a span with queue, place and outcome, a child of the caller's")
        func wait_isASpan() async throws {
            let tracer = InMemoryTracer()
            let clock = ManualClock()
            let slots = AsyncSemaphore(permits: 1, name: "slots", clock: clock)
            let held = try await slots.acquire()
            let first = Task {
                await tracer.withSpan("request") { _ in
                    try? await WaitObserver.$current.withValue(.tracing(tracer: tracer)) {
                        try await slots.withPermits {}
                    }
                }
            }
            try await settle { slots.waiting == 1 && tracer.activeSpans.count == 2 }
            let second = Task {
                await WaitObserver.$current.withValue(.tracing(queue: "named here", tracer: tracer)) {
                    _ = try? await slots.withPermits(1, timeout: .seconds(1)) {}
                }
            }
            try await settle { slots.waiting == 2 && tracer.activeSpans.count == 3 }
            await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(1))
            await second.value
            held.release()
            await first.value

            let spans = tracer.finishedSpans.filter { $0.operationName == "backpressure.wait" }
            #expect(spans.count == 2 && tracer.activeSpans.isEmpty)
            let timedOut = try #require(spans.first)
            let granted = try #require(spans.last)
            func text(_ span: FinishedInMemorySpan, _ key: String) -> String? {
                guard case .string(let value)? = span.attributes.get(key)?.toSpanAttribute() else { return nil }
                return value
            }
            #expect(text(timedOut, "backpressure.queue") == "named here")
            #expect(text(granted, "backpressure.queue") == "slots")
            #expect(text(timedOut, "backpressure.outcome") == "timed_out" && timedOut.status?.code == .error)
            #expect(text(granted, "backpressure.outcome") == "granted" && granted.status == nil)
            #expect(text(granted, "backpressure.kind") == "acquire")
            #expect(granted.attributes.get("backpressure.position")?.toSpanAttribute() == SpanAttribute.int64(1))
            #expect(timedOut.attributes.get("backpressure.position")?.toSpanAttribute() == SpanAttribute.int64(2))
            let request = tracer.finishedSpans.first { $0.operationName == "request" }
            #expect(request != nil && granted.parentSpanID == request?.spanID)
        }
    }
#endif
