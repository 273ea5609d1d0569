// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the checker knows of each address that was touched in this execution.
//
// A hash table with open addressing from addresses to indices in order of first use. Starting an execution forgets
// everything in O(1): entries carry the generation that made them.

/// What is known of one address: it may be an atomic word, a lock or a plain slot, or in time more than one of them.
struct Location {
    var address: UInt = 0
    /// The clock that an acquiring load of the newest value joins; of a lock, that of its last release.
    var released = Clock()
    /// Epochs of each thread's last accesses.
    var plainReads = Clock()
    var atomicReads = Clock()
    var atomicWrites = Clock()
    var plainReadSites = SIMD8<Int32>(repeating: -1)
    var atomicSites = SIMD8<Int32>(repeating: -1)
    /// The last plain write: thread, its epoch (0: none) and place.
    var plainWriter: Int32 = -1
    var plainWriteEpoch: UInt32 = 0
    var plainWriteSite: Int32 = -1
    /// Threads that have read this since they last paused.
    var readers: UInt8 = 0
    /// The thread that holds this lock, or -1.
    var owner: Int32 = -1
    /// Its number among those of its kind, in order of first use.
    var number: Int32 = 0
    var role: Role = .word
    /// Where it was given back, or -1.
    var freedSite: Int32 = -1
    /// For the reversal of races: what the steps of this execution did to it.
    var order = TraceOrder()

    enum Role: UInt8 { case word, lock, plain }
}

/// The steps of this execution at one location, as far as a later step may have to be tried before one of them.
///
/// Steps are numbered from 1; 0 is none.
struct TraceOrder {
    /// What happens before the last write, it included.
    var write = Clock()
    /// The same of all reads since.
    var reads = Clock()
    /// The last write; of a lock, its last taking.
    var writeStep: UInt32 = 0
    /// By thread, its last read since the last write; of the history's location, its last beginning.
    var readSteps = Clock()
    /// Of the history's location: by thread, its last end.
    var endSteps = Clock()
    /// The last entry of this location in the log of writes, or -1.
    var lastWritten: Int32 = -1
}

/// An older value of a word, kept while loads may be stale.
struct StoreRecord {
    var value: UInt64 = 0
    var released = Clock()
    /// Who stored it, at which epoch; -1 is the value found at first use, which precedes everything.
    var writer: Int32 = -1
    var epoch: UInt32 = 0
    /// The epoch of each thread's first read of it; 0: never.
    var firstReads = Clock()
}

struct LocationTable {
    private struct Entry {
        var address: UInt = 0
        var generation: UInt32 = 0
        var index: Int32 = 0
    }

    static let historyLength = 8

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private var generation: UInt32 = 1
    private(set) var count = 0
    private var capacity: Int
    private(set) var locations: UnsafeMutablePointer<Location>
    /// `historyLength` records a location, a ring; `historyCounts` says how many were ever made.
    private(set) var history: UnsafeMutablePointer<StoreRecord>
    private(set) var historyCounts: UnsafeMutablePointer<Int>
    private var roleCounts = SIMD4<Int32>()

    init() {
        capacity = 64
        mask = 255
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(), count: mask + 1)
        locations = .allocate(capacity: capacity)
        history = .allocate(capacity: capacity * Self.historyLength)
        historyCounts = .allocate(capacity: capacity)
    }

    /// Whether any lock is held.
    var hasOwnedLock: Bool {
        (0..<count).contains { locations[$0].role == .lock && locations[$0].owner >= 0 }
    }

    mutating func reset() {
        count = 0
        roleCounts = SIMD4()
        generation &+= 1
        if generation == 0 {
            entries.update(repeating: Entry(), count: mask + 1)
            generation = 1
        }
    }

    @inline(__always)
    private func slot(of address: UInt) -> Int {
        Int(truncatingIfNeeded: (address &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    }

    /// The index of `address`, and whether this is its first use.
    @inline(__always)
    mutating func find(_ address: UInt, role: Location.Role) -> (index: Int, isNew: Bool) {
        var slot = slot(of: address)
        while entries[slot].generation == generation {
            if entries[slot].address == address { return (Int(entries[slot].index), false) }
            slot = (slot + 1) & mask
        }
        return (insert(address, role, slot), true)
    }

    @inline(never)
    private mutating func insert(_ address: UInt, _ role: Location.Role, _ slot: Int) -> Int {
        let index = count
        entries[slot] = Entry(address: address, generation: generation, index: Int32(index))
        var location = Location()
        location.address = address
        location.role = role
        location.number = roleCounts[Int(role.rawValue)]
        roleCounts[Int(role.rawValue)] &+= 1
        locations[index] = location
        historyCounts[index] = 0
        count += 1
        if count == capacity { grow() }
        return index
    }

    private mutating func grow() {
        let old = (locations, history, historyCounts)
        let (oldCapacity, records) = (capacity, Self.historyLength)
        capacity *= 2
        locations = .allocate(capacity: capacity)
        locations.update(from: old.0, count: count)
        history = .allocate(capacity: capacity * records)
        history.update(from: old.1, count: oldCapacity * records)
        historyCounts = .allocate(capacity: capacity)
        historyCounts.update(from: old.2, count: count)
        old.0.deallocate()
        old.1.deallocate()
        old.2.deallocate()

        entries.deallocate()
        mask = mask * 2 + 1
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(), count: mask + 1)
        for index in 0..<count {
            var slot = slot(of: locations[index].address)
            while entries[slot].generation == generation { slot = (slot + 1) & mask }
            entries[slot] = Entry(address: locations[index].address, generation: generation, index: Int32(index))
        }
    }
}
