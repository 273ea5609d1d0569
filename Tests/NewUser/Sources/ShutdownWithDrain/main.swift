// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Take in nothing more, work off what is in, and say what was left.
// prints: drained: orders 0 left
// prints: 8 done
import Backpressure
import BackpressureMetrics

let orders = BoundedChannel<Int, Never>(capacity: 8)
for order in 1...8 { _ = orders.trySend(order) }
let worker = Task {
    var done = 0
    for await _ in orders { done += 1 }
    return done
}
print(await Drain().stage("orders", orders).run(timeout: .seconds(5)))
print(await worker.value, "done")
