// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The checks of a subscriber, and what each needs of it.

/// One check that ``SubscriberVerification`` makes.
public enum SubscriberCheck: String, CaseIterable, Hashable, Sendable {
    /// The way of an orderly stream, from the first signal to the last.
    case orderlyStreamIsHandled
    /// 2.1: it asks for what it wants.
    case demandIsRequested
    /// 2.2: `onNext` returns soon.
    case signalsReturnSoon
    /// 2.3: `onComplete` calls nothing on the subscription.
    case completeCallsNothing
    /// 2.3: `onError` calls nothing on the subscription.
    case errorCallsNothing
    /// 2.4: after `onComplete` nothing is called on the subscription.
    case nothingIsCalledAfterComplete
    /// 2.4: after `onError` nothing is called on the subscription.
    case nothingIsCalledAfterError
    /// 2.5: a second subscription is cancelled, and the first one is not.
    case secondSubscriptionIsCancelled
    /// 2.6: a subscription that is not needed any more is cancelled.
    case unneededSubscriptionIsCancelled
    /// 2.7: calls on the subscription do not overlap.
    case callsAreSerial
    /// 2.8: an element that comes after cancel is taken for what it is.
    case lateElementIsTolerated
    /// 2.9: `onComplete` after a request.
    case completeAfterRequestIsHandled
    /// 2.9: `onComplete` without any request.
    case completeWithoutRequestIsHandled
    /// 2.10: `onError` after a request.
    case errorAfterRequestIsHandled
    /// 2.10: `onError` without any request.
    case errorWithoutRequestIsHandled
    /// 2.11: signals are processed in order, each with what it carries.
    case signalsAreProcessedInOrder
    /// 2.13: every signal method returns.
    case signalMethodsReturn
    /// 3.1: a subscription that was not accepted is not used.
    case onlyItsOwnSubscriptionIsUsed
    /// 3.8: what it wants more is asked for in addition.
    case requestsAddUp
    /// 3.9: it never asks for 0 or less.
    case demandIsValid
    /// 3.10: elements may come inside `request`.
    case elementsInsideRequestAreHandled
    /// 3.11: the end may come inside `request`.
    case endInsideRequestIsHandled

    /// The rule that it is about.
    public var rule: FlowRule {
        switch self {
        case .orderlyStreamIsHandled, .demandIsRequested: .rule2_1
        case .signalsReturnSoon: .rule2_2
        case .completeCallsNothing, .errorCallsNothing: .rule2_3
        case .nothingIsCalledAfterComplete, .nothingIsCalledAfterError: .rule2_4
        case .secondSubscriptionIsCancelled: .rule2_5
        case .unneededSubscriptionIsCancelled: .rule2_6
        case .callsAreSerial: .rule2_7
        case .lateElementIsTolerated: .rule2_8
        case .completeAfterRequestIsHandled, .completeWithoutRequestIsHandled: .rule2_9
        case .errorAfterRequestIsHandled, .errorWithoutRequestIsHandled: .rule2_10
        case .signalsAreProcessedInOrder: .rule2_11
        case .signalMethodsReturn: .rule2_13
        case .onlyItsOwnSubscriptionIsUsed: .rule3_1
        case .requestsAddUp: .rule3_8
        case .demandIsValid: .rule3_9
        case .elementsInsideRequestAreHandled: .rule3_10
        case .endInsideRequestIsHandled: .rule3_11
        }
    }

    /// Whether only the probe of a white box can tell.
    var needsProbe: Bool {
        switch self {
        case .orderlyStreamIsHandled, .signalsAreProcessedInOrder: true
        default: false
        }
    }

    var needsTrigger: Bool { self == .requestsAddUp }

    var needsCancel: Bool { self == .unneededSubscriptionIsCancelled || self == .lateElementIsTolerated }
}
