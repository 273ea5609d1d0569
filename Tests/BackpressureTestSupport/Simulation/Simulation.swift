// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A service under load, in virtual time: callers who arrive, wait so long and try again; a gatekeeper; servers that
// take what they are given in order.
//
// ## What is simulated
// Requests arrive as the load says. Each makes a call; the gatekeeper admits it, lets it wait or turns it away. Admitted
// calls are served first in, first out, by so many servers; a caller who has waited for its patience is gone, but the
// servers do not know and do the work all the same. A call that failed, was turned away or was not answered in time is
// tried again if the rule for retries says so, each try with the whole patience. A request counts as answered, once,
// when a try of it was answered within its patience: that is goodput.
//
// The lengths of work are drawn call by call from a generator of their own, as arrivals are: two runs of one seed meet
// the same arrivals, whatever the gatekeeper does.

/// The description of a service under load.
public struct Simulation: Sendable {
    /// How many calls are served at once.
    public var servers = 16
    /// The mean length of work, in nanoseconds.
    public var meanWork: Int64 = 50_000_000
    /// The sigma of the lengths of work, which are lognormal.
    public var sigma = 1.0
    /// How long a caller waits for the answer to a call, in nanoseconds.
    public var patience: Int64 = 1_000_000_000
    /// How many of the requests are critical.
    public var criticalRate = 0.0
    /// What arrives that is not critical.
    public var load: SimulatedLoad
    /// What it meets.
    public var conditions = SimulatedConditions.normal
    /// How long the simulation runs, in nanoseconds.
    public var length: Int64
    /// What makes this run differ from others.
    public var seed: UInt64

    /// A service of 16 servers under this load.
    public init(load: SimulatedLoad, length: Int64, seed: UInt64) {
        self.load = load
        self.length = length
        self.seed = seed
    }

    /// Calls per second that the servers can answer at their normal pace.
    public var capacity: Double { Double(servers) * 1e9 / Double(meanWork) }

    /// Runs the simulation.
    public func run(_ gatekeeper: some Gatekeeper, retrying retry: some SimulatedRetry) -> SimulationReport {
        var world = SimulatedWorld(self, gatekeeper, retry)
        world.run()
        return world.report
    }
}

private struct SimulatedWorld {
    private enum Event {
        case arrival(isCritical: Bool)
        case again(SimulatedCall)
        case impatience(SimulatedCall)
        case served(SimulatedCall)
        case gate
    }

    private let plan: Simulation
    private let gatekeeper: any Gatekeeper
    private let retry: any SimulatedRetry
    private var events = SimulatedEvents<Event>()
    private var arrivals: SimulatedChance
    private var criticalArrivals: SimulatedChance
    private var work: SimulatedChance
    private var calls = 0
    private var requests = 0
    private var queue: [SimulatedCall] = []
    private var head = 0
    private var busy = 0
    /// Calls that their callers still wait for.
    private var pending: Set<Int> = []
    private var gateAt = Int64.max
    private(set) var report: SimulationReport

    init(_ plan: Simulation, _ gatekeeper: any Gatekeeper, _ retry: any SimulatedRetry) {
        self.plan = plan
        self.gatekeeper = gatekeeper
        self.retry = retry
        arrivals = SimulatedChance(seed: plan.seed)
        criticalArrivals = SimulatedChance(seed: plan.seed ^ 0xC0FFEE)
        work = SimulatedChance(seed: plan.seed ^ 0xFACADE)
        report = SimulationReport(length: plan.length)
    }

    mutating func run() {
        events.add(.arrival(isCritical: false), at: plan.load.next(after: 0, &arrivals))
        if plan.criticalRate > 0 {
            events.add(.arrival(isCritical: true), at: criticalArrivals.gap(rate: plan.criticalRate))
        }
        while let (now, event) = events.next(), now < plan.length {
            switch event {
            case .arrival(let isCritical): arrive(isCritical, now)
            case .again(let call):
                send(request: call.request, attempt: call.attempt + 1, isCritical: call.isCritical, now)
            case .impatience(let call): lose(call, now)
            case .served(let call): finish(call, now)
            case .gate: gateAt = .max
            }
            askGate(now)
        }
    }

    private mutating func arrive(_ isCritical: Bool, _ now: Int64) {
        let next =
            isCritical
            ? now + criticalArrivals.gap(rate: plan.criticalRate) : plan.load.next(after: now, &arrivals)
        events.add(.arrival(isCritical: isCritical), at: next)
        requests += 1
        report.requested(isCritical: isCritical, now)
        retry.requested(now: now)
        send(request: requests, attempt: 1, isCritical: isCritical, now)
    }

    private mutating func send(request: Int, attempt: Int, isCritical: Bool, _ now: Int64) {
        calls += 1
        let call = SimulatedCall(
            number: calls, isCritical: isCritical, sentAt: now, request: request, attempt: attempt)
        report.called(attempt: attempt, now)
        pending.insert(call.number)
        events.add(.impatience(call), at: now + plan.patience)
        switch gatekeeper.admit(call, now: now) {
        case .some(true): serve(call, now)
        case .some(false): turnAway(call, now)
        case .none: break
        }
    }

    /// Nobody waits for the answer to `call` any more.
    private mutating func lose(_ call: SimulatedCall, _ now: Int64) {
        guard pending.remove(call.number) != nil else { return }
        guard let delay = retry.delay(after: call, now: now) else { return }
        events.add(.again(call), at: now + delay)
    }

    private mutating func turnAway(_ call: SimulatedCall, _ now: Int64) {
        report.turnedAway(now)
        lose(call, now)
    }

    private mutating func serve(_ call: SimulatedCall, _ now: Int64) {
        guard busy < plan.conditions.servers(at: now) ?? plan.servers else {
            queue.append(call)
            report.queued(queue.count - head)
            return
        }
        busy += 1
        let length = work.lognormal(mean: plan.meanWork, sigma: plan.sigma)
        events.add(.served(call), at: plan.conditions.end(of: length, from: now))
    }

    private mutating func finish(_ call: SimulatedCall, _ now: Int64) {
        let isFailure = work.happens(plan.conditions.failures(at: now))
        let isAwaited = pending.contains(call.number)
        report.served(after: now - call.sentAt, now)
        if isFailure {
            lose(call, now)
        } else if isAwaited {
            pending.remove(call.number)
            report.answered(isCritical: call.isCritical, sentAt: call.sentAt, now)
        }
        busy -= 1
        while head < queue.count, busy < plan.conditions.servers(at: now) ?? plan.servers {
            let next = queue[head]
            head += 1
            if head > 4096, head * 2 > queue.count {
                queue.removeFirst(head)
                head = 0
            }
            serve(next, now)
        }
        gatekeeper.settle(call, isFailure ? .failed : isAwaited ? .answered : .late, now: now)
    }

    /// Serves or turns away those whose wait at the gate is over, and remembers when to ask again.
    private mutating func askGate(_ now: Int64) {
        for (call, isAdmitted) in gatekeeper.ended(now: now) {
            if isAdmitted { serve(call, now) } else { turnAway(call, now) }
        }
        let deadline = max(gatekeeper.deadline, now + 1)
        guard deadline < gateAt else { return }
        gateAt = deadline
        events.add(.gate, at: deadline)
    }
}
