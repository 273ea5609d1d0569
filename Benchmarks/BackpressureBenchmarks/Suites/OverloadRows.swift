// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rows of overload control: one call admitted and settled, nobody else there. Both must know how long the call took,
// so the floor reads the clock twice beside its two atomic adds.

import Backpressure
import Synchronization

enum OverloadRows {
    static let limiter = "limiter.pair"
    static let breaker = "breaker.pair"

    static let rows: [Row] = [
        Row(name: limiter, unit: .nanosecondsPerOperation, contenders: [ClockedAdds.floor, OurLimiter.vegas]),
        Row(name: breaker, unit: .nanosecondsPerOperation, contenders: [ClockedAdds.floor, OurBreaker.closed]),
    ]

    static func gates(_ results: [RowResult]) -> [Gate] {
        var gates: [Gate] = []
        for result in results where result.isOurs && (result.name == limiter || result.name == breaker) {
            if let ratio = result.ratioToFloor {
                gates.append(Gate("\(result.name), x \(ClockedAdds.name)", ratio, atMost: 3))
            }
            if let allocations = result.allocationsPerOperation {
                let rounded = (allocations * 1000).rounded() / 1000
                gates.append(Gate("\(result.name), allocations", rounded, atMost: 0, digits: 3))
            }
        }
        return gates
    }
}

/// Two bare atomic adds and two readings of the clock.
final class ClockedAdds: Sendable {
    static let name = "two atomic adds, two clock readings"

    private let first = Atomic<Int>(0)
    private let padding = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    private let second = Atomic<Int>(0)

    @inline(never)
    private func run(_ operations: Int) -> (Sample, Int) {
        var elapsed = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            let start = Platform.nanoseconds()
            first.wrappingAdd(1, ordering: .relaxed)
            elapsed &+= Platform.nanoseconds() &- start
            second.wrappingAdd(1, ordering: .relaxed)
        }
        return (meter.end(operations: operations), elapsed)
    }

    static let floor = Contender(name, floor: true) { operations in
        let adds = ClockedAdds()
        let (sample, elapsed) = adds.run(operations)
        guard adds.first.load(ordering: .relaxed) == operations, elapsed >= 0 else {
            throw HardFailure(text: "\(name): wrong sum")
        }
        return sample
    }
}

enum OurLimiter {
    static let vegas = Contender("ConcurrencyLimiter", ours: true) { operations in try run(operations) }

    @inline(never)
    private static func run(_ operations: Int) throws -> Sample {
        let limiter = ConcurrencyLimiter(VegasLimit())
        var admitted = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            guard let permit = limiter.tryAcquire() else { break }
            admitted &+= 1
            permit.succeed()
        }
        let sample = meter.end(operations: operations)
        let snapshot = limiter.snapshot()
        guard admitted == operations, snapshot.inFlight == 0, snapshot.succeeded == UInt64(operations) else {
            throw HardFailure(text: "ConcurrencyLimiter: \(admitted) of \(operations) were admitted")
        }
        return sample
    }
}

enum OurBreaker {
    static let closed = Contender("CircuitBreaker", ours: true) { operations in try run(operations) }

    @inline(never)
    private static func run(_ operations: Int) throws -> Sample {
        let breaker = CircuitBreaker()
        var admitted = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            guard let permit = try? breaker.begin() else { break }
            admitted &+= 1
            permit.succeed()
        }
        let sample = meter.end(operations: operations)
        guard admitted == operations, breaker.snapshot().calls == min(operations, 100), breaker.state == .closed else {
            throw HardFailure(text: "CircuitBreaker: \(admitted) of \(operations) went through")
        }
        return sample
    }
}
