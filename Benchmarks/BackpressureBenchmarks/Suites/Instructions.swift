// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Machine instructions of one pair, counted by valgrind's callgrind where it is installed. Unlike nanoseconds they do
// not depend on who else uses the machine.
//
// A copy of this executable is started under callgrind twice per contender, with different numbers of pairs: the difference is
// free of start-up, but for some ten thousand instructions that no two start-ups share; so the pairs are many, and the more
// the shorter they are. The two run side by side: what is counted does not depend on time. A copy, because callgrind
// gives up on debug information it cannot read, and the copy has none: an executable runs without its section headers, and
// only they lead there.

enum Instructions {
    static let name = "instructions"

    private static let fewer = 20_000

    /// Pairs of some thirty million instructions.
    private static func more(_ key: String) -> Int {
        key.hasPrefix("registry.semaphore") ? 1_500_000 : key.hasPrefix("registry.channel") ? 500_000 : 250_000
    }

    /// What a child can be asked to run.
    static let contenders: [(key: String, title: String, contender: Contender)] =
        [
            ("floor", "two atomic adds", AtomicAdds.floor),
            ("try.ours", "channel.try.pair BoundedChannel", OurPairs.tryPairs(.local)),
            ("await.ours", "channel.await.pair BoundedChannel", OurPairs.awaitPairs(.local)),
            ("await.mutex", "channel.await.pair Mutex + deque", RivalPairs.mutexAwaitPairs(.local)),
        ]
        + RegistryRows.Subject.allCases.flatMap { subject in
            [false, true].map { isAttached in
                let title = isAttached ? RegistryRows.attached : RegistryRows.without
                return (
                    key(subject, isAttached), "\(RegistryRows.rowName(subject)) \(title)",
                    RegistryRows.contender(title, subject, isAttached: isAttached)
                )
            }
        }

    private static func key(_ subject: RegistryRows.Subject, _ isAttached: Bool) -> String {
        "registry.\(subject.rawValue).\(isAttached)"
    }

    static var isAvailable: Bool {
        let folders = (Platform.environment("PATH") ?? "").split(separator: ":")
        return folders.contains { Platform.fileSize("\($0)/valgrind") != nil }
    }

    /// The report's block, or why there is none, and the gates.
    static func report(progress: Progress) async -> (text: String, gates: [Gate]) {
        guard isAvailable else { return ("instructions: valgrind is not installed\n\n", []) }
        var counts: [String: Double] = [:]
        var lines = [Text.left("instructions of one pair, by callgrind", 66) + Text.right("instr.", 10)]
        guard let program = copyWithoutSections() else {
            return ("instructions: cannot copy \(Platform.executablePath)\n\n", [])
        }
        defer { Platform.removeFile(program) }
        for (key, title, _) in contenders {
            progress.step("instructions  \(title)")
            let more = more(key)
            async let first = count(program, key, fewer)
            async let second = count(program, key, more)
            guard let few = await first, let many = await second else {
                lines.append(Text.left("    " + title, 66) + Text.right("failed", 10))
                continue
            }
            let each = Double(many - few) / Double(more - fewer)
            counts[key] = each
            lines.append(Text.left("    " + title, 66) + Text.right(Text.number(each, digits: 1), 10))
        }
        progress.clear()
        return (lines.joined(separator: "\n") + "\n\n", gates(counts))
    }

    /// A primitive that a registry has executes what one without executes.
    private static func gates(_ counts: [String: Double]) -> [Gate] {
        RegistryRows.Subject.allCases.compactMap { subject in
            guard let without = counts[key(subject, false)], let attached = counts[key(subject, true)] else {
                return nil
            }
            return Gate(
                "\(RegistryRows.rowName(subject)): instructions, with and without",
                abs(attached - without) / without * 100, atMost: 0.1, digits: 3, suffix: " %")
        }
    }

    /// Beside the executable, so that a library path relative to it still holds.
    private static func copyWithoutSections() -> String? {
        let path = Platform.executablePath
        guard case .success((let source, _)) = Platform.openForReading(path) else { return nil }
        defer { Platform.closeFile(source) }
        guard var bytes = Platform.bytes(ofDescriptor: source), bytes.count > 64,
            bytes.starts(with: [0x7F, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F"), 2])
        else { return nil }
        // ELF64: e_shoff is the 8 bytes at 0x28; e_shnum and e_shstrndx are the 4 at 0x3C.
        for offset in [0x28..<0x30, 0x3C..<0x40].joined() { bytes[offset] = 0 }

        let copy = "\(path).\(Platform.processIdentifier)"
        guard case .success(let target) = Platform.openForWriting(copy) else { return nil }
        let problem = bytes.withUnsafeBytes { Platform.writeAll($0, to: target) }
        Platform.closeFile(target)
        guard problem == nil else {
            Platform.removeFile(copy)
            return nil
        }
        Platform.makeExecutable(copy)
        return copy
    }

    private static func count(_ program: String, _ key: String, _ operations: Int) -> Int? {
        let run = Platform.run(
            [
                "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program,
                Children.flag, name, key, "\(operations)",
            ], capturing: 2)
        guard case .success((0, let text)) = run else { return nil }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if let index = words.firstIndex(of: "Collected"), index + 2 < words.count { return Int(words[index + 2]) }
        }
        return nil
    }
}
