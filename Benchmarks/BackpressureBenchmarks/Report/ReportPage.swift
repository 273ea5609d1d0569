// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The report as one page: everything is in it, nothing is fetched, nothing runs. Its colours follow the reader's theme.

struct ReportPage: Sendable {
    let suites: [String]
    let machine: Machine
    let results: [RowResult]
    let gates: [Gate]
    let scenarios: [ServiceReport]

    /// Writes `index.html` into a folder, which is made if need be.
    func write(to folder: String) throws(PlatformError) {
        let path = folder + "/index.html"
        switch Platform.openForWriting(path) {
        case .failure(let error): throw error
        case .success(let descriptor):
            Platform.write(html, to: descriptor)
            Platform.closeFile(descriptor)
        }
    }

    var html: String {
        let head = """
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>backpressure-bench</title>
            <style>
            \(Self.style)
            </style>
            """
        let body = ([header] + scenarios.map(ScenarioPictures.section) + [bars, gateTable]).joined(separator: "\n")
        return
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n\(head)\n</head>\n<body>\n<main>\n\(body)\n</main>\n</body>\n</html>\n"
    }

    private var header: String {
        let facts = [
            ("suites", suites.joined(separator: ", ")),
            ("machine", "\(machine.cpu), \(machine.cores) cores, \(machine.operatingSystem)"),
            ("toolchain", String(Machine.toolchain.prefix { $0 != "(" })), ("commit", Machine.commit ?? "unknown"),
        ]
        let list = facts.map { Markup.element("dt", [], $0.0) + Markup.element("dd", [], Markup.escaped($0.1)) }
        return Markup.element("h1", [], "backpressure-bench") + "\n" + Markup.element("dl", [], list.joined())
    }

    private var bars: String {
        let own = Set(scenarios.map(\.scenario))
        let charts = BarChart.charts(of: results).filter { !own.contains($0.section) }
        guard !charts.isEmpty else { return "" }
        var parts = [
            Markup.element("h2", [], "Rows against their floors"),
            Markup.element(
                "p", [],
                "Bars are medians, the thin line goes from the best to the worst round. Contenders of a row took turns in one "
                    + "process."),
            Markup.element(
                "ul", [("class", "legend")],
                [("ours", "this library"), ("rival", "other contenders"), ("floor", "floor")].map { style, title in
                    Markup.element(
                        "li", [],
                        Markup.drawing(
                            width: 26, height: 10, title: title,
                            Markup.rectangle(x: 1, y: 1, width: 24, height: 8, style: style))
                            + Markup.element("span", [], title))
                }.joined()),
        ]
        var sections: [String] = []
        for (section, _) in charts where !sections.contains(section) { sections.append(section) }
        for section in sections {
            parts.append(Markup.element("h3", [], Markup.escaped(section)))
            let cards = charts.filter { $0.section == section }.map {
                ScenarioPictures.card(title: $0.chart.title, $0.chart.svg)
            }
            parts.append(ScenarioPictures.grid(cards))
        }
        return Markup.element("section", [], parts.joined(separator: "\n"))
    }

    private var gateTable: String {
        if gates.isEmpty { return "" }
        let rows = gates.map { gate in
            let verdict = gate.verdict == .ok ? "ok" : "missed"
            return Markup.element(
                "tr", [],
                Markup.element("td", [], Markup.escaped(gate.name))
                    + Markup.element("td", [], Markup.escaped(gate.figure))
                    + Markup.element("td", [], Markup.escaped(gate.bound))
                    + Markup.element("td", [("class", verdict)], verdict))
        }
        let head = Markup.element(
            "tr", [], ["gate", "figure", "bound", "verdict"].map { Markup.element("th", [], $0) }.joined())
        let table = Markup.element("table", [("class", "gates")], head + rows.joined(separator: "\n"))
        return Markup.element(
            "section", [],
            Markup.element("h2", [], "Bounds") + Markup.element("div", [("class", "scroll"), ("tabindex", "0")], table))
    }

    /// Colours that people with any colour vision tell apart, and dashes.
    ///
    /// After M. Okabe, K. Ito, "Color Universal Design", 2008.
    private static let style = """
        :root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1c1d20; --soft: #5c6067; --rule: #d9dbde;
          --grid: #e6e7e9; --shade: #f3ead9; --nothing: #6f737a; --unbounded: #c04a00; --reject: #a87400; --codel: #a8457f;
          --adaptive: #0068a8; --full: #00795a; --ours: #00795a; --rival: #8d9299; --floor: #c9ccd1; --bad: #b3261e; }
        @media (prefers-color-scheme: dark) { :root { --page: #131416; --card: #1b1d20; --ink: #e8e9eb; --soft: #a3a8b0;
          --rule: #34373c; --grid: #2b2e33; --shade: #332b1c; --nothing: #9aa0a8; --unbounded: #ff8a4a; --reject: #e8b33c;
          --codel: #e58fc0; --adaptive: #5ab4f0; --full: #3fcf9f; --ours: #3fcf9f; --rival: #767c85; --floor: #464a51;
          --bad: #ff8d85; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
          "DejaVu Sans", sans-serif; }
        main { max-width: 1200px; margin: 0 auto; padding: 24px 16px 64px; }
        h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 20px; margin: 40px 0 8px; } h3 { font-size: 16px; margin: 24px 0 8px; }
        p { margin: 0 0 12px; max-width: 72ch; color: var(--soft); }
        dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; font-size: 13px; }
        dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
        .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px; }
        figure { margin: 0; padding: 12px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
        figcaption { font-size: 13px; font-weight: 600; margin: 0 0 6px; overflow-wrap: anywhere; }
        figure > svg { display: block; width: 100%; height: auto; max-width: 420px; }
        svg text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
        svg text.axis { fill: var(--soft); } svg text.strong { font-weight: 600; }
        .grid-line, .grid line.grid { stroke: var(--grid); } .tick { stroke: var(--soft); } .whisker { stroke: var(--ink); stroke-width: 1; opacity: .55; }
        .shade { fill: var(--shade); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; } .frame { stroke: none; }
        .offered { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 2; }
        .ours { fill: var(--ours); } .rival { fill: var(--rival); } .floor { fill: var(--floor); }
        .v-nothing { stroke: var(--nothing); stroke-dasharray: 2 3; } .v-unbounded { stroke: var(--unbounded); stroke-dasharray: 6 3; }
        .v-reject { stroke: var(--reject); stroke-dasharray: 9 3 2 3; } .v-codel { stroke: var(--codel); stroke-dasharray: 4 2; }
        .v-adaptive { stroke: var(--adaptive); } .v-full { stroke: var(--full); stroke-width: 3; }
        figure .marker { fill: var(--card); stroke-width: 1.5; stroke-dasharray: none; }
        figure polyline.line.v-nothing, figure polyline.line.v-unbounded, figure polyline.line.v-reject, figure polyline.line.v-codel { stroke-width: 2; }
        .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 12px; padding: 0; font-size: 13px; }
        .legend li { display: flex; align-items: center; gap: 6px; }
        .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
        th, td { padding: 3px 10px 3px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
        th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
        .gates td:first-child { white-space: normal; min-width: 200px; overflow-wrap: anywhere; }
        .ok { color: var(--full); } .missed { color: var(--bad); font-weight: 600; }
        """
}
