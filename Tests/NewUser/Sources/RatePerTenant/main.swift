// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// So many requests a second for each tenant, and the time to come again for the rest.
// prints: alpha: go
// prints: alpha: go
// prints: alpha: 429
// prints: beta: go
import Backpressure

let limiter = KeyedRateLimiter<String>(rate: .perMinute(1), burst: 2, maxKeys: 10_000)
for tenant in ["alpha", "alpha", "alpha", "beta"] {
    switch limiter.tryAcquire(for: tenant) {
    case .allowed: print("\(tenant): go")
    case .denied, .exceedsLimit: print("\(tenant): 429")
    }
}
