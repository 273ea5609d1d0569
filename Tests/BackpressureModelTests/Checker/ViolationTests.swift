// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Is each kind of violation found where it is, and not where it is not?

import ModelChecker
import Testing

@Suite struct ViolationTests {
    private func messagePassing(store: MemoryOrder, load: MemoryOrder) -> Model {
        model(
            "message passing",
            [
                { words in
                    words.write(1, 42)
                    words.store(0, 1, store)
                },
                { words in
                    guard words.load(0, load) == 1 else { return }
                    let value = words.read(1)
                    ModelRuntime.expect(value == 42, "read \(value)")
                },
            ])
    }

    @Test func releaseAndAcquireHandOver() {
        let exploration = Explorer.explore(messagePassing(store: .releasing, load: .acquiring))
        #expect(exploration.exhausted && exploration.executions == 2, "\(exploration)")
    }

    @Test(arguments: [(MemoryOrder.relaxed, MemoryOrder.acquiring), (.releasing, .relaxed)])
    func relaxedPublishIsARace(store: MemoryOrder, load: MemoryOrder) {
        let exploration = Explorer.explore(messagePassing(store: store, load: load))
        #expect(exploration.violation?.kind == .dataRace && !exploration.exhausted, "\(exploration)")
    }

    @Test func aRelaxedReadModifyWriteContinuesAReleaseSequence() {
        func model(breaking: Bool) -> Model {
            Model(
                "release sequence", setup: { Words() },
                threads: [
                    { words in
                        words.write(1, 42)
                        words.store(0, 1, .releasing)
                    },
                    { words in
                        if breaking { words.store(0, 5, .relaxed) } else { _ = words.add(0, 4, .relaxed) }
                    },
                    { words in if words.load(0, .acquiring) == 5 { _ = words.read(1) } },
                ])
        }
        #expect(Explorer.explore(model(breaking: false)).exhausted)
        #expect(Explorer.explore(model(breaking: true)).violation?.kind == .dataRace)
    }

    @Test func lostUpdateIsFound() throws {
        let update = { @Sendable (words: Words) in words.store(0, words.load(0) + 1) }
        let lost = model("lost update", [update, update]) { ModelRuntime.expect($0.base[0] == 2, "lost") }
        let exploration = Explorer.explore(lost)
        let violation = try #require(exploration.violation)
        #expect(violation.kind == .failure && violation.message == "lost" && violation.steps.count == 4)
        let again = Explorer.replay(lost, violation.replay)
        #expect(again.violation?.steps == violation.steps && again.executions == 1)
        let added = model("no lost update", [{ _ = $0.add(0, 1) }, { _ = $0.add(0, 1) }]) {
            ModelRuntime.expect($0.base[0] == 2, "lost")
        }
        #expect(Explorer.explore(added).exhausted)
    }

    @Test func spinLockExcludes() {
        let thread = { @Sendable (words: Words) in
            while !words.compareExchange(0, 0, 1).exchanged { ModelRuntime.pause() }
            words.write(1, words.read(1) + 1)
            words.store(0, 0)
        }
        for count in 2...3 {
            let exploration = Explorer.explore(
                model("spin lock", Array(repeating: thread, count: count)) {
                    ModelRuntime.expect($0.base[1] == UInt64(count), "lost")
                })
            #expect(exploration.exhausted, "\(exploration)")
        }
    }

    /// Peterson's lock under sequential consistency; with stale loads, as acquire and release are too weak for it.
    @Test func petersonExcludesOnlyWithoutStaleLoads() {
        func thread(_ mine: Int, _ other: Int) -> @Sendable (Words) -> Void {
            { words in
                words.store(mine, 1)
                words.store(2, UInt64(other))
                while words.load(other) == 1, words.load(2) == UInt64(other) { ModelRuntime.pause() }
                words.write(3, words.read(3) + 1)
                words.store(mine, 0)
            }
        }
        let peterson = model("Peterson", [thread(0, 1), thread(1, 0)])
        let exploration = Explorer.explore(peterson)
        #expect(exploration.exhausted, "\(exploration)")
        let stale = Explorer.explore(peterson, Options(staleLoads: 1))
        #expect(stale.violation?.kind == .dataRace, "\(stale)")
    }

