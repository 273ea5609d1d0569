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
        printCount(blocks, of: "README.md")
    }

    @Test("every example of the DocC articles is run by a test")
    func articles() throws {
        let articles = try files(under: "Sources", named: ".md")
        var all: [SwiftBlock] = []
        for article in articles {
            let blocks = swiftBlocks(ofMarkdown: try String(contentsOf: article, encoding: .utf8))
            try check(blocks, of: article.lastPathComponent)
            all += blocks
        }
        #expect(!all.isEmpty)
        printCount(all, of: "articles")
    }

    @Test("every example of a documentation comment is run by a test")
    func comments() throws {
        let sources = try files(under: "Sources", named: ".swift")
        var all: [SwiftBlock] = []
        for source in sources {
            let blocks = swiftBlocks(ofComments: try String(contentsOf: source, encoding: .utf8))
            try check(blocks, of: source.lastPathComponent)
            all += blocks
        }
        #expect(!all.isEmpty)
        printCount(all, of: "documentation comments")
    }

    @Test("every code file of the tutorial is one that is compiled here and run")
    func tutorial() throws {
        let tutorials = try files(under: "Sources", named: ".tutorial")
        let shown = try Set(
            tutorials.flatMap { codeFiles(ofTutorial: try String(contentsOf: $0, encoding: .utf8)) })
        let compiled = try files(under: "Tests/BackpressureDocumentationTests/Tutorial", named: ".swift")
        #expect(!shown.isEmpty)
        #expect(shown == Set(compiled.map(\.lastPathComponent)))

        let runner = try String(contentsOf: folder.appending(path: "TutorialExamples.swift"), encoding: .utf8)
        for file in compiled {
            let text = try String(contentsOf: file, encoding: .utf8)
            let copies = try files(under: "Sources", named: file.lastPathComponent)
            #expect(copies.count == 1, "\(file.lastPathComponent) is in no catalogue")
            for copy in copies {
                let isSame = try String(contentsOf: copy, encoding: .utf8) == text
                #expect(isSame, "\(copy.path()) is not the file that is compiled")
            }
            let functions = text.split(separator: "\n").filter { $0.hasPrefix("func ") }
                .map { $0.dropFirst("func ".count).prefix { $0 != "(" } }
            for function in functions {
                #expect(runner.contains("await \(function)("), "\(function) is not run")
            }
        }
        print("tutorial: \(compiled.count) code files")
    }

    // MARK: - The check itself

    @Test("a fragment is told by its mark, and needs a reason")
    func fragment() {
        let text = "<!-- fragment: no such server -->\n```swift\nf()\n```\n<!-- fragment: -->\n```swift\ng()\n```\n"
        #expect(swiftBlocks(ofMarkdown: text).map(\.fragmentReason) == ["no such server", ""])
        #expect(swiftBlocks(ofMarkdown: "a\n```swift\nf()\n```\n").map(\.fragmentReason) == [nil])
    }

    @Test("code files are found whatever stands beside them")
    func codeFilesAreFound() {
        let text =
            "    @Code(name: \"A\", file: a.swift)\n  @Code(name: \"B\", file: b.swift, previousFile: a.swift)\n@Step {\n"
        #expect(codeFiles(ofTutorial: text) == ["a.swift", "b.swift"])
    }

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

    private func printCount(_ blocks: [SwiftBlock], of place: String) {
        let fragments = blocks.count { $0.fragmentReason != nil }
        print("\(place): \(blocks.count) Swift blocks, \(fragments) of them fragments")
    }

    private func check(_ blocks: [SwiftBlock], of name: String) throws {
        let folders = ["Tests/BackpressureDocumentationTests", "Tests/BackpressureMetricsTests"]
        let examples = try folders.flatMap { try files(under: $0, named: "Examples.swift") }
            .map { try String(contentsOf: $0, encoding: .utf8) }
        for block in blocks {
            if let reason = block.fragmentReason {
                #expect(!reason.isEmpty, "the fragment at \(name):\(block.line) has no reason")
                print("fragment at \(name):\(block.line): \(reason)")
                continue
            }
            let isCompiled = examples.contains { block.stands(in: $0) }
            #expect(isCompiled, "the example at \(name):\(block.line) stands in no *Examples.swift")
        }
    }
}
