// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Controlled delay in channels: what stands is shed to the hook and counted, a burst is not, and no element is lost.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

private func log(
    _ shared: Shared<[Undelivered]>
) -> @Sendable (_ element: consuming sending Int, _ reason: Rejection) -> Void {
    { element, reason in
        let record = Undelivered(element: element, reason: reason)
        shared.update { $0.append(record) }
    }
}

@Suite("channels that shed", .timeLimit(.minutes(10)))
struct BufferShedTests {
    private static let codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))

    /// Elements every millisecond, a receive every two: the queue grows, and stands.
    @Test("a standing queue is shed from after an interval, to the hook, and counted")
    func standingQueue_isShed() {
        let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
        let channel = BufferedChannel<Int, Never>(
            capacity: 1_000, shedding: Self.codel, clock: clock, onUndelivered: log(hook))
        var received: [(element: Int, age: Int)] = []
        var firstShed: Int?
        for time in 0..<1_000 {
            _ = channel.trySend(time)
            if time % 2 == 1, let element = channel.tryReceive().take() { received.append((element, time - element)) }
            if firstShed == nil, !hook.value.isEmpty { firstShed = time }
            clock.advance(by: .milliseconds(1))
        }
        let snapshot = channel.snapshot()
        #expect(hook.value.allSatisfy { $0.reason == .shed } && snapshot.shed == UInt64(hook.value.count))
        #expect(snapshot.sent == 1_000 && snapshot.received == UInt64(received.count) && snapshot.isConsistent)
        #expect(snapshot.lanes[0].isShedding && snapshot.shed > 400)
        // Not before the first interval of excess has ended; and then nothing older than twice the target comes out.
        #expect((100...220).contains(firstShed ?? 0), "\(firstShed ?? -1)")
        #expect(received.filter { $0.element > 300 }.allSatisfy { $0.age <= 10 })
        // In order, each once, in one place or the other.
        #expect(received.map(\.element) == received.map(\.element).sorted())
        var all = received.map(\.element) + hook.value.map(\.element)
        while let element = channel.tryReceive().take() { all.append(element) }
        all += hook.value.dropFirst(Int(snapshot.shed)).map(\.element)
        #expect(all.sorted() == Array(0..<1_000))
    }

    @Test("a burst that is gone within an interval is not shed, however long its last one waits")
    func burst_isNotShed() {
        let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
        let channel = BufferedChannel<Int, Never>(
            capacity: 100, shedding: Self.codel, clock: clock, onUndelivered: log(hook))
        for round in 0..<20 {
            for element in 0..<40 { _ = channel.trySend(round * 40 + element) }
            for element in 0..<40 {
                #expect(channel.tryReceive().take() == round * 40 + element)
                clock.advance(by: .milliseconds(2))
            }
            clock.advance(by: .milliseconds(40))
        }
        #expect(hook.value.isEmpty && channel.snapshot().shed == 0 && !channel.snapshot().lanes[0].isShedding)
    }

    @Test("what is shed makes room for who waits to send")
    func shedding_letsSendersIn() async {
        let bench = BufferBench(
            BufferPlan(
                capacity: 3, maxElements: 3, lanes: [BufferPlan.Lane(bound: 3)], policy: BufferPolicy(action: .suspend),
                shedding: CoDel(target: .milliseconds(5), interval: .milliseconds(10))))
        for element in 1...3 { bench.send(element) }
        let waiting = (4...7).map { bench.send($0) }
        bench.clock.advance(by: .milliseconds(20))
        #expect(bench.receive().answer == .received(1))
        bench.clock.advance(by: .milliseconds(20))
        // The interval is over, and its least delay was 20 ms: what is older than 10 goes, and who waits comes in instead.
        #expect(bench.receive().answer == .received(5))
        #expect(bench.hookLog.value == [2, 3, 4].map { Undelivered(element: $0, reason: .shed) })
        #expect(waiting.allSatisfy { $0.answer == .sent })
        #expect(bench.snapshot.shed == 3 && bench.snapshot.depth == 2 && bench.snapshot.isConsistent)
        #expect(bench.drain() == [6, 7] && bench.isQuiet)
    }

    @Test("a receiver that waited gets the next element, whatever was shed before")
    func waitingReceiver_isServed() {
        let bench = BufferBench(
            BufferPlan(
                capacity: 9, maxElements: 9, lanes: [BufferPlan.Lane(bound: 9)], policy: BufferPolicy(action: .reject),
                shedding: CoDel(target: .milliseconds(5), interval: .milliseconds(10))))
        for element in 1...3 { bench.send(element) }
        for _ in 0..<2 {
            bench.clock.advance(by: .milliseconds(20))
            bench.receive(.none)
        }
        #expect(bench.snapshot.shed == 2 && bench.snapshot.depth == 0)
        let receiver = bench.receive()
        #expect(receiver.answer == nil)
        bench.send(7)
        #expect(receiver.answer == .received(7))
        // Nobody waits behind anybody: no queue stands.
        bench.send(8)
        bench.clock.advance(by: .milliseconds(200))
        #expect(bench.receive().answer == .received(8) && !bench.snapshot.lanes[0].isShedding)
    }

    @Test("lanes are judged one by one: a queue that stands behind a busy lane does not hide, and harms nobody else")
    func lanes_areJudgedAlone() {
        let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
        let channel = PriorityChannel<Int, Never>(
            capacity: 2_000, lanes: [PriorityLane(capacity: 1_000), PriorityLane(capacity: 1_000)],
            order: .strict(aging: 4), shedding: Self.codel, clock: clock, onUndelivered: log(hook))
        for time in 0..<1_000 {
            _ = channel.trySend(time, lane: 0)
            _ = channel.trySend(1_000 + time, lane: 1)
            _ = channel.tryReceive()
            if time % 2 == 0 { _ = channel.tryReceive() }
            clock.advance(by: .milliseconds(1))
        }
        let snapshot = channel.snapshot()
        #expect(snapshot.lanes[0].shed == 0 && snapshot.lanes[1].shed > 300 && snapshot.isConsistent)
        #expect(hook.value.allSatisfy { $0.element >= 1_000 && $0.reason == .shed })
    }

    @Test("deadlines and shedding side by side: each element ends once, under its own reason")
    func expiryAndShedding() {
        let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
        let channel = BufferedChannel<Int, Never>(
            capacity: 100, ttl: .milliseconds(30),
            shedding: CoDel(target: .milliseconds(5), interval: .milliseconds(10)),
            clock: clock, onUndelivered: log(hook))
        for element in 1...4 { _ = channel.trySend(element, ttl: element == 2 ? .milliseconds(15) : nil) }
        clock.advance(by: .milliseconds(12))
        #expect(channel.tryReceive().take() == 1)
        clock.advance(by: .milliseconds(12))
        #expect(channel.tryReceive().take() == nil)
        #expect(
            hook.value == [
                Undelivered(element: 2, reason: .expired), Undelivered(element: 3, reason: .shed),
                Undelivered(element: 4, reason: .shed),
            ])
        #expect(channel.snapshot().expired == 1 && channel.snapshot().shed == 2 && channel.snapshot().isConsistent)
    }

    /// The same elements come out, and the same are shed, as those of a list that asks the discipline itself.
    @Test("seeded walks against a list")
    func walks() {
        let rounds = LaneSize("buffer.shed.walks", plain: 150, sanitizer: 40, deep: 20_000).count
        var total = 0
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
            let channel = BufferedChannel<Int, Never>(
                capacity: 40, overflow: .reject, shedding: Self.codel, clock: clock, onUndelivered: log(hook))
            var (codel, list, now): (CoDel, [(element: Int, at: Int64)], Int64) = (Self.codel, [], 0)
            var (shed, refused): ([Int], Int) = ([], 0)
            let eagerness = Int.random(in: 1...6, using: &numbers)
            for step in 0..<400 {
                let move = Int64.random(in: 0...3_000_000, using: &numbers)
                clock.advance(by: .nanoseconds(move))
                now += move
                if Int.random(in: 0...6, using: &numbers) > eagerness {
                    let isSent = channel.trySend(step).isSent
                    if list.isEmpty { codel.emptied(now: now) }
                    if list.count < 40 { list.append((step, now)) } else { refused += 1 }
                    #expect(isSent == (list.last?.element == step), "seed \(seed)")
                } else {
                    var expected: Int?
                    while expected == nil, let first = list.first {
                        list.removeFirst()
                        if codel.shouldShed(after: now - first.at, now: now) {
                            shed.append(first.element)
                        } else {
                            expected = first.element
                        }
                    }
                    #expect(channel.tryReceive().take() == expected, "seed \(seed)")
                }
            }
            #expect(hook.value.map(\.element) == shed && channel.snapshot().refused == UInt64(refused), "seed \(seed)")
            #expect(channel.snapshot().isConsistent && channel.count == list.count)
            total += shed.count
        }
        #expect(total > rounds, "hardly anything was shed")
    }
}

