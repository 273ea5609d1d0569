// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Does the reversal of races try every order that matters, and none twice?
//
// Two oracles. On tiny programs every interleaving, one by one: the set of outcomes must be the same. On any program
// sleep sets alone: they complete exactly one execution for each order of dependent steps, so the number of
// executions must be the same, and with it the set of outcomes.

import ModelChecker
import Testing

@Suite(.serialized) struct ReversalTests {
    /// What a random program may do.
    enum Vocabulary: String, CaseIterable, Sendable {
        /// Loads, stores, additions, exchanges, swaps that fail or not.
        case words
        /// The same under a lock or two.
        case locks
        /// Sleeping on one word or on two.
        case parks
        /// The same, and loops that wait.
        case waits
        /// Loops that wait, and what ends them.
        case loops
        /// Swaps that fail for no reason.
        case weak
        /// Loads of older values.
        case stale
        /// All of them.
        case everything
    }

    private func options(_ vocabulary: Vocabulary, _ strategy: Strategy) -> Options {
        Options(
            strategy: strategy, staleLoads: vocabulary == .stale || vocabulary == .everything ? 1 : 0,
            spuriousFailures: vocabulary == .weak || vocabulary == .everything ? 1 : 0)
    }

    private func explore(
        _ programs: [[UInt64]], _ vocabulary: Vocabulary, _ strategy: Strategy
    ) -> (Set<[UInt64]>, Exploration) {
        let outcomes = Outcomes()
        let threads = programs.enumerated().map { thread, program in
            { @Sendable (words: Words) in
                var seen: UInt64 = 0
                for code in program { seen = seen &* 31 &+ Self.step(code, thread, vocabulary, words) }
                words.results[thread] = seen
            }
        }
        let random = Model(
            "random program", setup: { Words() }, threads: threads,
            check: { words in
                outcomes.insert((0..<3).map { words.base[$0] } + (0..<4).map { words.results[$0] })
            },
            rescue: { words in for word in 0..<3 { words.store(word, 100 + UInt64(word)) } })
        let exploration = Explorer.explore(random, options(vocabulary, strategy))
        return (outcomes.all, exploration)
    }

    private static func step(_ code: UInt64, _ thread: Int, _ vocabulary: Vocabulary, _ words: Words) -> UInt64 {
        let word = Int(code >> 8) % 3
        let other = Int(code >> 12) % 3
        let value = UInt64(thread) + 1
        let expected = (code >> 16) % 3
        let kind: UInt64 =
            switch vocabulary {
            case .words, .stale: code % 5
            case .weak: code % 6
            case .locks: code % 8
            case .loops: [1, 2, 6, 7, 10, 11][Int(code % 6)]
            case .parks: [0, 1, 2, 3, 4, 6, 7, 8, 9, 9][Int(code % 10)]
            case .waits, .everything: code % 12
            }
        switch kind {
        case 0: return words.load(word)
        case 1:
            words.store(word, value)
            return 0
        case 2: return words.add(word, value)
        case 3: return words.compareExchange(word, expected, value).original
        case 4: return words.exchange(word, value)
        case 5: return words.compareExchange(word, expected, value, weak: true).exchanged ? 1 : 0
        case 6: return words.withLock(4) { words.load(word) }
        case 7: return words.withLock(4 + other % 2) { words.exchange(word, value) }
        case 8:
            ModelRuntime.park(on: words.base + word) { $0 == expected }
            return 7
        case 9:
            guard word != other else { return 0 }
            ModelRuntime.park(on: words.base + word, or: words.base + other) { $0 == expected && $1 < 2 }
            return 8
        case 10:
            while words.load(word) == expected { ModelRuntime.pause() }
            return 9
        default:
            var seen: UInt64 = 10
            while true {
                let (first, second) = (words.load(word), words.load(other))
                seen = seen &* 31 &+ first &* 7 &+ second
                guard first == expected, second < 2 else { return seen }
                ModelRuntime.pause()
            }
        }
    }

    /// Programs with loops have by far the most interleavings.
    private func rounds(_ vocabulary: Vocabulary) -> Int {
        switch vocabulary {
        case .parks: isDeep ? 4_000 : 200
        case .loops, .everything, .waits: isDeep ? 200 : 10
        default: isDeep ? 1_000 : 100
        }
    }

