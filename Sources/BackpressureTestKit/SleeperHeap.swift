// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The sleepers of a manual clock, the next one to wake first.
//
// ## Algorithm
// A binary heap in an array (J. W. J. Williams, "Algorithm 232: Heapsort", 1964). Differs from it in: each sleeper knows
// its index, so that one can be taken out of the middle.
//
// ## Invariants
// I1. items[i].heapIndex == i, and a sleeper outside of the heap has none.
// I2. No sleeper wakes before its parent.

/// Sleepers by deadline, and among equal deadlines by registration.
struct SleeperHeap {
    private var items: [Sleeper] = []

    var count: Int { items.count }

    var first: Sleeper? { items.first }

    mutating func insert(_ sleeper: Sleeper) {
        items.append(sleeper)
        sleeper.heapIndex = items.count - 1
        siftUp(from: items.count - 1)
    }

    /// Takes `sleeper` out; nothing happens when it is not in.
    mutating func remove(_ sleeper: Sleeper) {
        guard let index = sleeper.heapIndex else { return }
        let last = items.removeLast()
        sleeper.heapIndex = nil
        guard last !== sleeper else { return }
        place(last, at: index)
        siftUp(from: index)
        siftDown(from: index)
    }

    /// Whether I1 and I2 hold.
    func checkInvariants() -> Bool {
        items.indices.allSatisfy { index in
            items[index].heapIndex == index && (index == 0 || !items[index].wakes(before: items[(index - 1) / 2]))
        }
    }

    private mutating func place(_ sleeper: Sleeper, at index: Int) {
        items[index] = sleeper
        sleeper.heapIndex = index
    }

    private mutating func siftUp(from start: Int) {
        var index = start
        let sleeper = items[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard sleeper.wakes(before: items[parent]) else { break }
            place(items[parent], at: index)
            index = parent
        }
        place(sleeper, at: index)
    }

    private mutating func siftDown(from start: Int) {
        var index = start
        let sleeper = items[index]
        while true {
            var child = 2 * index + 1
            guard child < items.count else { break }
            if child + 1 < items.count, items[child + 1].wakes(before: items[child]) { child += 1 }
            guard items[child].wakes(before: sleeper) else { break }
            place(items[child], at: index)
            index = child
        }
        place(sleeper, at: index)
    }
}