@Suite("a ring that sheds", .timeLimit(.minutes(10)))
struct CoDelShedderTests {
    private static let codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))

    @Test("a standing queue of a bounded channel is shed from, to the hook, and counted")
    func standingQueue_isShed() async throws {
        let (clock, hook) = (ManualClock(), Shared<[Undelivered]>([]))
        let shedder = CoDelShedder<Int, ManualClock>(Self.codel, clock: clock, onUndelivered: log(hook))
        let channel = BoundedChannel<Timestamped<Int, ManualClock>, Never>(capacity: 1_000)
        var received: [Int] = []
        for time in 0..<1_000 {
            _ = channel.trySend(Timestamped(time, clock: clock))
            if time % 2 == 1, let element = try await channel.receive(through: shedder) {
                received.append(element)
                #expect(time < 300 || time - element <= 10)
            }
            clock.advance(by: .milliseconds(1))
        }
        let snapshot = shedder.snapshot()
        #expect(snapshot.isShedding && snapshot.shed == UInt64(hook.value.count) && snapshot.shed > 400)
        #expect(snapshot.admitted == UInt64(received.count) && hook.value.allSatisfy { $0.reason == .shed })
        channel.finish()
        while case .received(let element) = channel.tryReceive(through: shedder) { received.append(element) }
        #expect(channel.tryReceive(through: shedder).isEnd)
        #expect(try await channel.receive(through: shedder) == nil)
        #expect((received + hook.value.map(\.element)).sorted() == Array(0..<1_000))
    }

    @Test("elements that can neither be copied nor shared are judged like others")
    func moveOnlyElements() async throws {
        struct Job: ~Copyable { let number: Int }
        let clock = ManualClock()
        let shed = Shared<[Int]>([])
        let shedder = CoDelShedder<Job, ManualClock>(
            CoDel(target: .milliseconds(5), interval: .milliseconds(10)), clock: clock
        ) { job, _ in
            let number = job.number
            shed.update { $0.append(number) }
        }
        let channel = BoundedChannel<Timestamped<Job, ManualClock>, Never>(capacity: 8)
        for number in 1...3 { _ = channel.trySend(Timestamped(Job(number: number), clock: clock)) }
        var received: [Int] = []
        for _ in 0..<2 {
            clock.advance(by: .milliseconds(20))
            if case .received(let job) = channel.tryReceive(through: shedder) { received.append(job.number) }
        }
        #expect(received == [1] && shed.value == [2, 3])
    }
}

extension BufferBench {
    /// Nobody waits.
    fileprivate var isQuiet: Bool {
        door.core.locked { $0.waiting == 0 && $0.receivers.isEmpty && $0.deadlines.isEmpty && !$0.isPlain }
    }
}

extension TryReceiveResult {
    fileprivate var isEnd: Bool {
        if case .finished = self { true } else { false }
    }
}