    @Test(arguments: Vocabulary.allCases)
    func losesNoOutcomeOfTinyPrograms(_ vocabulary: Vocabulary) {
        var numbers = SeededWords(state: 41)
        var (full, reduced) = (0, 0)
        for round in 0..<rounds(vocabulary) {
            let sizes = [[3, 3], [2, 2, 1], [4, 2], [1, 2, 1], [1, 1, 1, 1]][round % 5]
            let programs = sizes.map { size in (0..<size).map { _ in numbers.next() } }
            let every = explore(programs, vocabulary, .everyInterleaving)
            let reversed = explore(programs, vocabulary, .exhaustive)
            let asleep = explore(programs, vocabulary, .sleepSets)
            #expect(every.1.exhausted == reversed.1.exhausted && every.1.exhausted == asleep.1.exhausted)
            guard every.1.exhausted else { continue }  // a loop that waits in vain
            #expect(every.0 == reversed.0, "\(vocabulary) \(programs): outcomes differ")
            #expect(
                reversed.1.executions == asleep.1.executions,
                "\(vocabulary) \(programs): \(reversed.1.executions) executions, not \(asleep.1.executions)")
            full += every.1.executions
            reduced += reversed.1.executions + reversed.1.redundant
        }
        print("reversal, \(vocabulary.rawValue): \(full) interleavings, \(reduced) executions")
        #expect(reduced < full)
    }

    @Test(arguments: Vocabulary.allCases)
    func agreesWithSleepSetsOnSmallPrograms(_ vocabulary: Vocabulary) {
        var numbers = SeededWords(state: 97)
        var (complete, repeated, repeatedBySleepSets) = (0, 0, 0)
        for round in 0..<(isDeep ? 600 : 40) {
            let sizes = [[4, 4], [3, 3, 2], [2, 2, 2, 2], [5, 2]][round % 4]
            let programs = sizes.map { size in (0..<size).map { _ in numbers.next() } }
            let reversed = explore(programs, vocabulary, .exhaustive)
            let asleep = explore(programs, vocabulary, .sleepSets)
            #expect(reversed.1.exhausted == asleep.1.exhausted)
            guard reversed.1.exhausted else { continue }
            #expect(reversed.0 == asleep.0, "\(vocabulary) \(programs): outcomes differ")
            #expect(
                reversed.1.executions == asleep.1.executions,
                "\(vocabulary) \(programs): \(reversed.1.executions) executions, not \(asleep.1.executions)")
            complete += reversed.1.executions
            repeated += reversed.1.redundant
            repeatedBySleepSets += asleep.1.redundant
        }
        print(
            "reversal, \(vocabulary.rawValue): \(complete) executions (+ \(repeated) redundant; "
                + "\(repeatedBySleepSets) by sleep sets alone)")
        #expect(repeated <= repeatedBySleepSets)
    }

    /// A loop over two words that two threads write: whichever is written first ends the wait.
    @Test func aPauseIsEndedByEitherWrite() {
        func outcomes(_ strategy: Strategy) -> Set<[UInt64]> {
            let outcomes = Outcomes()
            let either = model(
                "either write",
                [
                    { words in
                        var seen: UInt64 = 0
                        while true {
                            let (first, second) = (words.load(0), words.load(1))
                            seen = seen * 10 + 1 + first * 2 + second
                            if first == 1, second == 1 { break }
                            ModelRuntime.pause()
                        }
                        words.results[0] = seen
                    },
                    { $0.store(0, 1) }, { $0.store(1, 1) },
                ]
            ) { outcomes.insert([$0.results[0]]) }
            #expect(Explorer.explore(either, Options(strategy: strategy)).exhausted)
            return outcomes.all
        }
        let all = outcomes(.everyInterleaving)
        #expect(all.contains([124]) && all.contains([134]), "\(all)")
        #expect(outcomes(.exhaustive) == all)
        #expect(outcomes(.sleepSets) == all)
    }

    @Test func historiesAreOrderedByRealTimeAlone() {
        // Two operations of one step each, on words of their own: before, after or overlapping, and nothing else.
        let orders = Outcomes()
        let times = model(
            "two operations",
            (0..<2).map { thread in
                { words in
                    words.results[2 * thread] = UInt64(ModelRuntime.invocation())
                    words.store(thread, 1)
                    words.results[2 * thread + 1] = UInt64(ModelRuntime.response())
                }
            }
        ) { words in
            let times = (0..<4).map { words.results[$0] }
            orders.insert([times[1] < times[2] ? 1 : 0, times[3] < times[0] ? 1 : 0])
        }
        let exploration = Explorer.explore(times)
        #expect(exploration.exhausted && exploration.executions == 3, "\(exploration)")
        #expect(orders.all == [[0, 0], [1, 0], [0, 1]])
        #expect(Explorer.explore(times, Options(strategy: .sleepSets)).executions == 3)
    }

    @Test func aRescueComesOnceAndOnlyWhenNobodyCanMove() {
        func waiting(rescued: Bool) -> Model {
            Model(
                "waiting", setup: { Words() },
                threads: [
                    { words in ModelRuntime.park(on: words.base) { $0 == 0 } },
                    { words in words.results[0] = words.load(1) },
                ],
                check: { words in ModelRuntime.expect(words.results[0] == 0, "stepped in too early") },
                rescue: { words in
                    words.store(1, 1)
                    if rescued { words.store(0, 1) }
                })
        }
        #expect(Explorer.explore(waiting(rescued: true)).exhausted)
        #expect(Explorer.explore(waiting(rescued: false)).violation?.kind == .deadlock)
    }
}

/// A small generator of numbers, so that a failing program can be repeated.
private struct SeededWords {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 20
    }
}
