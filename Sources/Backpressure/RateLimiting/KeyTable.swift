// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The buckets of many keys in one array: a key, its hash and 16 bytes of state each.
//
// ## Algorithm
// A hash table with linear probing and deletion by shifting back (Knuth, The Art of Computer Programming, vol. 3,
// 6.4, algorithm R), so that no tombstones gather. It doubles up to the size that its cap needs and stays there.
//
// A bucket that is full equals that of a key never seen, so its entry is dropped whenever it is met: a hand goes round
// the table, two places with each new key. At the cap a new key takes the place of the one that is closest to full of
// the 24 places before the hand: it is the one that forgets least, and a key that is used hard is not among them.
//
// ## Invariants
// I1  count <= cap, and the table is never fuller than three quarters.
// I2  Between an entry's home and its place every place is taken.

/// The entries of one shard; part of a state that a lock guards.
struct KeyTable<Key: Hashable & Sendable>: Sendable {
    struct Entry: Sendable {
        let key: Key
        let hash: UInt
        var low: UInt64
        var high: UInt64

        var tat: UInt128 {
            get { UInt128(high) << 64 | UInt128(low) }
            set { (low, high) = (UInt64(truncatingIfNeeded: newValue), UInt64(truncatingIfNeeded: newValue >> 64)) }
        }
    }

    private static var sample: Int { 24 }

    let cap: Int
    private(set) var count = 0
    /// Keys that lost their place although their buckets were not full.
    private(set) var evicted: UInt64 = 0
    /// What was missing from their buckets, in whole tokens, rounded up.
    private(set) var forgiven: UInt64 = 0
    private var entries: ContiguousArray<Entry?>
    private var hand = 0

    init(cap: Int) {
        self.cap = cap
        entries = ContiguousArray(repeating: nil, count: 8)
    }

    private var mask: Int { entries.count - 1 }

    /// Bytes of the table's memory for its entries.
    var byteCount: Int { entries.count * MemoryLayout<Entry?>.stride }

    private func home(_ hash: UInt) -> Int { Int(truncatingIfNeeded: hash) & mask }

    /// The place of `key`.
    func find(_ key: Key, _ hash: UInt) -> Int? {
        var place = home(hash)
        while let entry = entries[place] {
            if entry.hash == hash, entry.key == key { return place }
            place = (place + 1) & mask
        }
        return nil
    }

    func tat(at place: Int) -> UInt128 { entries[place]?.tat ?? 0 }

    mutating func set(_ tat: UInt128, at place: Int) { entries[place]?.tat = tat }

    /// Adds a key that is not there.
    ///
    /// - Returns: The keys that made room, to be destroyed once the lock is released.
    mutating func insert(
        _ key: Key, _ hash: UInt, _ tat: UInt128, isFull: (UInt128) -> Bool, missing: (UInt128) -> UInt64
    ) -> (Key?, Key?) {
        let victims = makeRoom(isFull, missing)
        if (count + 1) * 4 > entries.count * 3 { grow() }
        count += 1
        put(
            Entry(
                key: key, hash: hash, low: UInt64(truncatingIfNeeded: tat), high: UInt64(truncatingIfNeeded: tat >> 64))
        )
        return victims
    }

    private mutating func put(_ entry: Entry) {
        var place = home(entry.hash)
        while entries[place] != nil { place = (place + 1) & mask }
        entries[place] = entry
    }

    private mutating func grow() {
        let old = entries
        entries = ContiguousArray(repeating: nil, count: old.count * 2)
        hand = 0
        for entry in old { if let entry { put(entry) } }
    }

    private mutating func makeRoom(_ isFull: (UInt128) -> Bool, _ missing: (UInt128) -> UInt64) -> (Key?, Key?) {
        guard count >= cap else { return (sweep(isFull), sweep(isFull)) }
        var best: (place: Int, tat: UInt128)?
        var seen = 0
        // At the cap more than a third of the places are taken, or there are few places: the hand finds some.
        while seen < Self.sample || best == nil {
            hand = (hand + 1) & mask
            seen += 1
            guard let entry = entries[hand] else { continue }
            if isFull(entry.tat) { return (remove(at: hand), nil) }
            if entry.tat < best?.tat ?? .max { best = (hand, entry.tat) }
        }
        guard let best else { return (nil, nil) }
        evicted += 1
        forgiven += missing(best.tat)
        return (remove(at: best.place), nil)
    }

    /// Moves the hand on, and drops what is full there.
    private mutating func sweep(_ isFull: (UInt128) -> Bool) -> Key? {
        hand = (hand + 1) & mask
        guard let entry = entries[hand], isFull(entry.tat) else { return nil }
        return remove(at: hand)
    }

    /// Takes out an entry, and closes the gap.
    mutating func remove(at place: Int) -> Key? {
        let key = entries[place]?.key
        var gap = place
        var next = (gap + 1) & mask
        while let entry = entries[next] {
            // An entry may go back to the gap if its home is not between the two.
            if (next - home(entry.hash)) & mask >= (next - gap) & mask {
                entries[gap] = entry
                gap = next
            }
            next = (next + 1) & mask
        }
        entries[gap] = nil
        count -= 1
        return key
    }

    /// Changes the state of every entry.
    mutating func updateAll(_ body: (UInt128) -> UInt128) {
        for place in entries.indices { if let entry = entries[place] { entries[place]?.tat = body(entry.tat) } }
    }

    mutating func dropFull(_ isFull: (UInt128) -> Bool) -> [Key] {
        var dropped: [Key] = []
        for place in entries.indices {
            // Closing the gap may bring another one here.
            while let entry = entries[place], isFull(entry.tat) {
                if let key = remove(at: place) { dropped.append(key) }
            }
        }
        return dropped
    }
}
