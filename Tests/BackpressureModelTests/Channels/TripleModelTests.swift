// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every triple of the alphabet, in every schedule: the contract, no wait without a reason, a linearizable history.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    /// A sum over models.
    struct Tally {
        var models = 0
        var executions = 0
        var redundant = 0
        var steps = 0
        var seconds = 0.0
        var largest = ""
        private var most = 0

        mutating func add(_ exploration: Exploration) {
            models += 1
            executions += exploration.executions
            redundant += exploration.redundant
            steps += exploration.steps
            seconds += exploration.seconds
            if exploration.executions > most { (most, largest) = (exploration.executions, exploration.model) }
        }

        var line: String {
            "\(models) models, \(executions) executions (+ \(redundant) redundant), \(steps) steps, "
                + "\(Int(Double(executions + redundant) / max(seconds, 0.001)))/s, \(Int(seconds)) s; "
                + "largest \(most): \(largest)"
        }
    }

    @Suite(.serialized) struct TripleModelTests {
        struct Set: Sendable, CustomTestStringConvertible {
            let overflow: OverflowPolicy
            let capacity: Int
            let fairness: Fairness
            var testDescription: String { "\(overflow), capacity \(capacity), bypass \(fairness.bypass)" }
        }

        // What drops or refuses has many times the schedules: it is in the long set.
        static let sets: [Set] = TripleModels.policies.filter { isDeep || $0 == .suspend }.flatMap { overflow in
            [1, 2].flatMap { capacity in
                (isDeep ? [Fairness.fifo, .eventual(bypass: 1)] : [.fifo]).map {
                    Set(overflow: overflow, capacity: capacity, fairness: $0)
                }
            }
        }

        @Test(arguments: sets)
        func holdInEverySchedule(_ set: Set) {
            var tally = Tally()
            for program in TripleModels.all(set.overflow, capacity: set.capacity, fairness: set.fairness) {
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
                tally.add(exploration)
                if exploration.executions > 20_000 { print(exploration) }
            }
            print("triples, \(set.testDescription): \(tally.line)")
            #expect(tally.models == 2 * TripleModels.count(letters: TripleModels.letters.count))
        }

        /// From positions near the end of the word, and across boundaries within it.
        @Test func holdNearTheLastPositions() {
            var tally = Tally()
            for program in isDeep ? WrapModels.all : WrapModels.few {
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
                tally.add(exploration)
            }
            print("late positions: \(tally.line)")
        }

        @Test func alphabetIsWhole() {
            #expect(TripleModels.count(letters: TripleModels.alphabet.count) == 220)
        }
    }
#endif
