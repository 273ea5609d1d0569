// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A number of elements that somebody asks for; the greatest one means "as many as there are".
///
/// Sums are held to ``unbounded`` and never wrap. Zero and negative numbers can be written, because a program can compute
/// them by mistake: whoever gets one as a request answers with ``Flow/InvalidDemand``.
@frozen
public struct Demand: Hashable, Sendable {
    /// The number; `Int64.max` for ``unbounded``.
    public let count: Int64

    /// A demand for `count` elements, or for the nearest number that an `Int64` can hold.
    @inlinable @inline(__always)
    public init(_ count: some BinaryInteger) {
        self.count = Int64(clamping: count)
    }

    /// As many elements as there are: 2^63 - 1, which no stream lives to use up.
    @inlinable public static var unbounded: Demand { Demand(Int64.max) }

    /// Whether it is ``unbounded``.
    @inlinable public var isUnbounded: Bool { count == .max }

    /// Whether it may be requested: 1 or more.
    @inlinable public var isValid: Bool { count > 0 }
}

extension Demand: ExpressibleByIntegerLiteral {
    /// The demand that is written out in the source.
    @inlinable @inline(__always)
    public init(integerLiteral value: Int64) {
        count = value
    }
}

extension Demand: Comparable {
    /// Whether `lhs` asks for less.
    @inlinable
    public static func < (lhs: Demand, rhs: Demand) -> Bool { lhs.count < rhs.count }
}

extension Demand {
    /// The sum, held to the range of the type; with ``unbounded`` on either side it is ``unbounded``.
    @inlinable
    public static func + (lhs: Demand, rhs: Demand) -> Demand {
        if lhs.isUnbounded || rhs.isUnbounded { return .unbounded }
        let (sum, overflow) = lhs.count.addingReportingOverflow(rhs.count)
        guard overflow else { return Demand(sum) }
        return lhs.count < 0 ? Demand(Int64.min) : .unbounded
    }

    /// What is left of `lhs` after `rhs` elements; ``unbounded`` is never used up.
    @inlinable
    public static func - (lhs: Demand, rhs: Demand) -> Demand {
        if lhs.isUnbounded { return .unbounded }
        let (difference, overflow) = lhs.count.subtractingReportingOverflow(rhs.count)
        guard overflow else { return Demand(difference) }
        return lhs.count < 0 ? Demand(Int64.min) : .unbounded
    }

    /// Adds `rhs` to `lhs`, held to the range of the type.
    @inlinable
    public static func += (lhs: inout Demand, rhs: Demand) { lhs = lhs + rhs }

    /// Takes `rhs` from `lhs`; ``unbounded`` is never used up.
    @inlinable
    public static func -= (lhs: inout Demand, rhs: Demand) { lhs = lhs - rhs }
}

extension Demand: CustomStringConvertible {
    /// The number, or "unbounded".
    public var description: String { isUnbounded ? "unbounded" : "\(count)" }
}
