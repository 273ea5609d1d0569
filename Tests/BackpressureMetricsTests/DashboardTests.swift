// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The dashboard asks for series that the bridge emits, and for no others.

import Foundation
import Testing

@testable import BackpressureMetrics

@Suite("metrics: dashboard")
struct DashboardTests {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
        .appending(path: "Sources/BackpressureMetrics/BackpressureMetrics.docc/Resources/backpressure-dashboard.json")

    private struct Dashboard: Decodable {
        struct Target: Decodable {
            let refId: String
            let expr: String
        }
        struct Panel: Decodable {
            let id: Int
            let title: String
            let targets: [Target]
        }
        let title: String
        let panels: [Panel]
    }

    private func names(in text: String) -> [String] {
        text.matches(of: /backpressure_[a-z_0-9]+/).map { String($0.output) }
    }

    @Test("it is JSON with panels that ask for something")
    func panels_askForSomething() throws {
        let dashboard = try JSONDecoder().decode(Dashboard.self, from: Data(contentsOf: Self.file))
        #expect(dashboard.title == "Backpressure" && dashboard.panels.count >= 12)
        #expect(Set(dashboard.panels.map(\.id)).count == dashboard.panels.count)
        for panel in dashboard.panels {
            #expect(!panel.targets.isEmpty, "\(panel.title)")
            for target in panel.targets { #expect(!names(in: target.expr).isEmpty, "\(panel.title): \(target.expr)") }
        }
    }

    @Test("every name in it is one that the bridge emits")
    func names_areEmitted() throws {
        let known = Set(Metric.all.flatMap { SeriesNames($0).all } + ["backpressure_fullness"])
        let asked = Set(names(in: try String(contentsOf: Self.file, encoding: .utf8)))
        #expect(asked.count > 20)
        #expect(asked.subtracting(known) == [])
        #expect(names(in: "rate(backpressure_sent_total{a=\"b\"}[1m])") == ["backpressure_sent_total"])
        #expect(!known.contains("backpressure_sent"))
    }

    @Test("names tell the kind and the unit")
    func names_followTheRule() {
        #expect(SeriesNames(.sent).all == ["backpressure_sent_total"])
        #expect(SeriesNames(.depth, prefix: "bp").all == ["bp_depth"])
        #expect(SeriesNames(.pressureTime).all == ["backpressure_pressure_time_seconds_total"])
        #expect(SeriesNames(.oldestWait).value == "backpressure_oldest_wait_seconds")
        #expect(
            SeriesNames(.waitTime).all == [
                "backpressure_wait_time_seconds", "backpressure_wait_time_seconds_sum",
                "backpressure_wait_time_seconds_count", "backpressure_wait_time_timer",
            ])
        let all = Metric.all.flatMap { SeriesNames($0).all }
        #expect(Set(all).count == all.count)
    }
}
