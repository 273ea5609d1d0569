// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Aligned memory that reads as zero; a large piece is committed by the system only as it is touched.

/// One allocation of zeroed memory; its owner calls `deallocate` once.
struct ZeroedMemory: @unchecked Sendable {
    /// From this size on fresh pages are asked for instead of writing zeroes.
    private static let pagesFrom = 1 << 17
    /// No platform has smaller pages.
    private static let pageSize = 4096

    /// The first byte, aligned.
    let start: UnsafeMutableRawPointer
    private let byteCount: Int

    /// `byteCount` zero bytes at `alignment`, a power of two of a page at most.
    init(byteCount: Int, alignment: Int) {
        precondition(alignment <= Self.pageSize, "an alignment of \(alignment) bytes exceeds a page")
        self.byteCount = byteCount
        if byteCount < Self.pagesFrom {
            start = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: alignment)
            start.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        } else if let pages = PlatformMemory.map(byteCount: byteCount) {
            start = pages
        } else {
            preconditionFailure("the system has no room for \(byteCount) bytes")
        }
    }

    func deallocate() {
        PlainAccess.free(start, byteCount: byteCount)
        if byteCount < Self.pagesFrom { start.deallocate() } else { PlatformMemory.unmap(start, byteCount: byteCount) }
    }
}
