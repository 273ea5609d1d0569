// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A source that calls back is told when to stop and when to go on.
// prints: pause
// prints: resume
// prints: 6
import Backpressure

let marks = Watermarks(low: 2, high: 6) { edge in print(edge == .pause ? "pause" : "resume") }
let readings = BoundedChannel<Int, Never>(capacity: 8, watermarks: marks)
for reading in 1...6 { _ = readings.trySend(reading) }
readings.finish()
var count = 0
for await _ in readings { count += 1 }
print(count)
