// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What happens next in a simulation: a binary heap by time, and by order of entry among what happens at one time.

struct SimulatedEvents<Event> {
    private var items: [(time: Int64, order: UInt64, event: Event)] = []
    private var order: UInt64 = 0

    mutating func add(_ event: Event, at time: Int64) {
        order += 1
        items.append((time, order, event))
        var index = items.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard isBefore(index, parent) else { return }
            items.swapAt(index, parent)
            index = parent
        }
    }

    mutating func next() -> (time: Int64, event: Event)? {
        guard let first = items.first else { return nil }
        let last = items.removeLast()
        if !items.isEmpty {
            items[0] = last
            var index = 0
            while true {
                var child = 2 * index + 1
                guard child < items.count else { break }
                if child + 1 < items.count, isBefore(child + 1, child) { child += 1 }
                guard isBefore(child, index) else { break }
                items.swapAt(index, child)
                index = child
            }
        }
        return (first.time, first.event)
    }

    private func isBefore(_ first: Int, _ second: Int) -> Bool {
        items[first].time != items[second].time
            ? items[first].time < items[second].time : items[first].order < items[second].order
    }
}
