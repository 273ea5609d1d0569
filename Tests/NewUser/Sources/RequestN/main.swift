// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A stream that is pulled no faster than it is used.
// prints: [1, 9, 25]
// prints: of a million at most 20 were made: true
import Backpressure
import Synchronization

let made = Mutex(0)
let squares = Flow.range(1..<1_000_000).filter { number in
    made.withLock { $0 = number }
    return !number.isMultiple(of: 2)
}.map { $0 * $0 }
var found: [Int] = []
for try await square in squares.values(prefetch: 4) where found.count < 3 {
    found.append(square)
    if found.count == 3 { break }
}
print(found)
print("of a million at most 20 were made:", made.withLock { $0 } <= 20)
