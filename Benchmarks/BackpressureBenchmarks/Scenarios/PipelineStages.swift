// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The three stages of the pipeline, without what joins them: read blocks of whole lines, parse them, aggregate. Every
// variant runs these same functions, so the same file must give the same aggregate.

/// Whole lines of the file (a line longer than a block is cut).
struct Block: Sendable {
    static let size = 65_536

    var bytes: [UInt8]
}

/// A block and what was found in it.
///
/// The text travels along: the aggregate looks at it.
struct ParsedBlock: Sendable {
    /// One line.
    struct Line: Sendable {
        let start: Int32
        let length: Int32
        /// Hash of the second word: of a log line, its level.
        let key: UInt32
        /// Sum of the numbers in the line.
        let numbers: UInt32
    }

    let bytes: [UInt8]
    let lines: [Line]

    var byteCount: Int { bytes.count + lines.count * MemoryLayout<Line>.stride }
}

/// Reads blocks by read(2).
struct BlockReader {
    private let descriptor: CInt
    private var carried: [UInt8] = []

    init(descriptor: CInt) { self.descriptor = descriptor }

    mutating func next() throws(Pipeline.InputFailure) -> Block? {
        var bytes = [UInt8](unsafeUninitializedCapacity: Block.size) { _, count in count = 0 }
        bytes.reserveCapacity(Block.size)
        bytes.append(contentsOf: carried)
        var isAtEnd = false
        while bytes.count < Block.size, !isAtEnd {
            let room = Block.size - bytes.count
            var failure: PlatformError?
            let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                switch Platform.read(descriptor, into: UnsafeMutableRawBufferPointer(buffer)) {
                case .success(let read): count = read
                case .failure(let error): failure = error
                }
            }
            if let failure {
                throw Pipeline.InputFailure(text: "cannot read the input: \(failure.text)", isOurFile: false)
            }
            isAtEnd = piece.isEmpty
            bytes.append(contentsOf: piece)
        }
        carried.removeAll(keepingCapacity: true)
        if bytes.isEmpty { return nil }
        if !isAtEnd, let lineEnd = bytes.lastIndex(of: UInt8(ascii: "\n")) {
            carried.append(contentsOf: bytes[(lineEnd + 1)...])
            bytes.removeSubrange((lineEnd + 1)...)
        }
        return Block(bytes: bytes)
    }
}

/// Finds the lines of a block, their keys and their numbers.
func parse(_ block: Block) -> ParsedBlock {
    var lines: [ParsedBlock.Line] = []
    lines.reserveCapacity(block.bytes.count / 64)
    block.bytes.withUnsafeBufferPointer { bytes in
        var start = 0
        var words = 0
        var key: UInt32 = 2_166_136_261
        var numbers: UInt32 = 0
        var number: UInt32 = 0
        for index in bytes.indices {
            let byte = bytes[index]
            let digit = byte &- UInt8(ascii: "0")
            if digit < 10 {
                number = number &* 10 &+ UInt32(digit)
            } else {
                numbers &+= number
                number = 0
            }
            if byte == UInt8(ascii: " ") {
                words += 1
            } else if words == 1 {
                key = (key ^ UInt32(byte)) &* 16_777_619
            }
            if byte == UInt8(ascii: "\n") || index == bytes.count - 1 {
                let length = Int32(index + 1 - start)
                lines.append(.init(start: Int32(start), length: length, key: key, numbers: numbers &+ number))
                (start, words, key, numbers, number) = (index + 1, 0, 2_166_136_261, 0, 0)
            }
        }
    }
    return ParsedBlock(bytes: block.bytes, lines: lines)
}

/// Counts, sums and digests by key, in a table of fixed size.
///
/// It is the slowest stage, because it digests every line's text.
struct Aggregate {
    private struct Bucket {
        var lines = 0
        var bytes = 0
        var numbers: UInt64 = 0
        var digest: UInt64 = 0
    }

    private var buckets = [Bucket](repeating: Bucket(), count: 1024)
    private(set) var lines = 0
    private(set) var bytes = 0

    mutating func add(_ block: ParsedBlock) {
        block.bytes.withUnsafeBufferPointer { text in
            for line in block.lines {
                var digest: UInt64 = 14_695_981_039_346_656_037
                for index in Int(line.start)..<Int(line.start + line.length) {
                    digest = (digest ^ UInt64(text[index])) &* 1_099_511_628_211
                    digest ^= digest >> 29
                }
                let place = Int(line.key & 1023)
                buckets[place].lines += 1
                buckets[place].bytes += Int(line.length)
                buckets[place].numbers &+= UInt64(line.numbers)
                buckets[place].digest &+= digest
            }
        }
        lines += block.lines.count
        bytes += block.bytes.count
    }

    /// The same for the same lines in the same blocks, and hardly for any others.
    var checksum: UInt64 {
        var result = UInt64(lines)
        for bucket in buckets {
            for part in [UInt64(bucket.lines), UInt64(bucket.bytes), bucket.numbers, bucket.digest] {
                result = (result ^ part) &* 0x9E37_79B9_7F4A_7C15
                result ^= result >> 32
            }
        }
        return result
    }
}
