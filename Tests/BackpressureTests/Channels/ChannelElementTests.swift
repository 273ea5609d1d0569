// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements of every kind: none leaked, none destroyed twice, all in their place (contract 9).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: elements", .timeLimit(.minutes(10)))
struct ChannelElementTests {
    /// Sends and receives `count` elements through every path: the ring, a waiting sender, a waiting receiver.
    private func roundTrip<Element: Sendable & Equatable>(
        _ make: @Sendable @escaping (Int) -> Element, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        for capacity in [1, 3] {
            for fairness: Fairness in [.fifo, .default] {
                let channel = BoundedChannel<Element, Never>(capacity: capacity, fairness: fairness)
                for number in 0..<(3 * capacity) {
                    #expect(channel.trySend(make(number)).isSent, sourceLocation: sourceLocation)
                    #expect(channel.tryReceive().take() == make(number), sourceLocation: sourceLocation)
                }
                let receiver = Task { try? await channel.receive() }
                try await settle { channel.snapshot().waitingReceivers == 1 }
                #expect(channel.trySend(make(7)).isSent, sourceLocation: sourceLocation)
                let direct: Element?? = await receiver.value
                #expect(direct == .some(.some(make(7))), sourceLocation: sourceLocation)
                for number in 0..<capacity { _ = channel.trySend(make(number)) }
                let rejected = channel.trySend(make(50))
                #expect(rejected.reason == .full && rejected.take() == make(50), sourceLocation: sourceLocation)
                let sender = Task { await channel.send(make(100)).isSent }
                try await settle { channel.snapshot().waitingSenders == 1 }
                for number in 0..<capacity {
                    let received: Element? = try await channel.receive()
                    #expect(received == make(number), sourceLocation: sourceLocation)
                }
                #expect(await sender.value, sourceLocation: sourceLocation)
                #expect(try await channel.receive() == make(100), sourceLocation: sourceLocation)
                channel.finish()
                #expect(try await channel.receive() == nil, sourceLocation: sourceLocation)
            }
        }
    }

    @Test("4 KiB struct (crossbeam#1146)") func large() async throws { try await roundTrip(Large.init) }
    @Test("enum with payloads") func enumeration() async throws {
        try await roundTrip { $0 % 2 == 0 ? Mixed.nested(.text("element \($0)")) : .number($0) }
    }
    @Test("optional: nil is an element and not the end") func optional() async throws {
        try await roundTrip { $0 % 2 == 0 ? Int?.none : $0 }
    }
    @Test("over-aligned SIMD16<Float>") func overAligned() async throws {
        #expect(SlotLayout(of: SIMD16<Float>.self).alignment == MemoryLayout<SIMD16<Float>>.alignment)
        try await roundTrip { SIMD16<Float>(repeating: Float($0)) }
    }
    /// Memory for an element is of its stride: the bulk moves of the standard library write all of it.
    @Test("elements with padding at their end") func padded() async throws {
        #expect(MemoryLayout<Padded>.size < MemoryLayout<Padded>.stride)
        try await roundTrip(Padded.init)
        try await roundTrip { NineBytes(number: $0) }
    }
    @Test("the memory for an element holds its stride") func layout_holdsTheStride() {
        func check<Element: ~Copyable>(_ type: Element.Type, _ name: String) {
            let layout = SlotLayout(of: type)
            #expect(layout.stride - layout.elementOffset >= MemoryLayout<Element>.stride, "\(name)")
            #expect(layout.elementOffset % MemoryLayout<Element>.alignment == 0)
            #expect(layout.stride % layout.alignment == 0)
        }
        check(Void.self, "Void")
        check(UInt8.self, "UInt8")
        check(NineBytes.self, "NineBytes")
        check(Padded.self, "Padded")
        check(Large.self, "Large")
        check(MoveOnly.self, "MoveOnly")
        check(Int?.self, "Int?")
    }
    @Test("one byte, and strings that own memory") func smallAndOwning() async throws {
        try await roundTrip { UInt8(truncatingIfNeeded: $0) }
        try await roundTrip { "a string too long to be kept inline: \($0)" }
    }

