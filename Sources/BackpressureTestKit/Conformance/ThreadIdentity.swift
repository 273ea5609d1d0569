// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which thread runs: to tell a call that is nested from one that overlaps.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#endif

/// A thread of the system.
struct ThreadIdentity: Hashable, Sendable {
    private let number: UInt

    /// The thread that runs.
    static var current: ThreadIdentity {
        #if canImport(Darwin)
            ThreadIdentity(number: UInt(bitPattern: Unmanaged.passUnretained(pthread_self() as AnyObject).toOpaque()))
        #else
            ThreadIdentity(number: UInt(pthread_self()))
        #endif
    }
}
