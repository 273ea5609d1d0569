// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Machine instructions of one pair, counted by valgrind's callgrind where it is installed. Unlike nanoseconds they do
// not depend on who else uses the machine.
//
// This executable starts itself under callgrind twice per contender, with different numbers of pairs: the difference is
// free of start-up.

enum Instructions {
    static let name = "instructions"

    private static let fewer = 20_000
    private static let more = 120_000

    /// What a child can be asked to run.
    static let contenders: [(key: String, title: String, contender: Contender)] = [
        ("floor", "two atomic adds", AtomicAdds.floor),
        ("try.ours", "channel.try.pair BoundedChannel", OurPairs.tryPairs(.local)),
        ("await.ours", "channel.await.pair BoundedChannel", OurPairs.awaitPairs(.local)),
        ("await.mutex", "channel.await.pair Mutex + deque", RivalPairs.mutexAwaitPairs(.local)),
    ]

    static var isAvailable: Bool {
        let folders = (Platform.environment("PATH") ?? "").split(separator: ":")
        return folders.contains { Platform.fileSize("\($0)/valgrind") != nil }
    }

    /// The report's block, or why there is none.
    static func report(progress: Progress) -> String {
        guard isAvailable else { return "instructions: valgrind is not installed\n\n" }
        var lines = [Text.left("instructions of one pair, by callgrind", 66) + Text.right("instr.", 10)]
        for (key, title, _) in contenders {
            progress.step("instructions  \(title)")
            guard let few = count(key, fewer), let many = count(key, more) else {
                lines.append(Text.left("    " + title, 66) + Text.right("failed", 10))
                continue
            }
            let each = Double(many - few) / Double(more - fewer)
            lines.append(Text.left("    " + title, 66) + Text.right(Text.number(each, digits: 1), 10))
        }
        progress.clear()
        return lines.joined(separator: "\n") + "\n\n"
    }

    private static func count(_ key: String, _ operations: Int) -> Int? {
        let run = Platform.run(
            [
                "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", Platform.executablePath,
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
