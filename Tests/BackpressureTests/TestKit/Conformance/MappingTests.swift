// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The table of Conformance.md: all tests of the TCK, and no check that does not exist.

import BackpressureTestKit
import Foundation
import Testing

@Suite("conformance kit: mapping to the TCK")
struct MappingTests {
    private let rows: [(section: String, test: String, checks: [String])]

    private static let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Sources/BackpressureTestKit/BackpressureTestKit.docc/Conformance.md")

    init() throws {
        var rows: [(String, String, [String])] = []
        var section = ""
        for line in try String(contentsOf: Self.page, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("#") { section = String(line.split(separator: ": ").last ?? "") }
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `")) }
            let isTest = cells.count == 2 && (cells[0].contains("_") || cells[0].hasPrefix("mustImmediately"))
            guard isTest, line.hasPrefix("| `") else { continue }
            let checks = cells[1].hasPrefix("-") ? [] : cells[1].components(separatedBy: "`, `")
            rows.append((section, cells[0], checks))
        }
        self.rows = rows
    }

    @Test(
        "as many tests as the TCK has",
        arguments: [
            ("publishers", 38, 22, 7), ("subscribers as black boxes", 26, 11, 15),
            ("subscribers as white boxes", 27, 14, 13), ("processors", 3, 2, 0),
        ])
    func counts(_ section: String, _ count: Int, _ required: Int, _ untested: Int) {
        let tests = rows.filter { $0.section == section }.map(\.test)
        #expect(tests.count == count && Set(tests).count == count)
        #expect(tests.count { $0.hasPrefix("required_") } == required)
        #expect(tests.count { $0.hasPrefix("untested_") } == untested)
    }

    @Test("every check that is named exists, and every check is named")
    func checks() {
        let known =
            Set(PublisherCheck.allCases.map(\.rawValue)).union(SubscriberCheck.allCases.map(\.rawValue))
            .union(ProcessorCheck.allCases.map(\.rawValue))
        let named = Set(rows.flatMap(\.checks))
        #expect(named.subtracting(known).isEmpty, "\(named.subtracting(known))")
        // 3.9 as the subscriber's duty, and the processor's sum, are beyond the TCK.
        #expect(known.subtracting(named) == ["demandIsValid", "bothContractsAreObeyed"])
    }

    /// The table of the rules as the code has it.
    private var ruleLines: [String] {
        func list(_ names: [String]) -> String {
            var seen: Set<String> = []
            return names.filter { seen.insert($0).inserted }.map { "`\($0)`" }.joined(separator: ", ")
        }
        // These two have tests of their own, with a publisher that is slow and not wrong.
        let slow: [FlowRule: String] = [
            .rule3_4: "a `request` that takes time or works ahead", .rule3_5: "a `cancel` that takes time or works",
        ]
        return FlowRule.allCases.map { rule in
            let checks =
                PublisherCheck.allCases.filter { $0.rule == rule }.map(\.rawValue)
                + SubscriberCheck.allCases.filter { $0.rule == rule }.map(\.rawValue)
                + ProcessorCheck.allCases.filter { $0.rule == rule }.map(\.rawValue)
            let twins =
                publisherFaults.filter { $0.check.rule == rule }.map(\.fault.rawValue)
                + subscriberFaults.filter { $0.check.rule == rule }.map(\.fault.rawValue)
                + ProcessorSelfTests.faults.filter { $0.1.rule == rule }.map(\.0.rawValue)
            let caught = [list(twins), slow[rule] ?? ""].filter { !$0.isEmpty }.joined(separator: ", ")
            return "| \(rule.rawValue) | \(list(checks)) | \(caught) |"
        }
    }

    @Test("the table of the rules is what the code checks, and each rule has something that breaks it")
    func ruleTable() throws {
        let text = try String(contentsOf: Self.page, encoding: .utf8)
        let lines = Set(text.split(separator: "\n").map(String.init))
        for line in ruleLines {
            #expect(lines.contains(line), "not in Conformance.md: \(line)")
            #expect(!line.hasSuffix("|  |"), "nothing breaks this rule: \(line)")
        }
    }

    @Test("all 43 rules have a check")
    func rules() {
        let rules =
            Set(PublisherCheck.allCases.map(\.rule)).union(SubscriberCheck.allCases.map(\.rule))
            .union(ProcessorCheck.allCases.map(\.rule))
        #expect(FlowRule.allCases.count == 43)
        #expect(rules == Set(FlowRule.allCases))
    }
}
