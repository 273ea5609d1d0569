// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One subscription's demand, end and right to signal, in one atomic word: what makes signals serial and requests flat.
//
// ## Algorithm
// The word holds how many elements were requested *in total*, and flags. Whoever sets `owned` where it was clear owns
// the right to signal and runs the drain loop; everybody else adds what there is to know and goes away, and the owner
// finds it. The owner keeps the number of elements sent in plain memory: a total only grows, so the owner may leave
// with one compare-and-swap that fails if anything came in since it looked. No count of missed calls is needed, a
// request from inside `onNext` is one swap and no call, and emitting costs no atomic write at all.
// (The drain loop is known from RxJava as queue-drain; it differs in that demand and work-in-progress share a word.)
//
// ## Layout
// [ requested in total : 60 | invalid | signalled | cancelled | owned ]
// 2^60 - 1 in total counts as unbounded: at one element a nanosecond it lasts 36 years. Beside the word lies the invalid
// demand, for the error's text.
//
// ## Transitions
// request     adds, and takes `owned`; nothing once cancelled
// signal      sets `signalled`, takes `owned`: something lies ready elsewhere, under a lock or in an atomic
// cancel      sets `cancelled`, takes `owned`
// clearSignal by the owner, before it looks for what lies ready
// leave       by the owner: clears `owned` if the word is as it was looked at
// close       by the owner, at the end: sets `cancelled`; `owned` stays set for ever, so nobody drains again
//
// ## Invariants
// I1. From the swap that set `owned` to the one that clears it, only that thread touches the owner's state.
// I2. The total never shrinks and never wraps.
// I3. What is added while somebody owns the word is seen by that owner, or by the caller who then becomes one.
// I4. A word that was cancelled is owned for ever.
//
// ## Memory ordering
// operation                   | ordering | because
// request, signal, cancel     | acq_rel  | carries what lies ready to the owner; takes over the previous owner's state
// look, clearSignal           | acquire  | sees what lies ready
// leave                       | acq_rel  | hands the owner's state to the next owner
// first load of request       | relaxed  | a guess that the swap checks

/// The word of one subscription; it owns 16 bytes until `deallocate`.
@frozen
@usableFromInline
struct DrainWord: @unchecked Sendable {
    @usableFromInline let base: UnsafeMutableRawPointer

    /// A word that the caller owns, so that `onSubscribe` can run before any other signal.
    @inlinable
    init() {
        base = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
        base.storeBytes(of: DrainLook.owned, as: UInt64.self)
        base.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    }

    @inlinable
    func deallocate() { PlainAccess.deallocate(base, byteCount: 16) }

    @inlinable @inline(__always)
    var word: AtomicWord { AtomicWord(at: base) }

    @inlinable @inline(__always)
    var invalid: AtomicWord { AtomicWord(at: base + 8) }

    // MARK: Anybody

    /// Notes a demand; true when the caller now owns the word and must drain.
    @inlinable @inline(__always)
    func request(_ demand: Demand) -> Bool {
        guard demand.count > 0 else { return refuse(demand) }
        var seen = word.loadRelaxed()
        while true {
            if decide(seen & DrainLook.cancelled != 0) { return false }
            // No wrap: a total of 2^60 and a demand of 2^63 fit an unsigned word.
            let total = min((seen >> DrainLook.shift) &+ UInt64(demand.count), DrainLook.unbounded)
            let next = total << DrainLook.shift | seen & DrainLook.flags | DrainLook.owned
            if decide(next == seen) { return false }
            let (exchanged, original) = word.weakCompareExchangeAcquiringAndReleasing(expected: seen, desired: next)
            if exchanged { return decide(seen & DrainLook.owned == 0) }
            seen = original
        }
    }

    @inlinable
    @inline(never)
    func refuse(_ demand: Demand) -> Bool {
        invalid.storeRelaxed(UInt64(bitPattern: demand.count))
        return decide(
            word.fetchOrAcquiringAndReleasing(DrainLook.invalid | DrainLook.owned) & DrainLook.owned == 0)
    }

