// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Where the elements of a buffer with rules lie: cells of one size, made once, handed round by a free list.
//
// ## Layout
// A cell is a head (48 bytes: links, cost, deadline, place of origin), then the element at its alignment. The same
// layout is the payload of a waiting sender and of an element on its way to the hook, so an element and what is known
// of it always travel together.
//
// ## Invariants
// I1  A cell of the store is in exactly one place: never used, free, or linked in one lane.
// I2  The memory is committed by the system as it is touched first: a store for a million elements that holds ten
//     costs ten. A cell given back is the next one taken, so what is touched stays small and warm.

/// What ends the wait of a sender first, when time does.
enum SendLimit: UInt8, Sendable {
    /// The timeout or deadline of the call.
    case call
    /// The deadline of the element.
    case element
    /// The patience of the policy.
    case policy
}

/// What a buffer knows of an element.
@usableFromInline
struct CellHead {
    var next: CellPointer?
    var previous: CellPointer?
    /// Which arrival it was, of all that the buffer took over; kept unless all elements are alike (`isUniform`).
    var ticket: UInt64 = 0
    /// When the element is too late to be of use; `Int64.max` is never.
    var deadline: Int64 = .max
    var cost = 1
    /// Its index in the store; -1 outside.
    var number: Int32
    /// Of a waiting sender, and of an element that has a deadline.
    var lane: UInt8 = 0
    /// Of a waiting sender.
    var limit = SendLimit.call
    /// Of an element on its way to the hook.
    var reason = Rejection.Code.evicted

    init(number: Int32) { self.number = number }
}

@usableFromInline typealias CellPointer = UnsafeMutablePointer<CellHead>

/// Size and alignment of the cells of one element type.
@usableFromInline
struct CellLayout: Sendable {
    /// From the start of a cell to its element.
    @usableFromInline let elementOffset: Int
    let stride: Int
    let alignment: Int

    @usableFromInline
    init<Element: ~Copyable>(of element: Element.Type) {
        elementOffset = Self.elementOffset(of: element)
        alignment = max(MemoryLayout<Element>.alignment, 8)
        stride = (elementOffset + MemoryLayout<Element>.stride + alignment - 1) & ~(alignment - 1)
    }

    /// The size of a head, as a constant that the caller's module can fold.
    @usableFromInline static let headSize = 48

    @inlinable @inline(__always)
    static func elementOffset<Element: ~Copyable>(of element: Element.Type) -> Int {
        let mask = MemoryLayout<Element>.alignment &- 1
        return (48 &+ mask) & ~mask
    }

    /// The element of `cell`.
    func element(_ cell: CellPointer) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(cell) + elementOffset }

    /// A waiter whose payload is a cell.
    var payload: SlotLayout { SlotLayout(payload: stride, alignment: alignment) }
}

extension SlotLayout {
    /// The layout of a slot whose content has this size and alignment.
    init(payload size: Int, alignment: Int) {
        let offset = max(alignment, 8)
        elementOffset = offset
        stride = (offset + size + offset - 1) & ~(offset - 1)
    }
}

/// All cells of one buffer.
///
/// It is part of a state that a lock guards.
struct CellStore: ~Copyable {
    private let memory: ZeroedMemory
    private let limit: Int
    private let stride: Int
    private var fresh = 0
    private var free: CellPointer?

    init(limit: Int, layout: CellLayout) {
        assert(MemoryLayout<CellHead>.size <= CellLayout.headSize, "a head has grown out of its room")
        let (size, overflow) = limit.multipliedReportingOverflow(by: layout.stride)
        precondition(!overflow && size <= 1 << 46, "a buffer of \(limit) elements exceeds what can be addressed")
        memory = ZeroedMemory(byteCount: size, alignment: layout.alignment)
        self.limit = limit
        stride = layout.stride
    }

    deinit { memory.deallocate() }

    /// A cell that was in use before and is in no list; nil when there is none.
    @inline(__always)
    mutating func takeUsed() -> CellPointer? {
        guard let cell = free else { return nil }
        free = cell.pointee.next
        return cell
    }

    /// A cell that was never in use; nil when there is none.
    mutating func takeFresh() -> CellPointer? {
        guard fresh < limit else { return nil }
        let cell = (memory.start + fresh * stride).initializeMemory(
            as: CellHead.self, to: CellHead(number: Int32(truncatingIfNeeded: fresh)))
        fresh += 1
        return cell
    }

    /// Gives `cell` back.
    ///
    /// Its element may be moved out after, until the lock is released. A cell that was alone in its lane still has the
    /// link with which it was taken: where it holds, it is not written again.
    @inline(__always)
    mutating func give(_ cell: CellPointer) {
        if UInt(bitPattern: cell.pointee.next) != UInt(bitPattern: free) { cell.pointee.next = free }
        free = cell
    }
}
