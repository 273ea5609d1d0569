// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How large a test is in each lane, said by the test and printed: a size cut in silence is a skipped test.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#endif

/// The kind of run that a test takes part in.
public enum Lane: String, Sendable {
    /// `swift test`.
    case plain
    /// ThreadSanitizer or AddressSanitizer.
    case sanitizer
    /// `BACKPRESSURE_DEEP=1` in the environment: as much as a night allows.
    case deep

    /// The lane of this process.
    ///
    /// A sanitizer wins over `BACKPRESSURE_DEEP`.
    public static let current: Lane = {
        if isThreadSanitized || isAddressSanitized { return .sanitizer }
        return environment("BACKPRESSURE_DEEP") == "1" ? .deep : .plain
    }()

    /// Whether the build is instrumented for ThreadSanitizer, which `-Xswiftc -DBACKPRESSURE_TSAN` goes with.
    public static var isThreadSanitized: Bool {
        #if BACKPRESSURE_TSAN
            true
        #else
            isLoaded("__tsan_init")
        #endif
    }

    /// Whether AddressSanitizer's runtime is in this process.
    public static var isAddressSanitized: Bool { isLoaded("__asan_init") }

    private static func isLoaded(_ symbol: String) -> Bool {
        #if canImport(Darwin)
            let everywhere = UnsafeMutableRawPointer(bitPattern: -2)
        #else
            let everywhere: UnsafeMutableRawPointer? = nil
        #endif
        return dlsym(everywhere, symbol) != nil
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}

/// The size of a test, by lane; printed once as it is made.
///
/// ```swift
/// let size = LaneSize("channel.storm.mixed", plain: 200_000, sanitizer: 20_000, deep: 10_000_000)
/// for _ in 0..<size.count { ... }
/// ```
///
/// prints `size channel.storm.mixed: 200000 (plain)`.
public struct LaneSize: Sendable {
    /// The test, in words of the printed line.
    public let name: String
    /// The size in the lane of this process.
    public let count: Int

    /// The size of the test `name` in the lane of this process.
    public init(_ name: String, plain: Int, sanitizer: Int, deep: Int) {
        self.name = name
        count =
            switch Lane.current {
            case .plain: plain
            case .sanitizer: sanitizer
            case .deep: deep
            }
        print("size \(name): \(count) (\(Lane.current.rawValue))")
    }
}
