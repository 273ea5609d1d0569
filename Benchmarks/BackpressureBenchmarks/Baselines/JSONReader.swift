// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Reads what `JSON.text` writes, and any other JSON (RFC 8259), without Foundation.
//
// Tolerant where it costs nothing: a byte order mark, a comma before a closing bracket, a sign before a number. Strict
// where a mistake would go unnoticed: an unfinished text, a second value behind the first, nesting beyond a bound.

extension JSON {
    /// Why a text is no JSON.
    struct ReadFailure: Error {
        let text: String
        /// The offset in bytes.
        let place: Int
    }

    init(reading text: String) throws(ReadFailure) {
        var reader = JSONReader(Array(text.utf8))
        self = try reader.document()
    }

    /// The member of an object; nil for anything else.
    subscript(_ key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.0 == key }?.1
    }

    var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    var number: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    var elements: [JSON]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    var members: [(String, JSON)]? {
        guard case .object(let members) = self else { return nil }
        return members
    }
}

/// Recursive descent over bytes, to a bounded depth.
struct JSONReader {
    private static let deepest = 64

    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { place = 3 }
    }

    mutating func document() throws(JSON.ReadFailure) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard place == bytes.count else { throw failure("something follows the end") }
        return value
    }

    private func failure(_ text: String) -> JSON.ReadFailure { JSON.ReadFailure(text: text, place: place) }

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { place += 1 }
    }

    /// Skips space, then `byte` if it is next.
    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard next == byte.asciiValue else { return false }
        place += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSON.ReadFailure) -> JSON {
        guard depth < Self.deepest else { throw failure("nested more than \(Self.deepest) deep") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .none: throw failure("it ends too early")
        default: return try number()
        }
    }

    private mutating func word(_ word: String, _ value: JSON) throws(JSON.ReadFailure) -> JSON {
        guard bytes[place...].starts(with: word.utf8) else { throw failure("no value begins like this") }
        place += word.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSON.ReadFailure) -> JSON {
        place += 1
        var members: [(String, JSON)] = []
        while !take("}") {
            guard next == UInt8(ascii: "\"") else { throw failure("a key was expected") }
            let key = try string()
            guard take(":") else { throw failure("a colon was expected") }
            members.append((key, try value(depth: depth + 1)))
            if !take(",") {
                guard take("}") else { throw failure("a comma or a closing brace was expected") }
                break
            }
        }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSON.ReadFailure) -> JSON {
        place += 1
        var values: [JSON] = []
        while !take("]") {
            values.append(try value(depth: depth + 1))
            if !take(",") {
                guard take("]") else { throw failure("a comma or a closing bracket was expected") }
                break
            }
        }
        return .array(values)
    }

    private mutating func number() throws(JSON.ReadFailure) -> JSON {
        let start = place
        while let byte = next, Self.isNumeric(byte) { place += 1 }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        if let value = Int(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else {
            place = start
            throw failure("no value begins like this")
        }
        return .double(value)
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+")
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E")
    }

    private mutating func string() throws(JSON.ReadFailure) -> String {
        place += 1
        var text: [UInt8] = []
        while let byte = next {
            place += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): text.append(contentsOf: try escape())
            default: text.append(byte)
            }
        }
        throw failure("a string does not end")
    }

    /// What an escape stands for, in UTF-8.
    private mutating func escape() throws(JSON.ReadFailure) -> [UInt8] {
        guard let byte = next else { throw failure("a string does not end") }
        place += 1
        switch byte {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "u"):
            var units = [try codeUnit()]
            if UTF16.isLeadSurrogate(units[0]), bytes[place...].starts(with: "\\u".utf8) {
                place += 2
                units.append(try codeUnit())
            }
            // An unpaired surrogate becomes the replacement character.
            return Array(String(decoding: units, as: UTF16.self).utf8)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        default: throw failure("an unknown escape")
        }
    }

    private mutating func codeUnit() throws(JSON.ReadFailure) -> UInt16 {
        let digits = bytes[place...].prefix(4)
        guard digits.count == 4, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16) else {
            throw failure("four hexadecimal digits were expected")
        }
        place += 4
        return unit
    }
}
