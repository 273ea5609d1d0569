// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One task's one wait: the node that queues it, the verdict that ends it, and the cell through which it is resumed.
//
// ## Algorithm
// A waiter is linked under its primitive's lock, which fixes its place. After the unlock the task offers its
// continuation by one swap on `cell`. Whoever unlinks the waiter under the lock (a granter, the canceller, the timer,
// close) owns the verdict: it writes it, and after its unlock exchanges the cell for `resumed`. If a continuation was
// there it is resumed; if not, the task's swap fails and it goes on without having slept.
//
// ## States (of `cell`)
// empty    -> parked (the task's swap) | resumed (the waker's exchange)
// parked   -> resumed (the waker's exchange; the waker resumes the continuation)
// resumed  is the end; or, where a wake may be a call and not a verdict, -> empty (the task, under the lock).
//
// ## Invariants
// I1  A waiter is in at most one list. Unlinking it is the right to give its verdict, and is done once.
// I2  The task frees the waiter, and only after it saw `resumed`: the waker's exchange is the last access but the
//     task's own.
// I3  A verdict already given is never overwritten: the late cancel, timer or close finds the waiter unlinked.
//
// ## Memory ordering
// location | operation          | ordering | pairs with            | because
// cell     | swap empty->parked | release  | the waker's exchange  | the suspended task travels to the waker
// cell     | exchange resumed   | acq_rel  | the swap, the load    | verdict and element travel to the task
// cell     | load after waking  | acquire  | the waker's exchange  | the same, whether the task did sleep or its swap
//          |                    |          |                       | failed; how the runtime orders a resumption is
//          |                    |          |                       | not relied on
//
// ## Cost
// One allocation per wait: 64 bytes and the element. No class, no reference counting.

/// How a wait ended.
@usableFromInline
enum Verdict: UInt8, Sendable {
    /// Still waiting.
    case none
    /// The wait's purpose is fulfilled: the element was taken over or delivered, the permit granted.
    case granted
    /// The task was cancelled first.
    case cancelled
    /// The deadline passed first.
    case timedOut
    /// The primitive was closed first by its producing side.
    case finished
    /// The primitive was closed first by its consuming side, or can never fulfil the wait any more.
    case abandoned
}

/// The fields of a waiter; an element's storage follows.
@usableFromInline
struct Waiter {
    var next: UnsafeMutablePointer<Waiter>?
    var previous: UnsafeMutablePointer<Waiter>?
    /// `WaiterRef.empty`, `WaiterRef.resumed`, or the bits of the parked continuation.
    var cell: UInt64
    /// On the primitive's clock; `Int64.max` is never.
    var deadline: Int64
    /// When the wait began, on the primitive's clock.
    var parkedAt: Int64
    /// Where its side of the primitive stood when the waiter was registered.
    var ordinal: UInt64
    /// Its place in the heap of deadlines, -1 while it has none.
    var heapIndex: Int32
    /// Which of the primitive's lists holds it; 0 is none.
    var list: UInt8
    var verdict: Verdict
    /// The task promises to serve its side's next waiter once it runs.
    ///
    /// In a channel it is granted then, in a semaphore called.
    var isSteward: Bool
    fileprivate var traits: UInt8 = 0
    /// The decision that it shares with the other cases of its select; nil for a wait of its own.
    ///
    /// Written before the waiter is linked, and never again.
    var selection: Unmanaged<Selection>?

    // Bits of one byte: the fields fill a cache line, and no more.

    /// It waits for room, and its payload is a count.
    var isReservation: Bool {
        get { traits & 1 != 0 }
        set { traits = newValue ? traits | 1 : traits & ~1 }
    }
    /// Its deadline is the policy's and not the caller's.
    var fallsBack: Bool {
        get { traits & 2 != 0 }
        set { traits = newValue ? traits | 2 : traits & ~2 }
    }
}

/// A waiter, owned by the task that waits.
@usableFromInline
struct WaiterRef: @unchecked Sendable, Equatable {
    static let empty: UInt64 = 0
    static let resumed: UInt64 = 1

    let pointer: UnsafeMutablePointer<Waiter>

    init(_ pointer: UnsafeMutablePointer<Waiter>) { self.pointer = pointer }