    /// Something lies ready for the owner; true when that is the caller, who must drain.
    @inlinable @inline(__always)
    func signal() -> Bool {
        decide(word.fetchOrAcquiringAndReleasing(DrainLook.signalled | DrainLook.owned) & DrainLook.owned == 0)
    }

    /// The subscriber wants no more; true when the caller now owns the word and must drain.
    @inlinable @inline(__always)
    func cancel() -> Bool {
        decide(word.fetchOrAcquiringAndReleasing(DrainLook.cancelled | DrainLook.owned) & DrainLook.owned == 0)
    }

    /// What the word says; anybody may look, but only for the owner does it stay true that nobody else owns it.
    @inlinable @inline(__always)
    func look() -> DrainLook { DrainLook(bits: word.loadAcquiring()) }

    // MARK: The owner

    /// Lays down the signal, and says what the word holds then: call it before looking for what lies ready.
    @inlinable @inline(__always)
    func clearSignal() -> DrainLook {
        DrainLook(bits: word.fetchAndAcquiringAndReleasing(~DrainLook.signalled) & ~DrainLook.signalled)
    }

    /// Gives the word up if it is as `look` says; otherwise `look` is brought up to date and the caller drains on.
    @inlinable @inline(__always)
    func leave(_ look: inout DrainLook) -> Bool {
        let (exchanged, original) = word.compareExchangeAcquiringAndReleasing(
            expected: look.bits, desired: look.bits & ~DrainLook.owned)
        if decide(exchanged) { return true }
        look = DrainLook(bits: original)
        return false
    }

    /// The stream has ended: nothing that is called on the subscription has an effect any more.
    ///
    /// The owner never leaves after it, which alone would do; the flag spares later requests their swap.
    @inlinable @inline(__always)
    func close() { _ = word.fetchOrAcquiringAndReleasing(DrainLook.cancelled | DrainLook.owned) }

    /// The demand that made the word invalid.
    @inlinable
    var invalidDemand: Demand { Demand(Int64(bitPattern: invalid.loadRelaxed())) }
}

/// A reading of a `DrainWord`.
@frozen
@usableFromInline
struct DrainLook: Sendable {
    @inlinable @inline(__always) static var owned: UInt64 { 1 }
    @inlinable @inline(__always) static var cancelled: UInt64 { 2 }
    @inlinable @inline(__always) static var signalled: UInt64 { 4 }
    @inlinable @inline(__always) static var invalid: UInt64 { 8 }
    @inlinable @inline(__always) static var flags: UInt64 { 15 }
    @inlinable @inline(__always) static var shift: UInt64 { 4 }
    /// The greatest total, which is never used up.
    @inlinable @inline(__always) static var unbounded: UInt64 { UInt64.max >> shift }

    @usableFromInline let bits: UInt64

    @inlinable @inline(__always)
    init(bits: UInt64) { self.bits = bits }

    /// How many elements were requested since the subscription began.
    @inlinable @inline(__always)
    var requested: UInt64 { bits >> DrainLook.shift }

    @inlinable @inline(__always)
    var isCancelled: Bool { bits & DrainLook.cancelled != 0 }

    @inlinable @inline(__always)
    var isSignalled: Bool { bits & DrainLook.signalled != 0 }

    @inlinable @inline(__always)
    var isInvalid: Bool { bits & DrainLook.invalid != 0 }

    /// Cancelled or invalid: no further element.
    @inlinable @inline(__always)
    var mustStop: Bool { bits & (DrainLook.cancelled | DrainLook.invalid) != 0 }

    /// What is asked for beyond the `emitted` elements sent.
    ///
    /// More than 2^60 is never sent, so an unbounded total leaves an amount that no window or buffer exceeds.
    @inlinable @inline(__always)
    func unmet(after emitted: UInt64) -> UInt64 { requested &- emitted }
}