    @Test func staleLoadsShowStoreBuffering() {
        func outcomes(_ options: Options) -> Set<[UInt64]> {
            let outcomes = Outcomes()
            let exploration = Explorer.explore(
                model(
                    "store buffering",
                    [
                        {
                            $0.store(0, 1); $0.results[0] = $0.load(1)
                        },
                        {
                            $0.store(1, 1); $0.results[1] = $0.load(0)
                        },
                    ]
                ) { outcomes.insert([$0.results[0], $0.results[1]]) }, options)
            #expect(exploration.exhausted)
            return outcomes.all
        }
        #expect(outcomes(Options()) == [[0, 1], [1, 0], [1, 1]])
        #expect(outcomes(Options(staleLoads: 1)) == [[0, 0], [0, 1], [1, 0], [1, 1]])
    }

    @Test func staleLoadsAreCoherentAndOrdered() {
        let outcomes = Outcomes()
        let exploration = Explorer.explore(
            model(
                "coherence",
                [
                    {
                        $0.store(1, 1, .relaxed); $0.store(0, 1, .relaxed); $0.store(0, 2, .releasing)
                    },
                    {
                        $0.results[0] = $0.load(0)
                        $0.results[1] = $0.load(0)
                        $0.results[2] = $0.load(1, .relaxed)
                    },
                ]
            ) { outcomes.insert([$0.results[0], $0.results[1], $0.results[2]]) }, Options(staleLoads: 2))
        #expect(exploration.exhausted)
        #expect(outcomes.all.allSatisfy { $0[0] <= $0[1] }, "a word never goes back")
        #expect(outcomes.all.allSatisfy { $0[0] != 2 && $0[1] != 2 || $0[2] == 1 }, "an acquired value brings the rest")
        #expect(outcomes.all.contains([1, 1, 0]), "a relaxed one does not")
    }

    @Test func spuriousFailuresAreExplored() {
        let single = model(
            "one weak cas", [{ $0.results[0] = $0.compareExchange(0, 0, 1, weak: true).exchanged ? 1 : 2 }]
        ) {
            ModelRuntime.expect($0.results[0] == 1, "failed")
        }
        #expect(Explorer.explore(single).exhausted)
        #expect(Explorer.explore(single, Options(spuriousFailures: 1)).violation?.kind == .failure)
    }

    @Test func lockOrderDeadlockIsFound() {
        func thread(_ first: Int, _ second: Int) -> @Sendable (Words) -> Void {
            { words in words.withLock(first) { words.withLock(second) {} } }
        }
        let inverted = Explorer.explore(model("inverted", [thread(0, 1), thread(1, 0)]))
        #expect(inverted.violation?.kind == .deadlock, "\(inverted)")
        #expect(Explorer.explore(model("ordered", [thread(0, 1), thread(0, 1)])).exhausted)
        #expect(Explorer.explore(model("twice", [thread(0, 0), { _ in }])).violation?.kind == .deadlock)
    }

    @Test func lostWakeUpIsFound() {
        // 0: is there something; 1: does somebody sleep; 2: the sleeper's cell.
        func waiting(recheck: Bool) -> Model {
            model(
                "wake-up",
                [
                    { words in
                        guard words.load(0) == 0 else { return }
                        words.store(1, 1)
                        if recheck, words.load(0) != 0 { return }
                        ModelRuntime.park(on: words.base + 2) { $0 == 0 }
                    },
                    { words in
                        words.store(0, 1)
                        if words.load(1) == 1 { words.store(2, 1) }
                    },
                ])
        }
        let lost = Explorer.explore(waiting(recheck: false))
        #expect(lost.violation?.kind == .deadlock, "\(lost)")
        #expect(Explorer.explore(waiting(recheck: true)).exhausted)
    }

    @Test func parkOnTwoWordsWakesForEither() {
        func parked(_ word: Int) -> Model {
            model(
                "two words",
                [
                    { words in ModelRuntime.park(on: words.base, or: words.base + 1) { $0 == 0 && $1 == 0 } },
                    { words in words.store(word, 1) },
                ])
        }
        #expect(Explorer.explore(parked(0)).exhausted)
        #expect(Explorer.explore(parked(1)).exhausted)
        #expect(Explorer.explore(parked(2)).violation?.kind == .deadlock)
    }

