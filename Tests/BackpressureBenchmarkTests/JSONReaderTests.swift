// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The reader against what the writer writes, and against what it must refuse.

import Testing

@testable import BackpressureBenchmarks

@Suite struct JSONReaderTests {
    @Test func readsWhatIsWritten() throws {
        let json = JSON.object([
            ("text", .string("a \"quoted\" \\ line\nwith\ttabs, \u{1} and Grüße 🦆")),
            ("numbers", .array([.int(-3), .double(5.25), .double(1e-05), .int(.max)])),
            ("nothing", .null), ("yes", .bool(true)), ("no", .bool(false)),
            ("empty", .object([])), ("none", .array([])),
        ])
        let read = try JSON(reading: json.text())
        #expect(read.text() == json.text())
        #expect(read["text"]?.string == "a \"quoted\" \\ line\nwith\ttabs, \u{1} and Grüße 🦆")
        #expect(read["numbers"]?.elements?.compactMap(\.number) == [-3, 5.25, 1e-05, Double(Int.max)])
        #expect(read["yes"]?.bool == true)
    }

    @Test func readsWhatOthersWrite() throws {
        let text = "\u{FEFF} {\"a\" : [1 , 2.5e3,] , \"b\":\"\\u00fc\\ud83e\\udd86\\/\" , }\r\n"
        let read = try JSON(reading: text)
        #expect(read["a"]?.elements?.compactMap(\.number) == [1, 2500])
        #expect(read["b"]?.string == "ü🦆/")
        #expect(read["c"] == nil)
    }

    @Test(arguments: [
        "", "{", "[1", "{\"a\"}", "{\"a\":}", "{a:1}", "\"open", "\"\\q\"", "\"\\u12\"", "tru", "1 2", "[1 2]", "-",
        "1e999",
        "nan",
    ])
    func refusesWhatIsNoJSON(_ text: String) {
        #expect(throws: JSON.ReadFailure.self) { try JSON(reading: text) }
    }

    @Test func refusesBottomlessNesting() throws {
        _ = try JSON(reading: String(repeating: "[", count: 60) + String(repeating: "]", count: 60))
        #expect(throws: JSON.ReadFailure.self) { try JSON(reading: String(repeating: "[", count: 100_000)) }
    }
}
