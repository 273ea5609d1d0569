// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A fast producer at the pace of a slow consumer.
// prints: 5050
import Backpressure

let numbers = BoundedChannel<Int, Never>(capacity: 8)
let producer = Task {
    for number in 1...100 { _ = await numbers.send(number) }  // waits while 8 numbers are queued
    numbers.finish()
}
var sum = 0
for await number in numbers { sum += number }
await producer.value
print(sum)
