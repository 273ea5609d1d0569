// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What semaphores, pools, limiters, breakers and budgets say of themselves.

public import Backpressure

extension AsyncSemaphore: MetricSource {
    /// Permits, acquisitions, rejections by reason, and who waits, of one instant.
    public func readings() -> [Reading] { permitReadings(snapshot()) }
}

extension Bulkhead: MetricSource {
    /// Places, entries, rejections by reason, and who waits, of one instant.
    public func readings() -> [Reading] { permitReadings(snapshot()) }
}

private func permitReadings(_ now: SemaphoreSnapshot) -> [Reading] {
    [
        Reading(.limit, now.limit), Reading(.inUse, now.inUse), Reading(.utilization, now.utilization),
        Reading(.peakInUse, now.peakInUse), Reading(.admitted, now.acquisitions),
        Reading(.waiting, now.waiting), Reading(.waits, now.parked),
        Reading(.rejected, now.refused, .reason("would_wait")), Reading(.rejected, now.rejected, .reason("full")),
        Reading(.rejected, now.exceeded, .reason("exceeds_limit")),
        Reading(.rejected, now.timedOut, .reason("timed_out")),
        Reading(.rejected, now.cancelled, .reason("cancelled")), Reading(.closed, now.isClosed),
        Reading(.waitTime, now.waits), Reading(.oldestWait, now.oldestWait?.seconds ?? 0),
    ]
}

extension WorkerPool: MetricSource {
    /// Workers, the queue, what became of the work, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        let places = Double(max(1, now.workers))
        return [
            Reading(.limit, now.workers), Reading(.inUse, now.running),
            Reading(.utilization, Double(now.running) / places),
            Reading(.depth, now.waiting), Reading(.capacity, now.queueLimit), Reading(.peakDepth, now.peakWaiting),
            Reading(.depthRatio, now.queueLimit > 0 ? Double(now.waiting) / Double(now.queueLimit) : 0),
            Reading(.settled, now.finished, .outcome("finished")),
            Reading(.settled, now.callerRan, .outcome("caller_ran")),
            Reading(.rejected, now.rejected, .reason("full")), Reading(.dropped, now.dropped, .reason("evicted")),
            Reading(.closed, now.isShutDown),
        ] + waitTimes(now.submitWaits, now.idleWaits, oldest: (now.oldestSubmitWait, nil))
    }
}

private func rateReadings(_ now: RateLimiterSnapshot) -> [Reading] {
    [
        Reading(.tokens, now.available), Reading(.waiting, now.waiting), Reading(.waits, now.parked),
        Reading(.rejected, now.refused, .reason("rate_limited")),
        Reading(.rejected, now.timedOut, .reason("timed_out")),
        Reading(.rejected, now.cancelled, .reason("cancelled")),
        Reading(.waitTime, now.waits), Reading(.oldestWait, now.oldestWait?.seconds ?? 0),
    ]
}

extension TokenBucket: MetricSource {
    /// Tokens, waits, and rejections by reason; a plain denial of the fast path is the caller's to count.
    public func readings() -> [Reading] { rateReadings(snapshot()) }
}

extension Pacer: MetricSource {
    /// Tokens, waits, and rejections by reason; a plain denial of the fast path is the caller's to count.
    public func readings() -> [Reading] { rateReadings(snapshot()) }
}

extension SlidingWindowLimiter: MetricSource {
    /// Tokens, waits, and rejections by reason.
    public func readings() -> [Reading] { rateReadings(snapshot()) }
}

extension CompositeLimiter: MetricSource {
    /// Tokens, waits, and rejections by reason.
    public func readings() -> [Reading] { rateReadings(snapshot()) }
}

extension KeyedRateLimiter: MetricSource {
    /// Keys, evictions, memory and waiting tasks, shard after shard.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.keys, now.keys), Reading(.evictedKeys, now.evictedKeys), Reading(.tableBytes, now.tableBytes),
            Reading(.waiting, now.waiting), Reading(.waitTime, now.waits),
        ]
    }
}

extension CreditWindow: MetricSource {
    /// Credits that are free, out and reclaimed, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.limit, now.capacity), Reading(.credits, now.available), Reading(.creditsOut, now.out),
            Reading(.utilization, Double(now.out) / Double(max(1, now.capacity))),
            Reading(.reclaimed, now.reclaimed), Reading(.waiting, now.waiting), Reading(.closed, now.isStopped),
            Reading(.waitTime, now.waits), Reading(.oldestWait, now.oldestWait?.seconds ?? 0),
        ]
    }
}

