// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where elements go that nobody could take: a bounded ring behind a lock.
//
// ## Invariants
// I1  Never more than `capacity` letters. When it is full the oldest letter makes room, and is handed to `onOverflow`.
// I2  A letter is in the queue, drained, or handed to `onOverflow`: exactly one of the three.
// I3  Letters and hooks leave the lock before anything is done with them.

/// An element that was not delivered, with what is known about it.
public struct DeadLetter<Element: Sendable>: Sendable {
    /// The element.
    public let element: Element
    /// Why it is here.
    public let reason: Rejection
    /// How often it was tried.
    public let attempts: Int
    /// When it came here, on the queue's clock, since the queue was made.
    public let time: Duration
}

/// A bounded sink for what was dropped, rejected or not delivered, to be looked at and tried again later.
///
/// Any hook that is handed an element can feed it. When it is full the oldest letter goes.
///
/// ```swift
/// let letters = DeadLetterQueue<String>(capacity: 1_000)
/// letters.add("order 7", reason: .expired, attempts: 3)
/// for letter in letters.drain() {
///     print("\(letter.element): \(letter.reason) after \(letter.attempts) tries")
/// }
/// ```
///
/// - **Poison**: an element that fails again and again must not circulate for ever: ``replay(maxAttempts:_:)`` tries only what
///   was tried less often, and leaves the rest here.
/// - **Cost**: a lock and a reading of the clock for each letter.
public final class DeadLetterQueue<Element: Sendable>: Sendable {
    private struct State: Sendable {
        var letters: [DeadLetter<Element>] = []
        /// Of the oldest letter, once the ring is full.
        var first = 0
        var added: UInt64 = 0
        var overflowed: UInt64 = 0
    }

    /// The most letters that it holds.
    public let capacity: Int
    private let timeSource: TimeSource
    private let origin: Int64
    private let onOverflow: (@Sendable (DeadLetter<Element>) -> Void)?
    private let state = LockedState(State())

    /// A queue without letters.
    ///
    /// - Parameters:
    ///   - capacity: The most letters that it holds.
    ///   - clock: The clock of ``DeadLetter/time``.
    ///   - onOverflow: Is handed the oldest letter when a new one needs its place; outside the lock, once for each.
    /// - Precondition: `1 <= capacity <= 2^30`.
    public init(
        capacity: Int, clock: some Clock<Duration> = ContinuousClock(),
        onOverflow: (@Sendable (DeadLetter<Element>) -> Void)? = nil
    ) {
        precondition(capacity >= 1 && capacity <= 1 << 30, "a queue of \(capacity) letters")
        self.capacity = capacity
        timeSource = TimeSource(clock)
        origin = timeSource.now()
        self.onOverflow = onOverflow
    }

    /// Takes an element that was not delivered.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - reason: Why it was not delivered.
    ///   - attempts: How often it was tried.
    public func add(_ element: Element, reason: Rejection, attempts: Int = 1) {
        let time = Duration.nanoseconds(max(timeSource.now().subtractingSaturating(origin), 0))
        put(DeadLetter(element: element, reason: reason, attempts: attempts, time: time))
    }

    private func put(_ letter: DeadLetter<Element>) {
        let oldest: DeadLetter<Element>? = state.withLock { state in
            state.added += 1
            guard state.letters.count == capacity else {
                state.letters.append(letter)
                return nil
            }
            let oldest = state.letters[state.first]
            state.letters[state.first] = letter
            state.first = (state.first + 1) % capacity
            state.overflowed += 1
            return oldest
        }
        if let oldest { onOverflow?(oldest) }
    }

    /// Takes all letters out, the oldest first.
    ///
    /// - Returns: The letters.
    public func drain() -> [DeadLetter<Element>] {
        let (letters, first) = state.withLock { state in
            let taken = (state.letters, state.first)
            (state.letters, state.first) = ([], 0)
            return taken
        }
        return Array(letters[first...] + letters[..<first])
    }

    /// Tries the letters once more, the oldest first; those that fail come back, with one attempt more.
    ///
    /// Letters that come in meanwhile are not tried. When the task is cancelled, those that were not tried yet come back as
    /// they were.
    ///
    /// - Parameters:
    ///   - maxAttempts: What was tried so often is poison, and stays.
    ///   - body: Delivers an element, or says why it cannot.
    /// - Returns: How many were delivered.
    @discardableResult
    public nonisolated(nonsending) func replay(
        maxAttempts: Int, _ body: nonisolated(nonsending) (Element) async throws(Rejection) -> Void
    ) async -> Int {
        var delivered = 0
        for letter in drain() {
            guard letter.attempts < maxAttempts, !Task.isCancelled else {
                put(letter)
                continue
            }
            do throws(Rejection) {
                try await body(letter.element)
                delivered += 1
            } catch {
                put(
                    DeadLetter(
                        element: letter.element, reason: error, attempts: letter.attempts + 1, time: letter.time))
            }
        }
        return delivered
    }

    /// How many letters there are.
    public var count: Int { state.withLock { $0.letters.count } }

    /// How many letters made room for newer ones, so far.
    public var overflowed: UInt64 { state.withLock { $0.overflowed } }
}
