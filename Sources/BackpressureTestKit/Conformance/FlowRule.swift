// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rules of Reactive Streams 1.0.4 by number, in our words.

/// A rule of [Reactive Streams 1.0.4](https://github.com/reactive-streams/reactive-streams-jvm/tree/v1.0.4).
///
/// 1.x is about publishers, 2.x about subscribers, 3.x about subscriptions, 4.x about processors.
public enum FlowRule: String, CaseIterable, Hashable, Sendable {
    /// 1.1: never more onNext than requested in total.
    case rule1_1 = "1.1"
    /// 1.2: fewer than requested, then the end, is allowed.
    case rule1_2 = "1.2"
    /// 1.3: signals are serial.
    case rule1_3 = "1.3"
    /// 1.4: failure is told by onError.
    case rule1_4 = "1.4"
    /// 1.5: a finite stream that succeeds ends with onComplete.
    case rule1_5 = "1.5"
    /// 1.6: after a terminal signal the subscription counts as cancelled.
    case rule1_6 = "1.6"
    /// 1.7: nothing follows a terminal signal.
    case rule1_7 = "1.7"
    /// 1.8: a cancelled subscriber is eventually left alone.
    case rule1_8 = "1.8"
    /// 1.9: onSubscribe comes first, also before a refusal.
    case rule1_9 = "1.9"
    /// 1.10: subscribe may be called again, with another subscriber.
    case rule1_10 = "1.10"
    /// 1.11: several subscribers, one by one or together, as documented.
    case rule1_11 = "1.11"
    /// 2.1: elements must be asked for.
    case rule2_1 = "2.1"
    /// 2.2: signals should not be delayed by processing.
    case rule2_2 = "2.2"
    /// 2.3: no call on the subscription from onComplete or onError.
    case rule2_3 = "2.3"
    /// 2.4: after a terminal signal the subscription counts as cancelled.
    case rule2_4 = "2.4"
    /// 2.5: a second subscription is cancelled.
    case rule2_5 = "2.5"
    /// 2.6: a subscription that is not needed any more is cancelled.
    case rule2_6 = "2.6"
    /// 2.7: calls on the subscription are serial.
    case rule2_7 = "2.7"
    /// 2.8: elements may still arrive after cancel.
    case rule2_8 = "2.8"
    /// 2.9: onComplete may come with or without a request.
    case rule2_9 = "2.9"
    /// 2.10: onError may come with or without a request.
    case rule2_10 = "2.10"
    /// 2.11: signals are processed in order, each after it was made.
    case rule2_11 = "2.11"
    /// 2.12: onSubscribe at most once for a subscriber.
    case rule2_12 = "2.12"
    /// 2.13: signal methods return normally.
    case rule2_13 = "2.13"
    /// 3.1: request and cancel are called by the subscriber only.
    case rule3_1 = "3.1"
    /// 3.2: request may be called from onSubscribe and onNext.
    case rule3_2 = "3.2"
    /// 3.3: request and onNext do not nest without bound.
    case rule3_3 = "3.3"
    /// 3.4: request returns soon.
    case rule3_4 = "3.4"
    /// 3.5: cancel returns soon.
    case rule3_5 = "3.5"
    /// 3.6: request after cancel does nothing.
    case rule3_6 = "3.6"
    /// 3.7: cancel after cancel does nothing.
    case rule3_7 = "3.7"
    /// 3.8: request adds to the demand.
    case rule3_8 = "3.8"
    /// 3.9: a demand of 0 or less ends the stream with an error.
    case rule3_9 = "3.9"
    /// 3.10: request may call onNext before it returns.
    case rule3_10 = "3.10"
    /// 3.11: request may call onComplete or onError before it returns.
    case rule3_11 = "3.11"
    /// 3.12: cancel makes the publisher stop eventually.
    case rule3_12 = "3.12"
    /// 3.13: cancel makes the publisher drop the subscriber.
    case rule3_13 = "3.13"
    /// 3.14: the last cancel may shut the publisher down, in order.
    case rule3_14 = "3.14"
    /// 3.15: cancel returns normally and signals nothing.
    case rule3_15 = "3.15"
    /// 3.16: request returns normally.
    case rule3_16 = "3.16"
    /// 3.17: demand up to 2^63 - 1 is supported; more counts as unbounded.
    case rule3_17 = "3.17"
    /// 4.1: a processor obeys both contracts.
    case rule4_1 = "4.1"
    /// 4.2: a processor passes an error on at once.
    case rule4_2 = "4.2"

    /// What it asks, in a few words.
    public var summary: String {
        switch self {
        case .rule1_1: "never more onNext than requested in total"
        case .rule1_2: "fewer than requested, then the end, is allowed"
        case .rule1_3: "signals are serial"
        case .rule1_4: "failure is told by onError"
        case .rule1_5: "a finite stream that succeeds ends with onComplete"
        case .rule1_6: "after a terminal signal the subscription counts as cancelled"
        case .rule1_7: "nothing follows a terminal signal"
        case .rule1_8: "a cancelled subscriber is eventually left alone"
        case .rule1_9: "onSubscribe comes first, also before a refusal"
        case .rule1_10: "subscribe may be called again, with another subscriber"
        case .rule1_11: "several subscribers, one by one or together, as documented"
        case .rule2_1: "elements must be asked for"
        case .rule2_2: "signals should not be delayed by processing"
        case .rule2_3: "no call on the subscription from onComplete or onError"
        case .rule2_4: "after a terminal signal the subscription counts as cancelled"
        case .rule2_5: "a second subscription is cancelled"
        case .rule2_6: "a subscription that is not needed any more is cancelled"
        case .rule2_7: "calls on the subscription are serial"
        case .rule2_8: "elements may still arrive after cancel"
        case .rule2_9: "onComplete may come with or without a request"
        case .rule2_10: "onError may come with or without a request"
        case .rule2_11: "signals are processed in order, each after it was made"
        case .rule2_12: "onSubscribe at most once for a subscriber"
        case .rule2_13: "signal methods return normally"
        case .rule3_1: "request and cancel are called by the subscriber only"
        case .rule3_2: "request may be called from onSubscribe and onNext"
        case .rule3_3: "request and onNext do not nest without bound"
        case .rule3_4: "request returns soon"
        case .rule3_5: "cancel returns soon"
        case .rule3_6: "request after cancel does nothing"
        case .rule3_7: "cancel after cancel does nothing"
        case .rule3_8: "request adds to the demand"
        case .rule3_9: "a demand of 0 or less ends the stream with an error"
        case .rule3_10: "request may call onNext before it returns"
        case .rule3_11: "request may call onComplete or onError before it returns"
        case .rule3_12: "cancel makes the publisher stop eventually"
        case .rule3_13: "cancel makes the publisher drop the subscriber"
        case .rule3_14: "the last cancel may shut the publisher down, in order"
        case .rule3_15: "cancel returns normally and signals nothing"
        case .rule3_16: "request returns normally"
        case .rule3_17: "demand up to 2^63 - 1 is supported; more counts as unbounded"
        case .rule4_1: "a processor obeys both contracts"
        case .rule4_2: "a processor passes an error on at once"
        }
    }
}

extension FlowRule: CustomStringConvertible {
    /// The rule's number.
    public var description: String { rawValue }
}
