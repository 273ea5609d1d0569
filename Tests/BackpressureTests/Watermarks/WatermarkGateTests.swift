// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contract of the watermark gate, and the bugs that others had with pausing.
//
// | row | bug | test |
// |---|---|---|
// | NIO#2996, #2587, 3.2 | the same edge twice, or told from inside itself | NIO2996_..., NIO2587_... |
// | 3.8 smallrye#1339 | partitions arrive un-paused after a rebalance | smallrye1339_... |
// | 3.8 snuba#4774 | a pause throws the prefetch away | snuba4774_pauseAfter... |
// | 3.8 kafka-node#337 | a pause concerns future fetches only | kafkaNode337_... |
// | 3.8 oscillation | pauses follow each other | oscillation_dwell..., HysteresisTests |
// | 3.8 max.poll.interval | no polls while paused: thrown out of the group | heartbeat... |
// | 3.3 | hook under the lock | hookUsesGate |
// | P1, P2, P11 | cancelled waits | cancelledPoll... |
// | 3.7 | keyed maps grow | keysAreForgotten |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("watermark gate", .timeLimit(.minutes(10)))
struct WatermarkGateTests {
    @Test("each key by its own level")
    func perKey() {
        let bench = WatermarkBench()
        bench.gate.assign([1, 2])
        bench.gate.add(3, to: 1)
        #expect(bench.log.value == [])
        bench.gate.add(to: 1)
        #expect(bench.log.value == ["pause 1"] && bench.gate.isPaused(1) && !bench.gate.isPaused(2))
        bench.gate.remove(from: 1)
        bench.gate.add(2, to: 1)
        #expect(bench.log.value == ["pause 1"])
        bench.gate.remove(3, from: 1)
        #expect(bench.log.value == ["pause 1", "resume 1"] && bench.gate.level(of: 1) == 2)
        #expect(bench.gate.reset(1) == 2 && bench.gate.level(of: 1) == 0 && bench.gate.snapshot().pauses == 1)
    }

    @Test("the total pauses every key, and its end resumes only those whose own level allows it")
    func total() {
        let bench = WatermarkBench(low: 2, high: 4, total: .init(low: 3, high: 6))
        bench.gate.assign([1, 2, 3])
        bench.gate.add(3, to: 1)
        bench.gate.add(3, to: 2)
        #expect(bench.log.value == ["pause 1,2,3"] && bench.gate.snapshot().isTotalPaused)
        bench.gate.add(1, to: 2)
        bench.gate.remove(3, from: 1)
        #expect(bench.log.value == ["pause 1,2,3"], "4 are left")
        bench.gate.remove(1, from: 2)
        #expect(bench.log.value.last == "resume 1,3" && bench.gate.isPaused(2) && bench.gate.snapshot().paused == 1)
        bench.gate.remove(1, from: 2)
        #expect(bench.log.value.last == "resume 2" && bench.gate.snapshot().totalPauses == 1)
    }

