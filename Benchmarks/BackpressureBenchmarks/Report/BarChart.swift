// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contenders of one row as bars: multiples of the row's floor where it has one, else the figure itself. The name and the
// figure stand above each bar, so that a long name meets nothing.

struct BarChart: Sendable {
    private static let width = LineChart.width
    private static let pitch = 34.0
    private static let longestName = 34

    /// One contender.
    struct Bar: Sendable {
        let name: String
        let value: Double
        /// The best and the worst round.
        let range: ClosedRange<Double>
        let figure: String
        let style: String
    }

    let title: String
    let unit: String
    let bars: [Bar]

    /// The chart of all results of one row; nil if there is nothing to draw.
    init?(_ results: [RowResult]) {
        guard let first = results.first else { return nil }
        let hasFloor = results.contains { $0.ratioToFloor != nil && !$0.isFloor }
        let parameters = Report.text(of: Self.withoutFairness(first.parameters))
        title = first.name + (parameters.isEmpty ? "" : " (\(parameters))")
        unit =
            hasFloor
            ? "x floor, less is better"
            : first.unit == .operationsPerSecond
                ? "operations per second, more is better" : "\(first.unit.rawValue), less is better"
        bars = results.compactMap { result in
            let floor = result.floor ?? 0
            func converted(_ value: Double) -> Double {
                hasFloor ? result.unit.ratio(of: value, toFloor: floor) ?? 0 : value
            }
            let value = hasFloor ? result.ratioToFloor ?? 0 : result.statistics.median
            guard value.isFinite, value >= 0 else { return nil }
            let ends = [converted(result.statistics.min), converted(result.statistics.max)].map { max($0, 0) }
            let figure = "\(Text.short(result.statistics.median)) \(result.unit.rawValue)"
            let fairness = result.parameters.fairness.map { " \($0)" } ?? ""
            return Bar(
                name: result.contender + fairness + (result.isFloor ? " (floor)" : ""), value: value,
                range: min(ends[0], ends[1])...max(ends[0], ends[1]),
                figure: hasFloor ? "\(Text.number(value, digits: 2))x · \(figure)" : figure,
                style: result.isOurs ? "ours" : result.isFloor ? "floor" : "rival")
        }
        if bars.isEmpty { return nil }
    }

    private static func withoutFairness(_ parameters: Parameters) -> Parameters {
        var parameters = parameters
        parameters.fairness = nil
        return parameters
    }

    /// One chart per row, in the order of the report.
    static func charts(of results: [RowResult]) -> [(section: String, chart: BarChart)] {
        var order: [String] = []
        var groups: [String: [RowResult]] = [:]
        for result in results {
            let key = result.name + "\n" + Report.text(of: withoutFairness(result.parameters))
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(result)
        }
        return order.compactMap { key in
            guard let group = groups[key], let chart = BarChart(group) else { return nil }
            return (String(group[0].name.prefix { $0 != "." }), chart)
        }
    }

    var svg: String {
        let values = bars.map(\.value)
        // A bar of one part in twenty can still be seen; beyond that only powers can.
        let isLogarithmic = (values.max() ?? 0) > 20 * (values.filter { $0 > 0 }.min() ?? 1)
        let bottom = 8 + Double(bars.count) * Self.pitch
        let scale =
            isLogarithmic
            ? Scale.logarithmic(values.map { $0 * 0.999 }, from: 2, to: Self.width - 14)
            : Scale.linear(values, from: 2, to: Self.width - 14)
        var parts: [String] = []
        for mark in scale.marks {
            let x = scale.place(mark)
            parts.append(Markup.line(x1: x, y1: 4, x2: x, y2: bottom, style: "grid"))
        }
        for (index, bar) in bars.enumerated() {
            let y = 8 + Double(index) * Self.pitch
            let name =
                bar.name.count > Self.longestName ? String(bar.name.prefix(Self.longestName - 1)) + "…" : bar.name
            parts.append(Markup.text(name, x: 2, y: y + 11, style: bar.style == "ours" ? "strong" : nil))
            parts.append(Markup.text(bar.figure, x: Self.width, y: y + 11, anchor: "end"))
            let length = scale.place(bar.value) - 2
            parts.append(Markup.rectangle(x: 2, y: y + 16, width: max(length, 1), height: 9, style: bar.style))
            let (low, high) = (scale.place(bar.range.lowerBound), scale.place(bar.range.upperBound))
            parts.append(Markup.line(x1: low, y1: y + 20.5, x2: high, y2: y + 20.5, style: "whisker"))
        }
        let marks = scale.marks.enumerated().filter { index, mark in
            // A label needs its room.
            index == 0 || scale.place(mark) - scale.place(scale.marks[index - 1]) >= 34 || index % 2 == 0
        }
        for (index, mark) in marks {
            parts.append(
                Markup.text(
                    Scale.label(mark), x: scale.place(mark), y: bottom + 14, anchor: index == 0 ? "start" : "middle"))
        }
        let kind = unit + (isLogarithmic ? " (logarithmic)" : "")
        parts.append(Markup.text(kind, x: Self.width, y: bottom + 31, anchor: "end", style: "axis"))
        return Markup.drawing(width: Self.width, height: bottom + 38, title: title, parts.joined())
    }
}
