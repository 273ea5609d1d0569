// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The service under test: a request comes in, the guard of the variant admits it or not, the downstream does the work.
// The same object stands behind the HTTP server and is called directly by the scenario without a network.
//
// ## The full guard, in the order in which a request meets it
// 1. The quota of its user, a token bucket by key: who asks for more than a quarter of the capacity is told so (429).
// 2. The shedder: critical requests are its most important level, the others are spread over the rest by user, so that
//    overload costs some users most of their answers and not every user some (as in WeChat's DAGOR).
// 3. The adaptive limit, of which a part is kept for the critical class.
//
// The shedder's load is what arrives by what gets done, and a tenth more than that: then a little too much always passes,
// the limit turns the rest away, and a capacity that has grown is noticed. It is no load while the limit has room.

import Backpressure
import Synchronization

/// What a request says of itself.
struct ServiceRequest: Sendable {
    let isCritical: Bool
    let user: Int
}

final class GuardedService: Sendable {
    private enum Guard: Sendable {
        case none
        case semaphore(AsyncSemaphore)
        case limiter(ConcurrencyLimiter)
        case full(FullGuard)
    }

    private let guardian: Guard
    private let downstream: Downstream
    private let retryAfter: Duration
    private let inside = Atomic<Int>(0)
    private let peak = Peak()

    init(_ variant: ServiceVariant, _ settings: ServiceSettings, seed: UInt64 = 1) {
        downstream = Downstream(slots: settings.slots, work: settings.work, seed: seed)
        retryAfter = settings.retryAfter
        let work = Duration.nanoseconds(settings.work)
        let codel = CoDel(target: work / 2, interval: work * 5)
        switch variant {
        case .nothing: guardian = .none
        case .unbounded: guardian = .semaphore(AsyncSemaphore(permits: settings.slots))
        case .reject:
            guardian = .semaphore(AsyncSemaphore(permits: settings.slots, waiterLimit: settings.queue))
        case .codel:
            guardian = .limiter(
                ConcurrencyLimiter(FixedLimit(settings.slots), waiterLimit: settings.queue, shedding: codel))
        case .adaptive:
            guardian = .limiter(
                ConcurrencyLimiter(
                    VegasLimit(), waiterLimit: settings.queue, maximumWait: work * 3 / 4, shedding: codel))
        case .full: guardian = .full(FullGuard(settings, codel))
        }
    }

    /// The most requests that were in the service at once, those that waited for admission among them.
    var peakInside: Int { peak.value }

    /// The most calls that were in the downstream at once.
    var peakDownstream: Int { downstream.peak }

    /// Does a request, or says why not.
    func handle(_ request: ServiceRequest) async -> Rejection? {
        peak.see(inside.wrappingAdd(1, ordering: .relaxed).newValue)
        defer { inside.wrappingSubtract(1, ordering: .relaxed) }
        do {
            switch guardian {
            case .none: await downstream.call()
            case .semaphore(let semaphore): try await semaphore.withPermits { await downstream.call() }
            case .limiter(let limiter): try await limiter.run { await downstream.call() }
            case .full(let full): try await full.run(request) { await downstream.call() }
            }
            return nil
        } catch {
            return told(rejection(of: error) ?? .overLimit)
        }
    }

    /// The rejection as callers get it: with the time to come again.
    private func told(_ reason: Rejection) -> Rejection {
        if reason.retryAfter != nil { return reason }
        if case .shed = reason { return .shed(priority: reason.priority ?? 0, retryAfter: retryAfter) }
        return .overLimit(retryAfter: retryAfter)
    }

    /// To be called every `ServiceSettings.calibrationPeriod`.
    func calibrate() {
        if case .full(let full) = guardian { full.calibrate() }
    }
}

/// Quotas, priorities and an adaptive limit, one behind the other.
final class FullGuard: Sendable {
    private struct Tally: Sendable {
        /// Averages of calibrations, each half as important as the next.
        var arrived = 0.0
        var done = 0.0
        var lastArrived = 0
        var lastDone: UInt64 = 0
        var lastRefused: UInt64 = 0
    }

    /// One for the critical requests, the others for the rest.
    private static let levels = 100

    private let limiter: ConcurrencyLimiter
    private let critical: ConcurrencyLimiter.Partition
    private let shedder = PriorityShedder(levels: levels)
    private let quotas: KeyedRateLimiter<Int>
    private let arrived = Atomic<Int>(0)
    private let tally = Mutex(Tally())

    init(_ settings: ServiceSettings, _ codel: CoDel) {
        limiter = ConcurrencyLimiter(
            VegasLimit(), classes: [.init("critical", share: 0.5, reserved: 0.1)], waiterLimit: settings.queue,
            maximumWait: .nanoseconds(settings.work * 3 / 4), shedding: codel)
        critical = limiter.partition("critical") ?? .common
        let quota = max(1, Int(settings.capacity / 4))
        quotas = KeyedRateLimiter(
            rate: Rate(quota, per: .seconds(1)), burst: max(1, quota / 4), maxKeys: settings.users * 2)
    }

    func run(_ request: ServiceRequest, _ body: nonisolated(nonsending) () async -> Void) async throws {
        if !request.isCritical, case .denied(let retryAfter) = quotas.tryAcquire(for: request.user) {
            throw Rejection.rateLimited(retryAfter: retryAfter)
        }
        arrived.wrappingAdd(1, ordering: .relaxed)
        // The lowest numbers, among them who asks most, are the first to be shed.
        let level = request.isCritical ? 0 : Self.levels - 1 - request.user % (Self.levels - 1)
        if let rejection = shedder.admit(level: level) { throw rejection }
        try await limiter.run(in: request.isCritical ? critical : .common) { await body() }
    }

    func calibrate() {
        let snapshot = limiter.snapshot()
        let count = arrived.load(ordering: .relaxed)
        let refused = snapshot.overLimit + snapshot.shed + snapshot.timedOut
        let load: Double = tally.withLock { tally in
            tally.arrived = (tally.arrived + Double(count - tally.lastArrived)) / 2
            tally.done = (tally.done + Double(snapshot.succeeded - tally.lastDone)) / 2
            let isFull = refused > tally.lastRefused || snapshot.inFlight >= snapshot.limit
            (tally.lastArrived, tally.lastDone, tally.lastRefused) = (count, snapshot.succeeded, refused)
            return isFull && tally.done > 0 ? tally.arrived / (tally.done * 1.1) : 1
        }
        shedder.update(load: load)
    }
}
