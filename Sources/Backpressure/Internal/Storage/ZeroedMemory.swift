// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Aligned memory that reads as zero and is committed by the system as it is touched.

/// One allocation of zeroed memory; its owner calls `deallocate` once.
struct ZeroedMemory: @unchecked Sendable {
    private let allocation: UnsafeMutableRawPointer
    /// The first aligned byte.
    let start: UnsafeMutableRawPointer
    private let byteCount: Int

    /// `byteCount` zero bytes at `alignment`, a power of two.
    init(byteCount: Int, alignment: Int) {
        let (total, overflow) = byteCount.addingReportingOverflow(alignment)
        guard !overflow, let memory = Platform.allocateZeroed(byteCount: total) else {
            preconditionFailure("cannot allocate \(byteCount) bytes")
        }
        allocation = memory
        start = memory.alignedUp(toMultipleOf: alignment)
        self.byteCount = byteCount
    }

    func deallocate() {
        PlainAccess.free(start, byteCount: byteCount)
        Platform.deallocate(allocation)
    }
}
