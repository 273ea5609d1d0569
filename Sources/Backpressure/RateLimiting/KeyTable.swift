// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The buckets of many keys in two arrays: 24 bytes of hash and state each, and the keys beside them.
//
// It is not generic, so it is compiled once, here: generic code that its caller's module cannot specialise runs many
// times slower. What knows the type of a key is in `KeyOperations`, and is called once a look-up, to compare.
//
// ## Algorithm
// A hash table with linear probing and deletion by shifting back (Knuth, The Art of Computer Programming, vol. 3,
// 6.4, algorithm R), so that no tombstones gather.
//
// A bucket that is full equals that of a key never seen, so its entry may be dropped at any time. That is done when
// room is needed: when the table is three quarters full it moves to another one, of twice the size only if what is not
// full fills more than three eighths. At the cap a new key takes the place of the one that is closest to full of 24
// places, over which a hand goes round the table: it forgets least, and a key that is used hard is not among them.
//
// ## Invariants
// I1  count <= cap, and the table is never fuller than three quarters.
// I2  Between an entry's home and its place every place is taken.
// I3  The key of a place is initialised exactly when its hash is not 0.

/// What is done with keys in raw memory.
struct KeyOperations: Sendable {
    let stride: Int
    let alignment: Int
    /// Whether a key may be forgotten without being destroyed.
    let isTrivial: Bool
    let isEqual: @Sendable (UnsafeRawPointer, UnsafeRawPointer) -> Bool
    let copy: @Sendable (_ to: UnsafeMutableRawPointer, _ from: UnsafeRawPointer) -> Void
    let move: @Sendable (_ to: UnsafeMutableRawPointer, _ from: UnsafeMutableRawPointer) -> Void
    let destroy: @Sendable (UnsafeMutableRawPointer) -> Void

    init<Key: Hashable & Sendable>(of type: Key.Type) {
        stride = MemoryLayout<Key>.stride
        alignment = MemoryLayout<Key>.alignment
        isTrivial = _isPOD(Key.self)
        isEqual = { first, second in
            first.assumingMemoryBound(to: Key.self).pointee == second.assumingMemoryBound(to: Key.self).pointee
        }
        if isTrivial {
            // The type's own copy is called by way of its metadata, at a hundred instructions.
            let size = MemoryLayout<Key>.size
            copy = { target, source in target.copyMemory(from: source, byteCount: size) }
            move = { target, source in target.copyMemory(from: source, byteCount: size) }
            destroy = { _ in }
            return
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
    private(set) var count = 0
    private var entries: UnsafeMutablePointer<KeyTable.Entry>?
    private var keys: UnsafeMutableRawPointer?
    private var capacity = 0
    private var single: UnsafeMutableRawPointer?

    var isEmpty: Bool { entries == nil && single == nil }

    /// An old table, with the keys in it that did not move on.
    fileprivate mutating func add(
        _ entries: UnsafeMutablePointer<KeyTable.Entry>, _ keys: UnsafeMutableRawPointer, capacity: Int, left: Int
    ) {
        assert(self.entries == nil, "a table moves at most once in an operation")
        (self.entries, self.keys, self.capacity) = (entries, keys, capacity)
        count += left
    }

    /// One key; it moves from `place`, unless there is nothing to destroy.
    fileprivate mutating func add(_ place: UnsafeMutableRawPointer, _ operations: KeyOperations) {
        count += 1
        guard !operations.isTrivial else { return }
        assert(single == nil, "one key is dropped at most in an operation")
        let memory = UnsafeMutableRawPointer.allocate(byteCount: operations.stride, alignment: operations.alignment)
        operations.move(memory, place)
        single = memory
    }

    consuming func destroy(_ operations: KeyOperations) {
        if let single {
            operations.destroy(single)
            single.deallocate()
        }
        guard let entries, let keys else { return }
        if !operations.isTrivial {
            for place in 0..<capacity where entries[place].hash != 0 {
                operations.destroy(keys + place * operations.stride)
            }
        }
        entries.deallocate()
        keys.deallocate()
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
        if !operations.isTrivial {
            for place in 0..<capacity where entries[place].hash != 0 {
                operations.destroy(keys + place * operations.stride)
            }
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
        if (count + 1) * 4 > capacity * 3 { moveOn(isFull, &dropped) }
        if count >= cap { evict(isFull, missing, &dropped) }
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

    /// Moves to a table with room, and leaves behind what is full.
    private mutating func moveOn(_ isFull: (UInt128) -> Bool, _ dropped: inout DroppedKeys) {
        let old = (entries: entries, keys: keys, capacity: capacity)
        var live = 0
        for index in 0..<old.capacity where old.entries[index].hash != 0 && !isFull(old.entries[index].tat) {
            live += 1
        }
        if live * 8 > capacity * 3 { capacity *= 2 }
        (entries, keys) = Self.allocate(capacity, operations)
        hand = 0
        for index in 0..<old.capacity where old.entries[index].hash != 0 && !isFull(old.entries[index].tat) {
            let place = freePlace(old.entries[index].hash)
            entries[place] = old.entries[index]
            operations.move(key(place), old.keys + index * operations.stride)
            old.entries[index].hash = 0
        }
        dropped.add(old.entries, old.keys, capacity: old.capacity, left: count - live)
        count = live
    }

    /// Takes out the entry that is closest to full of those at the hand.
    private mutating func evict(
        _ isFull: (UInt128) -> Bool, _ missing: (UInt128) -> UInt64, _ dropped: inout DroppedKeys
    ) {
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
        dropped.add(key(place), operations)
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
