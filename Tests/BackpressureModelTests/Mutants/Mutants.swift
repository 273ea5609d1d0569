// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Mutants, made mechanically: at every place of the named files that reports a step or a test, every operator that
// fits it, one at a time, chosen at run time.
//
// operator     at                                       what it does
// relaxed      loads, stores, read-modify-writes        the ordering is weakened
// withoutX     read-modify-writes                       it no longer acquires, or no longer releases
// skip         stores, read-modify-writes               a flag is not set, a wake is dropped, a slot not handed over
// delay        stores                                   the store changes places with the thread's next step
// oneMore      loads, stores, read-modify-writes        a position, a stamp or a limit is off by one
// forceTrue/   tests (`decide`)                         a flag test or comparison is dropped; a re-grant or a promotion
// forceFalse                                            does not happen, or happens too often

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import Foundation
    import ModelChecker

    struct Mutant: Hashable, Sendable, CustomStringConvertible {
        let file: String
        let line: UInt
        let kind: OperationKind
        let effect: Mutation.Effect

        var description: String { "\(file):\(line) \(kind) \(effect.rawValue)" }

        var mutation: Mutation { Mutation(file: file, line: line, kind: kind, effect) }

        /// What `description` says.
        init?(_ description: String) {
            let parts = description.split(whereSeparator: { $0 == " " || $0 == ":" }).map(String.init)
            guard parts.count == 4, let line = UInt(parts[1]), let effect = Mutation.Effect(rawValue: parts[3]),
                let kind = (0...UInt8(32)).compactMap(OperationKind.init(rawValue:)).first(where: {
                    "\($0)" == parts[2]
                })
            else { return nil }
            (file, self.line, self.kind, self.effect) = (parts[0], line, kind, effect)
        }

        private init(_ site: Site, _ effect: Mutation.Effect) {
            file = site.file.split(separator: "/").last.map(String.init) ?? site.file
            (line, kind, self.effect) = (site.line, site.kind, effect)
        }

        /// Everything that can be done differently at a place.
        ///
        /// What an operator cannot change there is left out: a store has nothing to acquire, and weakening a relaxed
        /// operation changes nothing (its order is read from the source line).
        static func all(at site: Site) -> [Mutant] {
            let text = SourceText.line(site)
            let effects: [Mutation.Effect]
            switch site.kind {
            case .decide: effects = [.forceTrue, .forceFalse]
            case .load: effects = text.contains("Relaxed") ? [.oneMore] : [.relaxed, .oneMore]
            case .store:
                effects = text.contains("Relaxed") ? [.skip, .delay, .oneMore] : [.relaxed, .skip, .delay, .oneMore]
            case .exchange, .compareExchange, .weakCompareExchange, .fetchOr, .fetchAnd, .fetchAdd:
                let orders: [Mutation.Effect] =
                    text.contains("Relaxed")
                    ? []
                    : text.contains("Acquiring") ? [.withoutAcquire, .withoutRelease, .relaxed] : [.withoutRelease]
                effects = orders + [.skip, .oneMore]
            default: effects = []
            }
            return effects.map { Mutant(site, $0) }
        }
    }

    /// Lines of the source under test.
    enum SourceText {
        static let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()

        private static let files: [String: [String]] = {
            var files: [String: [String]] = [:]
            let folder = root.appendingPathComponent("Sources/Backpressure")
            guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else {
                return files
            }
            for case let url as URL in walk where url.pathExtension == "swift" {
                guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
                files[url.lastPathComponent] = text.components(separatedBy: "\n")
            }
            return files
        }()

        static func line(_ site: Site) -> String {
            line(file: site.file.split(separator: "/").last.map(String.init) ?? site.file, site.line)
        }

        static func line(file: String, _ line: UInt) -> String {
            guard let lines = files[file], line >= 1, line <= lines.count else { return "" }
            return lines[Int(line) - 1].trimmingCharacters(in: .whitespaces)
        }
    }
#endif
