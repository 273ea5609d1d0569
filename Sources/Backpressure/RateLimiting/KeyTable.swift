// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The buckets of many keys in two arrays: 24 bytes of hash and state each, and the keys beside them.
//
// It is not generic, so it is compiled once, here: generic code that its caller's module cannot specialise runs many
// times slower. What knows the type of a key is in `KeyOperations`, and is called once a look-up, to compare.
//
// ## Algorithm
// A hash table with linear probing and deletion by shifting back (Knuth, The Art of Computer Programming, vol. 3,
// 6.4, algorithm R), so that no tombstones gather. It doubles up to the size that its cap needs and stays there.
//
// A bucket that is full equals that of a key never seen, so its entry is dropped when it is met: a hand goes round the
// table, two places with each new key. At the cap a new key takes the place of the one that is closest to full of the
// 24 places before the hand: it is the one that forgets least, and a key that is used hard is not among them.
//
// ## Invariants
// I1  count <= cap, and the table is never fuller than three quarters.
// I2  Between an entry's home and its place every place is taken.
// I3  The key of a place is initialised exactly when its hash is not 0.

/// What is done with keys in raw memory.
struct KeyOperations: Sendable {
    let stride: Int
    let alignment: Int
    let isEqual: @Sendable (UnsafeRawPointer, UnsafeRawPointer) -> Bool
    let copy: @Sendable (_ to: UnsafeMutableRawPointer, _ from: UnsafeRawPointer) -> Void
    let move: @Sendable (_ to: UnsafeMutableRawPointer, _ from: UnsafeMutableRawPointer) -> Void
    let destroy: @Sendable (UnsafeMutableRawPointer) -> Void

    init<Key: Hashable & Sendable>(of type: Key.Type) {
        stride = MemoryLayout<Key>.stride
        alignment = MemoryLayout<Key>.alignment
        isEqual = { first, second in
            first.assumingMemoryBound(to: Key.self).pointee == second.assumingMemoryBound(to: Key.self).pointee
        }
        copy = { target, source in
            target.bindMemory(to: Key.self, capacity: 1)
                .initialize(from: source.assumingMemoryBound(to: Key.self), count: 1)
        }
        move = { target, source in
            target.bindMemory(to: Key.self, capacity: 1)
                .moveInitialize(from: source.assumingMemoryBound(to: Key.self), count: 1)
        }
        destroy = { $0.assumingMemoryBound(to: Key.self).deinitialize(count: 1) }
    }
}

/// Keys that lost their places: they are destroyed once the lock is released.
struct DroppedKeys: @unchecked Sendable {
    var memory: UnsafeMutableRawPointer?
    var count = 0

    consuming func destroy(_ keys: KeyOperations) {
        guard let memory else { return }
        for index in 0..<count { keys.destroy(memory + index * keys.stride) }
        memory.deallocate()
    }
}

/// The entries of one shard; part of a state that a lock guards.
struct KeyTable: ~Copyable, @unchecked Sendable {
    struct Entry {
        /// 0 for a place that is free.
        var hash: UInt = 0
        var low: UInt64 = 0
        var high: UInt64 = 0

        var tat: UInt128 {
            get { UInt128(high) << 64 | UInt128(low) }
            set { (low, high) = (UInt64(truncatingIfNeeded: newValue), UInt64(truncatingIfNeeded: newValue >> 64)) }
        }
    }

    private static let sample = 24

    let cap: Int
    private let operations: KeyOperations
    private(set) var count = 0
    /// Keys that lost their place although their buckets were not full.
    private(set) var evicted: UInt64 = 0
    /// What was missing from their buckets, in whole tokens, rounded up.
    private(set) var forgiven: UInt64 = 0
    private var capacity = 8
    private var entries: UnsafeMutablePointer<Entry>
    private var keys: UnsafeMutableRawPointer
    private var hand = 0

    init(cap: Int, _ operations: KeyOperations) {
        self.cap = cap
        self.operations = operations
        (entries, keys) = Self.allocate(8, operations)
    }

    deinit {
        for place in 0..<capacity where entries[place].hash != 0 {
            operations.destroy(keys + place * operations.stride)
        }
        entries.deallocate()
        keys.deallocate()
    }

    private static func allocate(
        _ capacity: Int, _ operations: KeyOperations
    ) -> (UnsafeMutablePointer<Entry>, UnsafeMutableRawPointer) {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
        entries.initialize(repeating: Entry(), count: capacity)
        let keys = UnsafeMutableRawPointer.allocate(
            byteCount: capacity * operations.stride, alignment: operations.alignment)
        return (entries, keys)
    }

    private var mask: Int { capacity - 1 }

    /// Bytes of the table's memory.
    var byteCount: Int { capacity * (MemoryLayout<Entry>.stride + operations.stride) }

