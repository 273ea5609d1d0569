// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where and with what a report was made: figures without it are worthless a month later.

import AllocationCounter

struct Machine: Sendable {
    let cpu = Platform.cpuModel
    let cores = Platform.onlineCores
    let operatingSystem = Platform.operatingSystem

    /// The compiler's version as far as `#if compiler` tells it, the standard library's, and the C part's compiler.
    static var toolchain: String {
        #if compiler(>=6.4)
            let compiler = "Swift 6.4 or later"
        #elseif compiler(>=6.3)
            let compiler = "Swift 6.3"
        #else
            let compiler = "Swift 6.2"
        #endif
        return "\(compiler) (\(String(cString: bench_c_compiler())))"
    }

    /// The commit of the repository that the current directory is in, or nil.
    static var commit: String? {
        guard var folder = Platform.currentDirectory else { return nil }
        while true {
            if let found = commit(ofRepository: folder + "/.git") { return found }
            guard let slash = folder.lastIndex(of: "/"), folder.count > 1 else { return nil }
            folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
        }
    }

    private static func commit(ofRepository git: String) -> String? {
        var git = git
        // In a linked work tree `.git` is a file that points elsewhere.
        if let text = Platform.text(ofFile: git), text.hasPrefix("gitdir: ") {
            git = trimmed(text.dropFirst("gitdir: ".count))
        }
        guard let head = Platform.text(ofFile: git + "/HEAD") else { return nil }
        guard head.hasPrefix("ref: ") else { return trimmed(head[...]) }
        let reference = trimmed(head.dropFirst("ref: ".count))
        var stores = [git]
        if let common = Platform.text(ofFile: git + "/commondir") { stores.append(git + "/" + trimmed(common[...])) }
        for store in stores {
            if let text = Platform.text(ofFile: store + "/" + reference) { return trimmed(text[...]) }
            for line in (Platform.text(ofFile: store + "/packed-refs") ?? "").split(separator: "\n")
            where line.hasSuffix(" " + reference) {
                return String(line.prefix { $0 != " " })
            }
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.prefix { $0 != "\n" && $0 != "\r" })
    }
}

/// What the host of a virtual machine took of its processors, from /proc/stat; nothing is known elsewhere.
struct HostShare: Sendable {
    private let before = HostShare.ticks()

    /// Percent of the time since this was made.
    var percent: Double? {
        guard let before, let now = Self.ticks(), now.all > before.all else { return nil }
        return 100 * Double(now.stolen - before.stolen) / Double(now.all - before.all)
    }

    /// Ticks that the host took since the machine was started; 0 where nobody tells.
    static var stolenTicks: Int { ticks()?.stolen ?? 0 }

    /// The first line is `cpu` and ticks: user, nice, system, idle, iowait, irq, softirq, steal, and two that user holds.
    private static func ticks() -> (all: Int, stolen: Int)? {
        guard let line = Platform.text(ofFile: "/proc/stat")?.split(separator: "\n").first else { return nil }
        let numbers = line.split(separator: " ").dropFirst().prefix(8).compactMap { Int($0) }
        return numbers.count == 8 ? (numbers.reduce(0, +), numbers[7]) : nil
    }
}
