// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The places in the source that reported a step, in order of first use, kept for the whole process.
//
// They name steps in traces, and are the list from which mutants can be made mechanically.

/// A place in the source and what is done there.
public struct Site: Sendable, Hashable, CustomStringConvertible {
    /// The `#fileID`.
    public let file: String
    /// The `#line`.
    public let line: UInt
    /// What is done there.
    public let kind: OperationKind

    /// `File.swift:120`.
    public var description: String { "\(baseName(of: file)):\(line)" }
}

func baseName(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

struct SiteTable {
    private struct Entry {
        var file: UInt = 0
        var line: UInt32 = 0
        var kind: UInt8 = .max
        var index: Int32 = -1
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask = 1023
    private var used = 0
    private(set) var sites: [Site] = []
    /// By index, whether the mutation of this exploration applies there.
    private(set) var mutated: UnsafeMutablePointer<Bool>
    /// By index, whether this exploration came there.
    private(set) var touched: UnsafeMutablePointer<Bool>
    private var flagCapacity = 4096
    private var mutation: Mutation?

    init() {
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(), count: mask + 1)
        mutated = .allocate(capacity: flagCapacity)
        touched = .allocate(capacity: flagCapacity)
        touched.initialize(repeating: false, count: flagCapacity)
    }

    mutating func set(_ mutation: Mutation?) {
        self.mutation = mutation
        touched.update(repeating: false, count: flagCapacity)
        for index in sites.indices { mutated[index] = mutation?.applies(to: sites[index]) ?? false }
    }

    @inline(__always)
    mutating func find(_ file: StaticString, _ line: UInt, _ kind: OperationKind) -> Int {
        let pointer = UInt(bitPattern: file.utf8Start)
        let hash = (pointer ^ (line << 8) ^ UInt(kind.rawValue)) &* 0x9E37_79B9_7F4A_7C15
        var slot = Int(truncatingIfNeeded: hash >> 40) & mask
        while entries[slot].index >= 0 {
            if entries[slot].file == pointer, entries[slot].line == UInt32(line), entries[slot].kind == kind.rawValue {
                return Int(entries[slot].index)
            }
            slot = (slot + 1) & mask
        }
        return insert(file, line, kind, slot)
    }

    @inline(never)
    private mutating func insert(_ file: StaticString, _ line: UInt, _ kind: OperationKind, _ slot: Int) -> Int {
        let site = Site(file: file.description, line: line, kind: kind)
        // The same literal may lie at two addresses.
        let index = sites.firstIndex(of: site) ?? sites.count
        if index == sites.count {
            sites.append(site)
            precondition(sites.count < flagCapacity, "more than \(flagCapacity) places report to the model checker")
            mutated[index] = mutation?.applies(to: site) ?? false
        }
        entries[slot] = Entry(
            file: UInt(bitPattern: file.utf8Start), line: UInt32(line), kind: kind.rawValue, index: Int32(index))
        used += 1
        if used * 2 > mask { grow() }
        return index
    }

    private mutating func grow() {
        let (old, oldCount) = (entries, mask + 1)
        mask = mask * 2 + 1
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(), count: mask + 1)
        for index in 0..<oldCount where old[index].index >= 0 {
            let hash = (old[index].file ^ (UInt(old[index].line) << 8) ^ UInt(old[index].kind)) &* 0x9E37_79B9_7F4A_7C15
            var slot = Int(truncatingIfNeeded: hash >> 40) & mask
            while entries[slot].index >= 0 { slot = (slot + 1) & mask }
            entries[slot] = old[index]
        }
        old.deallocate()
    }
}
