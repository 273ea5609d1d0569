// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The text that the pipeline reads when nobody gives one: lines of a service's access log, the same ones every time.

enum LogFile {
    private static let seed: UInt64 = 0x5EED_0F_10C5

    private static let levels = ["INFO ", "INFO ", "INFO ", "INFO ", "DEBUG", "DEBUG", "WARN ", "ERROR"]
    private static let services = ["gateway", "orders", "billing", "search", "users", "stock", "mail", "auth"]
    private static let paths = [
        "/v1/orders/", "/v1/users/", "/v2/search?q=", "/health?n=", "/v1/invoices/", "/static/img/", "/v1/stock/",
        "/login?session=",
    ]
    private static let statuses = ["200", "200", "200", "201", "204", "304", "404", "500"]

    /// The path of a file of about so many megabytes (it ends with a whole line), generated unless it is there.
    static func make(megabytes: Int, progress: Progress) throws(Pipeline.InputFailure) -> String {
        let folder = Platform.environment("TMPDIR") ?? "/tmp"
        let path = "\(folder)/backpressure-bench-\(megabytes)mb.log"
        let size = megabytes * 1_048_576
        if Platform.fileSize(path) == size { return path }

        progress.step("pipeline  generating \(megabytes) MB of log in \(folder)")
        // Under another name until it is whole: a run that was killed must not leave a short file behind.
        let unfinished = "\(path).\(Platform.processIdentifier)"
        switch Platform.openForWriting(unfinished) {
        case .failure(let error):
            throw Pipeline.InputFailure(text: "cannot create \(unfinished): \(error.text)", isOurFile: true)
        case .success(let descriptor):
            var problem = write(size: size, to: descriptor) { done in
                progress.detail("pipeline  generating \(done / 1_048_576) of \(megabytes) MB of log in \(folder)")
            }
            Platform.closeFile(descriptor)
            problem = problem ?? Platform.renameFile(unfinished, to: path)
            if let problem {
                Platform.removeFile(unfinished)
                throw Pipeline.InputFailure(text: "cannot write \(unfinished): \(problem.text)", isOurFile: true)
            }
            return path
        }
    }

    private static func write(size: Int, to descriptor: CInt, report: (Int) -> Void) -> PlatformError? {
        let blockSize = 1_048_576
        var random = SplitMix(state: seed)
        var block: [UInt8] = []
        block.reserveCapacity(blockSize + 256)
        var number = 0
        var done = 0
        while done < size {
            while block.count < blockSize {
                appendLine(number, to: &block, &random)
                number += 1
            }
            let count = min(blockSize, size - done)
            // The file is exactly as large as announced; its last line is cut, but ends.
            if done + count == size { block[count - 1] = UInt8(ascii: "\n") }
            let problem = block.withUnsafeBytes { Platform.writeAll(.init(rebasing: $0[..<count]), to: descriptor) }
            if let problem { return problem }
            block.removeFirst(count)
            done += count
            report(done)
        }
        return nil
    }

    private static func appendLine(_ number: Int, to block: inout [UInt8], _ random: inout SplitMix) {
        let bits = random.next()
        append("2026-03-01T12:", to: &block)
        append(number / 60_000 % 60, digits: 2, to: &block)
        append(":", to: &block)
        append(number / 1_000 % 60, digits: 2, to: &block)
        append(".", to: &block)
        append(number % 1_000, digits: 3, to: &block)
        append("Z ", to: &block)
        append(levels[Int(bits & 7)], to: &block)
        append(" ", to: &block)
        append(services[Int(bits >> 3 & 7)], to: &block)
        append(" GET ", to: &block)
        append(paths[Int(bits >> 6 & 7)], to: &block)
        append(Int(bits >> 9 & 0xF_FFFF), digits: 7, to: &block)
        append(" ", to: &block)
        append(statuses[Int(bits >> 29 & 7)], to: &block)
        append(" ", to: &block)
        append(Int(bits >> 32 & 0x3FF), digits: 4, to: &block)
        append("ms ", to: &block)
        append(Int(bits >> 42 & 0x3FFF), digits: 5, to: &block)
        append("B user=", to: &block)
        append(Int(bits >> 56 & 0xFF), digits: 3, to: &block)
        append("\n", to: &block)
    }

    private static func append(_ text: String, to block: inout [UInt8]) { block.append(contentsOf: text.utf8) }

    private static func append(_ value: Int, digits: Int, to block: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            block.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
