// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Rejections that know more than their reason, their way through HTTP and back, and dead letters.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct RejectionTests {
    @Test func aRejectionIsSmall() {
        #expect(MemoryLayout<Rejection>.size == 8)
        #expect(_isPOD(Rejection.self))
    }

    @Test func whatItKnowsIsKept() {
        #expect(Rejection.full.retryAfter == nil && Rejection.full.priority == nil)
        let shed = Rejection.shed(priority: 3, retryAfter: .milliseconds(1_500))
        #expect(shed.priority == 3 && shed.retryAfter == .milliseconds(1_500))
        #expect(Rejection.rateLimited(retryAfter: .nanoseconds(1)).retryAfter == .milliseconds(1), "rounded up")
        #expect(Rejection.rateLimited(retryAfter: .zero).retryAfter == .zero)
        #expect(Rejection.rateLimited(retryAfter: .seconds(-5)).retryAfter == .zero)
        #expect(Rejection.rateLimited(retryAfter: nil) == .rateLimited)
        #expect(
            Rejection.breakerOpen(retryAfter: .nanoseconds(Int64.max)).retryAfter
                == .milliseconds(Int64(UInt32.max) - 1))
        #expect(Rejection.shed(priority: 1_000).priority == 254 && Rejection.shed(priority: .min).priority == 0)
        #expect(Rejection.shed(priority: .max).priority == 254)
    }

    @Test func aCaseLooksAtTheReasonAlone() {
        let rejection = Rejection.breakerOpen(retryAfter: .seconds(1))
        #expect(rejection != .breakerOpen)
        switch rejection {
        case .breakerOpen: break
        default: Issue.record("not recognised")
        }
        if case .overLimit = rejection { Issue.record("taken for another") }
    }

    @Test func aRejectionBecomesAnAnswer() {
        var numbers = SplitMix64(seed: 1)
        #expect(Rejection.full.response(using: &numbers) == RejectionResponse(status: 503, retryAfter: nil))
        let exact = Rejection.rateLimited(retryAfter: .milliseconds(1_001)).response(jitter: 0, using: &numbers)
        #expect(exact == RejectionResponse(status: 429, retryAfter: 2))
        #expect(Rejection.overLimit(retryAfter: .zero).response(jitter: 0).retryAfter == 1)
        var seen: Set<Int> = []
        for _ in 0..<200 {
            let answer = Rejection.breakerOpen(retryAfter: .seconds(10)).response(jitter: 0.5, using: &numbers)
            seen.insert(answer.retryAfter ?? -1)
        }
        #expect(seen == Set(11...15), "never earlier, and spread")
    }

    /// The example of RFC 9110 in its three forms, and what is none.
    @Test func anAnswerBecomesARejection() {
        let now = 784_111_777 - 30
        for text in [
            "30", " 30 ", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        ] {
            #expect(
                Rejection.response(status: 503, retryAfter: text, now: now) == .overLimit(retryAfter: .seconds(30)),
                "\(text)")
        }
        #expect(Rejection.response(status: 429, retryAfter: nil, now: now) == .rateLimited)
        #expect(Rejection.response(status: 200, retryAfter: "30", now: now) == nil)
        let past = Rejection.response(status: 429, retryAfter: "Sun, 06 Nov 1994 08:49:37 GMT", now: now + 100)
        #expect(past?.retryAfter == .zero)
        for text in [
            "", "-1", "1.5", "soon", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
            "٣٠", String(repeating: "9", count: 100),
        ] {
            #expect(Rejection.response(status: 503, retryAfter: text, now: now) == .overLimit, "\(text)")
        }
        let long = Rejection.response(status: 503, retryAfter: "99999999999999999999", now: now)
        #expect(long?.retryAfter == .milliseconds(Int64(UInt32.max) - 1))
    }

    /// Every day of four centuries, against a count made day by day.
    @Test func datesAreCounted() {
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        var days = 0
        for year in 1970..<2110 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for (month, length) in [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
                for day in [1, length] {
                    let text = "Mon, \(day < 10 ? "0" : "")\(day) \(names[month]) \(year) 00:00:01 GMT"
                    let expected = (days + day - 1) * 86_400 + 1
                    #expect(HTTPRetryAfter.parse(text, now: 0) == .seconds(expected), "\(text)")
                }
                days += length
            }
        }
    }
}

@Suite struct DeadLetterQueueTests {
    @Test func theOldestGoesWhenItIsFull() {
        let clock = ManualClock()
        let gone = Shared<[Int]>([])
        let letters = DeadLetterQueue<Int>(capacity: 3, clock: clock) { letter in
            gone.update { $0.append(letter.element) }
        }
        for element in 0..<5 {
            letters.add(element, reason: .expired, attempts: element)
            clock.advance(by: .seconds(1))
        }
        #expect(letters.count == 3 && letters.overflowed == 2 && gone.value == [0, 1])
        let drained = letters.drain()
        #expect(drained.map(\.element) == [2, 3, 4] && drained.map(\.time) == [2, 3, 4].map { .seconds($0) })
        #expect(drained.map(\.attempts) == [2, 3, 4] && letters.count == 0)
        letters.add(9, reason: .full)
        #expect(letters.drain().map(\.element) == [9])
    }

    /// Poison must not go round for ever.
    @Test func replayLeavesWhatWasTriedTooOften() async {
        let letters = DeadLetterQueue<Int>(capacity: 10)
        for element in 0..<4 { letters.add(element, reason: .timedOut, attempts: element) }
        let tried = Shared<[Int]>([])
        for _ in 0..<3 {
            await letters.replay(maxAttempts: 3) { (element) throws(Rejection) in
                tried.update { $0.append(element) }
                if element != 1 { throw .full }
            }
        }
        #expect(tried.value == [0, 1, 2, 0, 0])
        let rest = letters.drain()
        #expect(Set(rest.map(\.element)) == [0, 2, 3] && rest.allSatisfy { $0.attempts == 3 })
    }

    @Test func replayOfACancelledTaskLosesNothing() async {
        let letters = DeadLetterQueue<Int>(capacity: 10)
        for element in 0..<4 { letters.add(element, reason: .timedOut) }
        let task = Task {
            await letters.replay(maxAttempts: 9) { (_) throws(Rejection) in withUnsafeCurrentTask { $0?.cancel() } }
        }
        #expect(await task.value == 1)
        #expect(letters.drain().map(\.element) == [1, 2, 3])
    }
}
