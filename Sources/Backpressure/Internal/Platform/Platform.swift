// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#endif

/// What the standard library does not offer.
enum Platform {
    /// Memory that reads as zero and is committed as it is touched; nil when there is none.
    static func allocateZeroed(byteCount: Int) -> UnsafeMutableRawPointer? { calloc(1, byteCount) }

    /// Gives back what `allocateZeroed` gave.
    static func deallocate(_ memory: UnsafeMutableRawPointer) { free(memory) }
}
