// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bounded ring for any number of senders and receivers: the lock-free half of a channel.
//
// ## Algorithm
// After Dmitry Vyukov's bounded MPMC queue: a compare-and-swap on a position word claims a slot, the slot's own stamp
// hands it over. Differs from it in: stamps carry the lap, so the capacity is exact (1 included); the position words
// carry flags in their high bits, so the swap that claims a slot also proves that nobody waits; "full" and "empty" are
// answered from both words and never from a stamp alone.
//
// ## Invariants
// I1  head <= tail <= head + capacity, as positions.
// I2  A claim succeeds only from a word without flags, below its limit.
// I3  While both words carry `gate`, no position moves but by the holder of the channel's lock.
// I4  "Full" and "empty" are drawn from a word of the caller's side without flags and, read after it, one of the other
//     side at the distance that says so. Behind a gate elements may lie outside the ring, but the own word was read
//     before the gate was closed: at that moment the ring was all there was, and the other side was where it is seen
//     now. Of a gate that opens, the tail is opened before the head. "Finished" is asked again under the lock.
//
// ## Memory ordering
// location | operation        | ordering | pairs with           | because
// stamp    | load, sender     | acquire  | release of the taker | the slot's previous element was moved out before
// stamp    | load, receiver   | acquire  | publish of the sender| the element was moved in before
// stamp    | store            | release  | the two loads above  | hands the slot over
// tail,head| claiming swap    | release  | the other's load     | a claim carries the moves that made it possible; it
//          |                  |          |                      | swaps the very word that its load has acquired
// tail,head| load, own side   | acquire  | claiming swap, gate  | tail before stamp before head: else "full" could be
//          |                  |          | opened               | answered although it never was; and a limit as old
//          |                  |          |                      | as the word would let a claim pass a lowered one
// tail,head| load, other side | relaxed  | -                    | only compared; what is newer than the own word was
//          |                  |          |                      | acquired with that, and nothing is read behind it
// tail,head| gate, by OR      | relaxed  | -                    | no claim succeeds on a gated word, and what the OR
//          |                  |          |                      | returns is exact; elements are the stamps' affair
// tail,head| gate opened      | release  | the load             | carries the limits and the moves under the lock along
// limits   | load             | relaxed  | -                    | lowered only while gated: a word read after the gate
//          |                  |          |                      | opened carries the write along. Raised at any time
//
// ## Cost
// A claim is one swap, two loads of shared lines and one of the limits' line. No fence, no allocation. A claim that lost
// its swap to another of its side stands back for half a microsecond: the winner goes on from its own cache meanwhile,
// and four producers with four consumers on two processors get twice as far as with an immediate retry.
//
// ## Not promised
// Between claim and publish a slot is in its sender's hands: a receiver there gets `.pending`, never `.empty`.

/// What a sender got from a look at the ring.
@usableFromInline
enum SendClaim {
    /// The slot is the caller's: move the element in, then store `stamp` (release).
    case claimed(slot: UnsafeMutableRawPointer, stamp: UInt64)
    /// Exactly `capacity` elements are in.
    case full
    /// A flag, a limit or a receiver half-way: only the lock can tell.
    case locked
}

/// What a receiver got from a look at the ring.
@usableFromInline
enum ReceiveClaim {
    /// The slot is the caller's: move the element out, then store `stamp` (release).
    case claimed(slot: UnsafeMutableRawPointer, stamp: UInt64)
    /// Nothing is in.
    case empty
    /// Nothing is in, and nothing will come.
    case finished
    /// A flag, a limit or a sender half-way: only the lock can tell.
    case locked
}

/// What one attempt at a slot came to.
@usableFromInline
enum Attempt {
    case claimed(slot: UnsafeMutableRawPointer, stamp: UInt64)
    /// The swap failed: another of this side was faster, or the word has a flag now.
    case lost
    /// The slot is not this lap's yet: full or empty, or the other side is half-way.
    case notReady
}

/// The address of a ring.
@usableFromInline
struct Ring: @unchecked Sendable {
    @usableFromInline let base: UnsafeMutableRawPointer

    @inlinable @inline(__always)
    var tail: AtomicWord { AtomicWord(at: base + 8) }
    @inlinable @inline(__always)
    var head: AtomicWord { AtomicWord(at: base + 136) }
    @inlinable @inline(__always)
    var tailLimit: AtomicWord { AtomicWord(at: base + 192) }
    @inlinable @inline(__always)
    var headLimit: AtomicWord { AtomicWord(at: base + 200) }
    /// The constants; written once, before anybody else sees the ring.
    @inlinable @inline(__always)
    var geometry: RingGeometry { (base + 208).assumingMemoryBound(to: RingGeometry.self).pointee }
    /// Refused without waiting because it was full; on a line of its own.
    var refusals: AtomicWord { AtomicWord(at: base + 64) }
    /// How many elements the channel holds at most now, for whoever asks without the lock.
    var liveCapacity: AtomicWord { AtomicWord(at: base + 88) }
    /// How long senders and receivers waited; nothing is made for them before somebody does.
    var sendLog: WaitLog { WaitLog(at: base + 96) }
    var receiveLog: WaitLog { WaitLog(at: base + 104) }
    @inlinable @inline(__always)
    var slots: UnsafeMutableRawPointer { base + 256 }

