// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rows of rate limiting: one admission, one denial, one admission of one key among many. Nobody else is there.

enum RateLimiting {
    static let allowed = "bucket.tryAcquire"
    static let denied = "bucket.tryAcquire.denied"
    static let keyed = "keyed.tryAcquire"

    static func rows(quick: Bool) -> [Row] {
        let keys = quick ? 10_000 : 100_000
        return [
            Row(
                name: allowed, unit: .nanosecondsPerOperation, isFine: true,
                contenders: [ClockAndExchange.floor, OurBucket.allowed, RivalBuckets.mutex, RivalBuckets.actor]),
            Row(
                name: denied, unit: .nanosecondsPerOperation, isFine: true,
                contenders: [
                    ClockAndExchange.floor, OurBucket.denied, RivalBuckets.mutexDenied, RivalBuckets.actorDenied,
                ]),
            Row(
                name: keyed, parameters: Parameters(capacity: keys), unit: .nanosecondsPerOperation,
                isFine: true,
                contenders: [
                    ClockAndExchange.floor, OurKeyed.contender(keys: keys), RivalKeyed.mutex(keys: keys),
                    RivalKeyed.actor(keys: keys),
                ]),
        ]
    }

    static func gates(_ results: [RowResult]) -> [Gate] {
        var gates: [Gate] = []
        for result in results where result.isOurs {
            switch result.name {
            case allowed:
                if let ratio = result.ratioToFloor {
                    gates.append(Gate("\(allowed), x \(ClockAndExchange.name)", ratio, atMost: 1.25))
                }
            case denied:
                if let ratio = result.ratioToFloor {
                    gates.append(Gate("\(denied), x \(ClockAndExchange.name)", ratio, atMost: 2))
                }
            case keyed:
                let mutex = results.first { $0.name == keyed && $0.contender == RivalKeyed.mutexName }
                if let mutex {
                    let ratio = result.statistics.median / mutex.statistics.median
                    gates.append(Gate("\(keyed), x \(RivalKeyed.mutexName)", ratio, atMost: 1.2))
                }
            default: continue
            }
            if let allocations = result.allocationsPerOperation {
                let rounded = (allocations * 1000).rounded() / 1000
                gates.append(Gate("\(result.name), allocations", rounded, atMost: 0, digits: 3))
            }
        }
        return gates
    }
}

/// Demand as tenants make it: the k-th key is asked for in proportion to 1/k.
struct ZipfKeys: Sendable {
    private static let many = ZipfKeys(count: 100_000)
    private static let few = ZipfKeys(count: 10_000)

    /// The demand for so many keys, made when it is first asked for.
    static func demand(for count: Int) -> ZipfKeys { count == 100_000 ? many : few }

    /// A power of two of them, to be gone through again and again.
    let keys: [Int]

    private init(count: Int, draws: Int = 1 << 18) {
        var cumulative: [Double] = []
        var sum = 0.0
        for rank in 1...count {
            sum += 1 / Double(rank)
            cumulative.append(sum)
        }
        var state: UInt64 = 42
        keys = (0..<draws).map { _ in
            // SplitMix64 (Steele, Lea, Flood, 2014).
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            let point = Double((mixed ^ (mixed >> 31)) >> 11) / Double(1 << 53) * sum
            var (low, high) = (0, count - 1)
            while low < high {
                let middle = (low + high) / 2
                if cumulative[middle] < point { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }
}
