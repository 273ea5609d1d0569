// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Permits: what taking one and giving it back costs when nobody else is there, and how many go round when eight tasks
// want one or two.
//
// Contended, three rows: 8 tasks on 2 permits (on a machine of two cores nobody ever waits: it measures the shared word),
// 8 on 1 (everybody waits), and 8 on 2 with a yield while the permit is held (everybody waits, whatever the machine).

enum Semaphores {
    static let mutexName = "Mutex + deque semaphore"
    static let actorName = "actor semaphore"

    static let pairNames = ["semaphore.pair.tryAcquire", "semaphore.pair.permit", "semaphore.pair.withPermits"]
    static let contendedName = "semaphore.contended"
    static let yieldingName = "semaphore.contended.yield"

    private static let tasks = 8

    static var rows: [Row] { pairs + contended }

    // MARK: Pairs

    private static var pairs: [Row] {
        let placements: [Placement] = [.local, .property]
        return placements.flatMap { placement in
            zip(pairNames, SemaphorePairs.Verb.allCases).map { name, verb in
                Row(
                    name: name, parameters: Parameters(placement: placement), unit: .nanosecondsPerOperation,
                    isFine: true,
                    contenders: [
                        AtomicAdds.floor, SemaphorePairs.ours(verb, placement), SemaphorePairs.mutex(placement),
                    ])
            }
        }
    }

    // MARK: Contended

    private static var contended: [Row] {
        [
            row(contendedName, permits: 2, yields: false), row(contendedName, permits: 1, yields: false),
            row(yieldingName, permits: 2, yields: true),
        ]
    }

    private static func row(_ name: String, permits: Int, yields: Bool) -> Row {
        var contenders: [Contender] = []
        for (label, mode) in OurChannel.fairnessModes {
            contenders.append(
                Contender(OurSemaphore.name, ours: true, fairness: label) { operations in
                    try await crowd(OurSemaphore(permits: permits, fairness: mode), permits, operations, yields)
                })
        }
        contenders.append(
            Contender(mutexName) { operations in
                try await crowd(MutexSemaphore(permits: permits), permits, operations, yields)
            })
        contenders.append(
            Contender(actorName) { operations in
                try await crowd(ActorSemaphore(permits: permits), permits, operations, yields)
            })
        return Row(
            name: name, parameters: Parameters(tasks: tasks, permits: permits), unit: .operationsPerSecond,
            contenders: contenders)
    }

    /// The loops are the contender's; this only starts them.
    static func crowd<Semaphore: BenchSemaphore>(
        _ semaphore: Semaphore, _ permits: Int, _ operations: Int, _ yields: Bool
    ) async throws -> Sample {
        let shares = (0..<tasks).map { operations * ($0 + 1) / tasks - operations * $0 / tasks }
        let ledger = Ledger()
        let meter = Meter.begin()
        await withTaskGroup(of: Void.self) { group in
            for share in shares {
                group.addTask {
                    if yields { await semaphore.workYielding(share) } else { await semaphore.work(share, ledger) }
                }
            }
        }
        let sample = meter.end(operations: operations)
        // With one permit, only the holder adds: a lost addition is two holders.
        guard yields || permits > 1 || ledger.sum.pointee == operations else {
            throw HardFailure(
                text: "\(Semaphore.self): \(ledger.sum.pointee) of \(operations) additions under 1 permit")
        }
        let free = await semaphore.free()
        guard free == permits else { throw HardFailure(text: "\(Semaphore.self): \(free) of \(permits) permits free") }
        return sample
    }
}

/// A number that only holders change, without any atomic.
final class Ledger: @unchecked Sendable {
    let sum = UnsafeMutablePointer<Int>.allocate(capacity: 1)

    init() { sum.initialize(to: 0) }

    deinit { sum.deallocate() }
}

// MARK: - Gates

extension Gates {
    mutating func addSemaphores() {
        for (index, name) in Semaphores.pairNames.enumerated() {
            for result in ours(name) {
                let isLocal = result.parameters.placement == .local
                let bound = index == 2 ? 3.0 : isLocal ? 1.5 : 2.5
                let title = "\(name), \(result.parameters.placement?.rawValue ?? "")"
                if let ratio = result.ratioToFloor { gates.append(Gate(title + ", x floor", ratio, atMost: bound)) }
                if let allocations = result.allocationsPerOperation {
                    let rounded = (allocations * 1000).rounded() / 1000
                    gates.append(Gate(title + ", allocations", rounded, atMost: 0, digits: 3))
                }
            }
        }
        // One permit, the better of the two modes, against the best rival; the other rows are reported.
        let fight = rows(Semaphores.contendedName).filter { $0.parameters.permits == 1 }
        let best = fight.filter(\.isOurs).map(\.statistics.median).max()
        let rival = fight.filter { !$0.isOurs }.map(\.statistics.median).max()
        if let best, let rival {
            gates.append(Gate("\(Semaphores.contendedName) 8 on 1, x best rival", best / rival, atLeast: 2))
        }
    }
}
