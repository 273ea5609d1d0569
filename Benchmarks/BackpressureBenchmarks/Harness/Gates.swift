// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bounds that the project set itself, and what this run says to them. A missed bound is printed, and changes no exit
// status: machines differ. A wrong result does (exit 70), because then no figure means anything.

/// A figure against its bound.
struct Gate: Sendable {
    enum Verdict: String, Sendable {
        case ok
        case missed = "MISSED"
    }

    let name: String
    let figure: String
    let bound: String
    let verdict: Verdict

    init(_ name: String, _ value: Double, atMost bound: Double, digits: Int = 2, suffix: String = "") {
        self.name = name
        figure = Text.number(value, digits: digits) + suffix
        self.bound = "<= " + Text.number(bound, digits: digits) + suffix
        verdict = value <= bound ? .ok : .missed
    }

    init(_ name: String, _ value: Double, atLeast bound: Double, digits: Int = 2, suffix: String = "") {
        self.name = name
        figure = Text.number(value, digits: digits) + suffix
        self.bound = ">= " + Text.number(bound, digits: digits) + suffix
        verdict = value >= bound ? .ok : .missed
    }
}

/// Derives the gates from whatever rows were run.
struct Gates {
    let results: [RowResult]
    var gates: [Gate] = []

    /// Fails when the harness itself cannot be trusted.
    static func evaluate(_ results: [RowResult]) throws(HardFailure) -> [Gate] {
        var gates = Gates(results: results)
        try gates.addSelfChecks()
        gates.addPairs()
        gates.addDemand()
        gates.addStreams()
        gates.addBatches()
        gates.addRendezvous()
        gates.addPingPong()
        gates.addWaitersAndMemory()
        gates.addBuffers()
        gates.addSemaphores()
        return gates.gates + RateLimiting.gates(results) + OverloadRows.gates(results) + RegistryRows.gates(results)
            + PeerGates.gates(results)
    }

    private init(results: [RowResult]) { self.results = results }

    // MARK: Looking up

    func rows(_ name: String) -> [RowResult] { results.filter { $0.name == name } }

    func ours(_ name: String) -> [RowResult] { rows(name).filter(\.isOurs) }

    /// The answer of another contender to the same row.
    func twin(of result: RowResult, named contender: String) -> RowResult? {
        results.first { other in
            var parameters = other.parameters
            parameters.fairness = result.parameters.fairness
            return other.name == result.name && other.contender == contender && parameters == result.parameters
        }
    }

    // MARK: The harness

    private mutating func addSelfChecks() throws(HardFailure) {
        // By their best rounds: a neighbour's load moves medians, and what is compared is code.
        let floors = rows(HotPath.selfCheckFloor)
        if let swift = floors.first(where: \.isFloor)?.statistics.min,
            let twin = floors.first(where: { !$0.isFloor })?.statistics.min
        {
            let difference = abs(twin - swift) / swift * 100
            gates.append(
                Gate("floor: Swift and C agree (best rounds)", difference, atMost: 10, digits: 1, suffix: " %"))
        }
        guard Allocations.areCounted else { return }
        for result in rows(HotPath.selfCheckAllocations) {
            guard let counted = result.allocationsPerOperation else { continue }
            let expected = result.isFloor ? 0.0 : 1.0
            guard abs(counted - expected) < 0.001 else {
                throw HardFailure(
                    text: "the allocation counter shows \(counted) for \"\(result.contender)\", not \(expected)")
            }
            gates.append(
                result.isFloor
                    ? Gate("allocation counter, green: \(result.contender)", counted, atMost: 0, digits: 3)
                    : Gate("allocation counter, red: \(result.contender)", counted, atLeast: 1, digits: 3))
        }
    }

    // MARK: Acceptance 2