    @Test func pausingForEverIsADeadlock() {
        let waiting = model(
            "nobody writes", [{ while $0.load(0) == 0 { ModelRuntime.pause() } }, { $0.store(1, 1) }])
        #expect(Explorer.explore(waiting).violation?.kind == .deadlock)
        let written = model("written", [{ while $0.load(0) == 0 { ModelRuntime.pause() } }, { $0.store(0, 1) }])
        #expect(Explorer.explore(written).exhausted)
    }

    @Test func aPauseMissesNoWriteOfItsTurn() {
        // The first word may change after it was read and before the pause.
        let waiting = model(
            "two words read",
            [
                { words in while words.load(0) == 0 || words.load(1) == 0 { ModelRuntime.pause() } },
                { words in
                    words.store(1, 1)
                    words.store(0, 1)
                },
            ])
        #expect(Explorer.explore(waiting).exhausted)
    }

    @Test func stepLimitIsRed() {
        let endless = model("endless", [{ while $0.load(0) == 0 {} }, { $0.store(0, 1) }])
        let exploration = Explorer.explore(endless, Options(maxSteps: 100))
        #expect(exploration.violation?.kind == .stepLimit && !exploration.exhausted, "\(exploration)")
    }

    @Test func usesAfterFreeAreFound() {
        let freeing = model(
            "freed while used",
            [
                { words in ModelRuntime.free(words.base + 1, byteCount: 8) }, { words in _ = words.load(1) },
            ])
        let violation = Explorer.explore(freeing).violation?.kind
        #expect(violation == .useAfterFree || violation == .dataRace)
        let ordered = model(
            "freed after use",
            [
                { words in
                    _ = words.read(1)
                    words.store(0, 1)
                },
                { words in
                    while words.load(0) == 0 { ModelRuntime.pause() }
                    ModelRuntime.free(words.base + 1, byteCount: 8)
                },
            ])
        #expect(Explorer.explore(ordered).exhausted)
        let twice = model(
            "freed twice",
            [
                { words in
                    ModelRuntime.free(words.base, byteCount: 16)
                    ModelRuntime.free(words.base + 1, byteCount: 8)
                }
            ])
        #expect(Explorer.explore(twice).violation?.kind == .useAfterFree)
        let fresh = model(
            "allocated again",
            [
                { words in
                    ModelRuntime.free(words.base, byteCount: 16)
                    ModelRuntime.allocated(words.base, byteCount: 16)
                    words.write(1, 1)
                }
            ])
        #expect(Explorer.explore(fresh).exhausted)
    }

    @Test func deallocatedMemoryDoesNotComeBack() {
        let reusing = model(
            "allocate again and again",
            [
                { words in
                    var seen: Set<UnsafeMutableRawPointer> = []
                    for _ in 0..<4 {
                        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
                        ModelRuntime.expect(seen.insert(memory).inserted, "the address came back")
                        ModelRuntime.plainWrite(memory)
                        ModelRuntime.deallocate(memory, byteCount: 64)
                    }
                    _ = words.load(0)
                }, { words in words.store(0, 1) },
            ])
        let exploration = Explorer.explore(reusing)
        #expect(exploration.exhausted && exploration.executions == 2, "\(exploration)")
    }

    @Test func accessBeforeAnyStepIsChecked() {
        let racing = model("no steps", [{ $0.write(0, 1) }, { $0.write(0, 2) }])
        #expect(Explorer.explore(racing).violation?.kind == .dataRace)
    }

    @Test func setupThatDoesNotEndIsRed() {
        let endless = Model("endless setup") {
            let words = Words()
            while words.load(0) == 0 {}
            return Scenario(threads: [])
        }
        #expect(Explorer.explore(endless).violation?.kind == .stepLimit)
    }

    @Test func aModelThatChangesIsRed() {
        let outcomes = Outcomes()
        let fickle = Model("fickle") {
            let words = Words()
            outcomes.insert([UInt64(outcomes.all.count)])
            let last = outcomes.all.count > 2 ? 1 : 3
            return Scenario(
                threads: [{ for _ in 0..<last { words.store(0, 1) } }, { for _ in 0..<last { words.store(0, 2) } }])
        }
        #expect(Explorer.explore(fickle).violation?.kind == .nondeterminism)
    }
}
