// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Lines over one axis. The title of the vertical axis stands above the drawing and that of the horizontal one below it,
// so that neither meets the labels of the marks.

/// A line with the class that colours it.
struct Series: Sendable {
    let style: String
    let points: [(x: Double, y: Double)]
    /// Circles at the points, where there are few.
    var hasMarkers = false
}

/// One drawing area with its axes.
struct LineChart: Sendable {
    static let width = 340.0
    private static let left = 46.0
    private static let right = 328.0

    var title: String
    var height = 150.0
    var verticalTitle: String
    /// Nil for an area that shares the axis of the one below it.
    var horizontalTitle: String?
    var isLogarithmic = false
    /// The marks of the horizontal axis, with equal distances if they are doublings.
    var horizontalMarks: [Double] = []
    var isDoubling = false
    /// From where to where the background is marked.
    var shade: ClosedRange<Double>?
    var series: [Series]

    var totalHeight: Double { height + (horizontalTitle == nil ? 30 : 62) }

    var svg: String { Markup.drawing(width: Self.width, height: totalHeight, title: title, body(top: 0)) }

    /// The drawing as part of a greater one that begins at `top`.
    func body(top: Double) -> String {
        let areaTop = top + 22
        let areaBottom = areaTop + height
        let values = series.flatMap { $0.points.map(\.y) }
        let vertical =
            isLogarithmic
            ? Scale.logarithmic(values, from: areaBottom, to: areaTop)
            : Scale.linear(values, from: areaBottom, to: areaTop)
        let horizontal = horizontalScale()
        var parts = [Markup.text(verticalTitle, x: 0, y: top + 12, style: "axis")]
        if let shade {
            let (x1, x2) = (horizontal(shade.lowerBound), horizontal(shade.upperBound))
            parts.append(Markup.rectangle(x: x1, y: areaTop, width: x2 - x1, height: height, style: "shade"))
        }
        for mark in vertical.marks {
            let y = vertical.place(mark)
            parts.append(Markup.line(x1: Self.left, y1: y, x2: Self.right, y2: y, style: "grid"))
            parts.append(Markup.text(Scale.label(mark), x: Self.left - 6, y: y + 4, anchor: "end"))
        }
        for line in series { parts += draw(line, horizontal, vertical) }
        if let horizontalTitle {
            for mark in horizontalMarks {
                let x = horizontal(mark)
                parts.append(Markup.line(x1: x, y1: areaBottom, x2: x, y2: areaBottom + 4, style: "tick"))
                parts.append(Markup.text(Scale.label(mark), x: x, y: areaBottom + 17, anchor: "middle"))
            }
            parts.append(Markup.text(horizontalTitle, x: Self.right, y: areaBottom + 34, anchor: "end", style: "axis"))
        }
        return parts.joined()
    }

    private func horizontalScale() -> (Double) -> Double {
        let xs = series.flatMap { $0.points.map(\.x) } + horizontalMarks
        let (low, high) = (xs.min() ?? 0, xs.max() ?? 1)
        // Room for the first and the last label.
        let inset = isDoubling ? 14.0 : 0
        let isDoubling = isDoubling
        return { value in
            let part: Double
            if high <= low {
                part = 0.5
            } else if isDoubling, low > 0, value > 0 {
                part = Logarithm.natural(value / low) / Logarithm.natural(high / low)
            } else {
                part = (value - low) / (high - low)
            }
            return Self.left + inset + (Self.right - Self.left - 2 * inset) * min(max(part, 0), 1)
        }
    }

    private func draw(_ series: Series, _ horizontal: (Double) -> Double, _ vertical: Scale) -> [String] {
        let places = series.points.map { (horizontal($0.x), vertical.place($0.y)) }
        let path = places.map { "\(Markup.place($0.0)),\(Markup.place($0.1))" }.joined(separator: " ")
        var parts = [Markup.element("polyline", [("points", path), ("class", "line \(series.style)")])]
        if series.hasMarkers {
            parts += places.map { place in
                Markup.element(
                    "circle",
                    [
                        ("cx", Markup.place(place.0)), ("cy", Markup.place(place.1)), ("r", "3"),
                        ("class", "marker \(series.style)"),
                    ])
            }
        }
        return parts
    }
}
