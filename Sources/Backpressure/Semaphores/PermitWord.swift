// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The one word of a semaphore: how many permits are free, and how long the fast path may go on by itself.
//
// ## Layout
// [ available : 46, signed | closed : 1 | queued : 1 | turns : 16 ]
//
// available   the limit less what is in use. Negative after the limit was lowered below what is in use: a debt, paid by
//             the releases as they come, without any of them knowing.
// turns       acquisitions that the fast path may still make before the lock must be asked. It is 0 while the gate is
//             closed, so one test sees "somebody waits and may not be passed", "newcomers have passed a waiter often
//             enough", "the cooperative budget is spent" and "closed".
// queued      whoever gives permits back must come to the lock after: somebody waits and nobody is on the way to look, or
//             the semaphore is gone and its memory must be freed after the last permit.
// closed      for `isClosed`; turns is 0 too.
//
// ## Invariants
// I1  An acquisition takes `count` permits and one turn in one swap, from a word that has both: never more than the
//     limit, whatever else happens.
// I2  turns grows, and the flags change, under the lock only. available grows by anybody, without the lock.
// I3  Whoever has permits out may touch the word and the core. After the add that gives them back only they may who saw
//     `queued` in it, until they have been to the lock.
//
// ## Memory ordering
// location | operation           | ordering | pairs with        | because
// word     | taking swap         | acq_rel  | giving add        | what a holder did comes before what the next one does
// word     | giving add          | acq_rel  | taking swap       | the same; and it sees a gate that closed meanwhile
// word     | load before a swap  | relaxed  | -                 | the swap fails if it is stale
// guess    | load, store         | relaxed  | -                 | the same
//
// ## Cost
// An acquisition is a guess and a swap, a release is an add. No reference is counted: permits that are out keep the memory
// alive because they are counted in the word (I3, `SemaphoreCore.orphan`).
//
// The first swap guesses what the word holds: a load of a word that this processor has just changed by a locked operation
// waits until that one is through, which takes as long as the operation itself. The guess is that a release comes between
// two acquisitions, whoever makes it; then the word is what it was, but for a turn. A wrong guess costs a swap that fails
// and says what the word holds. The guess lies beside the word, and whoever has just swapped has the line.

/// The layout of the word.
@usableFromInline
enum PermitLayout {
    @usableFromInline static let turns: UInt64 = 0xFFFF
    @usableFromInline static let queued: UInt64 = 1 << 16
    @usableFromInline static let closed: UInt64 = 1 << 17
    @usableFromInline static let shift: UInt64 = 18
    /// The most permits that a semaphore can have: sums of two such numbers fit the field.
    @usableFromInline static let maximum = 1 << 44

    /// The free permits of a word, or the debt.
    @inlinable @inline(__always)
    static func available(_ word: UInt64) -> Int { Int(truncatingIfNeeded: Int64(bitPattern: word) >> 18) }

    /// So many permits in the place that they have in the word.
    @inlinable @inline(__always)
    static func field(_ count: Int) -> UInt64 { UInt64(bitPattern: Int64(count)) << shift }
}

/// The word at its address, and the fast path.
@frozen
@usableFromInline
struct PermitWord: @unchecked Sendable {
    @usableFromInline let base: UnsafeMutableRawPointer

    init(at address: UnsafeMutableRawPointer) { base = address }

    @inlinable @inline(__always)
    var word: AtomicWord { AtomicWord(at: base) }

    /// What the word may hold at the next acquisition.
    @inlinable @inline(__always)
    var guess: Guess { Guess(at: base + 16) }

    /// Takes `count` permits if there are as many and nobody must be asked.
    @inlinable @inline(__always)
    func take(_ count: Int) -> Bool {
        precondition(count > 0, "a semaphore grants 1 permit at least")
        guard count <= PermitLayout.maximum else { return false }
        let guessed = guess.value
        guard allows(guessed, count) else { return take(count, from: word.loadRelaxed()) }
        let (taken, found) = swap(guessed, count)
        return taken || take(count, from: found)
    }

    /// As `take`, from a word that was `found`.
    @inlinable
    @inline(never)
    func take(_ count: Int, from found: UInt64) -> Bool {
        var seen = found
        while allows(seen, count) {
            let (taken, found) = swap(seen, count)
            if taken { return true }
            seen = found
        }
        return false
    }

    /// Whether a word has `count` permits, and a turn.
    @inlinable @inline(__always)
    func allows(_ seen: UInt64, _ count: Int) -> Bool {
        decide(Int64(bitPattern: seen) >= Int64(bitPattern: PermitLayout.field(count)))
            && decide(seen & PermitLayout.turns != 0)
    }

    /// Takes `count` permits and a turn from a word that is `seen`, which has them.
    ///
    /// The guess is noted while the permits are held (I3), or else by one who holds the semaphore.
    @inlinable @inline(__always)
    func swap(_ seen: UInt64, _ count: Int) -> (taken: Bool, found: UInt64) {
        let (taken, found) = word.weakCompareExchangeAcquiringAndReleasing(
            expected: seen, desired: seen &- PermitLayout.field(count) &- 1)
        guess.note(taken ? seen &- 1 : found)
        return (taken, found)
    }

    /// Gives `count` permits back.
    @inlinable @inline(__always)
    func give(_ count: Int) {
        let seen = word.fetchAddAcquiringAndReleasing(PermitLayout.field(count))
        if decide(seen & PermitLayout.queued != 0) { arrive(count) }
    }

    /// The core is there until the giver has been to its lock (I3); the strong reference keeps it while it is at work.
    @inline(never)
    @usableFromInline
    func arrive(_ count: Int) { core.takeUnretainedValue().arrive(count) }

    /// The duty to give `count` permits back passes from a `Permit` to whoever calls `release`.
    @usableFromInline
    func forget(_ count: Int) { core.takeUnretainedValue().forget(count) }

    /// The core whose word it is.
    ///
    /// Never written again; loaded as an atomic so that the model checker can stop a giver on its way here.
    var core: Unmanaged<SemaphoreCore> {
        let bits = AtomicWord(at: coreAddress).loadRelaxed()
        guard let pointer = UnsafeRawPointer(bitPattern: UInt(bits)) else {
            preconditionFailure("a word without its core")
        }
        return .fromOpaque(pointer)
    }

    /// Makes `core` the one whose word it is; nobody else has the word yet.
    func setCore(_ core: SemaphoreCore) {
        let pointer = Unmanaged.passUnretained(core).toOpaque()
        AtomicWord(at: coreAddress).storeReleasing(UInt64(UInt(bitPattern: pointer)))
    }

    private var coreAddress: UnsafeMutableRawPointer { base + 8 }
}
