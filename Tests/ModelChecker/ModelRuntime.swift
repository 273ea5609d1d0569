// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The doors of the checker for the code under test: the shim of the core calls them, and models may.
//
// On the OS thread of an exploration each call is a step (in threads) or acts at once (in setup and check). Anywhere
// else calls act on memory as what they say, so code built against the shim still works.

import ModelFibers
import Synchronization

/// What code under test calls.
public enum ModelRuntime {
    /// Whether the caller is a thread of a model, in an exploration.
    public static var isExploring: Bool {
        mf_is_engaged() && Engine.shared.state.pointee.running >= 0
    }

    /// The model's thread that calls, from 0; -1 outside.
    public static var threadID: Int {
        mf_is_engaged() ? Engine.shared.state.pointee.running : -1
    }

    /// Every place that ever reported a step in this process.
    public static var sites: [Site] {
        Explorer.turn.withLock { _ in Engine.shared.state.pointee.sites.sites }
    }

    /// Reports a violation; does not return in an exploration, and stops the process outside of one.
    public static func fail(_ message: String) -> Never {
        guard mf_is_engaged() else { fatalError(message) }
        Engine.shared.report(.failure, message)
    }

    /// Reports a violation unless `condition` holds.
    public static func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fail(message()) }
    }

    /// Gives an address a name for traces.
    public static func name(_ address: UnsafeRawPointer, _ name: @autoclosure () -> String) {
        guard mf_is_engaged(), Engine.shared.state.pointee.isTracing else { return }
        Engine.shared.state.pointee.names[UInt(bitPattern: address)] = name()
    }

    /// Adds a line to traces.
    public static func note(_ text: @autoclosure () -> String) {
        guard mf_is_engaged(), Engine.shared.state.pointee.isTracing else { return }
        let thread = Engine.shared.state.pointee.running
        Engine.shared.state.pointee.trace.append("thread \(thread): -- \(text())")
    }

    // MARK: Atomic words

    /// Loads the word at `address`.
    public static func atomicLoad(
        _ address: UnsafeMutableRawPointer, _ order: MemoryOrder, file: StaticString = #fileID, line: UInt = #line
    ) -> UInt64 {
        guard mf_is_engaged() else { return word(address).load() }
        return Engine.shared.atomic(.load, address, order, 0, 0, file, line).original
    }

    /// Stores into the word at `address`.
    public static func atomicStore(
        _ address: UnsafeMutableRawPointer, _ value: UInt64, _ order: MemoryOrder, file: StaticString = #fileID,
        line: UInt = #line
    ) {
        guard mf_is_engaged() else { return word(address).store(value) }
        _ = Engine.shared.atomic(.store, address, order, value, 0, file, line)
    }

    /// Stores into the word at `address`; returns what it held.
    public static func atomicExchange(
        _ address: UnsafeMutableRawPointer, _ value: UInt64, _ order: MemoryOrder, file: StaticString = #fileID,
        line: UInt = #line
    ) -> UInt64 {
        guard mf_is_engaged() else { return word(address).exchange(value) }
        return Engine.shared.atomic(.exchange, address, order, value, 0, file, line).original
    }

    /// Stores `desired` if the word at `address` holds `expected`; a `weak` one may fail all the same.
    public static func atomicCompareExchange(
        _ address: UnsafeMutableRawPointer, expected: UInt64, desired: UInt64, _ order: MemoryOrder,
        weak: Bool = false, file: StaticString = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        guard mf_is_engaged() else {
            return word(address).compareExchange(expected: expected, desired: desired)
        }
        let kind = weak ? OperationKind.weakCompareExchange : .compareExchange
        let result = Engine.shared.atomic(kind, address, order, desired, expected, file, line)
        return (result.exchanged, result.original)
    }

    /// Stores both of two neighbouring words, the low one first, if they hold `expected`; a `weak` one may fail all the
    /// same.
    ///
    /// Each of them is a word of its own for every other operation. The address is 16-byte aligned.
    public static func atomicCompareExchangePair(
        _ address: UnsafeMutableRawPointer, expected: (low: UInt64, high: UInt64),
        desired: (low: UInt64, high: UInt64), _ order: MemoryOrder, weak: Bool = false,
        file: StaticString = #fileID, line: UInt = #line
    ) -> Bool {
        guard mf_is_engaged() else {
            return address.assumingMemoryBound(to: Atomic<WordPair>.self).pointee.compareExchange(
                expected: WordPair(first: UInt(expected.low), second: UInt(expected.high)),
                desired: WordPair(first: UInt(desired.low), second: UInt(desired.high)),
                ordering: .sequentiallyConsistent
            ).exchanged
        }
        return Engine.shared.exchangePair(address, expected, desired, order, weak: weak, file, line)
    }

    /// Sets the bits of `mask`; returns what the word held.
    public static func atomicFetchOr(
        _ address: UnsafeMutableRawPointer, _ mask: UInt64, _ order: MemoryOrder, file: StaticString = #fileID,
        line: UInt = #line
    ) -> UInt64 {
        guard mf_is_engaged() else {
            return word(address).bitwiseOr(mask).oldValue
        }
        return Engine.shared.atomic(.fetchOr, address, order, mask, 0, file, line).original
    }

    /// Keeps only the bits of `mask`; returns what the word held.
    public static func atomicFetchAnd(
        _ address: UnsafeMutableRawPointer, _ mask: UInt64, _ order: MemoryOrder, file: StaticString = #fileID,
        line: UInt = #line
    ) -> UInt64 {
        guard mf_is_engaged() else {
            return word(address).bitwiseAnd(mask).oldValue
        }
        return Engine.shared.atomic(.fetchAnd, address, order, mask, 0, file, line).original
    }

    /// Adds `operand`, wrapping; returns what the word held.
    public static func atomicFetchAdd(
        _ address: UnsafeMutableRawPointer, _ operand: UInt64, _ order: MemoryOrder, file: StaticString = #fileID,
        line: UInt = #line
    ) -> UInt64 {
        guard mf_is_engaged() else {
            return word(address).wrappingAdd(operand).oldValue
        }
        return Engine.shared.atomic(.fetchAdd, address, order, operand, 0, file, line).original
    }

    private static func word(_ address: UnsafeMutableRawPointer) -> WordPointer { WordPointer(address: address) }

    // MARK: Histories

    /// An operation of a history that the check judges by real time begins here.
    ///
    /// Returns a time: an operation is before another one exactly if its end has a smaller time than the other's
    /// beginning. Every order of ends and beginnings is explored; that of two ends, or two beginnings, means nothing.
    public static func invocation() -> Int {
        precondition(mf_is_engaged(), "histories exist only in explorations")
        return Engine.shared.mark(.invoke)
    }

    /// An operation of a history that the check judges by real time ends here; see `invocation()`.
    public static func response() -> Int {
        precondition(mf_is_engaged(), "histories exist only in explorations")
        return Engine.shared.mark(.respond)
    }

    // MARK: Code of Swift's runtime

    /// Runs `body` when nobody holds a lock of the model, and lets nobody else step meanwhile.
    ///
    /// For calls in which the runtime holds a lock of its own while it calls back, as cancelling a task does: another
    /// thread of the model that came to that lock would stop the whole exploration.
    public static func withoutSwitching(_ body: () -> Void) {
        guard mf_is_engaged() else { return body() }
        Engine.shared.withoutSwitching(body)
    }

    /// What is known of the order of steps at one moment, to be handed on where the checker cannot see how.
    public struct Moment: Sendable {
        var clock = Clock()
        /// Nothing.
        public init() {}
    }

    /// Everything that this thread has done so far happens before what is done after `acquire(moment)`.
    public static func release(to moment: inout Moment) {
        guard isExploring else { return }
        let thread = Engine.shared.state.pointee.running
        moment.clock.join(Engine.shared.threads[thread].clock)
        Engine.shared.threads[thread].clock[thread] &+= 1
    }

    /// See `release(to:)`.
    public static func acquire(_ moment: Moment) {
        guard isExploring else { return }
        Engine.shared.threads[Engine.shared.state.pointee.running].clock.join(moment.clock)
    }

    // MARK: Plain memory

    /// A plain read of shared memory at `address`.
    public static func plainRead(_ address: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        if mf_is_engaged() { Engine.shared.plainRead(address, file, line) }
    }

    /// A plain write of shared memory at `address`.
    public static func plainWrite(_ address: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        if mf_is_engaged() { Engine.shared.plainWrite(address, file, line) }
    }

    /// The memory is given back: later access to it is a violation.
    public static func free(
        _ address: UnsafeRawPointer, byteCount: Int, file: StaticString = #fileID, line: UInt = #line
    ) {
        if mf_is_engaged() { Engine.shared.free(address, byteCount, file, line) }
    }

    /// Gives allocated memory back: at once, or in a thread of a model when the execution ends.
    ///
    /// So no address comes back within an execution, and every later access to the old memory is found.
    public static func deallocate(
        _ address: UnsafeMutableRawPointer, byteCount: Int, file: StaticString = #fileID, line: UInt = #line
    ) {
        guard isExploring else { return address.deallocate() }
        Engine.shared.free(address, byteCount, file, line)
        Engine.shared.state.pointee.quarantine.append(address)
    }

    /// The memory is fresh: what was known of its addresses is forgotten.
    ///
    /// Needed where memory that was freed in an execution may come back in the same execution.
    public static func allocated(_ address: UnsafeRawPointer, byteCount: Int) {
        if mf_is_engaged() { Engine.shared.allocated(address, byteCount) }
    }

    // MARK: Locks and waits

    /// Takes the lock that `identity` stands for.
    public static func lock(_ identity: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        if mf_is_engaged() { Engine.shared.lock(identity, file, line) }
    }

    /// Gives the lock back.
    public static func unlock(_ identity: UnsafeRawPointer, file: StaticString = #fileID, line: UInt = #line) {
        if mf_is_engaged() { Engine.shared.unlock(identity, file, line) }
    }

    /// A turn of a loop that cannot end before another thread has changed something this thread has read.
    ///
    /// The thread waits until a location it has read since its last pause (or since it began) has been written, or a
    /// lock it has taken since then was given back, by another thread. So a turn of the loop must have no effect that
    /// a second turn over the same values would not have.
    public static func pause(file: StaticString = #fileID, line: UInt = #line) {
        if mf_is_engaged() { Engine.shared.pause(file, line) }
    }

    /// Sleeps while `predicate` holds of the word at `address`; then acquires what its writer released.
    ///
    /// With `acquiring` false nothing is ordered by it: code that loads the word itself is then held to that.
    public static func park(
        on address: UnsafeMutableRawPointer, acquiring: Bool = true, file: StaticString = #fileID, line: UInt = #line,
        while predicate: @escaping (UInt64) -> Bool
    ) {
        precondition(mf_is_engaged(), "park stands in for an await and exists only in explorations")
        Engine.shared.park(address, nil, { first, _ in predicate(first) }, acquires: acquiring, file, line)
    }

    /// Sleeps while `predicate` holds of the words at two addresses; then acquires what their writers released.
    public static func park(
        on first: UnsafeMutableRawPointer, or second: UnsafeMutableRawPointer, file: StaticString = #fileID,
        line: UInt = #line, while predicate: @escaping (UInt64, UInt64) -> Bool
    ) {
        precondition(mf_is_engaged(), "park stands in for an await and exists only in explorations")
        Engine.shared.park(first, second, predicate, file, line)
    }

    /// `condition`, or what the mutation of this exploration makes of it.
    public static func decide(_ condition: Bool, file: StaticString = #fileID, line: UInt = #line) -> Bool {
        guard mf_is_engaged() else { return condition }
        let engine = Engine.shared
        let site = engine.siteIndex(file, line, .decide)
        guard engine.isMutated(site), let mutation = engine.state.pointee.mutation else { return condition }
        return mutation.decided(condition)
    }
}

