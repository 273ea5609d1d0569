// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A verification that passes everything is worth nothing: for each check a publisher that breaks just what it looks at.

import Backpressure
import BackpressureTestKit
import Testing

/// A fault, the checks that must see it, and a part of what the first of them says.
struct PublisherFault: Sendable, CustomStringConvertible {
    let fault: Misbehaviour
    let checks: [PublisherCheck]
    let message: String

    init(_ fault: Misbehaviour, _ checks: PublisherCheck..., says message: String) {
        self.fault = fault
        self.checks = checks
        self.message = message
    }

    var description: String { fault.rawValue }
}

let publisherFaults: [PublisherFault] = [
    PublisherFault(.exceedsDemand, .demandIsNeverExceeded, says: "elements came for a demand of 1 in all"),
    PublisherFault(.fabricatesElements, .mayEndBeforeDemandIsMet, says: "elements came of a stream of 3"),
]

@Suite("conformance kit: broken publishers", .timeLimit(.minutes(5)))
struct PublisherSelfTests {
    static func verification(
        _ fault: Misbehaviour?, onRequest: (@Sendable (Demand) -> Void)? = nil, onCancel: (@Sendable () -> Void)? = nil,
        in environment: VerificationEnvironment = .deterministic
    ) -> PublisherVerification<Int> {
        PublisherVerification(
            environment,
            makePublisher: { count in
                TestPublisher(
                    Array(0..<Int(count)), ending: .complete, misbehaving: fault, onRequest: onRequest,
                    onCancel: onCancel)
            },
            makeFailedPublisher: { TestPublisher<Int>([], ending: .failure(TestFailure()), misbehaving: fault) })
    }

    @Test func explore() async {
        for fault in Misbehaviour.allCases {
            let violations = await Self.verification(fault).verify()
            let checks = Set(violations.map(\.check)).sorted()
            print("FAULT \(fault): \(checks)", violations.first.map { "\($0)" } ?? "")
        }
        let sound = await Self.verification(nil).outcomes()
        print("SOUND", sound.flatMap(\.violations), sound.compactMap(\.skipped))
    }
}