    private mutating func addPairs() {
        for name in ["channel.try.pair", "channel.await.pair", "channel.await.pair.actor"] {
            for result in ours(name) {
                let placement = result.parameters.placement ?? .local
                let bound =
                    switch placement {
                    case .local: 1.35
                    case .property, .generic: 2.0
                    case .actor: 1.5
                    }
                let title = placement == .actor ? name : "\(name), \(placement.rawValue)"
                if let ratio = result.ratioToFloor { gates.append(Gate(title + ", x floor", ratio, atMost: bound)) }
                if placement == .local, let allocations = result.allocationsPerOperation {
                    // A task's first slab is one malloc in a run of millions; three digits do not see it.
                    let rounded = (allocations * 1000).rounded() / 1000
                    gates.append(Gate(title + ", allocations", rounded, atMost: 0, digits: 3))
                }
            }
        }
    }

    // MARK: Demand

    /// The struct subscriber is the gate; the class subscriber's figure stands in the report beside it.
    private mutating func addDemand() {
        for (name, bound) in [(DemandRows.requestOne, 2.3), (DemandRows.requestMany, 0.8)] {
            for result in ours(name) where result.contender == DemandRows.structName {
                if let ratio = result.ratioToFloor { gates.append(Gate(name + ", x floor", ratio, atMost: bound)) }
                if let allocations = result.allocationsPerOperation {
                    let rounded = (allocations * 1000).rounded() / 1000
                    gates.append(Gate(name + ", allocations", rounded, atMost: 0, digits: 3))
                }
            }
        }
    }

    // MARK: Acceptance 3

    private mutating func addStreams() {
        let yardstick = rows("channel.await.pair").first {
            $0.contender == RivalPairs.mutexName && $0.parameters.placement == .local
        }
        if let ratio = yardstick?.ratioToFloor {
            gates.append(Gate("\(RivalPairs.mutexName) is done well: await pair, x floor", ratio, atMost: 4))
        }
        for result in ours("channel.spsc") {
            let capacity = result.parameters.capacity ?? 0
            addAgainstMutex(result, "channel.spsc \(capacity)", atLeast: capacity >= 64 ? 5 : 1)
        }
        for name in ["channel.mpsc", "channel.mpmc"] {
            for result in ours(name) where result.parameters.fairness != "fifo" {
                let title = "\(name) \(result.parameters.capacity ?? 0) \(result.parameters.fairness ?? "")"
                addAgainstMutex(result, title, atLeast: 3)
            }
        }
    }

    private mutating func addAgainstMutex(_ result: RowResult, _ title: String, atLeast bound: Double) {
        guard let mutex = twin(of: result, named: RivalPairs.mutexName) else { return }
        let ratio = result.statistics.median / mutex.statistics.median
        gates.append(Gate("\(title), x \(RivalPairs.mutexName)", ratio, atLeast: bound))
    }

    private mutating func addPingPong() {
        for name in ["channel.pingpong", "channel.pingpong.busy"] {
            for result in ours(name) {
                guard let ratio = result.ratioToFloor else { continue }
                gates.append(Gate("\(name), x \(PingPong.floorName)", ratio, atMost: 1.15))
            }
        }
    }

    // MARK: Acceptance 4

    private mutating func addWaitersAndMemory() {
        let cancels = ours("channel.waiters.cancel").sorted {
            ($0.parameters.waiters ?? 0) < ($1.parameters.waiters ?? 0)
        }
        if cancels.count >= 2, let few = cancels.first, let many = cancels.last {
            let ratio = many.statistics.median / few.statistics.median
            let title = "one cancel among \(many.parameters.waiters ?? 0), x among \(few.parameters.waiters ?? 0)"
            gates.append(Gate(title, ratio, atMost: 2))
        }
        for result in ours("channel.waiters.drain") {
            guard let ratio = result.ratioToFloor else { continue }
            gates.append(Gate("channel.waiters.drain, x \(Waiters.drainFloorName)", ratio, atMost: 1.3))
        }
        for result in ours("channel.parked.bytes") {
            gates.append(
                Gate("channel.parked.bytes, beyond a bare task", result.statistics.median, atMost: 160, digits: 0))
        }
        for result in ours("channel.idle.bytes") {
            gates.append(Gate("channel.idle.bytes", result.statistics.median, atMost: 1024, digits: 0))
        }
    }
}
