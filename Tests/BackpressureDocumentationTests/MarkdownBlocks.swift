// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Finds the Swift blocks of a text, and finds them again in a source file.

/// A fenced block of Swift code.
struct SwiftBlock: Equatable {
    /// The line of the opening fence, counted from 1.
    let line: Int
    /// The lines between the fences, without their indentation.
    let code: [Substring]
    /// Why the block is no example, if the line before it says so: `<!-- fragment: REASON -->`.
    var fragmentReason: String?

    /// Whether the block stands in `source`, line for line, indentation aside.
    func stands(in source: String) -> Bool {
        let given = lines(of: source).map(withoutMargins)
        guard !code.isEmpty, code.count <= given.count else { return false }
        return (0...(given.count - code.count)).contains { start in
            given[start..<(start + code.count)].elementsEqual(code)
        }
    }
}

/// The blocks of a Markdown text.
func swiftBlocks(ofMarkdown text: String) -> [SwiftBlock] {
    var blocks: [SwiftBlock] = []
    var open: (line: Int, code: [Substring], reason: String?)?
    var isInOtherBlock = false
    var previous: Substring = ""
    for (index, line) in lines(of: text).map(withoutMargins).enumerated() {
        if let block = open {
            if line == "```" {
                blocks.append(SwiftBlock(line: block.line, code: block.code, fragmentReason: block.reason))
                open = nil
            } else {
                open = (block.line, block.code + [line], block.reason)
            }
        } else if line.hasPrefix("```") {
            if !isInOtherBlock, line == "```swift" {
                open = (index + 1, [], fragmentReason(of: previous))
            } else {
                isInOtherBlock.toggle()
            }
        }
        previous = line
    }
    return blocks
}

/// What the mark of a fragment gives as its reason; nil for any other line.
private func fragmentReason(of line: Substring) -> String? {
    let (start, end) = ("<!-- fragment:", "-->")
    guard line.hasPrefix(start), line.hasSuffix(end) else { return nil }
    return String(withoutMargins(line.dropFirst(start.count).dropLast(end.count)))
}

/// The names of the code files that a tutorial shows.
func codeFiles(ofTutorial text: String) -> [String] {
    lines(of: text).map(withoutMargins).filter { $0.hasPrefix("@Code(") }.compactMap { line in
        let arguments = line.dropFirst("@Code(".count).split(separator: ",").map(withoutMargins)
        return arguments.first { $0.hasPrefix("file:") }
            .map { String(withoutMargins($0.dropFirst("file:".count).prefix { $0 != ")" })) }
    }
}

/// The blocks of the documentation comments of a Swift source.
func swiftBlocks(ofComments source: String) -> [SwiftBlock] {
    let comments = lines(of: source).map { line in
        let line = withoutMargins(line)
        return line.hasPrefix("///") ? String(line.dropFirst(3)) : ""
    }
    return swiftBlocks(ofMarkdown: comments.joined(separator: "\n"))
}

private func lines(of text: String) -> [Substring] {
    text.split(separator: "\n", omittingEmptySubsequences: false)
}

private func withoutMargins(_ line: Substring) -> Substring {
    var line = line.drop(while: \.isWhitespace)
    while line.last?.isWhitespace == true { line.removeLast() }
    return line
}
