// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// An answer within a time, or none.
// prints: no reply: timed out
import Backpressure

let replies = BoundedChannel<String, Never>(capacity: 1)
do {
    print(try await replies.receive(timeout: .milliseconds(20)) ?? "the end")
} catch .rejected(let reason) {
    print("no reply: \(reason)")
}
