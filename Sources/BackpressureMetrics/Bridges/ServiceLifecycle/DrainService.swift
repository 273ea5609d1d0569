// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A drain as a service: it waits for the graceful shutdown, and then does what it is there for.

#if ServiceLifecycle
    import Backpressure
    public import ServiceLifecycle

    /// Shuts stages down when the service group does, drains them until a deadline, and reports what was left.
    ///
    /// ```swift
    /// let service = DrainService(Drain().stage("orders", orders), timeout: .seconds(30)) { report in
    ///     print(report)  // drained: orders 0 left
    /// }
    /// ```
    ///
    /// A service group shuts its services down in the reverse of their order, so put this one behind the services that
    /// consume the stages and before those that produce for them: then the consumers still run while it drains. When the
    /// group loses patience and cancels the service, what is left is given up at once, and reported all the same.
    public struct DrainService<C: Clock<Duration>>: Service {
        private let drain: Drain
        private let timeout: Duration?
        private let clock: C
        private let onReport: @Sendable (DrainReport) -> Void

        /// A service that waits for the shutdown.
        ///
        /// - Parameters:
        ///   - drain: The stages, in the order in which elements pass them.
        ///   - timeout: How long draining may take in all; nil for as long as the group lets it.
        ///   - clock: The clock of the timeout.
        ///   - onReport: Gets the report, once, before the service ends.
        public init(
            _ drain: Drain, timeout: Duration?, clock: C, onReport: @escaping @Sendable (DrainReport) -> Void
        ) {
            self.drain = drain
            self.timeout = timeout
            self.clock = clock
            self.onReport = onReport
        }

        /// Waits for the graceful shutdown or a cancellation, and drains.
        public func run() async throws {
            // Cancelled instead of shut down: the drain finds its task cancelled, and gives up at once.
            try? await gracefulShutdown()
            onReport(await drain.run(timeout: timeout, clock: clock))
        }
    }

    extension DrainService where C == ContinuousClock {
        /// A service that waits for the shutdown, on the continuous clock.
        ///
        /// - Parameters:
        ///   - drain: The stages, in the order in which elements pass them.
        ///   - timeout: How long draining may take in all; nil for as long as the group lets it.
        ///   - onReport: Gets the report, once, before the service ends.
        public init(
            _ drain: Drain, timeout: Duration?, onReport: @escaping @Sendable (DrainReport) -> Void
        ) {
            self.init(drain, timeout: timeout, clock: ContinuousClock(), onReport: onReport)
        }
    }
#endif