    @Test("an element of no size counts like any other")
    func zeroSize() async throws {
        let channel = BoundedChannel<Void, Never>(capacity: 3)
        for _ in 0..<3 { #expect(channel.trySend(()).isSent) }
        #expect(channel.trySend(()).reason == .full)
        let sender = Task { await channel.send(()).isSent }
        try await settle { channel.snapshot().waitingSenders == 1 }
        for _ in 0..<4 { #expect(try await channel.receive() != nil) }
        #expect(await sender.value)
        #expect(channel.count == 0)
    }

    @Test("an element without Sendable and without copies")
    func notSendable() async throws {
        let channel = BoundedChannel<NotSendable, Never>(capacity: 2)
        #expect(channel.trySend(NotSendable(4)).isSent)
        #expect(await channel.send(NotSendable(5)).isSent)
        let element = try await channel.receive()
        element?.number += 1
        #expect(element?.number == 5)
        switch channel.tryReceive() {
        case .received(let element): #expect(element.number == 5)
        case .empty, .finished: Issue.record("the element is gone")
        }
    }

    // MARK: - Lives and deaths

    /// Every way in and out, with one element each; at the end all are destroyed, once.
    @Test("move-only elements: every path destroys exactly once", arguments: ChannelConfiguration.overflows)
    func moveOnly_everyPath(overflow: OverflowPolicy) async throws {
        let count = LifeCount()
        let clock = ManualClock()
        do {
            let channel = BoundedChannel<MoveOnly, TestFailure>(capacity: 2, overflow: overflow, clock: clock)
            for number in 0..<5 { discard(channel.trySend(MoveOnly(number, count))) }
            while let element = try channel.tryReceive().take() { #expect(element.number < 5) }
            #expect(count.alive == 0)

            for number in 0..<2 { discard(await channel.send(MoveOnly(number, count))) }
            let waiting = Task { number(await channel.send(MoveOnly(9, count)).take()) }
            let timed = Task { number(await channel.send(MoveOnly(8, count), timeout: .seconds(1)).take()) }
            if overflow == .suspend {
                try await settle { channel.snapshot().waitingSenders == 2 }
                await clock.sleepers(atLeast: 1)
                clock.advance(by: .seconds(1))
                #expect(await timed.value == 8)
                waiting.cancel()
                #expect(await waiting.value == 9)
            }
            _ = await (waiting.value, timed.value)
            #expect(count.alive == 2)
            let late = Task { number(await channel.send(MoveOnly(7, count)).take()) }
            if overflow == .suspend { try await settle { channel.snapshot().waitingSenders == 1 } }
            channel.cancel()
            _ = await late.value
            #expect(count.alive == 0)
            let closed = channel.trySend(MoveOnly(6, count))
            let reason = closed.reason
            #expect(reason == .abandoned)
            let back = number(closed.take())
            #expect(back == 6)
        }
        #expect(count.alive == 0 && count.made == 11)
    }

    private func discard(_ result: consuming SendResult<MoveOnly>) { _ = result.take() }

    @Test("move-only elements through waiting receivers, and left over in a channel that goes")
    func moveOnly_throughWaiters() async throws {
        let count = LifeCount()
        do {
            let channel = BoundedChannel<MoveOnly, Never>(capacity: 3)
            // One by one: tasks that are started together begin to wait in any order.
            var receivers: [Task<Int?, any Error>] = []
            for index in 0..<4 {
                receivers.append(Task { number(try await channel.receive()) })
                try await settle { channel.snapshot().waitingReceivers == index + 1 }
            }
            receivers[1].cancel()
            try await settle { channel.snapshot().waitingReceivers == 3 }
            for number in 0..<3 { discard(channel.trySend(MoveOnly(number, count))) }
            for (index, element) in [(0, 0), (2, 1), (3, 2)] { #expect(try await receivers[index].value == element) }
            for number in 0..<3 { discard(channel.trySend(MoveOnly(number, count))) }
            #expect(count.alive == 3)
        }
        #expect(count.alive == 0 && count.made == 6)
    }

    @Test("move-only elements reach the hook alive and die with it")
    func moveOnly_hook() {
        let count = LifeCount()
        let seen = Shared<[Int]>([])
        do {
            let channel = BoundedChannel<MoveOnly, Never>(capacity: 1, overflow: .dropOldest) { element, _ in
                let number = element.number
                seen.update { $0.append(number) }
            }
            for number in 0..<5 { discard(channel.trySend(MoveOnly(number, count))) }
        }
        #expect(seen.value == [0, 1, 2, 3, 4] && count.alive == 0)
    }

    @Test("class elements: no reference is kept once received, none is lost on the way")
    func classElements_areReleased() async throws {
        let count = LifeCount()
        weak var seen: Counted?
        let channel = BoundedChannel<Counted, Never>(capacity: 2)
        do {
            let element = Counted(1, count)
            seen = element
            #expect(channel.trySend(element).isSent)
        }
        #expect(seen != nil)
        #expect(channel.tryReceive().take()?.number == 1)
        #expect(seen == nil && count.alive == 0)
        do {
            let receiver = Task { try await channel.receive()?.number }
            try await settle { channel.snapshot().waitingReceivers == 1 }
            #expect(channel.trySend(Counted(2, count)).isSent)
            #expect(try await receiver.value == 2)
        }
        #expect(count.alive == 0)
        for number in 0..<2 { _ = channel.trySend(Counted(number, count)) }
        channel.cancel()
        #expect(count.alive == 0 && count.made == 4)
    }

    @Test("the throwing twin gives the element back in its error")
    func sendOrThrow_whenRefused_throwsElement() async throws {
        let channel = BoundedChannel<String, Never>(capacity: 1, overflow: .reject)
        try await channel.sendOrThrow("first")
        do {
            try await channel.sendOrThrow("second", timeout: .seconds(1))
            Issue.record("it was sent")
        } catch {
            #expect(error.element == "second" && error.reason == .full)
        }
        let dropping = BoundedChannel<String, Never>(capacity: 1, overflow: .dropNewest)
        try await dropping.sendOrThrow("first")
        try await dropping.sendOrThrow("second")
        #expect(dropping.count == 1)
    }
}

private func number(_ element: consuming MoveOnly?) -> Int? {
    switch consume element {
    case .some(let element): element.number
    case .none: nil
    }
}
