// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A clock for models: its reading is a word of the model, so that moving and reading it are steps of the checker.

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker

    /// A clock that a thread of a model moves; nobody can sleep on it.
    final class ModelClock: Clock, @unchecked Sendable {
        struct Instant: InstantProtocol {
            var nanoseconds: Int64

            func advanced(by duration: Duration) -> Instant {
                Instant(nanoseconds: nanoseconds + Int64(duration / .nanoseconds(1)))
            }
            func duration(to other: Instant) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }
            static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
        }

        private let word = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

        init() { word.storeBytes(of: 0, as: UInt64.self) }

        deinit { word.deallocate() }

        var now: Instant { Instant(nanoseconds: Int64(ModelRuntime.atomicLoad(word, .acquiring))) }

        var minimumResolution: Duration { .nanoseconds(1) }

        func sleep(until deadline: Instant, tolerance: Duration?) async throws {
            preconditionFailure("the timer of a model is a thread of the model")
        }

        func set(_ nanoseconds: Int64) { ModelRuntime.atomicStore(word, UInt64(nanoseconds), .releasing) }
    }
#endif
