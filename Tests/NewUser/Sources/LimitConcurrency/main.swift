// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Many calls, four at a time.
// prints: [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
// prints: never more than 4: true
import Backpressure

let connections = AsyncSemaphore(permits: 4)
let answers = try await (1...10).mapConcurrent(limit: 10) { number in
    try await connections.withPermits {
        await Task.yield()  // the call
        return number * 2
    }
}
print(answers)
print("never more than 4:", connections.peak <= 4)
