// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Many keys: places, eviction, the cap, and memory that stays flat.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("rate limiting: keys", .timeLimit(.minutes(10)))
struct KeyedLimiterTests {
    @Test("keys do not share tokens; a full bucket takes no place")
    func keys_areApart() {
        let clock = FaultClock()
        let limiter = KeyedRateLimiter<String>(rate: tenPerSecond, burst: 2, maxKeys: 8, clock: clock)
        #expect(limiter.tryAcquire(2, for: "a").isAllowed && limiter.tryAcquire(for: "b").isAllowed)
        #expect(limiter.tryAcquire(for: "a") == .denied(retryAfter: .milliseconds(100)))
        #expect(limiter.tryAcquire(3, for: "c") == .exceedsLimit(2) && limiter.snapshot().keys == 2)
        limiter.limiter(for: "b").refund(1)
        #expect(limiter.snapshot().keys == 1, "it equals one never seen")
        clock.reading = 200_000_000
        #expect(limiter.forgetIdle() == 1 && limiter.snapshot().keys == 0)
        #expect(limiter.limiter(for: "a").peek(2).isAllowed && limiter.snapshot().keys == 0)
        #expect(limiter.snapshot().evictedKeys == 0 && limiter.snapshot().forgivenTokens == 0)
    }

    @Test("at the cap the idle go first, then whoever is closest to full; the hard-used stay")
    func cap_evictsClosestToFull() {
        let clock = FaultClock()
        let limiter = KeyedRateLimiter<Int>(rate: tenPerSecond, burst: 10, maxKeys: 4, shards: 1, clock: clock)
        for (key, count) in [(1, 10), (2, 3), (3, 1), (4, 5)] { #expect(limiter.tryAcquire(count, for: key).isAllowed) }
        #expect(limiter.tryAcquire(2, for: 5).isAllowed, "in place of 3, which lacked one token")
        #expect(limiter.snapshot().keys == 4 && limiter.snapshot().evictedKeys == 1)
        #expect(limiter.snapshot().forgivenTokens == 1)
        #expect(limiter.limiter(for: 3).snapshot().available == 10)
        #expect(limiter.limiter(for: 1).snapshot().available == 0)
        clock.reading = 300_000_000
        #expect(limiter.tryAcquire(9, for: 6).isAllowed && limiter.tryAcquire(9, for: 7).isAllowed)
        #expect(limiter.snapshot().evictedKeys == 1, "2 and 5 were full again")
    }

    @Test("a key is told what a token bucket tells, at any rate, with and without debt")
    func key_decidesAsTokenBucket() {
        var numbers = SplitMix64(seed: 21)
        for rate in [tenPerSecond, .perSecond(700_000_000), .every(.seconds(3_600)), .zero, .unlimited] {
            let clock = FaultClock()
            let keyed = KeyedRateLimiter<Int>(rate: rate, burst: 5, maxKeys: 64, clock: clock).limiter(for: 7)
            let bucket = TokenBucket(rate: rate, burst: 5, clock: clock)
            let token = Int64(max(1, rate.unitsPerToken / max(1, rate.unitsPerNanosecond)))
            var allowed = 0
            for _ in 0..<500 {
                clock.reading += Int64.random(in: 0...4 * token, using: &numbers)
                let count = Int.random(in: 1...7, using: &numbers)
                let debt = Int.random(in: 0...3, using: &numbers)
                let decision = keyed.tryAcquire(count, allowingDebt: debt)
                #expect(decision == bucket.tryAcquire(count, allowingDebt: debt))
                if decision.isAllowed { allowed += 1 }
            }
            #expect(allowed > 0 && allowed < 500, "\(rate)")
        }
    }

    @Test("a table with every pattern of collisions gives each key its own state")
    func table_againstDictionary() {
        struct Clash: Hashable, Sendable {
            let number: Int
            func hash(into hasher: inout Hasher) { hasher.combine(number % 5) }
        }
        let size = LaneSize("rate.table.operations", plain: 20_000, sanitizer: 5_000, deep: 2_000_000)
        var numbers = SplitMix64(seed: 9)
        var table = KeyTable(cap: 1_000, KeyOperations(of: Clash.self))
        var model: [Clash: UInt128] = [:]
        for _ in 0..<size.count {
            var key = Clash(number: Int.random(in: 0..<60, using: &numbers))
            let hash = KeyTable.hash(key.number % 7 &* 0x1234_5679)
            if let place = table.find(&key, hash) {
                let tat = table.tat(at: place)
                #expect(tat == model[key])
                if Bool.random(using: &numbers) {
                    var dropped = DroppedKeys()
                    table.remove(at: place, &dropped)
                    #expect(dropped.count == 1)
                    dropped.destroy(KeyOperations(of: Clash.self))
                    model[key] = nil
                } else {
                    let value = UInt128(numbers.next()) << 40
                    table.set(value, at: place)
                    model[key] = value
                }
            } else {
                #expect(model[key] == nil)
                let value = UInt128(numbers.next()) + 1
                var dropped = DroppedKeys()
                table.insert(&key, hash, value, isFull: { _ in false }, missing: { _ in 0 }, dropped: &dropped)
                #expect(dropped.count == 0)
                model[key] = value
            }
            let count = table.count
            #expect(count == model.count)
        }
    }

    @Test("keys live exactly as long as their places")
    func keys_areDestroyedOnce() {
        final class Name: Hashable, Sendable {
            let number: Int
            let count: LifeCount
            init(_ number: Int, _ count: LifeCount) {
                self.number = number
                self.count = count
                count.birth()
            }
            deinit { count.death() }
            static func == (lhs: Name, rhs: Name) -> Bool { lhs.number == rhs.number }
            func hash(into hasher: inout Hasher) { hasher.combine(number) }
        }
        let (count, clock) = (LifeCount(), FaultClock())
        do {
            let limiter = KeyedRateLimiter<Name>(rate: tenPerSecond, burst: 2, maxKeys: 20, shards: 1, clock: clock)
            for number in 0..<200 {
                clock.reading += 9_000_000
                #expect(limiter.tryAcquire(for: Name(number % 50, count)).isAllowed)
            }
            #expect(count.alive == limiter.snapshot().keys && count.alive > 0 && count.made == 200)
            clock.reading += 1_000_000_000
            limiter.forgetIdle()
            #expect(count.alive == 0)
            #expect(limiter.tryAcquire(for: Name(7, count)).isAllowed && count.alive == 1)
        }
        #expect(count.alive == 0)
    }

    @Test("a million keys through a cap of a tenth: places and memory stay flat")
    func millionKeys_memoryIsFlat() {
        let size = LaneSize("rate.keys", plain: 100_000, sanitizer: 20_000, deep: 1_000_000)
        let cap = size.count / 10
        let clock = FaultClock()
        let limiter = KeyedRateLimiter<Int>(rate: .perSecond(1), burst: 5, maxKeys: cap, clock: clock)
        var (bytes, most) = ([Int](), 0)
        for key in 0..<size.count {
            clock.reading += 1_000
            #expect(limiter.tryAcquire(for: key).isAllowed)
            if key % (size.count / 50) == 0 {
                let snapshot = limiter.snapshot()
                most = max(most, snapshot.keys)
                if key >= size.count / 5 { bytes.append(snapshot.tableBytes) }
            }
        }
        let snapshot = limiter.snapshot()
        print(
            "keys: \(size.count) through \(cap): \(snapshot.keys) kept, \(snapshot.tableBytes) bytes of tables, "
                + "\(snapshot.tableBytes / snapshot.keys) a key, \(snapshot.evictedKeys) evicted")
        #expect(most <= cap && snapshot.keys <= cap && snapshot.keys > cap * 9 / 10)
        #expect(Set(bytes).count == 1, "\(Set(bytes))")
        #expect(snapshot.tableBytes <= cap * 160)
        #expect(snapshot.evictedKeys > 0 && snapshot.forgivenTokens == snapshot.evictedKeys)
    }

    @Test("tasks that wait for a key are served in order; keys do not hold each other up")
    func acquire_perKey() async throws {
        let clock = ManualClock()
        let limiter = KeyedRateLimiter<Int>(rate: tenPerSecond, burst: 1, maxKeys: 8, maxWaiters: 3, clock: clock)
        let log = Shared<[String]>([])
        func start(_ name: String, key: Int) async throws -> Task<Void, any Error> {
            let before = limiter.snapshot().waiting
            let task = Task {
                try await limiter.acquire(for: key)
                log.update { $0.append(name) }
            }
            try await settle { limiter.snapshot().waiting == before + 1 || log.value.contains(name) }
            return task
        }
        var tasks = [try await start("a0", key: 1), try await start("b0", key: 2)]
        tasks += [try await start("a1", key: 1), try await start("a2", key: 1), try await start("b1", key: 2)]
        #expect(log.value == ["a0", "b0"] && limiter.snapshot().waiting == 3)
        await #expect(throws: RateLimitError.rejected(.full)) { try await limiter.acquire(for: 1) }
        try await limiter.acquire(for: 3)
        tasks[3].cancel()
        _ = await tasks[3].result
        // Its booking was the key's last and came back whole: the next one is at 200 ms again.
        await #expect(throws: RateLimitError.tooLate(retryAfter: .milliseconds(200))) {
            try await limiter.acquire(for: 1, timeout: .milliseconds(199))
        }
        try await settle { clock.sleeperCount == 1 }
        clock.advance(by: .milliseconds(100))
        for index in [2, 4] { try await tasks[index].value }
        #expect(Set(log.value.suffix(2)) == ["a1", "b1"] && limiter.snapshot().waiting == 0)
    }

    @Test("a change of the rate holds for all keys, and keeps their tokens")
    func setRate_forAllKeys() {
        let clock = FaultClock()
        let limiter = KeyedRateLimiter<Int>(rate: tenPerSecond, burst: 10, maxKeys: 100, clock: clock)
        for key in 0..<10 { #expect(limiter.tryAcquire(key + 1, for: key).isAllowed) }
        limiter.setRate(.perSecond(3), burst: 4)
        for key in 0..<10 {
            #expect(limiter.limiter(for: key).snapshot().available == min(4, 9 - key))
        }
        #expect(limiter.tryAcquire(5, for: 77) == .exceedsLimit(4))
        #expect(limiter.tryAcquire(for: 9).retryAfter == .nanoseconds(333_333_334))
    }
}
