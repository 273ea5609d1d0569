// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The pictures of a service scenario: what each variant makes of each load, and the course of a spike.

enum ScenarioPictures {
    static func section(_ report: ServiceReport) -> String {
        let variants = ServiceVariant.allCases.filter { variant in report.outcomes.contains { $0.variant == variant } }
        let capacity = Text.number(report.settings.capacity, digits: 0)
        let objective = Text.number(Double(report.settings.objective) / 1e6, digits: 0)
        var parts = [
            Markup.element("h2", [], Markup.escaped(title(report.scenario))),
            Markup.element(
                "p", [],
                "The downstream can do \(capacity) requests per second. Good is an answer within \(objective) ms of the "
                    + "moment at which the request was due; latency counts from that moment, too."),
            legend(variants),
        ]
        let void = report.outcomes.filter { !$0.isValid }
        if !void.isEmpty {
            let list = void.map { "\($0.variant.title) at \($0.loadTitle)" }.joined(separator: ", ")
            parts.append(
                Markup.element(
                    "p", [("class", "missed")], "Void, because the generator was late: \(Markup.escaped(list))."))
        }
        if report.outcomes.contains(where: { $0.factor != nil }) {
            parts.append(Markup.element("h3", [], "Over load"))
            parts.append(grid(loads(report, variants).map { card(title: $0.title, $0.svg) }))
        }
        let spikes = report.outcomes.filter { $0.factor == nil }
        if !spikes.isEmpty {
            parts.append(Markup.element("h3", [], "The spike over time"))
            parts.append(
                Markup.element(
                    "p", [],
                    "Shaded: four times the capacity; before and after it, half. All areas of a kind have one scale."))
            parts.append(grid(spikes.map { card(title: $0.variant.title, course($0, beside: spikes)) }))
        }
        parts.append(Markup.element("h3", [], "Figures"))
        parts.append(table(report))
        return Markup.element("section", [], parts.joined(separator: "\n"))
    }

    private static func title(_ scenario: String) -> String {
        scenario == HTTPOverload.name ? "An HTTP service under overload" : "A spike, in process"
    }

    static func style(_ variant: ServiceVariant) -> String { "v-\(variant.rawValue)" }

    static func card(title: String, _ drawing: String) -> String {
        Markup.element("figure", [], Markup.element("figcaption", [], Markup.escaped(title)) + drawing)
    }

    static func grid(_ cards: [String]) -> String {
        Markup.element("div", [("class", "grid")], cards.joined(separator: "\n"))
    }

    private static func legend(_ variants: [ServiceVariant]) -> String {
        let items = variants.map { variant in
            Markup.element(
                "li", [],
                Markup.drawing(
                    width: 26, height: 10, title: variant.title,
                    Markup.element("polyline", [("points", "1,5 25,5"), ("class", "line \(style(variant))")]))
                    + Markup.element("span", [], Markup.escaped(variant.title)))
        }
        return Markup.element("ul", [("class", "legend")], items.joined())
    }

    // MARK: Over load

    private static func loads(_ report: ServiceReport, _ variants: [ServiceVariant]) -> [LineChart] {
        let factors = Array(Set(report.outcomes.compactMap(\.factor))).sorted()
        func chart(
            _ title: String, _ vertical: String, logarithmic: Bool = false, _ value: (ServiceOutcome) -> Double?
        ) -> LineChart {
            let series = variants.map { variant in
                Series(
                    style: style(variant),
                    points: factors.compactMap { factor in
                        report.outcome(variant, factor).flatMap { $0.isValid ? $0 : nil }.flatMap(value).map {
                            (factor, $0)
                        }
                    }, hasMarkers: true)
            }
            return LineChart(
                title: title, verticalTitle: vertical, horizontalTitle: "load, times the capacity",
                isLogarithmic: logarithmic, horizontalMarks: factors, isDoubling: true, series: series)
        }
        return [
            chart("Goodput", "good answers per second") { $0.summary.goodput },
            chart("Latency", "99th percentile, ms (logarithmic)", logarithmic: true) { $0.summary.p99 * 1e3 },
            chart("Critical requests", "answered in time, %") { $0.summary.criticalSuccess * 100 },
            chart("Memory", "peak of the serving process, MB") { $0.peakBytes.map { Double($0) / 1_048_576 } },
        ]
    }

