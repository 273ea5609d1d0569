// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Short histories of the synchronous operations on real threads, each explained by a sequential channel or not.

import BackpressureTestSupport
import Synchronization
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

private typealias Operation = HistoryOperation<ChannelCall, ChannelReply>

/// One small program on a channel of its own.
private final class HistoryRound: @unchecked Sendable {
    let channel: BoundedChannel<Int, Never>
    let initial: SequentialChannel
    let programs: [[ChannelCall]]
    let delays: [Int]
    /// By thread; each writes its own.
    var operations: [[Operation]]
    let hook = Shared<[Int]>([])

    init(_ seed: UInt64, threads: Int) {
        var random = SplitMix64(seed: seed)
        let capacity = 1 + Int(random.next(upperBound: UInt64(3)))
        let overflow = [OverflowPolicy.suspend, .reject, .dropNewest, .dropOldest][
            Int(random.next(upperBound: UInt64(4)))]
        let fairness = random.next() & 1 == 0 ? Fairness.fifo : .eventual(bypass: 1)
        let hook = hook
        channel = BoundedChannel(capacity: capacity, overflow: overflow, fairness: fairness) { element, _ in
            let element = element
            hook.update { $0.append(element) }
        }
        initial = SequentialChannel(capacity: capacity, overflow: overflow, emptiness: .untilSent)
        let length = threads == 2 ? 5 : 4
        programs = (0..<threads).map { thread in
            var isReserved = false
            return (0..<length).map { index in
                let value = thread * 10 + index
                let choice = random.next(upperBound: UInt64(thread == 0 ? 27 : 28))
                if isReserved, choice < 14 || index == length - 1 {
                    isReserved = false
                    return choice % 3 == 0 ? .giveBack : .fill(value)
                }
                switch choice {
                case 0..<11: return thread % 2 == 0 ? .trySend(value) : .tryReceive
                case 11..<18: return thread % 2 == 0 ? .tryReceive : .trySend(value)
                case 18..<22: return .count
                case 22: return .isClosed
                case 23: return .isFinished
                case 24..<27 where !isReserved && index < length - 1:
                    isReserved = true
                    return .tryReserve
                case 24..<27: return .count
                default: return random.next() & 1 == 0 ? .finish : .cancel
                }
            }
        }
        delays = (0..<threads).map { _ in Int(random.next(upperBound: UInt64(40))) }
        operations = Array(repeating: [], count: threads)
        for thread in 0..<threads { operations[thread].reserveCapacity(length) }
    }

    func run(_ thread: Int) {
        var room: Reservation<Int, Never>?
        for call in programs[thread] {
            let began = Int(PlatformClock.suspendingNanoseconds())
            guard let reply = perform(call, in: &room) else { continue }
            let ended = Int(PlatformClock.suspendingNanoseconds())
            operations[thread].append(Operation(call, reply, began: began, ended: ended))
        }
    }

    /// The answer; nil if there is no room that could be filled or given back.
    private func perform(_ call: ChannelCall, in room: inout Reservation<Int, Never>?) -> ChannelReply? {
        switch call {
        case .tryReserve:
            do throws(Rejection) {
                room = try channel.tryReserve()
                return .flag(true)
            } catch {
                return .returned(error)
            }
        case .fill(let value):
            guard let taken = room.take() else { return nil }
            switch taken.send(value) {
            case .sent: return .sent
            case .dropped: return .dropped
            case .returned(let rejected): return .returned(rejected.reason)
            }
        case .giveBack:
            guard let taken = room.take() else { return nil }
            _ = consume taken
            return .done
        case .trySend(let value), .send(let value):
            switch channel.trySend(value) {
            case .sent: return .sent
            case .dropped: return .dropped
            case .returned(let rejected): return .returned(rejected.reason)
            }
        case .tryReceive, .receive:
            switch channel.tryReceive() {
            case .received(let value): return .received(value)
            case .empty: return .empty
            case .finished: return .ended
            }
        case .count: return .number(channel.count)
        case .isClosed: return .flag(channel.isClosed)
        case .isFinished: return .flag(channel.isFinished)
        case .finish:
            channel.finish()
            return .done
        case .cancel:
            channel.cancel()
            return .done
        case .undelivered: return .elements(hook.value.sorted())
        case .reserve, .resize: preconditionFailure("no history on threads waits or resizes")
        }
    }

