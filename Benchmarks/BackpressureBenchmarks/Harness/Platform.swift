// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Everything that differs by operating system, and every call into its C library: clock, files, terminal, child
// processes, threads. No other file of the benchmark imports a C library.

#if HTTPScenario && canImport(CNIOLinux)
    // In one build with NIO the compiler takes NIO's C module, which includes the same headers, for the home of some of
    // the structures.
    import CNIOLinux
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The C library, as the benchmark needs it.
enum Platform {
    // MARK: Time

    /// Nanoseconds of a clock that never goes back.
    @inline(__always)
    static func nanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
    }

    /// Blocks this thread until `nanoseconds()` reaches an instant.
    static func sleep(until instant: Int) {
        #if canImport(Darwin)
            let left = instant - nanoseconds()
            guard left > 0 else { return }
            var time = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
            nanosleep(&time, nil)
        #else
            var time = timespec(tv_sec: instant / 1_000_000_000, tv_nsec: instant % 1_000_000_000)
            while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
        #endif
    }

    /// Processor time of all threads of this process so far.
    static var processorNanoseconds: Int {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
    }

    // MARK: Text out

    static func write(_ text: String, to descriptor: CInt) {
        var text = text
        text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let written = platformWrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if written <= 0 { return }
                done += written
            }
        }
    }

    static func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

    static func exit(_ code: CInt) -> Never { platformExit(code) }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    // MARK: Files

    /// A descriptor of a readable regular file and its size, or the reason why there is none.
    static func openForReading(_ path: String) -> Result<(descriptor: CInt, size: Int), PlatformError> {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return .failure(.last()) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .failure(.last()) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            _ = close(descriptor)
            return .failure(PlatformError(text: "not a regular file"))
        }
        // A descriptor that came by inheritance (`/dev/fd/N`) may share its offset with its parent's.
        lseek(descriptor, 0, SEEK_SET)
        return .success((descriptor, Int(status.st_size)))
    }

    /// A path by which a child can open a file that this process has open, whatever became of its name.
    static func path(ofOpenFile descriptor: CInt) -> String? {
        #if os(Linux)
            "/proc/\(getpid())/fd/\(descriptor)"
        #else
            nil
        #endif
    }

    static func openForWriting(_ path: String) -> Result<CInt, PlatformError> {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        return descriptor >= 0 ? .success(descriptor) : .failure(.last())
    }

    /// Up to `buffer.count` bytes by read(2); 0 at the end of the file.
    static func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer) -> Result<Int, PlatformError> {
        while true {
            let count = platformRead(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return .success(count) }
            if errno != EINTR { return .failure(.last()) }
        }
    }

    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> PlatformError? {
        var done = 0
        while done < bytes.count {
            let written = platformWrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
            if written < 0 {
                if errno == EINTR { continue }
                return .last()
            }
            done += written
        }
        return nil
    }

    static func makeExecutable(_ path: String) { chmod(path, 0o755) }

    /// Makes a folder; it is no failure if there is one.
    static func makeFolder(_ path: String) -> PlatformError? {
        mkdir(path, 0o755) == 0 || errno == EEXIST ? nil : .last()
    }

    static func closeFile(_ descriptor: CInt) { _ = close(descriptor) }

    static func removeFile(_ path: String) { unlink(path) }

    static func renameFile(_ from: String, to target: String) -> PlatformError? {
        rename(from, target) == 0 ? nil : .last()
    }

    static func fileSize(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// The whole of a small text file (also one of /proc, whose size reads as 0).
    static func text(ofFile path: String) -> String? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { closeFile(descriptor) }
        return text(ofDescriptor: descriptor)
    }

    static func text(ofDescriptor descriptor: CInt) -> String? {
        bytes(ofDescriptor: descriptor).map { String(decoding: $0, as: UTF8.self) }
    }

    static func bytes(ofDescriptor descriptor: CInt) -> [UInt8]? {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = block.withUnsafeMutableBytes { read(descriptor, into: $0) }
            guard case .success(let count) = count else { return nil }
            if count == 0 { return bytes }
            bytes.append(contentsOf: block[0..<count])
        }
    }

    static var currentDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    static var processIdentifier: Int { Int(getpid()) }

    // MARK: Child processes

    /// The path of this executable, to start it again.
    static var executablePath: String {
        #if canImport(Darwin)
            var size: UInt32 = 4096
            var path = [CChar](repeating: 0, count: Int(size))
            if _NSGetExecutablePath(&path, &size) == 0 {
                return String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
            return CommandLine.arguments[0]
        #else
            var path = [CChar](repeating: 0, count: 4096)
            let length = readlink("/proc/self/exe", &path, path.count)
            guard length > 0 else { return CommandLine.arguments[0] }
            return String(decoding: path[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        #endif
    }

    /// Runs a program found on PATH to its end; returns its exit status and what it wrote to `captured` (1 or 2).
    static func run(_ arguments: [String], capturing captured: CInt)
        -> Result<(status: Int, text: String), PlatformError>
    {
        var pipeEnds: [CInt] = [0, 0]
        guard pipe(&pipeEnds) == 0 else { return .failure(.last()) }

        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
        #else
            var actions = posix_spawn_file_actions_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipeEnds[1], captured)
        posix_spawn_file_actions_addclose(&actions, pipeEnds[0])
        posix_spawn_file_actions_addclose(&actions, pipeEnds[1])
        defer { posix_spawn_file_actions_destroy(&actions) }

        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        argv.append(nil)
        defer { argv.forEach { free($0) } }

        var child = pid_t()
        let failure = posix_spawnp(&child, arguments[0], &actions, nil, argv, environ)
        closeFile(pipeEnds[1])
        defer { closeFile(pipeEnds[0]) }
        guard failure == 0 else { return .failure(PlatformError(code: failure)) }

        let text = text(ofDescriptor: pipeEnds[0]) ?? ""
        var status: CInt = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        let exited = status & 0x7f == 0
        return .success((exited ? Int((status >> 8) & 0xff) : 128 + Int(status & 0x7f), text))
    }

    // MARK: Memory of this process

    /// The highest resident size of this process so far, in bytes; nil where it cannot be told.
    static var peakResidentBytes: Int? {
        #if canImport(Darwin)
            var usage = rusage()
            return getrusage(RUSAGE_SELF, &usage) == 0 ? Int(usage.ru_maxrss) : nil
        #else
            // Not getrusage: a child's ru_maxrss starts at its parent's.
            guard let status = text(ofFile: "/proc/self/status") else { return nil }
            for line in status.split(separator: "\n") where line.hasPrefix("VmHWM:") {
                return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
                    .flatMap { Int($0) }.map { $0 * 1024 }
            }
            return nil
        #endif
    }

    // MARK: Threads

    /// Blocks this thread for long, or until a signal.
    static func sleep() { _ = pause() }

    /// Asks that this thread be scheduled before others of its kind; without the privilege nothing changes.
    static func preferThisThread() {
        #if canImport(Glibc)
            // Here the identifier 0 stands for the calling thread, not for the process.
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -10)
        #endif
    }

    /// As many open files as the system allows this process to ask for.
    static func raiseFileLimit() {
        #if canImport(Glibc)
            var limit = rlimit()
            let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
            guard getrlimit(resource, &limit) == 0 else { return }
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(resource, &limit)
        #endif
    }

    /// Gives the core to another thread, of any process, that wants it.
    static func yieldThread() { sched_yield() }

    /// Runs `body` on a new thread that nobody joins.
    static func detachThread(_ body: @escaping @Sendable () -> Void) {
        let context = Unmanaged.passRetained(ThreadBody(body)).toOpaque()
        #if canImport(Darwin)
            var thread: pthread_t?
            let failure = pthread_create(
                &thread, nil,
                {
                    runThreadBody($0); return nil
                }, context)
            if failure == 0, let thread { pthread_detach(thread) }
        #else
            var thread = pthread_t()
            let failure = pthread_create(
                &thread, nil,
                { context in
                    if let context { runThreadBody(context) }
                    return nil
                }, context)
            if failure == 0 { pthread_detach(thread) }
        #endif
        precondition(failure == 0, "pthread_create failed")
    }

    // MARK: Machine

    static var onlineCores: Int { Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

    static var cpuModel: String {
        #if canImport(Darwin)
            var size = 0
            sysctlbyname("machdep.cpu.brand_string", nil, &size, nil, 0)
            var text = [UInt8](repeating: 0, count: max(size, 1))
            sysctlbyname("machdep.cpu.brand_string", &text, &size, nil, 0)
            return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
        #else
            for line in (text(ofFile: "/proc/cpuinfo") ?? "").split(separator: "\n") {
                guard line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") else { continue }
                return String(line[line.index(after: colon)...].drop { $0 == " " })
            }
            return "unknown"
        #endif
    }

    /// The system's name, release and processor family, as uname(2) tells them.
    static var operatingSystem: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        func string<T>(_ field: T) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(string(names.sysname)) \(string(names.release)) \(string(names.machine))"
    }
}

/// Why the system refused.
struct PlatformError: Error {
    let text: String

    init(text: String) { self.text = text }

    init(code: CInt) { text = String(cString: strerror(code)) }

    static func last() -> PlatformError { PlatformError(code: errno) }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runThreadBody(_ context: UnsafeMutableRawPointer) {
    Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
}

// Inside `Platform` the bare names mean its own methods.
private func platformWrite(_ descriptor: CInt, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

private func platformRead(_ descriptor: CInt, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, bytes, count)
}

private func platformExit(_ code: CInt) -> Never { exit(code) }
