// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which operations of the channel are linearizable, which are not, and the smallest schedule of each that is not.
//
// "Exact" means that `tryReceive` says "empty" only when nothing is in. The promise is weaker: while the send of the
// oldest element is still under way, or of one that was evicted before it, it may say "empty" too. Everything else is
// exact.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker
    import Testing

    @Suite(.serialized) struct LinearizabilityModelTests {
        struct Set: Sendable, CustomTestStringConvertible {
            let overflow: OverflowPolicy
            let capacity: Int
            var fairness = Fairness.fifo
            var filled = 0
            var testDescription: String {
                "\(overflow), capacity \(capacity), bypass \(fairness.bypass), \(filled) in"
            }
        }

        static let sets: [Set] =
            [Set(overflow: .suspend, capacity: 1), Set(overflow: .suspend, capacity: 2, filled: 2)]
            + (isDeep
                ? [
                    Set(overflow: .suspend, capacity: 2, fairness: .eventual(bypass: 1)),
                    Set(overflow: .suspend, capacity: 1, fairness: .eventual(bypass: 1), filled: 1),
                    Set(overflow: .dropOldest, capacity: 1), Set(overflow: .dropOldest, capacity: 2, filled: 2),
                    Set(overflow: .reject, capacity: 1), Set(overflow: .dropNewest, capacity: 2, filled: 2),
                ] : [])

        @Test(arguments: sets)
        func pairsAreLinearizableInEverySchedule(_ set: Set) {
            var tally = Tally()
            for program in PairModels.all(
                set.overflow, capacity: set.capacity, fairness: set.fairness, filled: set.filled)
            {
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
                tally.add(exploration)
            }
            print("2x2, \(set.testDescription): \(tally.line)")
            #expect(tally.models == 100)
        }

        @Test func largerProgramsAreLinearizableWhereSampled() {
            var tally = Tally()
            for program in PairModels.larger {
                let executions = isDeep ? 200_000 : 1_000
                for strategy in [
                    Strategy.priorities(seed: 11, depth: 4, executions: executions),
                    .random(seed: 12, executions: executions),
                ] {
                    let exploration = Explorer.explore(program.model, Options(strategy: strategy))
                    #expect(exploration.violation == nil, "\(exploration)")
                    tally.add(exploration)
                }
            }
            print("3x2 and 4x2, sampled: \(tally.line)")
        }

        @Test(.enabled(if: isDeep)) func largerProgramsAreLinearizableUpToThreePreemptions() {
            var tally = Tally()
            for program in PairModels.larger where program.threads.count == 3 {
                let exploration = Explorer.explore(
                    program.model, Options(strategy: .preemptionBounded(3), maxExecutions: 2_000_000))
                #expect(exploration.violation == nil, "\(exploration)")
                print(exploration.description.prefix(200))
                tally.add(exploration)
            }
            print("3x2, up to three preemptions: \(tally.line)")
        }

        // MARK: What is not exact

        private func explore(_ text: String, capacity: Int, _ emptiness: SequentialChannel.Emptiness) -> Exploration {
            Explorer.explore(
                PairModels.model(text, .suspend, capacity, .fifo, 0, emptiness: emptiness).model)
        }

        /// The smallest schedules in which "empty" is answered although a completed send is in.
        ///
        /// 1. Thread 0 claims slot 0. Thread 1 fills slot 1 and returns. Thread 2 is told "empty". Thread 0 publishes.
        /// 2. Thread 0 claims the only slot. Thread 1 is told "full". Thread 2, which knows, is told "empty".
        /// 3. Thread 0 claims slot 0. Thread 1 finishes the channel. Thread 2 is told "empty", not the end.
        /// 4. Thread 0 claims slot 0. Thread 1 is told that one is in. Thread 2, which knows, is told "empty".
        /// 5. `.dropOldest`, capacity 2: thread 1 fills slot 0 and claims slot 1. Thread 0 sends: the element of slot 0
        ///    is evicted and its own takes the slot; and sends again: now the eviction of slot 1 is owed. Thread 2 is
        ///    told "empty", although two completed elements are in: they lie behind the slot that is owed.
        @Test(arguments: [("s|s|r", 2), ("s|s|r", 1), ("s|F|r", 1), ("s|n|r", 1)])
        func emptyIsNotExactWhileASendIsUnderWay(_ text: String, _ capacity: Int) {
            let exact = explore(text, capacity: capacity, .exact)
            #expect(exact.violation?.message.hasPrefix("not linearizable") == true, "\(exact)")
            #expect(explore(text, capacity: capacity, .untilSent).exhausted)
        }

        @Test func emptyIsNotExactBehindAnEvictionOwed() {
            func explore(_ emptiness: SequentialChannel.Emptiness) -> Exploration {
                Explorer.explore(PairModels.model("ss|ss|r", .dropOldest, 2, .fifo, 0, emptiness: emptiness).model)
            }
            let exact = explore(.exact)
            #expect(exact.violation?.message.hasPrefix("not linearizable") == true, "\(exact)")
            // Every schedule of what is promised takes many minutes.
            guard isDeep else { return }
            let promised = explore(.untilSent)
            #expect(promised.exhausted, "\(promised)")
        }

        /// With one sender and nobody who closes or counts it is exact.
        @Test(arguments: ["s|r", "ss|rr", "ss|r|r", "S|r|r", "SS|Rr", "sr|r"])
        func emptyIsExactWithOneSender(_ text: String) {
            for capacity in 1...2 {
                let exploration = explore(text, capacity: capacity, .exact)
                #expect(exploration.exhausted, "\(exploration)")
            }
        }

        /// A bug that these models found.
        ///
        /// A receiver was told "empty" while the element of a completed send lay beside the ring and the only claimed
        /// slot was owed to an eviction.
        ///
        /// Thread 0 claims the only slot. Thread 1 sends; the eviction is owed, its element goes beside the ring; it
        /// returns. Thread 2 is told "empty". Thread 0 publishes. At capacity 1 "empty" is exact.
        @Test func anEvictionOwedHidesNoElement() {
            for text in ["s|s|r", "s|S|R"] + (isDeep ? ["s|s|s|r"] : []) {
                let program = PairModels.model(text, .dropOldest, 1, .fifo, 0, emptiness: .exact)
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
            }
        }
    }
#endif
