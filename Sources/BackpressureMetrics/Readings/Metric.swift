// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// What is measured: a stable name, whether it only grows, and its unit.
///
/// The names are few and fixed, so that they can be the names of time series; what differs by primitive or reason is in
/// the labels of a ``Reading``.
public struct Metric: Hashable, Sendable {
    /// How values of one metric follow each other.
    public enum Kind: Hashable, Sendable {
        /// A level that rises and falls.
        case gauge
        /// A total since the primitive was made: it never falls while the primitive lives.
        case counter
        /// Durations since the primitive was made: see ``Reading/histogram``.
        case distribution
    }

    /// What one is one of.
    public enum Unit: String, Hashable, Sendable {
        case elements, permits, tokens, credits, calls, tasks, keys, bytes, changes, seconds
        /// A share, 0 to 1.
        case ratio
        /// 1 or 0.
        case flag
    }

    /// The name, in the words and underscores of time series.
    public let name: String
    /// Level or total.
    public let kind: Kind
    /// What is counted.
    public let unit: Unit

    private init(_ name: String, _ kind: Kind, _ unit: Unit) {
        self.name = name
        self.kind = kind
        self.unit = unit
    }
}

extension Metric {
    /// Every metric, in the order of this page.
    public static let all: [Metric] = [
        depth, laneDepth, capacity, depthRatio, peakDepth, reserved, sent, received, dropped, conflated, rejected,
        waiting,
        waits, waitTime, oldestWait, queueTime, processingTime, waitingShare, running, limit, inUse, utilization,
        peakInUse, admitted, settled, tokens, keys, evictedKeys, tableBytes, credits, creditsOut, reclaimed, demand,
        requested, subscribers, idleSubscribers, paused, pauses, pressureTime, recoveryTime, signalLatency, closed,
        state,
        transitions, windowCalls,
    ]
}

extension Metric {
    /// Elements that are in.
    public static let depth = Metric("depth", .gauge, .elements)
    /// Elements that are in, by `lane` or `class`; their sum is ``depth``.
    public static let laneDepth = Metric("lane_depth", .gauge, .elements)
    /// The bound on ``depth``; of a buffer with costs, the bound on their sum.
    public static let capacity = Metric("capacity", .gauge, .elements)
    /// How full it is, as a share of the bound.
    public static let depthRatio = Metric("depth_ratio", .gauge, .ratio)
    /// The greatest depth so far, as the primitive samples it.
    public static let peakDepth = Metric("peak_depth", .gauge, .elements)
    /// Room that is promised and not yet filled.
    public static let reserved = Metric("reserved", .gauge, .elements)
    /// Elements taken over.
    public static let sent = Metric("sent", .counter, .elements)
    /// Elements that receivers got.
    public static let received = Metric("received", .counter, .elements)
    /// Elements lost by a policy or a cancel, by `reason`: each was handed to the hook.
    public static let dropped = Metric("dropped", .counter, .elements)
    /// Arriving elements merged into queued ones.
    public static let conflated = Metric("conflated", .counter, .elements)
    /// Operations that ended without what they asked for, by `reason`: the caller knows.
    public static let rejected = Metric("rejected", .counter, .calls)
    /// Tasks waiting now, by `side` where there are two.
    public static let waiting = Metric("waiting", .gauge, .tasks)
    /// Operations that had to wait, by `side` where there are two.
    public static let waits = Metric("waits", .counter, .calls)
    /// How long the waits took that are over, by `side` where there are two: on the side `send` it is the time for which
    /// producers were blocked.
    public static let waitTime = Metric("wait_time", .distribution, .seconds)
    /// How long who came first has been waiting, by `side` where there are two; 0 when nobody waits.
    public static let oldestWait = Metric("oldest_wait", .gauge, .seconds)
    /// How long elements were on their way from the stamp to the start of their work.
    public static let queueTime = Metric("queue_time", .distribution, .seconds)
    /// How long work took.
    public static let processingTime = Metric("processing_time", .distribution, .seconds)
    /// The share of the time that elements waited rather than were worked on.
    public static let waitingShare = Metric("waiting_share", .gauge, .ratio)
    /// Elements that are worked on.
    public static let running = Metric("running", .gauge, .elements)

    /// Permits or places in all.
    public static let limit = Metric("limit", .gauge, .permits)
    /// Permits that are taken, or calls that run.
    public static let inUse = Metric("in_use", .gauge, .permits)
    /// ``inUse`` as a share of ``limit``; above 1 after the limit was lowered.
    public static let utilization = Metric("utilization", .gauge, .ratio)
    /// The greatest ``inUse`` so far, as the primitive samples it.
    public static let peakInUse = Metric("peak_in_use", .gauge, .permits)
    /// Acquisitions, admissions or pieces of work, so far.
    public static let admitted = Metric("admitted", .counter, .calls)
    /// Calls that were settled, by `outcome`.
    public static let settled = Metric("settled", .counter, .calls)

    /// Tokens that can be taken now; negative in debt.
    public static let tokens = Metric("tokens", .gauge, .tokens)
    /// Keys that have a place.
    public static let keys = Metric("keys", .gauge, .keys)
    /// Keys that lost their place at the cap.
    public static let evictedKeys = Metric("evicted_keys", .counter, .keys)
    /// Memory of the tables.
    public static let tableBytes = Metric("table_bytes", .gauge, .bytes)

    /// Credits that can be granted now.
    public static let credits = Metric("credits", .gauge, .credits)
    /// Credits that are out.
    public static let creditsOut = Metric("credits_out", .gauge, .credits)
    /// Credits taken back from who did not return them.
    public static let reclaimed = Metric("reclaimed", .counter, .credits)

    /// Elements that subscribers have asked for and not yet got.
    public static let demand = Metric("demand", .gauge, .elements)
    /// Elements that subscribers have asked for.
    public static let requested = Metric("requested", .counter, .elements)
    /// Subscribers that are neither done nor cancelled.
    public static let subscribers = Metric("subscribers", .gauge, .tasks)
    /// Those of them that ask for nothing now.
    public static let idleSubscribers = Metric("idle_subscribers", .gauge, .tasks)

    /// Whether it holds its producers back now.
    public static let paused = Metric("paused", .gauge, .flag)
    /// How often it began to hold them back.
    public static let pauses = Metric("pauses", .counter, .changes)
    /// For how long it held its producers back, in all; a pause that lasts counts up to now.
    public static let pressureTime = Metric("pressure_time", .counter, .seconds)
    /// How long pauses took, from the pause to the resume.
    public static let recoveryTime = Metric("recovery_time", .distribution, .seconds)
    /// How long it took from a pause until the producer had stopped.
    public static let signalLatency = Metric("signal_latency", .distribution, .seconds)
    /// Whether it was closed.
    public static let closed = Metric("closed", .gauge, .flag)
    /// 1 for the `state` that a breaker is in.
    public static let state = Metric("state", .gauge, .flag)
    /// Changes of a breaker's state.
    public static let transitions = Metric("transitions", .counter, .changes)
    /// Calls of a breaker's or a budget's window, by `kind`.
    public static let windowCalls = Metric("window_calls", .gauge, .calls)
}