    /// All operations, and after them what is left: what comes at rest must be exact.
    var history: [HistoryOperation<ChannelCall, ChannelReply>] {
        var history = operations.flatMap { $0 }
        var time = (history.map(\.ended).max() ?? 0) + 1
        var room: Reservation<Int, Never>?
        while let reply = perform(.tryReceive, in: &room) {
            history.append(Operation(.tryReceive, reply, began: time, ended: time))
            time += 1
            guard case .received = reply else { break }
        }
        if let reply = perform(.undelivered, in: &room) {
            history.append(Operation(.undelivered, reply, began: time, ended: time))
        }
        return history
    }
}

@Suite("short histories on real threads", .serialized, .timeLimit(.minutes(20)))
struct ShortHistoryTests {
    struct Totals: Sendable {
        var histories = 0
        var overlapping = 0
        var operations = 0
        var violated: [String] = []
        var undecided = 0
    }

    @Test("whatever does not wait is linearizable: sends, receives, rooms, readings, closes", arguments: [2, 3])
    func histories_areLinearizable(threads: Int) {
        let size =
            threads == 2
            ? LaneSize("histories.two threads", plain: 5_000, sanitizer: 1_000, deep: 1_000_000)
            : LaneSize("histories.three threads", plain: 500, sanitizer: 100, deep: 100_000)
        let totals = Mutex(Totals())
        let batch = 500
        for start in stride(from: 0, to: size.count, by: batch) {
            let rounds = (start..<min(start + batch, size.count)).map {
                HistoryRound(UInt64($0) &* 7 &+ UInt64(threads), threads: threads)
            }
            let arrived = Atomic(0)
            Threads.run(threads) { thread in
                for (index, round) in rounds.enumerated() {
                    arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
                    var spins = 0
                    while arrived.load(ordering: .acquiring) < threads * (index + 1) {
                        spins += 1
                        if spins % 500 == 0 { sched_yield() }
                    }
                    for _ in 0..<round.delays[thread] { _ = arrived.load(ordering: .relaxed) }
                    round.run(thread)
                }
                // Every thread has passed the last round once it is counted here.
                arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
                while arrived.load(ordering: .acquiring) < threads * (rounds.count + 1) { sched_yield() }
                var mine = Totals()
                for index in Swift.stride(from: thread, to: rounds.count, by: threads) {
                    judge(rounds[index], &mine)
                }
                totals.withLock { totals in
                    totals.histories += mine.histories
                    totals.overlapping += mine.overlapping
                    totals.operations += mine.operations
                    totals.undecided += mine.undecided
                    totals.violated += mine.violated
                }
            }
        }
        let result = totals.withLock { $0 }
        print(
            "histories, \(threads) threads: \(result.histories), \(result.operations) operations, "
                + "\(result.overlapping * 100 / max(1, result.histories)) % with two or more overlapping, "
                + "\(result.violated.count) violated, \(result.undecided) undecided")
        #expect(result.violated.isEmpty, "\(result.violated.prefix(3))")
        #expect(result.undecided == 0)
        #expect(result.histories == size.count)
        // On one core nothing overlaps but by chance.
        if Lane.current == .deep { #expect(result.overlapping * 2 >= result.histories) }
    }

    private func judge(_ round: HistoryRound, _ totals: inout Totals) {
        let raced = round.operations.flatMap { $0 }
        let history = round.history
        totals.histories += 1
        totals.operations += history.count
        if LinearizabilityChecker<SequentialChannel>.overlaps(raced) > 0 { totals.overlapping += 1 }
        switch LinearizabilityChecker.check(history, from: round.initial) {
        case .linearizable: break
        case .violated: totals.violated.append("\(round.initial) \(history)")
        case .undecided: totals.undecided += 1
        }
    }
}
