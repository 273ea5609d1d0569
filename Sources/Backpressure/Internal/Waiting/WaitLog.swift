// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The waits of one kind of one primitive, in a histogram that exists once somebody has waited.
//
// ## Algorithm
// Whoever wakes up reads the clock and records how long it was away, after the wake and outside every lock of the primitive:
// who serves it pays nothing, and what is recorded includes the time until its task ran. The histogram has a lock of
// its own, held for a few additions. It is found through one word of zeroed memory of the primitive: the first to come
// makes it and swaps it in; who loses that race uses the winner's.
//
// ## Memory ordering
// location | operation       | ordering | pairs with | because
// word     | swap 0->record  | acq_rel  | the loads  | the record is complete when it is seen
// word     | load            | acquire  | the swap   | the same
//
// ## Cost
// Nothing for an operation that does not wait. A wait: one reading of the clock, one lock nobody else holds for long.

/// Records waits at a word of zeroed memory, which outlives it.
struct WaitLog: @unchecked Sendable {
    private final class Record: Sendable {
        let histogram = LockedState(WaitHistogram())
    }

    private let word: AtomicWord

    init(at address: UnsafeMutableRawPointer) { word = AtomicWord(at: address) }

    /// What was recorded so far.
    var histogram: WaitHistogram {
        record?._withUnsafeGuaranteedRef { $0.histogram.withLock { $0 } } ?? WaitHistogram()
    }

    /// The task of `waiter` is awake: records its wait.
    @inline(never)
    func note(_ waiter: WaiterRef, _ timeSource: TimeSource) {
        let duration = timeSource.now().subtractingSaturating(waiter.pointer.pointee.parkedAt)
        (record ?? make())._withUnsafeGuaranteedRef { record in
            record.histogram.withLock { $0.record(nanoseconds: duration) }
        }
    }

    /// The primitive goes away.
    func deallocate() { record?.release() }

    /// Unmanaged: whoever asks holds the primitive, and every wait asks.
    private var record: Unmanaged<Record>? { Self.unmanaged(word.loadAcquiring()) }

    private func make() -> Unmanaged<Record> {
        let made = Unmanaged.passRetained(Record())
        let bits = UInt64(UInt(bitPattern: made.toOpaque()))
        let swap = word.compareExchangeAcquiringAndReleasing(expected: 0, desired: bits)
        guard !swap.exchanged, let other = Self.unmanaged(swap.original) else { return made }
        made.release()
        return other
    }

    private static func unmanaged(_ bits: UInt64) -> Unmanaged<Record>? {
        UnsafeRawPointer(bitPattern: UInt(bits)).map(Unmanaged.fromOpaque)
    }
}

/// A log with a word of its own, for a primitive that has no zeroed memory.
struct OwnedWaitLog: ~Copyable, Sendable {
    private let memory = ZeroedMemory(byteCount: 8, alignment: 8)

    var log: WaitLog { WaitLog(at: memory.start) }

    deinit {
        log.deallocate()
        memory.deallocate()
    }
}

extension WaiterRef {
    /// For how long it has waited at `now`; the caller holds the lock of its list.
    func age(at now: Int64) -> Duration {
        .nanoseconds(max(0, now.subtractingSaturating(pointer.pointee.parkedAt)))
    }
}
