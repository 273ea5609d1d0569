// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// OpenCombine: a sequence's publisher through `map` to a subscriber that asks for 1 or for 256 at a time, either by what
// it returns from `receive(_:)`, which is the way Combine is made for, or by `request(_:)`.

#if Peers

    import OpenCombine

    enum CombineDemand {
        @inline(never)
        static func sample(_ operations: Int, batch: Int, isReturned: Bool) throws -> Sample {
            let meter = Meter.begin()
            let checksum =
                if isReturned {
                    subscribe(ReturningAdder(batch: batch), operations).checksum
                } else {
                    subscribe(RequestingAdder(batch: batch), operations).checksum
                }
            let sample = meter.end(operations: operations)
            try checksum.verify(elements: operations, in: "OpenCombine")
            return sample
        }

        @inline(__always)
        private static func subscribe<Adder: Subscriber<Int, Never>>(_ adder: Adder, _ operations: Int) -> Adder {
            (1..<operations + 1).publisher.map { $0 &- 1 }.subscribe(adder)
            return adder
        }
    }

    private final class ReturningAdder: Subscriber {
        private(set) var checksum = Checksum()
        private let batch: Int
        private var left: Int

        init(batch: Int) {
            self.batch = batch
            left = batch
        }

        func receive(subscription: any Subscription) { subscription.request(.max(batch)) }

        func receive(_ element: Int) -> Subscribers.Demand {
            checksum.add(element)
            left &-= 1
            if left > 0 { return .none }
            left = batch
            return .max(batch)
        }

        func receive(completion: Subscribers.Completion<Never>) {}
    }

    private final class RequestingAdder: Subscriber {
        private(set) var checksum = Checksum()
        private let batch: Int
        private var left: Int
        private var subscription: (any Subscription)?

        init(batch: Int) {
            self.batch = batch
            left = batch
        }

        func receive(subscription: any Subscription) {
            self.subscription = subscription
            subscription.request(.max(batch))
        }

        func receive(_ element: Int) -> Subscribers.Demand {
            checksum.add(element)
            left &-= 1
            if left == 0 {
                left = batch
                subscription?.request(.max(batch))
            }
            return .none
        }

        func receive(completion: Subscribers.Completion<Never>) { subscription = nil }
    }

#endif
