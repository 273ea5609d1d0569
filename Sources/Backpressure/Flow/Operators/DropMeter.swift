// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Counters of what was dropped, by reason: one word each, added to where the drop happens.

extension Flow {
    /// Counts the elements that a stage drops, by reason.
    ///
    /// Give one to a stage, or the same one to several, and read it whenever you like, from any thread. Counting costs one
    /// relaxed atomic addition per drop, and nothing per element that goes on.
    public final class DropMeter: Sendable {
        private nonisolated(unsafe) let base: UnsafeMutableRawPointer

        private static let words = 4

        /// A meter that stands at zero.
        public init() {
            base = .allocate(byteCount: 8 * Self.words, alignment: 8)
            for word in 0..<Self.words { base.storeBytes(of: 0, toByteOffset: 8 * word, as: UInt64.self) }
        }

        deinit { PlainAccess.deallocate(base, byteCount: 8 * Self.words) }

        /// Elements that arrived and were turned away: there was no room, or no demand.
        public var full: UInt64 { word(0).loadRelaxed() }

        /// Elements that waited and were dropped to make room for newer ones.
        public var evicted: UInt64 { word(1).loadRelaxed() }

        /// Elements that waited longer than their time to live.
        public var expired: UInt64 { word(2).loadRelaxed() }

        /// Elements that still waited when downstream cancelled, or arrived after the stage had ended.
        public var abandoned: UInt64 { word(3).loadRelaxed() }

        /// All of them.
        public var total: UInt64 { full &+ evicted &+ expired &+ abandoned }

        private func word(_ index: Int) -> AtomicWord { AtomicWord(at: base + 8 * index) }

        @usableFromInline
        func add(_ reason: Rejection) {
            let index =
                switch reason {
                case .full: 0
                case .evicted: 1
                case .timedOut: 2
                default: 3
                }
            _ = word(index).fetchAddRelaxed(1)
        }
    }
}