    // MARK: Over time

    private static func course(_ outcome: ServiceOutcome, beside all: [ServiceOutcome]) -> String {
        let bins = outcome.summary.bins
        let everyBin = all.flatMap(\.summary.bins)
        let offeredMost = everyBin.map { max($0.offered, $0.answered) }.max() ?? 1
        let depthMost = everyBin.map(\.depth).max() ?? 1
        let latencies = everyBin.compactMap(\.latency).filter { $0 > 0 }.map { $0 * 1e3 }
        // An invisible line through the extremes gives all variants the same scale.
        func frame(_ values: [Double]) -> Series {
            Series(style: "frame", points: values.map { (bins.first?.start ?? 0, $0) })
        }
        let half = offeredMost / 2
        let loaded = bins.filter { $0.offered > half }
        let width = bins.count > 1 ? bins[1].start - bins[0].start : 0
        let shade = loaded.first.flatMap { first in loaded.last.map { first.start...($0.start + width) } }
        let end = (bins.last?.start ?? 1)
        let step = Scale.roundStep(end, marks: 5)
        let marks = stride(from: 0, through: end, by: step).map { $0 }
        let colour = style(outcome.variant)
        let charts = [
            LineChart(
                title: outcome.variant.title, height: 90, verticalTitle: "per second: offered (thin), answered",
                shade: shade,
                series: [
                    frame([0, offeredMost]), Series(style: "offered", points: bins.map { ($0.start, $0.offered) }),
                    Series(style: colour, points: bins.map { ($0.start, $0.answered) }),
                ]),
            LineChart(
                title: outcome.variant.title, height: 70, verticalTitle: "requests waited for (logarithmic)",
                isLogarithmic: true, shade: shade,
                series: [
                    frame([1, max(depthMost, 1)]),
                    Series(style: colour, points: bins.map { ($0.start, max($0.depth, 1)) }),
                ]),
            LineChart(
                title: outcome.variant.title, height: 70, verticalTitle: "p99 latency, ms (logarithmic)",
                horizontalTitle: "seconds", isLogarithmic: true, horizontalMarks: marks, shade: shade,
                series: [
                    frame([latencies.min() ?? 1, latencies.max() ?? 1]),
                    Series(
                        style: colour, points: bins.compactMap { bin in bin.latency.map { (bin.start, $0 * 1e3) } }),
                ]),
        ]
        var (top, parts) = (0.0, [String]())
        for chart in charts {
            parts.append(chart.body(top: top))
            top += chart.totalHeight
        }
        return Markup.drawing(
            width: LineChart.width, height: top, title: "The spike over time: \(outcome.variant.title)", parts.joined())
    }

    // MARK: Figures

    private static func table(_ report: ServiceReport) -> String {
        let heads = [
            "variant", "load", "goodput/s", "p50 ms", "p99 ms", "p99.9 ms", "rejected", "no answer", "critical",
            "peak MB",
            "recovery", "cpu",
        ]
        func percent(_ part: Double) -> String { Text.number(part * 100, digits: 0) + " %" }
        let rows = report.outcomes.map { outcome -> [String] in
            let summary = outcome.summary
            return [
                outcome.variant.title, outcome.loadTitle, Text.number(summary.goodput, digits: 0),
                Text.short(summary.p50 * 1e3), Text.short(summary.p99 * 1e3), Text.short(summary.p999 * 1e3),
                percent(summary.rejectedPart), percent(summary.lostPart), percent(summary.criticalSuccess),
                outcome.peakBytes.map { Text.number(Double($0) / 1_048_576, digits: 1) } ?? "-",
                outcome.factor != nil
                    ? "-" : summary.recovery.map { Text.number($0, digits: 2) + " s" } ?? "not in run",
                percent(outcome.processorPart),
            ]
        }
        func row(_ cells: [String], _ name: String) -> String {
            Markup.element("tr", [], cells.map { Markup.element(name, [], Markup.escaped($0)) }.joined())
        }
        let body = row(heads, "th") + rows.map { row($0, "td") }.joined(separator: "\n")
        return Markup.element("div", [("class", "scroll"), ("tabindex", "0")], Markup.element("table", [], body))
    }
}
