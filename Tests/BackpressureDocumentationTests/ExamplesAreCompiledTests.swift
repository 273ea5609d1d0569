// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every example of README.md, of the DocC articles and of the documentation comments stands, word for word, in one of
// the files named *Examples.swift of this folder, where it is compiled and run. Examples of what only a trait brings in
// stand in such a file of BackpressureMetricsTests, which the builds with traits run.

import Foundation
import Testing

@Suite("Examples are compiled")
struct ExamplesAreCompiledTests {
    @Test("every example of README.md is run by a test")
    func readme() throws {
        let text = try String(contentsOf: repository.appending(path: "README.md"), encoding: .utf8)
        let blocks = swiftBlocks(ofMarkdown: text)
        #expect(!blocks.isEmpty)
        try check(blocks, of: "README.md")
    }

    @Test("every example of the DocC articles is run by a test")
    func articles() throws {
        let articles = try files(under: "Sources", named: ".md")
        var count = 0
        for article in articles {
            let blocks = swiftBlocks(ofMarkdown: try String(contentsOf: article, encoding: .utf8))
            try check(blocks, of: article.lastPathComponent)
            count += blocks.count
        }
        #expect(count > 0)
    }

    @Test("every example of a documentation comment is run by a test")
    func comments() throws {
        let sources = try files(under: "Sources", named: ".swift")
        var count = 0
        for source in sources {
            let blocks = swiftBlocks(ofComments: try String(contentsOf: source, encoding: .utf8))
            try check(blocks, of: source.lastPathComponent)
            count += blocks.count
        }
        #expect(count > 0)
    }

    // MARK: - The check itself

    @Test("a block is found whatever its indentation, and not when a word differs")
    func blockIsFound() throws {
        let text = "Text\n\n```swift\nlet a = 1\n\nif a > 0 {\n    f()\n}\n```\n\n```\nnot swift\n```\n"
        let block = try #require(swiftBlocks(ofMarkdown: text).first)
        #expect(swiftBlocks(ofMarkdown: text).count == 1)
        #expect(block.line == 3)
        #expect(block.stands(in: "func t() {\n    let a = 1\n\n    if a > 0 {\n        f()\n    }\n}\n"))
        #expect(!block.stands(in: "func t() {\n    let a = 2\n\n    if a > 0 {\n        f()\n    }\n}\n"))
        #expect(!block.stands(in: "func t() {\n    let a = 1\n    if a > 0 {\n        f()\n    }\n}\n"))
        #expect(!block.stands(in: ""))
        #expect(!SwiftBlock(line: 1, code: []).stands(in: "anything"))
    }

    @Test("a block of a comment is found among other lines")
    func blockOfComment() {
        let source = "    /// Words.\n    ///\n    /// ```swift\n    /// f()\n    /// ```\n    func g() {}\n"
        #expect(swiftBlocks(ofComments: source) == [SwiftBlock(line: 3, code: ["f()"])])
    }

    // MARK: - Files

    private var folder: URL { URL(filePath: #filePath).deletingLastPathComponent() }

    private var repository: URL { folder.deletingLastPathComponent().deletingLastPathComponent() }

    private func files(under path: String, named suffix: String) throws -> [URL] {
        let root = repository.appending(path: path)
        let found = try #require(FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil))
        return found.compactMap { $0 as? URL }.filter { $0.lastPathComponent.hasSuffix(suffix) }
    }

    private func check(_ blocks: [SwiftBlock], of name: String) throws {
        let folders = ["Tests/BackpressureDocumentationTests", "Tests/BackpressureMetricsTests"]
        let examples = try folders.flatMap { try files(under: $0, named: "Examples.swift") }
            .map { try String(contentsOf: $0, encoding: .utf8) }
        for block in blocks {
            let isCompiled = examples.contains { block.stands(in: $0) }
            #expect(isCompiled, "the example at \(name):\(block.line) stands in no *Examples.swift")
        }
    }
}
