// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A span around each wait of a task that suspends: what a trace otherwise shows as a hole.

#if Tracing
    public import Backpressure
    public import Tracing

    extension WaitObserver {
        /// What makes a span of each wait that suspends, as a child of the span that the task is in.
        ///
        /// ```swift
        /// try await WaitObserver.$current.withValue(.tracing(queue: "orders", tracer: tracer)) {
        ///     try await slots.withPermits { await work() }
        /// }
        /// ```
        ///
        /// The span `backpressure.wait` lasts from the moment the task goes to sleep until it runs again. Its attributes:
        /// `backpressure.queue`, the name given here or that of the primitive; `backpressure.kind`, what is waited for;
        /// `backpressure.position`, how many wait in that queue, this task among them; `backpressure.outcome`, one of
        /// `granted`, `cancelled`, `timed_out`, `closed`. A wait that was not granted has the status error. An operation
        /// that does not suspend makes no span and reads no tracer.
        ///
        /// - Parameters:
        ///   - queue: What the queue is called; nil for the primitive's own name.
        ///   - tracer: Makes the spans; by default the one of `InstrumentationSystem`.
        /// - Returns: An observer, to be bound around the operations that are to be traced.
        public static func tracing(
            queue: String? = nil, tracer: any Tracer = InstrumentationSystem.tracer
        ) -> WaitObserver {
            WaitObserver { wait in
                let span = tracer.startSpan("backpressure.wait")
                span.attributes["backpressure.kind"] = wait.kind.rawValue
                span.attributes["backpressure.position"] = wait.position
                if let name = queue ?? wait.name { span.attributes["backpressure.queue"] = name }
                return { outcome in
                    span.attributes["backpressure.outcome"] = outcome.rawValue
                    if outcome != .granted { span.setStatus(SpanStatus(code: .error, message: outcome.rawValue)) }
                    span.end()
                }
            }
        }
    }
#endif
