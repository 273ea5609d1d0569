// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The intrusive list against an array, and the batch that wakes in order.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("WaiterList")
struct WaiterListTests {
    private let layout = SlotLayout(of: Int.self)

    @Test("append, take either end and remove from the middle, as an array does")
    func randomOperations_agreeWithArray() {
        let size = LaneSize("waiterList.random", plain: 40_000, sanitizer: 8_000, deep: 4_000_000)
        var random = SplitMix64(seed: 11)
        var list = WaiterList(tag: 1)
        var oracle: [WaiterRef] = []
        var mistakes = 0
        for _ in 0..<size.count {
            switch random.next(upperBound: UInt64(oracle.count > 40 ? 12 : 8)) {
            case 0..<4:
                let waiter = WaiterRef.allocate(payload: layout)
                list.append(waiter)
                oracle.append(waiter)
            case 4, 8:
                let (seen, expected) = (list.popFirst(), oracle.isEmpty ? nil : oracle.removeFirst())
                if seen != expected { mistakes += 1 }
                expected?.deallocate(payload: layout)
            case 5, 9:
                let (seen, expected) = (list.popLast(), oracle.popLast())
                if seen != expected { mistakes += 1 }
                expected?.deallocate(payload: layout)
            default:
                guard !oracle.isEmpty else { continue }
                let waiter = oracle.remove(at: Int(random.next(upperBound: UInt64(oracle.count))))
                if !list.contains(waiter) { mistakes += 1 }
                list.remove(waiter)
                if list.contains(waiter) { mistakes += 1 }
                waiter.deallocate(payload: layout)
            }
            if list.count != oracle.count || list.first != oracle.first || list.last != oracle.last
                || list.isEmpty != oracle.isEmpty
            {
                mistakes += 1
            }
        }
        #expect(mistakes == 0)
        #expect(members(list) == oracle)
        for waiter in oracle { waiter.deallocate(payload: layout) }
    }

    private func members(_ list: WaiterList) -> [WaiterRef] {
        var result: [WaiterRef] = []
        var current = list.first
        while let waiter = current {
            result.append(waiter)
            current = waiter.pointer.pointee.next.map(WaiterRef.init)
        }
        return result
    }

    @Test("two lists tell their members apart")
    func contains_whenTwoLists() {
        var (one, two) = (WaiterList(tag: 1), WaiterList(tag: 2))
        let waiter = WaiterRef.allocate(payload: layout)
        one.append(waiter)
        #expect(one.contains(waiter) && !two.contains(waiter))
        one.remove(waiter)
        two.append(waiter)
        #expect(!one.contains(waiter) && two.contains(waiter))
        #expect(two.popFirst() == waiter && two.popFirst() == nil && two.popLast() == nil)
        waiter.deallocate(payload: layout)
    }

    @Test("an element's place behind a waiter has its alignment and its room")
    func payload_isAligned() {
        func check<Element: ~Copyable>(_ type: Element.Type) {
            let layout = SlotLayout(of: type)
            let waiter = WaiterRef.allocate(payload: layout)
            let address = UInt(bitPattern: waiter.payload(layout))
            #expect(address % UInt(MemoryLayout<Element>.alignment) == 0)
            #expect(address >= UInt(bitPattern: waiter.pointer) + UInt(MemoryLayout<Waiter>.size))
            waiter.deallocate(payload: layout)
        }
        for _ in 0..<20 {
            check(Void.self)
            check(UInt8.self)
            check(Padded.self)
            check(Large.self)
            check(SIMD16<Double>.self)
        }
    }

    @Test("the cell lies where its offset says")
    func cell_liesAtItsOffset() {
        #expect(MemoryLayout<Waiter>.offset(of: \.cell) == 16)
    }
}

@Suite("waking a waiter", .timeLimit(.minutes(10)))
struct WaiterWakeTests {
    private let layout = SlotLayout(of: Int.self)

    private final class NoCanceller: WaitCanceller {
        let calls = Shared(0)
        func cancel(_ waiter: WaiterRef) { calls.update { $0 += 1 } }
    }

    @Test("woken before it sleeps: it does not sleep; woken after: it goes on")
    func wake_beforeAndAfterSleep() {
        let executor = StepExecutor()
        let done = Shared<[Int]>([])
        let early = WaiterRef.allocate(payload: layout)
        early.end(.granted)
        early.wake()
        #expect(early.isResumed)
        let late = WaiterRef.allocate(payload: layout)
        for (index, waiter) in [early, late].enumerated() {
            Task(executorPreference: executor) {
                await waiter.sleep(cancelling: NoCanceller())
                done.update { $0.append(index) }
            }
        }
        executor.run()
        #expect(done.value == [0])
        late.end(.timedOut)
        late.wake()
        executor.run()
        #expect(done.value == [0, 1] && late.verdict == .timedOut)
        early.deallocate(payload: layout)
        late.deallocate(payload: layout)
    }

    @Test("a batch wakes in order, whatever its length")
    func batch_wakesInOrder() {
        let executor = StepExecutor()
        let order = Shared<[Int]>([])
        let waiters = (0..<1_000).map { _ in WaiterRef.allocate(payload: layout) }
        for (index, waiter) in waiters.enumerated() {
            Task(executorPreference: executor) {
                await waiter.sleep(cancelling: NoCanceller())
                order.update { $0.append(index) }
            }
        }
        executor.run()
        #expect(order.value.isEmpty)
        var batch = WakeBatch()
        #expect(batch.isEmpty)
        for waiter in waiters.reversed() {
            waiter.end(.granted)
            batch.append(waiter)
        }
        batch.wakeAll()
        executor.run()
        #expect(order.value == (0..<1_000).reversed())
        for waiter in waiters { waiter.deallocate(payload: layout) }
    }

    @Test("cancelling a sleeping task calls the canceller once, also when it was cancelled before (P11)")
    func cancel_callsCancellerOnce() {
        let executor = StepExecutor()
        for before in [true, false] {
            let canceller = NoCanceller()
            let waiter = WaiterRef.allocate(payload: layout)
            let done = Shared(false)
            let task = Task(executorPreference: executor) {
                await waiter.sleep(cancelling: canceller)
                done.update { $0 = true }
            }
            if before { task.cancel() }
            executor.run()
            task.cancel()
            task.cancel()
            #expect(canceller.calls.value == 1, "synchronously, and no more than once")
            #expect(!done.value, "the canceller decides, not the cancellation")
            waiter.end(.cancelled)
            waiter.wake()
            executor.run()
            #expect(done.value)
            waiter.deallocate(payload: layout)
        }
    }
}
