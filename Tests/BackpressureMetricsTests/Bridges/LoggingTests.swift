// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if Logging
    import Backpressure
    import BackpressureTestKit
    import BackpressureTestSupport
    import InMemoryLogging
    import Logging
    import Synchronization
    import Testing

    @testable import BackpressureMetrics

    @Suite("metrics: swift-log", .timeLimit(.minutes(10)))
    struct LoggingTests {
        private final class Source: MetricSource {
            let values = Mutex<[Reading]>([])
            func readings() -> [Reading] { values.withLock { $0 } }
            func say(_ readings: Reading...) { values.withLock { $0 = readings } }
        }

        private struct Bench {
            let clock = ManualClock()
            let source = Source()
            let handler = InMemoryLogHandler()
            let health: HealthLogger
            let registry = MetricsRegistry()

            init() throws {
                try registry.add(source, named: "orders", labels: ["shop": "north"])
                let handler = handler
                health = HealthLogger(
                    HealthMonitor(registry, clock: clock), logger: Logger(label: "test") { _ in handler },
                    quietTime: .seconds(10), clock: clock)
            }

            func look(_ ratio: Double) {
                source.say(Reading(.depthRatio, ratio))
                health.look()
            }

            /// Level and message of every line about `signal`.
            func lines(_ signal: HealthSignal = .fullness) -> [String] {
                handler.entries.filter { $0.metadata["reason"] == "\(signal.rawValue)" }
                    .map { "\($0.level) \($0.message)" }
            }
        }

        @Test("an edge is a line, with reason, threshold and load; what lasts is none")
        func edges_areLogged() throws {
            let bench = try Bench()
            bench.look(0.5)
            #expect(bench.handler.entries.isEmpty)
            bench.look(0.9)
            bench.look(0.9)
            #expect(bench.lines() == ["warning orders [shop=north]: fullness 0.9, threshold 0.85, degraded"])
            let metadata = try #require(bench.handler.entries.first).metadata
            #expect(metadata["primitive"] == "orders" && metadata["labels"] == ["shop": "north"])
            #expect(metadata["threshold"] == "0.85" && metadata["load"] == "0.9" && metadata["status"] == "degraded")
            #expect(metadata["unlogged_changes"] == "0")
            bench.clock.advance(by: .seconds(11))
            bench.look(0.1)
            let cleared = "notice orders [shop=north]: fullness at or below 0.7, threshold 0.85, cleared"
            #expect(bench.lines().last == cleared)
        }

        @Test("what flaps writes one line in a quiet time, and the last line tells the state that lasts")
        func flapping_isRateLimited() throws {
            let bench = try Bench()
            for _ in 0..<5 {
                bench.look(0.9)
                bench.look(0.1)
                bench.clock.advance(by: .seconds(1))
            }
            #expect(bench.lines().count == 1)
            bench.clock.advance(by: .seconds(5))
            bench.look(0.1)
            #expect(bench.lines().count == 2 && bench.lines().last?.hasSuffix("cleared") == true)
            let last = bench.handler.entries.last { $0.metadata["reason"] == "fullness" }
            #expect(last?.metadata["unlogged_changes"] == "8")
            bench.look(0.1)
            bench.clock.advance(by: .seconds(20))
            bench.look(0.1)
            #expect(bench.lines().count == 2)
        }

        @Test("overloaded is an error; it looks at its interval until it is cancelled")
        func run_looks() async throws {
            let bench = try Bench()
            bench.source.say(Reading(.depthRatio, 1.0))
            let task = Task { [health = bench.health] in await health.run(every: .seconds(10)) }
            for _ in 0..<2 {
                await bench.clock.sleepers(atLeast: 1)
                bench.clock.advance(by: .seconds(10))
            }
            await bench.clock.sleepers(atLeast: 1)
            task.cancel()
            await task.value
            #expect(bench.lines().contains("error orders [shop=north]: fullness 1.0, threshold 0.98, overloaded"))
        }
    }
#endif
