// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What an acquisition gives: permits that find their way back by themselves, because they cannot be copied.

extension AsyncSemaphore {
    /// Permits of a semaphore, held until this value ends.
    ///
    /// It cannot be copied, so it is given back exactly once: by ``release()``, or at the latest when it goes out of
    /// scope. A variable that is never used may end early: prefer ``AsyncSemaphore/withPermits(_:_:)`` where
    /// a scope can say how long permits are held.
    ///
    /// A permit may go to another task, and ends with that task's closure:
    ///
    /// ```swift
    /// let permit = try await slots.acquire()
    /// let upload = Task { [permit = consume permit] in
    ///     await send(slots: permit.count)
    /// }
    /// await upload.value
    /// ```
    @frozen
    public struct Permit: ~Copyable, Sendable {
        @usableFromInline let word: PermitWord
        /// How many permits these are.
        @inlinable @inline(__always)
        public var count: Int { held }
        @usableFromInline var held: Int

        @inlinable @inline(__always)
        init(_ word: PermitWord, _ count: Int) {
            self.word = word
            held = count
        }

        @inlinable @inline(__always)
        deinit {
            if held > 0 { word.give(held) }
        }

        /// Gives the permits back, now.
        @inlinable @inline(__always)
        public consuming func release() {
            word.give(held)
            held = 0
        }

        /// Keeps the permits taken, and the duty to give them back passes to the caller.
        ///
        /// They count as in use until ``AsyncSemaphore/release(_:)`` gives them back, which may be never. For permits
        /// whose end is told by somebody else, as by an acknowledgement that carries only a number.
        ///
        /// - Returns: How many permits these were.
        @inlinable
        @discardableResult
        public consuming func forget() -> Int {
            let count = held
            word.forget(count)
            held = 0
            return count
        }

        /// Divides these permits: `count` of them are another value from now on.
        ///
        /// - Parameter count: How many of these permits the other value gets.
        /// - Returns: A value that holds so many.
        /// - Precondition: `1 <= count < self.count`.
        @inlinable
        public mutating func split(_ count: Int) -> Permit {
            precondition(count > 0 && count < held, "cannot split \(count) from \(held) permits")
            held -= count
            return Permit(word, count)
        }

        /// Takes over all permits of another value, of the same semaphore.
        ///
        /// - Parameter other: The other value, which ends.
        /// - Precondition: Both are of one semaphore.
        @inlinable
        public mutating func merge(_ other: consuming Permit) {
            precondition(word.base == other.word.base, "permits of two semaphores cannot be merged")
            held += other.held
            other.held = 0
        }
    }
}