    private func home(_ hash: UInt) -> Int { Int(truncatingIfNeeded: hash) & mask }

    private func key(_ place: Int) -> UnsafeMutableRawPointer { keys + place * operations.stride }

    /// A hash that is not 0.
    static func hash(_ value: Int) -> UInt { UInt(bitPattern: value) | 1 << 63 }

    /// The place of `key`.
    func find(_ key: UnsafeRawPointer, _ hash: UInt) -> Int? {
        var place = home(hash)
        while entries[place].hash != 0 {
            if entries[place].hash == hash, operations.isEqual(self.key(place), key) { return place }
            place = (place + 1) & mask
        }
        return nil
    }

    func tat(at place: Int) -> UInt128 { entries[place].tat }

    mutating func set(_ tat: UInt128, at place: Int) { entries[place].tat = tat }

    /// Adds a copy of a key that is not there.
    mutating func insert(
        _ key: UnsafeRawPointer, _ hash: UInt, _ tat: UInt128, isFull: (UInt128) -> Bool,
        missing: (UInt128) -> UInt64, dropped: inout DroppedKeys
    ) {
        makeRoom(isFull, missing, &dropped)
        if (count + 1) * 4 > capacity * 3 { grow() }
        count += 1
        let place = freePlace(hash)
        entries[place].hash = hash
        entries[place].tat = tat
        operations.copy(self.key(place), key)
    }

    private func freePlace(_ hash: UInt) -> Int {
        var place = home(hash)
        while entries[place].hash != 0 { place = (place + 1) & mask }
        return place
    }

    private mutating func grow() {
        let old = (entries: entries, keys: keys, capacity: capacity)
        capacity *= 2
        (entries, keys) = Self.allocate(capacity, operations)
        hand = 0
        for index in 0..<old.capacity where old.entries[index].hash != 0 {
            let place = freePlace(old.entries[index].hash)
            entries[place] = old.entries[index]
            operations.move(key(place), old.keys + index * operations.stride)
        }
        old.entries.deallocate()
        old.keys.deallocate()
    }

    private mutating func makeRoom(
        _ isFull: (UInt128) -> Bool, _ missing: (UInt128) -> UInt64, _ dropped: inout DroppedKeys
    ) {
        guard count >= cap else {
            for _ in 0..<2 {
                hand = (hand + 1) & mask
                if entries[hand].hash != 0, isFull(entries[hand].tat) { remove(at: hand, &dropped) }
            }
            return
        }
        var best: (place: Int, tat: UInt128)?
        var seen = 0
        // The table is not empty, so the hand comes to an entry.
        while seen < Self.sample || best == nil {
            hand = (hand + 1) & mask
            seen += 1
            guard entries[hand].hash != 0 else { continue }
            if isFull(entries[hand].tat) { return remove(at: hand, &dropped) }
            if entries[hand].tat < best?.tat ?? .max { best = (hand, entries[hand].tat) }
        }
        guard let best else { return }
        evicted += 1
        forgiven += missing(best.tat)
        remove(at: best.place, &dropped)
    }

    /// Takes out an entry, and closes the gap.
    mutating func remove(at place: Int, _ dropped: inout DroppedKeys) {
        let room = 2
        if dropped.memory == nil {
            dropped.memory = .allocate(byteCount: room * operations.stride, alignment: operations.alignment)
        }
        if dropped.count < room, let memory = dropped.memory {
            operations.move(memory + dropped.count * operations.stride, key(place))
            dropped.count += 1
        } else {
            operations.destroy(key(place))
        }
        var gap = place
        var next = (gap + 1) & mask
        while entries[next].hash != 0 {
            // An entry may go back to the gap if its home is not between the two.
            if (next - home(entries[next].hash)) & mask >= (next - gap) & mask {
                entries[gap] = entries[next]
                operations.move(key(gap), key(next))
                gap = next
            }
            next = (next + 1) & mask
        }
        entries[gap].hash = 0
        count -= 1
    }

    /// Changes the state of every entry.
    mutating func updateAll(_ body: (UInt128) -> UInt128) {
        for place in 0..<capacity where entries[place].hash != 0 { entries[place].tat = body(entries[place].tat) }
    }

    /// Drops one entry that is full, at `place` or behind it.
    ///
    /// - Returns: Where to go on, or nil at the end of the table.
    mutating func dropFull(from place: Int, _ isFull: (UInt128) -> Bool, _ dropped: inout DroppedKeys) -> Int? {
        var place = place
        while place < capacity {
            // Closing the gap may bring another one here, so the same place is looked at again.
            if entries[place].hash != 0, isFull(entries[place].tat) {
                remove(at: place, &dropped)
                return place
            }
            place += 1
        }
        return nil
    }
}
