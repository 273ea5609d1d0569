// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The measured pairs of semaphores: one permit taken and given back in one task, nobody else there. Written out once per
// placement, because what is measured is what a user's module compiles.

import Backpressure

enum SemaphorePairs {
    enum Verb: CaseIterable, Sendable {
        /// `tryAcquire` and `release()`.
        case tryAcquire
        /// `await acquire()`, and the permit's end.
        case permit
        /// `withPermits`, with a body that does nothing to speak of.
        case withPermits
    }

    static func ours(_ verb: Verb, _ placement: Placement) -> Contender {
        Contender(OurSemaphore.name, ours: true) { operations in
            switch (verb, placement) {
            case (.tryAcquire, .local): try tryAcquireLocal(operations)
            case (.tryAcquire, _): try SemaphoreOwner().tryAcquire(operations)
            case (.permit, .local): try await permitLocal(operations)
            case (.permit, _): try await SemaphoreOwner().permit(operations)
            case (.withPermits, .local): try await withPermitsLocal(operations)
            case (.withPermits, _): try await SemaphoreOwner().withPermits(operations)
            }
        }
    }

    static func mutex(_ placement: Placement) -> Contender {
        Contender(Semaphores.mutexName) { operations in
            placement == .local ? try await mutexLocal(operations) : try await MutexSemaphoreOwner().pairs(operations)
        }
    }

    static func verify(_ done: Int, of operations: Int, free: Int, in place: String) throws(HardFailure) {
        guard done == operations, free == 1 else {
            throw HardFailure(text: "\(place): \(done) of \(operations) pairs, \(free) of 1 permits free")
        }
    }
}

// MARK: - Local

@inline(never)
private func tryAcquireLocal(_ operations: Int) throws -> Sample {
    let semaphore = AsyncSemaphore(permits: 1)
    var done = 0
    let meter = Meter.begin()
    for _ in 0..<operations {
        guard let permit = semaphore.tryAcquire() else { break }
        done &+= 1
        permit.release()
    }
    let sample = meter.end(operations: operations)
    try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "tryAcquire local")
    return sample
}

@inline(never)
private func permitLocal(_ operations: Int) async throws -> Sample {
    let semaphore = AsyncSemaphore(permits: 1)
    var done = 0
    let meter = Meter.begin()
    for _ in 0..<operations {
        let permit = try await semaphore.acquire()
        done &+= permit.count
    }
    let sample = meter.end(operations: operations)
    try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "permit local")
    return sample
}

@inline(never)
private func withPermitsLocal(_ operations: Int) async throws -> Sample {
    let semaphore = AsyncSemaphore(permits: 1)
    var done = 0
    let meter = Meter.begin()
    for _ in 0..<operations {
        try await semaphore.withPermits { done &+= 1 }
    }
    let sample = meter.end(operations: operations)
    try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "withPermits local")
    return sample
}

// MARK: - A property of a class

private final class SemaphoreOwner: Sendable {
    let semaphore = AsyncSemaphore(permits: 1)

    @inline(never)
    func tryAcquire(_ operations: Int) throws -> Sample {
        var done = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            guard let permit = semaphore.tryAcquire() else { break }
            done &+= 1
            permit.release()
        }
        let sample = meter.end(operations: operations)
        try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "tryAcquire property")
        return sample
    }

    @inline(never)
    func permit(_ operations: Int) async throws -> Sample {
        var done = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            let permit = try await semaphore.acquire()
            done &+= permit.count
        }
        let sample = meter.end(operations: operations)
        try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "permit property")
        return sample
    }

    @inline(never)
    func withPermits(_ operations: Int) async throws -> Sample {
        var done = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            try await semaphore.withPermits { done &+= 1 }
        }
        let sample = meter.end(operations: operations)
        try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "withPermits property")
        return sample
    }
}

// MARK: - Mutex + deque

@inline(never)
private func mutexLocal(_ operations: Int) async throws -> Sample {
    let semaphore = MutexSemaphore(permits: 1)
    var done = 0
    let meter = Meter.begin()
    for _ in 0..<operations {
        await semaphore.acquire()
        done &+= 1
        semaphore.release()
    }
    let sample = meter.end(operations: operations)
    try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "Mutex + deque local")
    return sample
}

private final class MutexSemaphoreOwner: Sendable {
    let semaphore = MutexSemaphore(permits: 1)

    @inline(never)
    func pairs(_ operations: Int) async throws -> Sample {
        var done = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            await semaphore.acquire()
            done &+= 1
            semaphore.release()
        }
        let sample = meter.end(operations: operations)
        try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "Mutex + deque property")
        return sample
    }
}