extension WatermarkGate: MetricSource {
    /// The level, and what is paused, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.depth, now.total), Reading(.paused, now.isTotalPaused || now.paused > 0),
            Reading(.pauses, now.pauses, .kind("key")), Reading(.pauses, now.totalPauses, .kind("total")),
        ]
    }
}

extension ConcurrencyLimiter: MetricSource {
    /// The limit as it is now, calls by outcome, rejections by reason, and who waits, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.limit, now.limit), Reading(.inUse, now.inFlight),
            Reading(.utilization, Double(now.inFlight) / Double(max(1, now.limit))),
            Reading(.admitted, now.admitted), Reading(.waiting, now.waiting), Reading(.waits, now.parked),
            Reading(.settled, now.succeeded, .outcome("success")), Reading(.settled, now.ignored, .outcome("ignored")),
            Reading(.settled, now.dropped, .outcome("dropped")),
            Reading(.rejected, now.overLimit, .reason("over_limit")), Reading(.rejected, now.shed, .reason("shed")),
            Reading(.rejected, now.timedOut, .reason("timed_out")),
            Reading(.rejected, now.cancelled, .reason("cancelled")), Reading(.closed, now.isClosed),
            Reading(.waitTime, now.waits), Reading(.oldestWait, now.oldestWait?.seconds ?? 0),
        ]
    }
}

extension CircuitBreaker: MetricSource {
    /// The state, its changes, the calls of the window, and what was rejected, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.state, true, Label("state", "\(now.state)")), Reading(.transitions, now.generation),
            Reading(.windowCalls, now.calls, .kind("all")), Reading(.windowCalls, now.failures, .kind("failed")),
            Reading(.windowCalls, now.slowCalls, .kind("slow")),
            Reading(.rejected, now.rejections, .reason("breaker_open")),
        ]
    }
}

extension CircuitBreakerRegistry: MetricSource {
    /// How many breakers there are, by state, and how many were forgotten; one breaker after the other.
    public func readings() -> [Reading] {
        let states = snapshots().values.map(\.state)
        let kinds: [BreakerState] = [.closed, .open, .halfOpen, .forcedOpen, .disabled, .metricsOnly]
        return kinds.map { kind in Reading(.keys, states.count { $0 == kind }, Label("state", "\(kind)")) }
            + [Reading(.evictedKeys, evicted)]
    }
}

extension RetryBudget: MetricSource {
    /// Requests and retries of the window, and the retries that the budget refused, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.windowCalls, now.requests, .kind("request")), Reading(.windowCalls, now.retries, .kind("retry")),
            Reading(.inUse, now.running), Reading(.rejected, now.refused, .reason("budget")),
        ]
    }
}

extension PartitionedBulkhead: MetricSource {
    /// Places, entries, rejections by reason, and who waits, of all partitions together, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        func total(_ part: (PartitionSnapshot) -> UInt64) -> UInt64 {
            now.partitions.values.reduce(0) { $0 + part($1) }
        }
        return [
            Reading(.limit, now.limit), Reading(.inUse, now.inUse),
            Reading(.utilization, Double(now.inUse) / Double(max(1, now.limit))),
            Reading(.admitted, total(\.entered)),
            Reading(.waiting, now.partitions.values.reduce(0) { $0 + $1.waiting }),
            Reading(.rejected, total(\.rejected), .reason("full")),
            Reading(.rejected, total(\.timedOut), .reason("timed_out")),
            Reading(.rejected, total(\.cancelled), .reason("cancelled")), Reading(.closed, now.isClosed),
            Reading(.waitTime, now.waits), Reading(.oldestWait, now.oldestWait?.seconds ?? 0),
        ]
    }
}

extension PriorityShedder: MetricSource {
    /// Requests that were shed, by `priority`; level 0 is the most important.
    public func readings() -> [Reading] {
        shedByLevel.enumerated().map { level, count in
            Reading(.rejected, count, .reason("shed"), Label("priority", "\(level)"))
        }
    }
}

extension StageMeter: MetricSource {
    /// Time in queue and time at work, and the share of the first, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.queueTime, now.queueTimes), Reading(.processingTime, now.processingTimes),
            Reading(.running, now.running), Reading(.waitingShare, now.waitingShare ?? 0),
        ]
    }
}

extension Flow.DropMeter: MetricSource {
    /// What stages dropped, by reason.
    public func readings() -> [Reading] {
        [
            Reading(.dropped, full, .reason("newest")), Reading(.dropped, evicted, .reason("evicted")),
            Reading(.dropped, expired, .reason("expired")), Reading(.dropped, abandoned, .reason("abandoned")),
        ]
    }
}
