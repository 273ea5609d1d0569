// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which of many numbered things is due next: a binary heap by deadline that knows each one's place.
//
// The numbers are indexes of a table that somebody else keeps, so they are small and reused; entering, moving and taking
// out cost O(log n), and the memory follows the greatest number, not the number of events.
//
// ## Invariants
// I1  places[items[i].number] == i, and a number that is not in has the place -1.
// I2  No item is earlier than its parent.

/// Small numbers by deadline, the earliest first.
struct DueHeap: Sendable {
    private struct Item {
        var deadline: Int64
        var number: Int32
    }

    private var items: [Item] = []
    private var places: [Int32] = []

    var isEmpty: Bool { items.isEmpty }

    /// The earliest deadline; `Int64.max` when there is none.
    var earliest: Int64 { items.first?.deadline ?? .max }

    /// A number whose deadline is `now` or earlier, the earliest first; it stays in.
    func due(at now: Int64) -> Int? {
        guard let first = items.first, first.deadline <= now else { return nil }
        return Int(first.number)
    }

    /// The deadline of `number`; nil when it has none.
    func deadline(of number: Int) -> Int64? {
        guard number < places.count, places[number] >= 0 else { return nil }
        return items[Int(places[number])].deadline
    }

    /// Gives `number` a deadline in place of the one it has, if any; `Int64.max` takes it out.
    mutating func set(_ number: Int, deadline: Int64) {
        guard deadline < .max else { return remove(number) }
        while places.count <= number { places.append(-1) }
        let item = Item(deadline: deadline, number: Int32(truncatingIfNeeded: number))
        var index = Int(places[number])
        if index < 0 {
            index = items.count
            items.append(item)
        }
        place(item, at: index)
        siftUp(index)
        siftDown(Int(places[number]))
    }

    /// Takes `number` out; nothing happens when it is not in.
    mutating func remove(_ number: Int) {
        guard number < places.count, places[number] >= 0 else { return }
        let index = Int(places[number])
        places[number] = -1
        let moved = items.removeLast()
        guard index < items.count else { return }
        place(moved, at: index)
        siftUp(index)
        siftDown(Int(places[Int(moved.number)]))
    }

    private mutating func place(_ item: Item, at index: Int) {
        items[index] = item
        places[Int(item.number)] = Int32(truncatingIfNeeded: index)
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let item = items[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard item.deadline < items[parent].deadline else { break }
            place(items[parent], at: index)
            index = parent
        }
        place(item, at: index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let item = items[index]
        while true {
            var child = 2 * index + 1
            guard child < items.count else { break }
            if child + 1 < items.count, items[child + 1].deadline < items[child].deadline { child += 1 }
            guard items[child].deadline < item.deadline else { break }
            place(items[child], at: index)
            index = child
        }
        place(item, at: index)
    }

    /// Whether I1 and I2 hold.
    func checkInvariants() -> Bool {
        items.indices.allSatisfy { index in
            places[Int(items[index].number)] == Int32(index)
                && (index == 0 || items[(index - 1) / 2].deadline <= items[index].deadline)
        } && places.count(where: { $0 >= 0 }) == items.count
    }
}
