// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The checks of a publisher, and what each needs of it.

/// One check that ``PublisherVerification`` makes.
public enum PublisherCheck: String, CaseIterable, Hashable, Sendable {
    /// 1.1: nothing before a request, then exactly as much as was asked for.
    case demandIsNeverExceeded
    /// 1.2: fewer elements than requested, and the end.
    case mayEndBeforeDemandIsMet
    /// 1.3: signals do not overlap, on one thread or on several.
    case signalsAreSerial
    /// 1.4: a failure is told by `onError`.
    case failureIsSignalled
    /// 1.5: a stream of n elements completes after the last.
    case endIsSignalled
    /// 1.5: an empty stream completes, after `onSubscribe`.
    case emptyStreamCompletes
    /// 1.6: after the end, requests and cancels do nothing, whatever they ask.
    case subscriptionEndsWithStream
    /// 1.7: nothing follows `onComplete`, with demand left or not.
    case nothingFollowsComplete
    /// 1.7: nothing follows `onError`.
    case nothingFollowsError
    /// 1.8: no terminal signal after a cancel.
    case cancelledSubscriberHearsNoEnd
    /// 1.9: `onSubscribe` is the first signal.
    case subscribeComesFirst
    /// 1.9: a subscriber that is refused gets `onSubscribe`, then `onError`.
    case refusalComesAfterSubscribe
    /// 1.10: another subscriber is served, or refused in order.
    case otherSubscribersAreAnswered
    /// 1.11: several subscribers are served side by side.
    case manySubscribersAreServed
    /// 1.11: all get the same elements in the same order, asking one by one.
    case sameElementsOneByOne
    /// 1.11: all get the same elements in the same order, asking for many.
    case sameElementsManyUpfront
    /// 1.11: all get the same elements, and the end.
    case sameElementsAndEnd
    /// 2.12: `onSubscribe` comes once.
    case subscribesOnce
    /// 3.2: requests from inside `onSubscribe` and `onNext` count.
    case nestedRequestsCount
    /// 3.3: `onNext` does not run inside itself deeper than allowed.
    case recursionIsBounded
    /// 3.4: `request` returns soon, and works ahead no further than allowed.
    case requestIsQuick
    /// 3.5: `cancel` returns soon, and works on nothing.
    case cancelIsQuick
    /// 3.6: a request after cancel does nothing.
    case requestAfterCancelIsNop
    /// 3.7: a cancel after cancel does nothing.
    case cancelAfterCancelIsNop
    /// 3.8: requests add up.
    case requestsAddUp
    /// 3.9: a request of 0 ends the stream with `Flow.InvalidDemand`.
    case zeroIsInvalid
    /// 3.9: a negative request ends the stream with `Flow.InvalidDemand`.
    case negativeIsInvalid
    /// 3.9: the error names the demand.
    case invalidDemandIsNamed
    /// 3.12: after a cancel no more comes than was on its way.
    case cancelStopsElements
    /// 3.13: after a cancel the subscriber is let go.
    case cancelDropsSubscriber
    /// 3.14: after the last cancel, a new subscriber is served or refused in order.
    case lastCancelIsOrderly
    /// 3.15: a cancel before any request signals nothing.
    case earlyCancelIsSilent
    /// 3.16: a request of any amount after cancel signals nothing.
    case anyRequestAfterCancelIsSilent
    /// 3.17: a demand of 2^63 - 1 is served.
    case unboundedDemandIsServed
    /// 3.17: a sum of 2^63 - 1 is served.
    case greatSumIsServed
    /// 3.17: a sum above 2^63 - 1 is no error.
    case greaterSumIsNoError

    /// The rule that it is about.
    public var rule: FlowRule {
        switch self {
        case .demandIsNeverExceeded: .rule1_1
        case .mayEndBeforeDemandIsMet: .rule1_2
        case .signalsAreSerial: .rule1_3
        case .failureIsSignalled: .rule1_4
        case .endIsSignalled, .emptyStreamCompletes: .rule1_5
        case .subscriptionEndsWithStream: .rule1_6
        case .nothingFollowsComplete, .nothingFollowsError: .rule1_7
        case .cancelledSubscriberHearsNoEnd: .rule1_8
        case .subscribeComesFirst, .refusalComesAfterSubscribe: .rule1_9
        case .otherSubscribersAreAnswered: .rule1_10
        case .manySubscribersAreServed, .sameElementsOneByOne, .sameElementsManyUpfront, .sameElementsAndEnd: .rule1_11
        case .subscribesOnce: .rule2_12
        case .nestedRequestsCount: .rule3_2
        case .recursionIsBounded: .rule3_3
        case .requestIsQuick: .rule3_4
        case .cancelIsQuick: .rule3_5
        case .requestAfterCancelIsNop: .rule3_6
        case .cancelAfterCancelIsNop: .rule3_7
        case .requestsAddUp: .rule3_8
        case .zeroIsInvalid, .negativeIsInvalid, .invalidDemandIsNamed: .rule3_9
        case .cancelStopsElements: .rule3_12
        case .cancelDropsSubscriber: .rule3_13
        case .lastCancelIsOrderly: .rule3_14
        case .earlyCancelIsSilent: .rule3_15
        case .anyRequestAfterCancelIsSilent: .rule3_16
        case .unboundedDemandIsServed, .greatSumIsServed, .greaterSumIsNoError: .rule3_17
        }
    }

    /// How many elements the publisher must have for it.
    var elements: Int {
        switch self {
        case .demandIsNeverExceeded, .requestsAddUp, .sameElementsOneByOne, .sameElementsManyUpfront: 5
        case .mayEndBeforeDemandIsMet, .endIsSignalled, .subscriptionEndsWithStream, .nothingFollowsComplete,
            .sameElementsAndEnd, .unboundedDemandIsServed, .greatSumIsServed:
            3
        case .signalsAreSerial: 10
        case .failureIsSignalled, .emptyStreamCompletes, .nothingFollowsError, .refusalComesAfterSubscribe: 0
        case .cancelledSubscriberHearsNoEnd, .nestedRequestsCount: 6
        case .subscribeComesFirst, .subscribesOnce, .otherSubscribersAreAnswered, .manySubscribersAreServed: 1
        case .recursionIsBounded: 64
        case .requestIsQuick, .cancelIsQuick: 1_000
        case .requestAfterCancelIsNop, .cancelAfterCancelIsNop, .anyRequestAfterCancelIsSilent: 6
        case .zeroIsInvalid, .negativeIsInvalid, .invalidDemandIsNamed, .earlyCancelIsSilent: 6
        case .cancelStopsElements: 20
        case .cancelDropsSubscriber, .lastCancelIsOrderly: 3
        case .greaterSumIsNoError: 24
        }
    }

    /// Whether the stream must end for it.
    var needsEnd: Bool {
        switch self {
        case .mayEndBeforeDemandIsMet, .signalsAreSerial, .endIsSignalled, .emptyStreamCompletes,
            .subscriptionEndsWithStream, .nothingFollowsComplete, .sameElementsAndEnd:
            true
        default: false
        }
    }

    var needsFailure: Bool {
        switch self {
        case .failureIsSignalled, .nothingFollowsError, .refusalComesAfterSubscribe: true
        default: false
        }
    }

    /// How many subscribers it needs at once.
    var subscribers: Int {
        switch self {
        case .manySubscribersAreServed: 2
        case .sameElementsOneByOne, .sameElementsManyUpfront, .sameElementsAndEnd: 3
        default: 1
        }
    }
}
