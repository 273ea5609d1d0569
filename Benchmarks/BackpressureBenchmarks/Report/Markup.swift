// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// HTML and SVG as text: elements with escaped attributes and contents.

enum Markup {
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default:
                // HTML knows no other control characters than white space.
                if scalar.value >= 0x20 || scalar == "\n" || scalar == "\t" { result.unicodeScalars.append(scalar) }
            }
        }
        return result
    }

    /// An element; the contents are markup already.
    static func element(_ name: String, _ attributes: [(String, String)] = [], _ contents: String? = nil) -> String {
        let list = attributes.map { " \($0.0)=\"\(escaped($0.1))\"" }.joined()
        return contents.map { "<\(name)\(list)>\($0)</\(name)>" } ?? "<\(name)\(list)/>"
    }

    /// A coordinate: a tenth of a pixel is enough.
    static func place(_ value: Double) -> String { Text.number(value, digits: 1) }

    static func text(
        _ text: String, x: Double, y: Double, anchor: String = "start", style: String? = nil
    ) -> String {
        var attributes = [("x", place(x)), ("y", place(y))]
        if anchor != "start" { attributes.append(("text-anchor", anchor)) }
        if let style { attributes.append(("class", style)) }
        return element("text", attributes, escaped(text))
    }

    static func line(x1: Double, y1: Double, x2: Double, y2: Double, style: String) -> String {
        element(
            "line",
            [("x1", place(x1)), ("y1", place(y1)), ("x2", place(x2)), ("y2", place(y2)), ("class", style)])
    }

    static func rectangle(x: Double, y: Double, width: Double, height: Double, style: String) -> String {
        element(
            "rect",
            [
                ("x", place(x)), ("y", place(y)), ("width", place(max(width, 0))), ("height", place(max(height, 0))),
                ("class", style),
            ])
    }

    /// A drawing of so many pixels, which shrinks with its column and does not grow beyond its size.
    static func drawing(width: Double, height: Double, title: String, _ contents: String) -> String {
        element(
            "svg",
            [
                ("viewBox", "0 0 \(place(width)) \(place(height))"), ("width", place(width)), ("height", place(height)),
                ("role", "img"), ("aria-label", title),
            ], contents)
    }
}
