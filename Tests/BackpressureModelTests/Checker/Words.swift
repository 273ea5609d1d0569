// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Shared memory for the checker's own tests: a few words and plain slots, the same in both builds.

import Foundation
import ModelChecker
import Synchronization

/// The long set: `BACKPRESSURE_DEEP=1`.
let isDeep = ProcessInfo.processInfo.environment["BACKPRESSURE_DEEP"] == "1"

/// Words that are atomics, locks or plain slots, as a model uses them; all zero at first.
final class Words: @unchecked Sendable {
    let base: UnsafeMutablePointer<UInt64>
    let count: Int
    /// What each thread found out.
    let results: UnsafeMutablePointer<UInt64>

    init(_ count: Int = 8) {
        self.count = count
        base = .allocate(capacity: count)
        base.initialize(repeating: 0, count: count)
        results = .allocate(capacity: 8)
        results.initialize(repeating: 0, count: 8)
    }

    deinit {
        base.deallocate()
        results.deallocate()
    }

    func load(_ word: Int, _ order: MemoryOrder = .acquiring, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicLoad(base + word, order, line: line)
    }

    func store(_ word: Int, _ value: UInt64, _ order: MemoryOrder = .releasing, line: UInt = #line) {
        ModelRuntime.atomicStore(base + word, value, order, line: line)
    }

    func add(_ word: Int, _ value: UInt64, _ order: MemoryOrder = .acquiringAndReleasing, line: UInt = #line) -> UInt64
    {
        ModelRuntime.atomicFetchAdd(base + word, value, order, line: line)
    }

    func exchange(_ word: Int, _ value: UInt64, line: UInt = #line) -> UInt64 {
        ModelRuntime.atomicExchange(base + word, value, .acquiringAndReleasing, line: line)
    }

    func compareExchange(
        _ word: Int, _ expected: UInt64, _ desired: UInt64, weak: Bool = false, line: UInt = #line
    ) -> (exchanged: Bool, original: UInt64) {
        ModelRuntime.atomicCompareExchange(
            base + word, expected: expected, desired: desired, .acquiringAndReleasing, weak: weak, line: line)
    }

    func read(_ slot: Int, line: UInt = #line) -> UInt64 {
        ModelRuntime.plainRead(base + slot, line: line)
        return base[slot]
    }

    func write(_ slot: Int, _ value: UInt64, line: UInt = #line) {
        ModelRuntime.plainWrite(base + slot, line: line)
        base[slot] = value
    }

    func withLock<Result>(_ word: Int, line: UInt = #line, _ body: () -> Result) -> Result {
        ModelRuntime.lock(base + word, line: line)
        defer { ModelRuntime.unlock(base + word, line: line) }
        return body()
    }
}

/// The outcomes that an exploration's checks saw.
final class Outcomes: Sendable {
    private let seen = Mutex<Set<[UInt64]>>([])

    func insert(_ outcome: [UInt64]) { seen.withLock { _ = $0.insert(outcome) } }
    var all: Set<[UInt64]> { seen.withLock { $0 } }
}

func model(
    _ name: String, _ threads: [@Sendable (Words) -> Void], check: @escaping @Sendable (Words) -> Void = { _ in }
) -> Model {
    Model(name, setup: { Words() }, threads: threads, check: check)
}
