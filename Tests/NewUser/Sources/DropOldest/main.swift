// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Only what is recent counts.
// prints: lost 1
// prints: 2 3
import Backpressure

let positions = BoundedChannel<Int, Never>(
    capacity: 2,
    overflow: .dropOldest,
    onUndelivered: { position, _ in print("lost \(position)") }
)
for position in 1...3 { _ = await positions.send(position) }
print(try await positions.receive() ?? 0, try await positions.receive() ?? 0)
