// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The page as text, and as a browser lays it out.

import Testing

@testable import BackpressureBenchmarks

@Suite struct ReportPageTests {
    private static let widths = [390, 1280]

    @Test func nothingIsFetchedAndNothingRuns() throws {
        let html = try SampleReport.page().html
        for part in ["<script", "<link", "@import", "url(", "src=", "href=", "http:", "https:", "onload"] {
            #expect(!html.contains(part), "the page has \(part)")
        }
        #expect(html.contains("prefers-color-scheme: dark"))
    }

    @Test func everyDrawingHasUnitsAtItsAxes() throws {
        let html = try SampleReport.page().html
        for title in [
            "good answers per second", "99th percentile, ms (logarithmic)", "answered in time, %",
            "peak of the serving process, MB", "load, times the capacity", "per second: offered (thin), answered",
            "requests waited for (logarithmic)", "p99 latency, ms (logarithmic)", "seconds",
            "x floor, less is better (logarithmic)", "operations per second, more is better", "bytes, less is better",
        ] {
            #expect(html.contains(">\(title)</text>"), "no axis says \(title)")
        }
        #expect(html.contains("Void, because the generator was late: nothing at 4x"))
    }

    @Test func elementsAreClosedAndTextIsEscaped() throws {
        #expect(Markup.escaped("a<b & \"c\"\u{7}") == "a&lt;b &amp; &quot;c&quot;")
        let html = try SampleReport.page().html
        for name in ["svg", "text", "figure", "section", "table", "tr", "td", "ul", "li", "div"] {
            let opened = html.split(separator: "<\(name) ").count - 1 + html.split(separator: "<\(name)>").count - 1
            let closed = html.split(separator: "</\(name)>").count - 1
            #expect(opened == closed && opened > 0, "<\(name)> is opened \(opened) and closed \(closed) times")
        }
    }

    @Test(
        .enabled(if: Chromium.name != nil, "no Chromium on PATH: the layout of the report is not looked at"),
        arguments: widths)
    func noTextMeetsAnother(width: Int) throws {
        let findings = try Chromium.look(at: try SampleReport.page().html, width: width)
        #expect(findings.clientWidth == width)
        #expect(findings.scrollWidth <= findings.clientWidth)
        #expect(findings.texts > 500)
        #expect(findings.complaints.isEmpty, "\(findings.complaints.prefix(20))")
    }

    /// A check that cannot fail would be worse than none.
    @Test(.enabled(if: Chromium.name != nil, "no Chromium on PATH: the layout of the report is not looked at"))
    func plantedFaultsAreFound() throws {
        let html = try SampleReport.page().html
        let fault = """
            <svg width="300" height="40"><text x="10" y="20">planted here</text><text x="40" y="22">and there</text>
            <text x="270" y="20">planted at the edge</text></svg><p style="width:800px">planted beyond the page</p></main>
            """
        let parts = html.split(separator: "</main>", maxSplits: 1)
        try #require(parts.count == 2)
        let findings = try Chromium.look(at: parts[0] + fault + parts[1], width: 390)
        #expect(findings.scrollWidth > findings.clientWidth)
        #expect(findings.complaints.contains("overlap: planted here | and there"))
        #expect(findings.complaints.contains("cut: planted at the edge"))
    }
}

@Suite struct ScaleTests {
    @Test(arguments: [(0.0, 1), (0.7, 4), (1, 4), (3.9, 4), (4.1, 4), (99, 4), (6_400, 4), (1e9, 4)])
    func linearMarksAreRoundAndHoldEveryValue(_ value: Double, _: Int) {
        let scale = Scale.linear([value], from: 100, to: 0)
        #expect(
            scale.high >= value && scale.marks.last == scale.high
                || abs((scale.marks.last ?? 0) / scale.high - 1) < 1e-9)
        #expect((2...6).contains(scale.marks.count), "\(scale.marks)")
        #expect(scale.place(0) == 100 && scale.place(scale.high) == 0)
        #expect(scale.place(-1) == 100 && scale.place(scale.high * 2) == 0)
    }

    @Test func logarithmicMarksArePowers() {
        let scale = Scale.logarithmic([0.03, 250], from: 0, to: 100)
        #expect(scale.marks.map { Scale.label($0) } == ["0.01", "0.1", "1", "10", "100", "1000"])
        #expect(abs(scale.place(1) - 40) < 1e-6)
        #expect(scale.place(0) == 0)
        #expect(Scale.label(0.000_1) == "0.0001")
        #expect(Scale.label(25_000) == "25k")
    }

    @Test func logarithm() {
        #expect(abs(Logarithm.natural(2.718_281_828_459_045) - 1) < 1e-12)
        #expect(Logarithm.natural(1) == 0)
        #expect(abs(Logarithm.natural(1e-9) + 20.723_265_836_946_41) < 1e-9)
        #expect(abs(Logarithm.natural(12_345) - 9.421_006_401_779_8) < 1e-9)
    }
}
