// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Millions of operations on a channel of unique values: what no order could explain.
//
// Whether a long history is linearizable is hopeless to ask outright. But each way in which a queue of unique values
// can go wrong is a pattern of two or three operations, and finding one takes sorting (Henzinger, Sezgin, Vafeiadis,
// Aspect-Oriented Linearizability Proofs, 2013):
//
// invented     received, never sent
// duplicated   received twice
// lost         sent, not received, and not in at the end (checked by the caller, who knows what is in)
// too early    received before its send began
// order        a was sent before b's send began, and received after b's receive had ended
// empty        "empty" although an element was in from before it was asked until after it was answered. Only where
//              no send was under way meanwhile: that is all that is promised
// full         "full" although fewer than `capacity` elements can have been in at any time from asking to answering

/// The operations of one thread, or of several after `merge`.
public struct LongHistory: Sendable {
    /// When something began and ended.
    public struct Interval: Sendable {
        /// On a clock that all threads share.
        public var began: Int64
        /// No earlier than `began`.
        public var ended: Int64

        /// From `began` to `ended`.
        public init(_ began: Int64, _ ended: Int64) { (self.began, self.ended) = (began, ended) }
    }

    /// What went wrong.
    public enum Pattern: Hashable, Sendable {
        case invented(Int)
        case duplicated(Int)
        case tooEarly(Int)
        case orderBroken(Int, Int)
        case falseEmpty(at: Int64)
        case falseFull(at: Int64)
    }

    /// Sends that were accepted: the value and when.
    public private(set) var sends: [(value: Int, at: Interval)] = []
    /// Receives that got something.
    public private(set) var receives: [(value: Int, at: Interval)] = []
    /// Receives that were told "empty".
    public private(set) var empties: [Interval] = []
    /// Sends that were told "full".
    public private(set) var fulls: [Interval] = []

    /// No operations.
    public init() {}

    /// How many operations there are.
    public var count: Int { sends.count + receives.count + empties.count + fulls.count }

    /// A send of `value` was accepted.
    public mutating func sent(_ value: Int, _ at: Interval) { sends.append((value, at)) }
    /// A receive got `value`.
    public mutating func received(_ value: Int, _ at: Interval) { receives.append((value, at)) }
    /// A receive was told "empty".
    public mutating func empty(_ at: Interval) { empties.append(at) }
    /// A send was told "full".
    public mutating func full(_ at: Interval) { fulls.append(at) }

    /// Adds another thread's operations.
    public mutating func merge(_ other: LongHistory) {
        sends += other.sends
        receives += other.receives
        empties += other.empties
        fulls += other.fulls
    }

    /// The bad patterns, up to `limit` of them.
    ///
    /// The channel was empty before. Values are 0..<`values`.
    public func badPatterns(capacity: Int, values: Int, limit: Int = 8) -> [Pattern] {
        var found: [Pattern] = []
        func report(_ pattern: Pattern) { if found.count < limit { found.append(pattern) } }

        let never = Int64.max
        var sentAt = [Interval?](repeating: nil, count: values)
        for send in sends { sentAt[send.value] = send.at }
        var receivedAt = [Interval?](repeating: nil, count: values)
        for receive in receives {
            guard let sent = sentAt[receive.value] else {
                report(.invented(receive.value))
                continue
            }
            if receivedAt[receive.value] != nil { report(.duplicated(receive.value)) }
            receivedAt[receive.value] = receive.at
            if receive.at.ended < sent.began { report(.tooEarly(receive.value)) }
        }

        // Order: of all values whose send had ended before b's began, the one that was received last.
        let byEnd = sends.sorted { $0.at.ended < $1.at.ended }
        let byBeginning = sends.sorted { $0.at.began < $1.at.began }
        var next = 0
        var latest: (value: Int, began: Int64) = (-1, .min)
        for send in byBeginning {
            while next < byEnd.count, byEnd[next].at.ended < send.at.began {
                let began = receivedAt[byEnd[next].value]?.began ?? never
                if began > latest.began { latest = (byEnd[next].value, began) }
                next += 1
            }
            if let received = receivedAt[send.value], latest.began > received.ended {
                report(.orderBroken(latest.value, send.value))
            }
        }

        // Empty: who was in the longest, of those sent before it was asked; and was a send under way?
        next = 0
        var lastIn = Int64.min
        for empty in empties.sorted(by: { $0.began < $1.began }) {
            while next < byEnd.count, byEnd[next].at.ended < empty.began {
                lastIn = max(lastIn, receivedAt[byEnd[next].value]?.began ?? never)
                next += 1
            }
            guard lastIn > empty.ended else { continue }
            // As many sends began by its end as had ended before its beginning: none was under way.
            if Self.firstIndex(in: byBeginning, after: empty.ended) == next { report(.falseEmpty(at: empty.began)) }
        }

        // Full: at most so many can have been in.
        let receiveEnds = receives.map(\.at.ended).sorted()
        var ended = 0
        for full in fulls.sorted(by: { $0.began < $1.began }) {
            while ended < receiveEnds.count, receiveEnds[ended] < full.began { ended += 1 }
            let begun = Self.firstIndex(in: byBeginning, after: full.ended)
            if begun - ended < capacity { report(.falseFull(at: full.began)) }
        }
        return found
    }

    /// How many of `sends`, which are in order of their beginnings, began no later than `instant`.
    private static func firstIndex(in sends: [(value: Int, at: Interval)], after instant: Int64) -> Int {
        var (low, high) = (0, sends.count)
        while low < high {
            let middle = (low + high) / 2
            if sends[middle].at.began <= instant { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
