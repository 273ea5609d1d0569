// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The depth of a queue, in whatever backend swift-metrics has: here one for tests.
// prints: 3.0
import Backpressure
import BackpressureMetrics
import MetricsTestKit

let backend = TestMetrics()
let registry = MetricsRegistry()
let orders = BoundedChannel<Int, Never>(capacity: 8)
try registry.add(orders, named: "orders")
for order in 1...3 { _ = orders.trySend(order) }
SwiftMetricsReporter(registry, factory: backend).report()
print(try backend.expectGauge("backpressure_depth", [("primitive", "orders")]).lastValue ?? 0)