    @Test("oscillation: a level that jumps between the marks pauses once per dwell at most")
    func oscillation_dwellBoundsThePauses() async {
        let bench = WatermarkBench(low: 1, high: 2, minimumPause: .seconds(10))
        bench.gate.assign([1])
        for _ in 0..<100 {
            bench.gate.add(2, to: 1)
            bench.gate.remove(2, from: 1)
            bench.clock.advance(by: .milliseconds(250))
        }
        #expect(bench.gate.snapshot().pauses == 3, "25 s and a dwell of 10 s")
        // A resume that is due and undone within one operation is never told; the timer may come before the operation.
        let told = bench.log.value
        #expect(told.count <= 5 && told.indices.allSatisfy { told[$0] == ($0 % 2 == 0 ? "pause 1" : "resume 1") })
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(10))
        #expect(await bench.executor.run { bench.log.value.last == "resume 1" }, "the timer resumes, nobody else")
    }

    @Test("snuba#4774: a short peak does not pause; one that lasts does, by the timer")
    func snuba4774_pauseAfter_sparesThePrefetch() async {
        let bench = WatermarkBench(pauseAfter: .seconds(1))
        bench.gate.assign([1])
        bench.gate.add(5, to: 1)
        bench.clock.advance(by: .milliseconds(900))
        bench.gate.remove(2, from: 1)
        bench.clock.advance(by: .seconds(5))
        #expect(bench.gate.snapshot().pauses == 0 && bench.log.value == [])
        bench.gate.add(1, to: 1)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { bench.log.value == ["pause 1"] })
    }

    @Test("kafka-node#337: what was on its way when the pause was told is counted, not refused")
    func kafkaNode337_lateRecords_areCounted() {
        let bench = WatermarkBench()
        bench.gate.assign([1])
        bench.gate.add(4, to: 1)
        bench.gate.add(40, to: 1)
        #expect(bench.gate.level(of: 1) == 44 && bench.log.value == ["pause 1"])
        bench.gate.remove(42, from: 1)
        #expect(bench.log.value == ["pause 1", "resume 1"])
    }

    @Test("smallrye#1339: a key that is assigned anew is paused anew if it is to be paused")
    func smallrye1339_assign_tellsThePauseAgain() {
        let bench = WatermarkBench(total: .init(low: 5, high: 8))
        bench.gate.assign([1, 2])
        bench.gate.add(4, to: 1)
        bench.gate.unassign([1, 2])
        bench.gate.assign([1, 2])
        #expect(bench.log.value == ["pause 1", "pause 1"] && bench.gate.snapshot().paused == 1)
        bench.gate.assign([1])
        #expect(bench.log.value == ["pause 1", "pause 1", "pause 1"], "also without an unassign in between")
        bench.gate.add(4, to: 2)
        bench.gate.assign([3])
        #expect(bench.log.value.suffix(2) == ["pause 2", "pause 3"], "a new key while the total is paused")
    }

    @Test("a key that drained while it was away is not paused")
    func drainedWhileAway() {
        let bench = WatermarkBench()
        bench.gate.assign([1])
        bench.gate.add(4, to: 1)
        bench.gate.unassign([1])
        bench.gate.remove(4, from: 1)
        bench.gate.assign([1])
        #expect(bench.log.value == ["pause 1"] && bench.gate.snapshot().paused == 0)
    }

    @Test("keys that are not assigned are counted and never told")
    func notAssigned() {
        let bench = WatermarkBench()
        bench.gate.add(9, to: 7)
        #expect(bench.log.value == [] && bench.gate.isPaused(7))
        bench.gate.assign([7])
        #expect(bench.log.value == ["pause 7"])
    }

    @Test("3.7: a key without assignment and level is forgotten, also while its pause would still last")
    func keysAreForgotten() async {
        let bench = WatermarkBench(minimumPause: .seconds(1))
        for key in 0..<1_000 {
            bench.gate.assign([key])
            bench.gate.add(5, to: key)
            bench.gate.unassign([key])
            bench.gate.remove(5, from: key)
        }
        bench.clock.advance(by: .seconds(1))
        let snapshot = bench.gate.snapshot()
        #expect(snapshot.known == 0 && snapshot.assigned == 0 && snapshot.total == 0 && snapshot.pauses == 1_000)
    }

    @Test("NIO#2996: no edge is told twice; a pause and a resume that nobody saw cancel out")
    func NIO2996_edgesAlternate() {
        let bench = WatermarkBench(hasHook: false)
        bench.gate.assign([1, 2])
        bench.gate.add(4, to: 1)
        bench.gate.add(4, to: 2)
        bench.gate.remove(4, from: 1)
        #expect(bench.taken == ["pause 2"] && bench.taken == [])
        bench.gate.add(4, to: 1)
        bench.gate.remove(4, from: 2)
        #expect(bench.taken == ["pause 1", "resume 2"])
    }

    @Test("NIO#2587, 3.3: a hook may use the gate; what it causes is told after it has returned")
    func NIO2587_hookUsesGate() {
        let box = Shared<WatermarkGate<Int>?>(nil)
        let log = Shared<[String]>([])
        let depth = Shared(0)
        let gate = WatermarkGate<Int>(low: 0, high: 1) { edge in
            let nesting = depth.update { depth in
                depth += 1
                return depth
            }
            log.update { $0.append("\(WatermarkBench.text(edge)) at \(nesting)") }
            if edge.action == .pause, let key = edge.keys.first, key < 5 {
                box.value?.add(1, to: key + 1)
                box.value?.remove(1, from: key)
            }
            depth.update { $0 -= 1 }
        }
        box.update { $0 = gate }
        gate.assign(0..<6)
        gate.add(1, to: 0)
        #expect(log.value.allSatisfy { $0.hasSuffix("at 1") })
        #expect(log.value.count == 11 && gate.snapshot().paused == 1 && gate.isPaused(5))
        box.update { $0 = nil }
    }

    // MARK: Polling

    @Test("a poll is due at once while anything can be fetched, or nothing is assigned")
    func pollReady() {
        let bench = WatermarkBench(heartbeat: .seconds(100), hasHook: false)
        #expect(bench.poll().answer.value == "ready")
        bench.gate.assign([1, 2])
        bench.gate.add(4, to: 1)
        #expect(bench.poll().answer.value == "ready pause 1")
        #expect(bench.poll().answer.value == "ready")
    }

    @Test("heartbeat: while everything is paused polling goes on, at its pace")
    func heartbeat_whilePaused() async {
        let bench = WatermarkBench(heartbeat: .seconds(100))
        bench.gate.assign([1])
        #expect(bench.poll().answer.value == "ready")
        bench.gate.add(4, to: 1)
        for _ in 0..<3 {
            let poll = bench.poll()
            await bench.clock.sleepers(atLeast: 1)
            bench.clock.advance(by: .seconds(100) - .nanoseconds(1))
            _ = bench.gate.snapshot()
            bench.executor.run()
            #expect(poll.answer.value == nil)
            bench.clock.advance(by: .nanoseconds(1))
            #expect(await bench.executor.run { poll.answer.value == "heartbeat" })
        }
    }

    @Test("heartbeat: it counts from the last poll, also when the consumer comes late")
    func heartbeat_countsFromTheLastPoll() {
        let bench = WatermarkBench(heartbeat: .seconds(100))
        bench.gate.assign([1])
        #expect(bench.poll().answer.value == "ready")
        bench.gate.add(4, to: 1)
        bench.clock.advance(by: .seconds(150))
        #expect(bench.poll().answer.value == "heartbeat")
    }

    @Test("a waiting poll is woken by a resume, by an edge to tell, by a new key")
    func pollWakes() {
        let bench = WatermarkBench(hasHook: false)
        bench.gate.assign([1])
        bench.gate.add(4, to: 1)
        #expect(bench.poll().answer.value == "heartbeat pause 1", "the pause must be told at once")
        let poll = bench.poll()
        #expect(poll.answer.value == nil)
        bench.gate.remove(2, from: 1)
        bench.executor.run()
        #expect(poll.answer.value == "ready resume 1")
        bench.gate.add(2, to: 1)
        _ = bench.poll()
        let next = bench.poll()
        bench.gate.assign([2])
        bench.executor.run()
        #expect(next.answer.value == "ready")
    }

    @Test("P1, P2, P11: a cancelled poll is gone at once and leaves the rest alone; close ends all")
    func cancelledPoll() {
        let bench = WatermarkBench()
        bench.gate.assign([1])
        bench.gate.add(4, to: 1)
        let polls = (0..<3).map { _ in bench.poll() }
        polls[0].task.cancel()
        bench.executor.run()
        #expect(polls.map(\.answer.value) == ["rejected cancelled", nil, nil])
        bench.gate.remove(4, from: 1)
        polls[1].task.cancel()
        bench.executor.run()
        #expect(polls[1].answer.value == "ready" && polls[2].answer.value == "ready", "woken first, cancelled later")
        bench.gate.add(4, to: 1)
        let last = bench.poll()
        bench.gate.close()
        bench.gate.close()
        bench.executor.run()
        #expect(last.answer.value == "rejected finished" && bench.poll().answer.value == "rejected finished")
    }

    // MARK: Many threads

    @Test("threads: edges of each key alternate, and in the end the client knows what is so")
    func threads() {
        let size = LaneSize("watermarks.threads", plain: 20_000, sanitizer: 4_000, deep: 1_000_000)
        // What the client believes; the hook is serial, so a plain read-modify-write needs no atomicity of its own.
        let client = Shared<[Int: Bool]>([:])
        let faults = Shared(0)
        let gate = WatermarkGate<Int>(low: 1, high: 3, total: .init(low: 6, high: 9)) { edge in
            for key in edge.keys {
                client.update { paused in
                    if (paused[key] ?? false) == (edge.action == .pause) { faults.update { $0 += 1 } }
                    paused[key] = edge.action == .pause
                }
            }
        }
        gate.assign(0..<4)
        Threads.run(4) { me in
            for round in 0..<(size.count / 4) {
                let key = (me + round / 3) % 4
                gate.add(1 + round % 3, to: key)
                gate.remove(1 + round % 3, from: key)
            }
        }
        #expect(faults.value == 0 && gate.snapshot().total == 0)
        #expect(client.value.values.allSatisfy { !$0 } && gate.snapshot().paused == 0)
    }

    @Test("bad parameters end in a precondition", arguments: 0..<5)
    func badParameters(_ number: Int) async {
        switch number {
        case 0: await #expect(processExitsWith: .failure) { _ = WatermarkGate<Int>(low: 2, high: 2) }
        case 1: await #expect(processExitsWith: .failure) { _ = WatermarkGate<Int>(low: -1, high: 2) }
        case 2: await #expect(processExitsWith: .failure) { _ = WatermarkGate<Int>(low: 1, high: 2, heartbeat: .zero) }
        case 3: await #expect(processExitsWith: .failure) { WatermarkGate<Int>(low: 1, high: 2).remove(from: 1) }
        default: await #expect(processExitsWith: .failure) { WatermarkGate<Int>(low: 1, high: 2).add(-1, to: 1) }
        }
    }
}
