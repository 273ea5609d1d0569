// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A chain of stages in virtual time: each takes from the queue before it and puts into the one behind it.
//
// A stage has so many workers. A worker that is done puts its element into the next queue, or holds it while that is full:
// then it does nothing else. That is how backpressure travels up a chain. What cannot enter the first queue is turned
// away, and so is what exceeds the credits of the whole chain, where there are any.

/// How the elements in a chain are bounded.
public enum ChainBound: Sendable {
    /// Each queue holds so many.
    case perStage(Int)
    /// All queues and workers together hold so many; each queue alone would hold as many.
    case endToEnd(Int)
    /// Not at all.
    case none
}

/// What came of a chain.
public struct ChainReport: Sendable {
    /// Elements that left the last stage within patience, by second.
    public fileprivate(set) var goodput: [Int]
    /// Nanoseconds from arrival to the end, by the second of the end.
    public fileprivate(set) var latencies: [[Int64]]
    /// The most elements that were in the chain.
    public fileprivate(set) var peak = 0
    /// Elements turned away at the head, by second.
    public fileprivate(set) var rejected: [Int]

    /// What this part of the elements that ended in these seconds did not take longer than, in nanoseconds.
    public func latency(_ quantile: Double, _ range: Range<Int>) -> Int64 {
        let sorted = latencies[range].flatMap { $0 }.sorted()
        return sorted.isEmpty ? 0 : sorted[min(Int(Double(sorted.count) * quantile), sorted.count - 1)]
    }
}

/// Stages one behind the other.
public struct SimulatedChain: Sendable {
    /// How many stages there are.
    public var stages = 4
    /// Workers of each stage.
    public var workers = 4
    /// The mean length of work in each stage, in nanoseconds.
    public var meanWork: Int64 = 10_000_000
    /// The sigma of the lengths of work.
    public var sigma = 0.5
    /// Elements per second.
    public var rate = 320.0
    /// How long an element is of use, in nanoseconds.
    public var patience: Int64 = 1_000_000_000
    /// What happens to the last stage.
    public var tail = SimulatedConditions.normal
    /// How the elements in it are bounded.
    public var bound: ChainBound
    /// How long it runs, in seconds.
    public var seconds: Int
    /// What makes this run differ from others.
    public var seed: UInt64

    /// A chain of four stages at 80 % of its capacity.
    public init(bound: ChainBound, seconds: Int, seed: UInt64) {
        self.bound = bound
        self.seconds = seconds
        self.seed = seed
    }

    /// Runs the chain.
    public func run() -> ChainReport {
        var run = ChainRun(self)
        run.go()
        return run.report
    }
}

private struct ChainRun {
    private enum Event {
        case arrival
        case done(stage: Int, born: Int64)
    }

    private let plan: SimulatedChain
    private var events = SimulatedEvents<Event>()
    private var arrivals: SimulatedChance
    private var work: SimulatedChance
    private var queues: [[Int64]]
    private var busy: [Int]
    /// Elements that are done, and held by a worker because the next queue is full.
    private var held: [[Int64]]
    private var inside = 0
    private(set) var report: ChainReport

    init(_ plan: SimulatedChain) {
        self.plan = plan
        arrivals = SimulatedChance(seed: plan.seed)
        work = SimulatedChance(seed: plan.seed ^ 0xFACADE)
        queues = Array(repeating: [], count: plan.stages)
        busy = Array(repeating: 0, count: plan.stages)
        held = queues
        report = ChainReport(
            goodput: Array(repeating: 0, count: plan.seconds + 1),
            latencies: Array(repeating: [], count: plan.seconds + 1),
            rejected: Array(repeating: 0, count: plan.seconds + 1))
    }

    private func mayEnter(_ stage: Int) -> Bool {
        switch plan.bound {
        case .perStage(let most): queues[stage].count < most
        case .endToEnd(let most): stage > 0 || inside < most
        case .none: true
        }
    }

    mutating func go() {
        events.add(.arrival, at: arrivals.gap(rate: plan.rate))
        while let (now, event) = events.next(), now < Int64(plan.seconds) * 1_000_000_000 {
            let second = Int(now / 1_000_000_000)
            switch event {
            case .arrival:
                events.add(.arrival, at: now + arrivals.gap(rate: plan.rate))
                guard mayEnter(0) else {
                    report.rejected[second] += 1
                    continue
                }
                queues[0].append(now)
                inside += 1
                report.peak = max(report.peak, inside)
            case .done(let stage, let born):
                if stage + 1 < plan.stages {
                    held[stage].append(born)
                } else {
                    busy[stage] -= 1
                    inside -= 1
                    report.latencies[second].append(now - born)
                    if now - born <= plan.patience { report.goodput[second] += 1 }
                }
            }
            settle(now)
        }
    }

    /// Moves what can move, from the tail to the head, until nothing can.
    private mutating func settle(_ now: Int64) {
        var hasMoved = true
        while hasMoved {
            hasMoved = false
            for stage in stride(from: plan.stages - 1, through: 0, by: -1) {
                while stage + 1 < plan.stages, !held[stage].isEmpty, mayEnter(stage + 1) {
                    queues[stage + 1].append(held[stage].removeFirst())
                    busy[stage] -= 1
                    hasMoved = true
                }
                while busy[stage] < plan.workers, !queues[stage].isEmpty {
                    let born = queues[stage].removeFirst()
                    busy[stage] += 1
                    let length = work.lognormal(mean: plan.meanWork, sigma: plan.sigma)
                    let end = stage == plan.stages - 1 ? plan.tail.end(of: length, from: now) : now + length
                    events.add(.done(stage: stage, born: born), at: end)
                    hasMoved = true
                }
            }
        }
    }
}