    /// A waiter with room for an element of this layout behind it.
    static func allocate(payload layout: SlotLayout) -> WaiterRef {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: payloadOffset(layout) + layout.stride - layout.elementOffset, alignment: layout.alignment)
        let pointer = memory.initializeMemory(
            as: Waiter.self,
            to: Waiter(
                next: nil, previous: nil, cell: empty, deadline: .max, parkedAt: 0, ordinal: 0, heapIndex: -1, list: 0,
                verdict: .none, isSteward: false))
        return WaiterRef(pointer)
    }

    /// Gives the memory back.
    ///
    /// The element must have been moved out, and `resumed` seen (I2).
    func deallocate(payload layout: SlotLayout) {
        let size = Self.payloadOffset(layout) + layout.stride - layout.elementOffset
        PlainAccess.deallocate(UnsafeMutableRawPointer(pointer), byteCount: size)
    }

    private static func payloadOffset(_ layout: SlotLayout) -> Int {
        (MemoryLayout<Waiter>.size + layout.alignment - 1) & ~(layout.alignment - 1)
    }

    /// Where the element lies.
    func payload(_ layout: SlotLayout) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(pointer) + Self.payloadOffset(layout)
    }

    /// A waiter for `count` places, with no element.
    static func allocate(reserving count: Int) -> WaiterRef {
        let waiter = allocate(payload: reservationLayout)
        waiter.pointer.pointee.isReservation = true
        waiter.payload(reservationLayout).initializeMemory(as: Int.self, to: count)
        return waiter
    }

    /// What the payload of a waiter for places is: their number.
    static let reservationLayout = SlotLayout(of: Int.self)

    /// How many places it waits for; nil when it has an element, or wants one.
    var reservedCount: Int? {
        guard pointer.pointee.isReservation else { return nil }
        return payload(Self.reservationLayout).load(as: Int.self)
    }

    private var cell: AtomicWord {
        AtomicWord(at: UnsafeMutableRawPointer(pointer) + Self.cellOffset)
    }

    /// The address of the cell, for the model checker's stand-in of a suspended task.
    var cellAddress: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) + Self.cellOffset }

    private static let cellOffset = 16

    /// The verdict.
    ///
    /// The task reads it after it saw `resumed`, everybody else under the lock.
    @usableFromInline var verdict: Verdict {
        PlainAccess.read(pointer)
        return pointer.pointee.verdict
    }

    /// Whether its task serves the next waiter once it runs; it is set under the lock, before the wake.
    var isSteward: Bool {
        PlainAccess.read(UnsafeRawPointer(pointer) + 1)
        return pointer.pointee.isSteward
    }

    /// Makes its task a steward; the caller holds the lock and wakes it after.
    func markSteward() {
        PlainAccess.write(UnsafeRawPointer(pointer) + 1)
        pointer.pointee.isSteward = true
    }

    /// Ends the wait; the caller holds the lock and has just unlinked the waiter (I1).
    func end(_ verdict: Verdict) {
        PlainAccess.write(pointer)
        pointer.pointee.verdict = verdict
    }
}

// MARK: - Sleeping and waking

extension WaiterRef {
    /// Offers the way to resume the task to the waker; false when the wait is over already.
    ///
    /// Either way `isResumed` is asked before anything of the waiter is read.
    func park(_ task: SleepingTask) -> Bool {
        cell.compareExchangeReleasing(expected: Self.empty, desired: task.bits).exchanged
    }

    /// Ends the sleep; the caller has given the verdict and holds no lock.
    ///
    /// The waiter may be gone on return (I2).
    func wake() {
        let seen = cell.exchangeAcquiringAndReleasing(Self.resumed)
        guard decide(seen != Self.empty) else { return }
        SleepingTask(bits: seen).resume()
    }

    /// Makes a waiter that was woken ready to sleep once more; its task calls it, under the lock, before it is linked
    /// again.
    func rearm() { cell.storeRelaxed(Self.empty) }

    /// Makes a waiter whose wait is over fit for another one; its task calls it, and nobody else has it.
    func renew() {
        rearm()
        end(.none)
        pointer.pointee.deadline = .max
        pointer.pointee.ordinal = 0
    }

    /// Whether the wait is over; orders the verdict and the element before what follows.
    var isResumed: Bool { cell.loadAcquiring() == Self.resumed }

    /// Suspends the task until the wait is over; a cancellation is passed on to `canceller`, once.
    ///
    /// The waiter is linked already, and the caller holds no lock: a continuation's closure may run twice over on
    /// another thread in unoptimised builds, and `onCancel` runs under a lock of the runtime that resuming takes too.
    func sleep(cancelling canceller: some WaitCanceller) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if !park(SleepingTask(continuation)) { continuation.resume() }
            }
        } onCancel: {
            canceller.cancel(self)
        }
        let isOver = isResumed
        verify(isOver, "a task went on before its wait was over")
    }
}

/// A primitive that can take a waiter out of its lists.
protocol WaitCanceller: AnyObject, Sendable {
    /// Ends `waiter`'s wait as cancelled if nothing else has ended it. O(1), synchronous, runs no code of a user.
    func cancel(_ waiter: WaiterRef)
}