/// The real atomic at an address, for callers outside explorations.
private struct WordPointer {
    let address: UnsafeMutableRawPointer

    private var cell: UnsafeMutablePointer<Atomic<UInt64>> { address.assumingMemoryBound(to: Atomic<UInt64>.self) }

    func load() -> UInt64 { cell.pointee.load(ordering: .sequentiallyConsistent) }
    func store(_ value: UInt64) {
        cell.pointee.store(value, ordering: .sequentiallyConsistent)
    }
    func exchange(_ value: UInt64) -> UInt64 {
        cell.pointee.exchange(value, ordering: .sequentiallyConsistent)
    }
    func compareExchange(expected: UInt64, desired: UInt64) -> (exchanged: Bool, original: UInt64) {
        cell.pointee.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }
    func bitwiseOr(_ mask: UInt64) -> (oldValue: UInt64, newValue: UInt64) {
        cell.pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
    }
    func bitwiseAnd(_ mask: UInt64) -> (oldValue: UInt64, newValue: UInt64) {
        cell.pointee.bitwiseAnd(mask, ordering: .sequentiallyConsistent)
    }
    func wrappingAdd(_ operand: UInt64) -> (oldValue: UInt64, newValue: UInt64) {
        cell.pointee.wrappingAdd(operand, ordering: .sequentiallyConsistent)
    }
}
