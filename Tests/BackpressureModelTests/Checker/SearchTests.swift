// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Does the search cover what it says, once each?

import ModelChecker
import Testing

@Suite struct SearchTests {
    @Test func independentThreadsAreOneExecution() {
        for count in 2...4 {
            let threads = (0..<count).map { thread in
                { @Sendable (words: Words) in
                    words.store(thread, 1)
                    words.store(thread, 2)
                }
            }
            let exploration = Explorer.explore(model("independent", threads))
            #expect(exploration.exhausted && exploration.executions == 1, "\(exploration)")
        }
    }

    @Test func storesToOneWordAreFactorialMany() {
        for (count, expected) in [(2, 2), (3, 6), (4, 24), (5, 120)] {
            let threads = (0..<count).map { thread in { @Sendable (words: Words) in words.store(0, UInt64(thread)) } }
            let exploration = Explorer.explore(model("stores", threads))
            #expect(exploration.exhausted && exploration.executions == expected, "\(exploration)")
        }
    }

    @Test func readsCommute() {
        let threads = (0..<4).map { _ in { @Sendable (words: Words) in _ = words.load(0) } }
        #expect(Explorer.explore(model("loads", threads)).executions == 1)
    }

    @Test func failedCompareExchangesCommute() {
        let threads = (0..<3).map { _ in { @Sendable (words: Words) in _ = words.compareExchange(0, 9, 1) } }
        #expect(Explorer.explore(model("failed cas", threads)).executions == 1)
    }

    @Test func knownTraceCounts() {
        let storeBuffering = model(
            "store buffering",
            [
                {
                    $0.store(0, 1); _ = $0.load(1)
                },
                {
                    $0.store(1, 1); _ = $0.load(0)
                },
            ])
        #expect(Explorer.explore(storeBuffering).executions == 3)
        let increments = model(
            "load, store", [{ $0.store(0, $0.load(0) + 1) }, { $0.store(0, $0.load(0) + 1) }])
        #expect(Explorer.explore(increments).executions == 4)
        // Two critical sections of one lock: the two orders.
        let locks = model("locks", [{ $0.withLock(0) {} }, { $0.withLock(0) {} }])
        #expect(Explorer.explore(locks).executions == 2)
    }

    @Test func everyInterleavingIsBinomialMany() {
        // 6 choose 3: three steps each.
        let thread = { @Sendable (words: Words) in for _ in 0..<3 { _ = words.add(0, 1) } }
        var options = Options(strategy: .everyInterleaving)
        #expect(Explorer.explore(model("3 + 3", [thread, thread]), options).executions == 20)
        // 6! / (2! 2! 2!)
        let shorter = { @Sendable (words: Words) in for _ in 0..<2 { _ = words.add(0, 1) } }
        let three = Explorer.explore(model("2 + 2 + 2", [shorter, shorter, shorter]), options)
        #expect(three.executions == 90 && three.exhausted && three.maxDepth == 6, "\(three)")
        options.maxExecutions = 89
        let cut = Explorer.explore(model("2 + 2 + 2", [shorter, shorter, shorter]), options)
        #expect(!cut.exhausted && cut.executions == 89, "\(cut)")
    }

    /// Random straight-line programs over three words: the reduction loses no outcome.
    @Test func reductionKeepsEveryOutcome() {
        var numbers = SystemOfNumbers(state: 7)
        for round in 0..<150 {
            let sizes = round % 2 == 0 ? [3, 3] : [2, 2, 2]
            let programs = sizes.map { size in (0..<size).map { _ in numbers.next() } }
            func outcomes(_ strategy: Strategy) -> (Set<[UInt64]>, Exploration) {
                let outcomes = Outcomes()
                let threads = programs.enumerated().map { thread, program in
                    { @Sendable (words: Words) in
                        var seen: UInt64 = 0
                        for code in program { seen = seen &* 31 &+ Self.step(code, thread, words) }
                        words.results[thread] = seen
                    }
                }
                let exploration = Explorer.explore(
                    model("random program", threads) { words in
                        outcomes.insert((0..<3).map { words.base[$0] } + (0..<3).map { words.results[$0] })
                    }, Options(strategy: strategy))
                return (outcomes.all, exploration)
            }
            let full = outcomes(.everyInterleaving)
            let reduced = outcomes(.exhaustive)
            #expect(full.1.exhausted && reduced.1.exhausted)
            #expect(full.0 == reduced.0, "program \(programs)")
            #expect(reduced.1.executions <= full.1.executions)
        }
    }

    private static func step(_ code: UInt64, _ thread: Int, _ words: Words) -> UInt64 {
        let word = Int(code >> 8) % 3
        let value = UInt64(thread) + 1
        switch code % 6 {
        case 0: return words.load(word)
        case 1:
            words.store(word, value)
            return 0
        case 2: return words.add(word, value)
        case 3: return words.compareExchange(word, (code >> 16) % 3, value).original
        case 4: return words.withLock(4) { words.load(word) }
        default: return words.withLock(4) { words.exchange(word, value) }
        }
    }

    @Test func aBoundOfPreemptionsIsABound() {
        // The lost update needs one preemption.
        let update = { @Sendable (words: Words) in words.store(0, words.load(0) + 1) }
        let lost = model("lost update", [update, update]) { ModelRuntime.expect($0.base[0] == 2, "lost") }
        #expect(Explorer.explore(lost, Options(strategy: .preemptionBounded(0))).exhausted)
        #expect(Explorer.explore(lost, Options(strategy: .preemptionBounded(1))).violation?.kind == .failure)
    }

    @Test func aBoundAboveTheNeedCoversEverything() {
        let thread = { @Sendable (words: Words) in for _ in 0..<3 { _ = words.add(0, 1) } }
        let exploration = Explorer.explore(
            model("3 + 3", [thread, thread]), Options(strategy: .preemptionBounded(6)))
        #expect(exploration.executions == 20 && exploration.exhausted)
    }

    @Test func randomAndPrioritySearchesFindAndReplay() throws {
        let update = { @Sendable (words: Words) in words.store(0, words.load(0) + 1) }
        let lost = model("lost update", [update, update, update]) { ModelRuntime.expect($0.base[0] == 3, "lost") }
        for strategy in [Strategy.random(seed: 1, executions: 500), .priorities(seed: 1, depth: 3, executions: 500)] {
            let exploration = Explorer.explore(lost, Options(strategy: strategy))
            let violation = try #require(exploration.violation)
            #expect(violation.kind == .failure)
            let again = Explorer.replay(lost, violation.replay).violation
            #expect(again?.message == violation.message && again?.steps == violation.steps)
        }
    }
}

/// A small generator of numbers, so that a failing program can be repeated.
private struct SystemOfNumbers {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 20
    }
}
