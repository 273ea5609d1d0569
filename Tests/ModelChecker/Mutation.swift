// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A planted bug: a place in the source and what is done differently there during one exploration.
//
// A place is a line, or better a snippet of source that occurs exactly once in its file: it moves with the code, and a
// mutant that no longer applies stops the test run instead of passing for ever.

import Foundation

/// A planted bug, given to `Options.mutation`.
public struct Mutation: Sendable, CustomStringConvertible {
    /// What is done differently.
    public enum Effect: String, Sendable, CaseIterable {
        /// Atomic operations of the place become relaxed.
        case relaxed
        /// Atomic operations of the place no longer acquire.
        case withoutAcquire
        /// Atomic operations of the place no longer release.
        case withoutRelease
        /// A `decide` of the place says true.
        case forceTrue
        /// A `decide` of the place says false.
        case forceFalse
        /// A `decide` of the place says the opposite.
        case negate
        /// A store of the place is made only after the thread's next step.
        case delay
        /// A store or a read-modify-write of the place takes one more than it should; a load sees one more.
        case oneMore
        /// A store of the place is left out; a read-modify-write of the place only reads, and says that it succeeded.
        case skip
    }

    /// Why a snippet names no place.
    public struct PlaceError: Error, CustomStringConvertible {
        /// What is wrong with the snippet or the file.
        public let description: String
    }

    /// The file's base name.
    public let file: String
    /// The lines of the place.
    public let lines: ClosedRange<UInt>
    /// What is done differently.
    public let effect: Effect
    /// Only operations of this kind, if given.
    public let kind: OperationKind?

    /// A mutation of what is at `line` of the file with this base name.
    public init(file: String, line: UInt, kind: OperationKind? = nil, _ effect: Effect) {
        self.file = baseName(of: file)
        self.lines = line...line
        self.effect = effect
        self.kind = kind
    }

    /// A mutation of what is at the lines where `snippet` stands, once, in `file` under `Sources/` (or `directory`).
    ///
    /// Traps if there is no such file or no such snippet, or more than one.
    public init(
        file: String, snippet: String, kind: OperationKind? = nil, in directory: String = "Sources", _ effect: Effect
    ) {
        do {
            try self.init(validating: file, snippet: snippet, kind: kind, in: directory, effect)
        } catch {
            fatalError("mutation: \(error)")
        }
    }

    /// As `init(file:snippet:kind:in:_:)`, but throws a `PlaceError`.
    public init(
        validating file: String, snippet: String, kind: OperationKind? = nil, in directory: String = "Sources",
        _ effect: Effect
    ) throws(PlaceError) {
        let source = try Self.source(named: file, in: directory)
        var ranges: [Range<String.Index>] = []
        var rest = source.startIndex..<source.endIndex
        while !snippet.isEmpty, let found = source.range(of: snippet, range: rest) {
            ranges.append(found)
            rest = found.upperBound..<source.endIndex
        }
        guard ranges.count == 1 else {
            throw PlaceError(description: "\"\(snippet)\" stands \(ranges.count) times in \(file), not once")
        }
        let first = UInt(source[..<ranges[0].lowerBound].count { $0 == "\n" }) + 1
        let last = first + UInt(source[ranges[0]].count { $0 == "\n" })
        self.file = baseName(of: file)
        self.lines = first...last
        self.effect = effect
        self.kind = kind
    }

    /// `File.swift:120 relaxed`.
    public var description: String { "\(file):\(lines.lowerBound) \(effect.rawValue)" }

    /// The repository's root, found from where this file was compiled.
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func source(named file: String, in directory: String) throws(PlaceError) -> String {
        let folder = root.appendingPathComponent(directory)
        guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else {
            throw PlaceError(description: "no directory \(folder.path)")
        }
        var found: [URL] = []
        for case let url as URL in walk where url.path.hasSuffix("/" + file) { found.append(url) }
        guard found.count == 1, let source = try? String(contentsOf: found[0], encoding: .utf8) else {
            throw PlaceError(description: "\(found.count) files named \(file) under \(folder.path), not one")
        }
        return source
    }

    /// Whether something is done differently at `site`.
    public func applies(to site: Site) -> Bool {
        guard lines.contains(site.line), baseName(of: site.file) == file, kind == nil || kind == site.kind else {
            return false
        }
        switch site.kind {
        case .decide: return effect == .forceTrue || effect == .forceFalse || effect == .negate
        case .load: return effect == .relaxed || effect == .withoutAcquire || effect == .oneMore
        case .store, .exchange, .compareExchange, .weakCompareExchange, .fetchOr, .fetchAnd, .fetchAdd:
            switch effect {
            case .relaxed, .withoutAcquire, .withoutRelease, .skip, .oneMore: return true
            case .delay: return site.kind == .store
            case .forceTrue, .forceFalse, .negate: return false
            }
        case .lock, .unlock, .pause, .park, .invoke, .respond, .section, .rescue, .plainRead, .plainWrite, .free:
            return false
        }
    }

    func decided(_ condition: Bool) -> Bool {
        switch effect {
        case .forceTrue: true
        case .forceFalse: false
        case .negate: !condition
        case .relaxed, .withoutAcquire, .withoutRelease, .skip, .delay, .oneMore: condition
        }
    }

    func weakened(_ order: MemoryOrder) -> MemoryOrder {
        switch effect {
        case .relaxed: .relaxed
        case .withoutAcquire: order.releases ? .releasing : .relaxed
        case .withoutRelease: order.acquires ? .acquiring : .relaxed
        case .forceTrue, .forceFalse, .negate, .skip, .delay, .oneMore: order
        }
    }
}
