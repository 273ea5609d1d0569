// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Runs the steps of the tutorial: the files of the folder Tutorial, which are the tutorial's own code files.

import Backpressure
import BackpressureMetrics
import Synchronization
import Testing

@Suite("Steps of the tutorial", .timeLimit(.minutes(10)))
struct TutorialExamples {
    private let station = Station()
    private let store = Store()

    @Test("1: everything is kept")
    func unbounded() async {
        #expect(await unboundedPipeline(station, into: store) == 100)
        #expect(await store.alarms == 5)
        #expect(await store.measurements == 95)
    }

    @Test("2: the source waits, and nothing is lost")
    func bounded() async {
        #expect(await boundedPipeline(station, into: store) <= 8)
        #expect(await store.alarms == 5)
        #expect(await store.measurements == 95)
    }

    @Test("3: what does not fit is dropped and heard of")
    func dropping() async {
        let dropped = Mutex<[Int]>([])
        let evicted = await droppingPipeline(station, into: store) { event in
            dropped.withLock { $0.append(event.number) }
        }
        #expect(evicted == 92)
        #expect(dropped.withLock { $0 } == Array(1...92))
        #expect(await store.alarms == 1)
    }

    @Test("4: alarms are not lost")
    func laned() async {
        let (sent, lost) = await lanedPipeline(station, into: store)
        #expect(lost == 92 && sent >= 8)
        #expect(await store.alarms == 5)
        #expect(await store.measurements == 3)
    }

    @Test("5: the burst shows")
    func measured() async throws {
        let report = try await measuredPipeline(station, into: store)
        #expect(report.status != .healthy)
        #expect(report.reasons.contains { $0.primitive == "events" && $0.signal == .fullness })
    }

    @Test("6: measurements are shed, alarms pass")
    func shedding() async throws {
        let (shed, depth) = try await sheddingPipeline(station, into: store)
        #expect(shed > 0 && depth <= 8)
        #expect(await store.alarms == 5)
    }
}
