// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where the words and the slots of a bounded ring lie in memory, and the arithmetic of its positions.
//
// ## Position words
// A word is [ flags : 3 | lap : 61 - b | index : b ] with b = max(1, bits for 0..<capacity). Positions only grow: after
// the last index comes index 0 of the next lap, for any capacity and not only for powers of two. The flags are the
// *high* bits: one unsigned comparison of a word with a limit therefore sees "a flag is set", "the cooperative budget
// is spent" and "newcomers have passed a waiter often enough" at once.
//
// ## Slots
// A slot is a stamp word, then the element at its alignment. With `lap` standing for the word's lap bits in place:
//     stamp == lap         free for the sender of that lap
//     stamp == lap + 1     published for the receiver of that lap
//     next lap's bits      free again
// b >= 1 keeps the published bit apart from the lap. All-zero memory is a ring whose slots are free for lap 0: a huge
// capacity is committed by the system only as far as it is touched.
//
// ## Lines
// at   8  tail
// at  64  refusals, the records of the looks, the channel's capacity, its logs of waits: slow paths only
// at 136  head
// at 192  limits: read by every operation, written only when somebody waits or the cooperative budget is spent
// at 208  the constants of the ring: read by every operation, never written again
// at 256  slots
// Tail and head lie two cache lines apart, because processors fetch lines in pairs.
//
// A load that follows a locked store to an address with the same low twelve bits waits for that store, although the two
// have nothing to do with each other: measured, a pair of operations costs 1.6 times as much. So what the fast path
// loads lies in this header, at distances that never differ by a page; and the one word outside, the pointer to the
// ring in the channel's object, is at a multiple of 16, so tail and head are not.

/// The flags of a position word, and the constants of the layout.
@usableFromInline
enum RingWord {
    /// Somebody sleeps, or elements are outside the ring: every operation goes through the lock.
    @usableFromInline static let gate: UInt64 = 1 << 61
    /// Tail only: every send asks under the lock, because room is reserved, or the limit has just come down.
    @usableFromInline static let reserved: UInt64 = 1 << 62
    /// Tail only: no element is accepted any more.
    @usableFromInline static let closed: UInt64 = 1 << 63
    /// The bits of the position.
    @usableFromInline static let position: UInt64 = gate &- 1
    /// A limit that no position reaches and every flag exceeds.
    @usableFromInline static let noLimit: UInt64 = gate
}

/// The constants of one ring: what a position is, and where a slot lies.
@usableFromInline
struct RingGeometry: Sendable {
    /// 2^b - 1: the bits of the index.
    @usableFromInline let indexMask: UInt64
    /// The last index.
    @usableFromInline let lastIndex: UInt64
    /// What takes a word from the last index to index 0 of the next lap.
    @usableFromInline let lapStep: UInt64
    @usableFromInline let capacity: Int
    /// How many bits the index has.
    private let indexBits: UInt64

    @usableFromInline
    init(capacity: Int) {
        let bits = max(1, Int.bitWidth - (capacity - 1).leadingZeroBitCount)
        self.capacity = capacity
        indexBits = UInt64(bits)
        indexMask = (1 << UInt64(bits)) - 1
        lastIndex = UInt64(capacity - 1)
        lapStep = (1 << UInt64(bits)) - UInt64(capacity) + 1
    }

    /// The largest capacity whose ring can be laid out at all.
    static let maximumCapacity = 1 << 40

    /// The position after `word`, which has no flags.
    @inlinable @inline(__always)
    func next(_ word: UInt64) -> UInt64 {
        word &+ (decide(word & indexMask == lastIndex) ? lapStep : 1)
    }

    /// What the stamp of the slot at `word` is while it is free for that lap.
    @inlinable @inline(__always)
    func freeStamp(_ word: UInt64) -> UInt64 { word & ~indexMask }

    /// What the stamp of the slot at `word` is once its element is published.
    @inlinable @inline(__always)
    func publishedStamp(_ word: UInt64) -> UInt64 { (word & ~indexMask) | 1 }

    /// What the stamp of the slot at `word` becomes when its element has been taken.
    @inlinable @inline(__always)
    func releasedStamp(_ word: UInt64) -> UInt64 { (word & ~indexMask) &+ indexMask &+ 1 }

    /// Whether a ring with these positions (no flags) is full: one lap apart at the same index.
    @inlinable @inline(__always)
    func isFull(tail: UInt64, head: UInt64) -> Bool { tail == head &+ indexMask &+ 1 }

    /// The number of claimed slots between two positions without flags.
    @inline(__always)
    func distance(tail: UInt64, head: UInt64) -> Int {
        Int(truncatingIfNeeded: ordinal(tail) &- ordinal(head))
    }

    /// How many positions came before `word`, which has no flags.
    @inline(__always)
    func ordinal(_ word: UInt64) -> UInt64 {
        (word >> indexBits) &* UInt64(capacity) &+ (word & indexMask)
    }

    /// The word of a position given as its ordinal; `noLimit` for one that no ring reaches.
    func word(ordinal: UInt64) -> UInt64 {
        let (lap, index) = ordinal.quotientAndRemainder(dividingBy: UInt64(capacity))
        let (shifted, overflow) = lap.multipliedReportingOverflow(by: indexMask &+ 1)
        guard !overflow, shifted < RingWord.noLimit else { return RingWord.noLimit }
        return shifted | index
    }
}

/// Size and alignment of the slots of one element type.
@usableFromInline
struct SlotLayout: Sendable {
    /// From the start of a slot to its element.
    @usableFromInline let elementOffset: Int
    /// From one slot to the next.
    @usableFromInline let stride: Int
    /// Of a slot: its element lies at the first multiple of it, behind the stamp.
    @inlinable var alignment: Int { elementOffset }

    @inlinable @inline(__always)
    init<Element: ~Copyable>(of element: Element.Type) {
        let alignment = MemoryLayout<Element>.alignment
        let offset = alignment > 8 ? alignment : 8
        elementOffset = offset
        stride = (offset &+ MemoryLayout<Element>.stride &+ offset &- 1) & ~(offset &- 1)
    }
}
