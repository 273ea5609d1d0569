// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A way in which a ``TestPublisher`` breaks the contract on purpose: to see whether a subscriber, or a check, notices.
public enum Misbehaviour: String, CaseIterable, Hashable, Sendable {
    /// 1.1: sends one element more than was requested.
    case exceedsDemand
    /// 1.2: repeats the last element, up to 16 times, when it runs out before the demand does.
    case fabricatesElements
    /// 1.3: ends inside `onNext`, when more is requested from there and nothing is left.
    case endsInsideOnNext
    /// 1.4: completes where it should fail.
    case swallowsFailure
    /// 1.5: does not say that it is complete.
    case neverCompletes
    /// 1.6: answers an invalid request after the end.
    case answersAfterEnd
    /// 1.7: completes twice.
    case completesTwice
    /// 1.7: fails twice.
    case failsTwice
    /// 1.8: completes as an answer to a cancel after elements were requested.
    case completesAfterCancel
    /// 1.9: sends an element before `onSubscribe`.
    case signalsBeforeSubscribe
    /// 1.9: refuses a subscriber without `onSubscribe`.
    case failsWithoutSubscribe
    /// 1.10: serves the first subscriber, and leaves later ones without any signal.
    case servesOnlyTheFirst
    /// 1.11: sends later subscribers the elements in reverse.
    case reversesForOthers
    /// 2.12: calls `onSubscribe` twice.
    case subscribesTwice
    /// 3.2: does not note what is requested inside a signal.
    case ignoresNestedRequests
    /// 3.3: sends elements inside the request that is inside `onNext`.
    case sendsRecursively
    /// 3.6: sends an element for a request after cancel.
    case servesAfterCancel
    /// 3.7: fails at the second cancel.
    case failsAtSecondCancel
    /// 3.8: takes the greatest of the requests for their sum.
    case keepsOnlyTheGreatestRequest
    /// 3.9: ignores a request of 0.
    case ignoresZero
    /// 3.9: ignores negative requests.
    case ignoresNegative
    /// 3.9: ends with an error that does not name the demand.
    case hidesInvalidDemand
    /// 3.12: goes on after a cancel inside a signal.
    case ignoresCancel
    /// 3.13: holds the subscriber after cancel.
    case keepsSubscriber
    /// 3.14: once all subscriptions are cancelled, leaves later subscribers without any signal.
    case shutsDownSilently
    /// 3.15: fails at a cancel before any request.
    case failsAtEarlyCancel
    /// 3.16: fails at an invalid request after cancel.
    case failsAtLateInvalidRequest
    /// 3.17: does not serve a demand of 2^63 - 1.
    case ignoresUnboundedDemand
    /// 3.17: takes a sum of 2^63 - 1 for none.
    case dropsGreatSums
    /// 3.17: ends with an error when the sum exceeds 2^63 - 1.
    case failsAtGreatSums
}

/// What a ``TestPublisher`` does when its elements have been sent.
public enum TestEnding: Sendable {
    /// It completes.
    case complete
    /// It fails.
    case failure(any Error)
    /// It waits for ``TestPublisher/send(_:)``, ``TestPublisher/complete()`` or ``TestPublisher/fail(_:)``.
    case open
}

/// The error of a publisher that fails because a test wants it to.
public struct TestFailure: Error, Hashable, Sendable {
    /// What tells it from others.
    public let name: String

    /// An error with a name.
    public init(_ name: String = "failure") { self.name = name }
}
