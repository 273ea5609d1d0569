// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Semaphores as contenders of the rows in which many tasks fight: ours, and the two that the language suggests. The
// rivals have no cancellation, no timeout, no weights and no close, which makes them faster than what they stand for.

import Backpressure
import Synchronization

protocol BenchSemaphore: Sendable {
    /// Takes and gives back a permit so many times, and adds 1 to the ledger while holding it.
    func work(_ times: Int, _ ledger: Ledger) async
    /// Takes and gives back a permit so many times, with a yield while holding it.
    func workYielding(_ times: Int) async
    func free() async -> Int
}

// MARK: - Ours

struct OurSemaphore: BenchSemaphore {
    static let name = "AsyncSemaphore"

    let semaphore: AsyncSemaphore

    init(permits: Int, fairness: Fairness) { semaphore = AsyncSemaphore(permits: permits, fairness: fairness) }

    @inline(never)
    func work(_ times: Int, _ ledger: Ledger) async {
        let sum = ledger.sum
        for _ in 0..<times {
            guard let permit = try? await semaphore.acquire() else { return }
            sum.pointee &+= 1
            permit.release()
        }
    }

    @inline(never)
    func workYielding(_ times: Int) async {
        for _ in 0..<times {
            guard let permit = try? await semaphore.acquire() else { return }
            await Task.yield()
            permit.release()
        }
    }

    func free() async -> Int { semaphore.available }
}

// MARK: - Mutex + deque

/// A count and a queue of continuations behind a mutex; a release hands its permit to the first in the queue.
final class MutexSemaphore: BenchSemaphore {
    struct State: ~Copyable, @unchecked Sendable {
        var available: Int
        var waiters = RingDeque<UnsafeContinuation<Void, Never>>(minimumCapacity: 16)
    }

    private let state: Mutex<State>

    init(permits: Int) { state = Mutex(State(available: permits)) }

    var available: Int { state.withLock { $0.available } }

    @inline(__always)
    func acquire() async {
        let taken = state.withLock { state in
            guard state.available > 0 else { return false }
            state.available -= 1
            return true
        }
        if !taken { await park() }
    }

    @inline(never)
    private func park() async {
        await withUnsafeContinuation { continuation in
            let taken = state.withLock { state in
                guard state.available > 0 else {
                    state.waiters.append(continuation)
                    return false
                }
                state.available -= 1
                return true
            }
            if taken { continuation.resume() }
        }
    }

    @inline(__always)
    func release() {
        let next = state.withLock { state in
            let next = state.waiters.popFirst()
            if next == nil { state.available += 1 }
            return next
        }
        next?.resume()
    }

    @inline(never)
    func work(_ times: Int, _ ledger: Ledger) async {
        let sum = ledger.sum
        for _ in 0..<times {
            await acquire()
            sum.pointee &+= 1
            release()
        }
    }

    @inline(never)
    func workYielding(_ times: Int) async {
        for _ in 0..<times {
            await acquire()
            await Task.yield()
            release()
        }
    }

    func free() async -> Int { available }
}

// MARK: - Actor

/// The same as an actor.
actor ActorSemaphore: BenchSemaphore {
    private var available: Int
    private var waiters = RingDeque<UnsafeContinuation<Void, Never>>(minimumCapacity: 16)

    init(permits: Int) { available = permits }

    func acquire() async {
        if available > 0 {
            available -= 1
        } else {
            await withUnsafeContinuation { waiters.append($0) }
        }
    }

    func release() {
        if let next = waiters.popFirst() { next.resume() } else { available += 1 }
    }

    @inline(never)
    nonisolated func work(_ times: Int, _ ledger: Ledger) async {
        let sum = ledger.sum
        for _ in 0..<times {
            await acquire()
            sum.pointee &+= 1
            await release()
        }
    }

    @inline(never)
    nonisolated func workYielding(_ times: Int) async {
        for _ in 0..<times {
            await acquire()
            await Task.yield()
            await release()
        }
    }

    func free() async -> Int { available }
}
