// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The watermark gate in every schedule: its edges are told one after the other, alternate for each key, and in the end
// the client knows what is so; a poll is never left waiting.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    enum WatermarkOp: Sendable {
        case add(Int, Int)
        case remove(Int, Int)
        case assign([Int])
        case unassign([Int])
        case poll
        case clock(Int64)
        case timerRings
        case cancel(Int)
        case close
    }

    final class WatermarkModelBench: @unchecked Sendable {
        let core: WatermarkCore<Int>
        private let clock = ModelClock()
        private let client: Client
        private let places = WaitPlaces()
        private(set) var polls: [[String]] = Array(repeating: [], count: 8)

        /// What a client that was told the edges believes.
        ///
        /// Its memory is plain: two tellers at once are a data race.
        final class Client: @unchecked Sendable {
            var paused: Set<Int> = []
            var isRepeated = false
            let word = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

            deinit { word.deallocate() }

            func told(_ edge: WatermarkEdge<Int>) {
                PlainAccess.write(word)
                for key in edge.keys {
                    let isNews = edge.action == .pause ? paused.insert(key).inserted : paused.remove(key) != nil
                    if !isNews { isRepeated = true }
                }
                PlainAccess.write(word)
            }
        }

        init(hasHook: Bool, dwell: Int64, total: Int?, assigned: [Int], level: Int) {
            let client = Client()
            self.client = client
            let hook: @Sendable (WatermarkEdge<Int>) -> Void = { edge in client.told(edge) }
            core = WatermarkCore(
                rule: HysteresisRule(low: 0, high: 1, patience: 0, dwell: dwell),
                totalRule: total.map { HysteresisRule(low: 0, high: $0, patience: 0, dwell: dwell) },
                heartbeat: 10, timeSource: TimeSource(clock), onEdge: hasHook ? hook : nil)
            core.state.withLock { $0.alarm = Alarm(armedFor: .min) }
            core.withState { state, _ in
                state.lastPoll = 0
                state.assign(assigned)
                if level > 0 { _ = state.add(level, to: 0) }
            }
        }

        func run(_ operation: WatermarkOp, by me: Int) {
            switch operation {
            case .add(let amount, let key): core.withState { state, _ in _ = state.add(amount, to: key) }
            case .remove(let amount, let key): core.withState { state, _ in _ = state.add(-amount, to: key) }
            case .assign(let keys): core.withState { state, _ in state.assign(keys) }
            case .unassign(let keys): core.withState { state, _ in state.unassign(keys) }
            case .poll: poll(by: me)
            case .clock(let now): clock.set(now)
            case .timerRings: _ = core.timerRang(generation: .max)
            case .cancel(let other): places.cancel(other, in: core)
            case .close: core.close()
            }
        }

        /// The lines of `nextPoll` that suspend.
        private func poll(by me: Int) {
            while true {
                switch core.pollOrWait() {
                case .poll(let poll):
                    for edge in poll.edges { client.told(edge) }
                    return polls[me].append(poll.reason.rawValue)
                case .finished: return polls[me].append("finished")
                case .registered(let waiter):
                    places.sleep(waiter, by: me)
                    switch core.verdict(of: waiter) {
                    case .cancelled: return polls[me].append("cancelled")
                    case .finished, .abandoned: return polls[me].append("finished")
                    case .granted, .timedOut, .none: continue
                    }
                }
            }
        }

        func check(assigned: [Int], mayRepeat: Bool) {
            core.withState { state, _ in
                ModelRuntime.expect(state.checkInvariants(), "an invariant is broken")
                ModelRuntime.expect(state.pollers.isEmpty, "a poll still waits")
                ModelRuntime.expect(!state.isTelling, "nobody tells any more")
            }
            for edge in core.takeEdges() { client.told(edge) }
            let wanted = Set(assigned.filter { key in core.withState { state, _ in state.isPaused(key) } })
            ModelRuntime.expect(client.paused == wanted, "the client paused \(client.paused), wanted is \(wanted)")
            ModelRuntime.expect(mayRepeat || !client.isRepeated, "an edge was told twice")
        }
    }

    struct WatermarkProgram: Sendable, CustomStringConvertible {
        let name: String
        var hasHook = true
        var dwell: Int64 = 0
        var total: Int?
        var assigned = [0]
        /// Of key 0, at the start.
        var level = 0
        /// Keys are assigned twice, so their pause is told twice.
        var mayRepeat = false
        let threads: [[WatermarkOp]]

        var description: String { name }

        var model: Model {
            let this = self
            return Model(
                name,
                setup: {
                    WatermarkModelBench(
                        hasHook: this.hasHook, dwell: this.dwell, total: this.total, assigned: this.assigned,
                        level: this.level)
                },
                threads: threads.enumerated().map { me, operations in
                    { bench in for operation in operations { bench.run(operation, by: me) } }
                },
                check: { bench in bench.check(assigned: this.assigned, mayRepeat: this.mayRepeat) })
        }
    }

    enum WatermarkPrograms {
        static let edges = WatermarkProgram(
            name: "pause, resume | pause, resume",
            threads: [[.add(1, 0), .remove(1, 0)], [.add(1, 0), .remove(1, 0)]])
        static let twoKeys = WatermarkProgram(
            name: "two keys and the total", total: 2, assigned: [0, 1],
            threads: [[.add(1, 0), .remove(1, 0)], [.add(1, 1), .remove(1, 1)]])
        static let reassign = WatermarkProgram(
            name: "resume | assign anew", level: 1, mayRepeat: true,
            threads: [[.remove(1, 0)], [.assign([0])], [.add(1, 0)]])
        static let lateKey = WatermarkProgram(
            name: "a key arrives | the total is paused", total: 1, assigned: [0, 1], mayRepeat: true,
            threads: [[.assign([1])], [.add(1, 0)]])
        static let dwelling = WatermarkProgram(
            name: "resume | the dwell ends", dwell: 10, level: 1,
            threads: [[.remove(1, 0)], [.clock(10), .timerRings], [.add(1, 0)]])
        static let pollWakes = WatermarkProgram(
            name: "poll | resume", hasHook: true, level: 1, threads: [[.poll], [.remove(1, 0)]])
        static let pollsPulled = WatermarkProgram(
            name: "poll, poll | resume, pause, no hook", hasHook: false, level: 1,
            threads: [
                [.poll, .poll], [.remove(1, 0), .add(1, 0), .clock(10), .timerRings, .clock(20), .timerRings, .close],
            ])
        static let heartbeat = WatermarkProgram(
            name: "poll | time", level: 1, threads: [[.poll], [.clock(10), .timerRings]])
        static let pollCancelled = WatermarkProgram(
            name: "poll | cancel it | resume", level: 1, threads: [[.poll], [.cancel(0)], [.remove(1, 0)]])
        static let pollClosed = WatermarkProgram(
            name: "poll | close | resume", level: 1, threads: [[.poll], [.close], [.remove(1, 0)]])

        static let all = [
            edges, twoKeys, reassign, lateKey, dwelling, pollWakes, pollsPulled, heartbeat, pollCancelled, pollClosed,
        ]
    }

    struct WatermarkBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: WatermarkProgram
    }

    private let core = "WatermarkCore.swift"

    let watermarkBugs: [WatermarkBug] = [
        WatermarkBug(
            description: "two tellers at once",
            mutation: Mutation(file: core, snippet: "decide(!state.isTelling)", .forceTrue),
            program: WatermarkPrograms.edges),
        WatermarkBug(
            description: "the teller stops without a last look",
            mutation: Mutation(file: core, snippet: "decide(!edges.isEmpty)", .forceTrue),
            program: WatermarkPrograms.edges),
        WatermarkBug(
            description: "no heartbeat",
            mutation: Mutation(file: core, snippet: "decide(state.now >= deadline)", .forceFalse),
            program: WatermarkPrograms.heartbeat),
        WatermarkBug(
            description: "a cancel ends a wait that is over",
            mutation: Mutation(file: core, snippet: "decide(waiter.pointer.pointee.list != 0)", .forceTrue),
            program: WatermarkPrograms.pollCancelled),
    ]

    @Suite(.serialized) struct WatermarkModelTests {
        @Test(arguments: WatermarkPrograms.all)
        func holdsInEverySchedule(_ program: WatermarkProgram) {
            let exploration = Explorer.explore(program.model)
            print(exploration.description.prefix(400))
            #expect(exploration.exhausted, "\(exploration)")
        }

        @Test(arguments: watermarkBugs)
        func plantedBugIsFound(_ bug: WatermarkBug) {
            let exploration = Explorer.explore(bug.program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug.description) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
