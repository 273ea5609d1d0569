// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Aligned memory that reads as zero; a large piece is committed by the system only as it is touched.

/// One allocation of zeroed memory; its owner calls `deallocate` once.
struct ZeroedMemory: @unchecked Sendable {
    /// From this size on the system is asked for fresh pages instead of writing zeroes.
    private static let lazyByteCount = 1 << 17

    private let allocation: UnsafeMutableRawPointer
    /// The first aligned byte.
    let start: UnsafeMutableRawPointer
    private let byteCount: Int

    /// `byteCount` zero bytes at `alignment`, a power of two.
    init(byteCount: Int, alignment: Int) {
        self.byteCount = byteCount
        guard byteCount >= Self.lazyByteCount else {
            allocation = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: alignment)
            allocation.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
            start = allocation
            return
        }
        let (total, overflow) = byteCount.addingReportingOverflow(alignment)
        guard !overflow, let memory = Platform.allocateZeroed(byteCount: total) else {
            preconditionFailure("cannot allocate \(byteCount) bytes")
        }
        allocation = memory
        start = memory.alignedUp(toMultipleOf: alignment)
    }

    func deallocate() {
        PlainAccess.free(start, byteCount: byteCount)
        if byteCount < Self.lazyByteCount { allocation.deallocate() } else { Platform.deallocate(allocation) }
    }
}
