// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Finds the Swift blocks of a text, and finds them again in a source file.

/// A fenced block of Swift code.
struct SwiftBlock: Equatable {
    /// The line of the opening fence, counted from 1.
    let line: Int
    /// The lines between the fences, without their indentation.
    let code: [Substring]

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
    var open: (line: Int, code: [Substring])?
    var isInOtherBlock = false
    for (index, line) in lines(of: text).map(withoutMargins).enumerated() {
        if let block = open {
            if line == "```" {
                blocks.append(SwiftBlock(line: block.line, code: block.code))
                open = nil
            } else {
                open = (block.line, block.code + [line])
            }
        } else if line.hasPrefix("```") {
            if !isInOtherBlock, line == "```swift" {
                open = (index + 1, [])
            } else {
                isInOtherBlock.toggle()
            }
        }
    }
    return blocks
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