    /// The slot of position `word`, with the stride of its element type.
    @inlinable @inline(__always)
    func slot(_ word: UInt64, stride: Int) -> UnsafeMutableRawPointer {
        slot(word, geometry, stride: stride)
    }

    @inlinable @inline(__always)
    func slot(_ word: UInt64, _ geometry: RingGeometry, stride: Int) -> UnsafeMutableRawPointer {
        slots + Int(truncatingIfNeeded: word & geometry.indexMask) &* stride
    }

    // MARK: Claims
    //
    // The first attempt is inlined into the user's loop; whatever else there is to find out is one call away.

    /// Claims the tail slot.
    @inlinable @inline(__always)
    func claimForSend(stride: Int) -> SendClaim {
        let word = tail.loadAcquiring()
        if decide(word < tailLimit.loadRelaxed()) {
            let attempt = attemptSend(at: word, stride: stride)
            if case .claimed(let slot, let stamp) = attempt { return .claimed(slot: slot, stamp: stamp) }
        }
        return claimForSendAgain(stride: stride)
    }

    /// Claims the head slot.
    @inlinable @inline(__always)
    func claimForReceive(stride: Int) -> ReceiveClaim {
        let word = head.loadAcquiring()
        if decide(word < headLimit.loadRelaxed()) {
            let attempt = attemptReceive(at: word, stride: stride)
            if case .claimed(let slot, let stamp) = attempt { return .claimed(slot: slot, stamp: stamp) }
        }
        return claimForReceiveAgain(stride: stride)
    }

    @inlinable @inline(__always)
    func attemptSend(at word: UInt64, stride: Int) -> Attempt {
        // Once: after an atomic access the compiler would load each constant anew.
        let geometry = geometry
        let slot = slot(word, geometry, stride: stride)
        guard decide(AtomicWord(at: slot).loadAcquiring() == geometry.freeStamp(word)) else { return .notReady }
        let swap = tail.weakCompareExchangeReleasing(expected: word, desired: geometry.next(word))
        return swap.exchanged ? .claimed(slot: slot, stamp: geometry.publishedStamp(word)) : .lost
    }

    @inlinable @inline(__always)
    func attemptReceive(at word: UInt64, stride: Int) -> Attempt {
        let geometry = geometry
        let slot = slot(word, geometry, stride: stride)
        guard decide(AtomicWord(at: slot).loadAcquiring() == geometry.publishedStamp(word)) else { return .notReady }
        let swap = head.weakCompareExchangeReleasing(expected: word, desired: geometry.next(word))
        return swap.exchanged ? .claimed(slot: slot, stamp: geometry.releasedStamp(word)) : .lost
    }

    @usableFromInline
    @inline(never)
    func claimForSendAgain(stride: Int) -> SendClaim {
        while true {
            let word = tail.loadAcquiring()
            if decide(word >= tailLimit.loadRelaxed()) { return .locked }
            switch attemptSend(at: word, stride: stride) {
            case .claimed(let slot, let stamp): return .claimed(slot: slot, stamp: stamp)
            case .lost: standBack()
            case .notReady:
                // A head with a flag is one lap from no tail.
                if decide(geometry.isFull(tail: word, head: head.loadRelaxed())) { return .full }
                if tail.loadRelaxed() == word { return .locked }
            }
        }
    }

    @usableFromInline
    @inline(never)
    func claimForReceiveAgain(stride: Int) -> ReceiveClaim {
        while true {
            let word = head.loadAcquiring()
            if decide(word >= headLimit.loadRelaxed()) { return .locked }
            switch attemptReceive(at: word, stride: stride) {
            case .claimed(let slot, let stamp): return .claimed(slot: slot, stamp: stamp)
            case .lost: standBack()
            case .notReady:
                let other = tail.loadRelaxed()
                if decide(other & RingWord.position == word) {
                    let ended = other & (RingWord.closed | RingWord.reserved) == RingWord.closed
                    return decide(ended) ? .finished : .empty
                }
                if head.loadRelaxed() == word { return .locked }
            }
        }
    }
}

extension Ring {
    /// Memory for a ring, all zero and committed as it is touched; the caller sets the limits.
    static func allocate(geometry: RingGeometry, slots layout: SlotLayout) -> (ring: Ring, allocation: ZeroedMemory) {
        let (slotBytes, overflow) = geometry.capacity.multipliedReportingOverflow(by: layout.stride)
        precondition(
            !overflow, "a ring of \(geometry.capacity) slots of \(layout.stride) bytes exceeds the address space")
        let memory = ZeroedMemory(byteCount: 256 + slotBytes, alignment: max(64, layout.alignment))
        (memory.start + 208).initializeMemory(as: RingGeometry.self, to: geometry)
        return (Ring(base: memory.start), memory)
    }
}
