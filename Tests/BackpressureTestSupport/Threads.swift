// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Real threads: the pool under Swift's tasks has as many threads as the machine has cores, which may be two.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#endif

/// Threads of the system that run closures and are joined.
public enum Threads {
    /// Runs `body` on `count` new threads at once, each with its index, and returns when all of them have ended.
    ///
    /// The calling thread is blocked meanwhile: call it from a test whose other tasks need not run.
    ///
    /// - Parameters:
    ///   - count: The number of threads.
    ///   - stackSize: The size of each thread's stack in bytes, or nil for the system's own choice.
    ///   - body: What a thread does; the argument is its index, from 0.
    public static func run(_ count: Int, stackSize: Int? = nil, _ body: @escaping @Sendable (Int) -> Void) {
        precondition(count >= 0, "\(count) threads")
        var attributes = pthread_attr_t()
        check(pthread_attr_init(&attributes), "pthread_attr_init")
        defer { pthread_attr_destroy(&attributes) }
        if let stackSize {
            check(pthread_attr_setstacksize(&attributes, stackSize), "pthread_attr_setstacksize")
        }

        let threads = (0..<count).map { index in
            let work = Unmanaged.passRetained(Work { body(index) })
            #if canImport(Darwin)
                var thread: pthread_t?
            #else
                var thread = pthread_t()
            #endif
            let status = pthread_create(&thread, &attributes, { runWork($0) }, work.toOpaque())
            check(status, "pthread_create")
            return thread
        }
        for thread in threads {
            #if canImport(Darwin)
                guard let thread else { preconditionFailure("pthread_create gave no thread") }
            #endif
            check(pthread_join(thread, nil), "pthread_join")
        }
    }

    private static func check(_ status: Int32, _ call: String) {
        precondition(status == 0, "\(call) failed with \(status)")
    }
}

private final class Work: Sendable {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    func run() { body() }
}

/// The pointer is optional on some platforms and not on others; a parameter of optional type takes both.
private func runWork(_ opaque: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let opaque else { preconditionFailure("a thread started without its work") }
    Unmanaged<Work>.fromOpaque(opaque).takeRetainedValue().run()
    return nil
}
