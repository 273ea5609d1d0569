// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a case of a select is behind its public face: a channel's core, a direction, the element's type, and what to do
// when it was chosen. The select itself sees the untyped part only.

/// A case, as the select that waits sees it.
class SelectArm {
    let core: any SelectableCore
    let isSender: Bool

    init(core: any SelectableCore, isSender: Bool) {
        self.core = core
        self.isSender = isSender
    }

    /// Whether it can be chosen at all.
    var isEnabled: Bool { true }

    /// Performs it if that takes no waiting: any outcome but `wouldWait` means that it is chosen.
    func attempt() -> ChannelOutcome { preconditionFailure("a case is always one of its subclasses") }

    /// Moves what is offered into `node`.
    func load(_ node: WaiterRef) {}

    /// It was chosen while it waited: takes what its node came to.
    func accept(_ node: WaiterRef) { preconditionFailure("a case is always one of its subclasses") }

    /// It was not chosen: takes back what is in its node.
    func takeBack(_ node: WaiterRef) {}
}

/// A case whose outcome becomes an `Output`.
class OutputArm<Output>: SelectArm {
    /// Runs what the user wants done with the outcome; the case was chosen.
    nonisolated(nonsending) func finish() async throws -> Output {
        preconditionFailure("a case is always one of its subclasses")
    }
}

final class ReceiveArm<Element: ~Copyable, Output>: OutputArm<Output> {
    typealias Body = nonisolated(nonsending) (consuming sending Element?) async throws -> Output

    private let body: Body
    /// Between the choice and `finish`.
    private var element: Element?

    init(core: any SelectableCore, body: @escaping Body) {
        self.body = body
        super.init(core: core, isSender: false)
    }

    override func attempt() -> ChannelOutcome {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            let outcome = core.attemptReceive(into: start)
            if outcome == .done || outcome == .doneYieldDue {
                element = start.bindMemory(to: Element.self, capacity: 1).move()
            }
            return outcome
        }
    }

    override func accept(_ node: WaiterRef) {
        guard node.verdict == .granted else { return }
        PlainAccess.read(node.payload(core.layout))
        element = node.payload(core.layout).assumingMemoryBound(to: Element.self).move()
    }

    /// The element that was received; nil at the end of the channel.
    ///
    /// It is taken out before the body runs, which may use the same case again.
    func take() -> Element? { element.take() }

    override nonisolated(nonsending) func finish() async throws -> Output {
        nonisolated(unsafe) let element = take()
        if element == nil, let failure = core.failure { throw failure }
        return try await body(element)
    }
}

final class SendArm<Element: ~Copyable, Output>: OutputArm<Output> {
    typealias Body = nonisolated(nonsending) (consuming sending SendResult<Element>) async throws -> Output

    private let offer: SendOffer<Element>
    private let body: Body
    /// Between the choice and `finish`.
    private var outcome = ChannelOutcome.wouldWait

    init(core: any SelectableCore, offer: SendOffer<Element>, body: @escaping Body) {
        self.offer = offer
        self.body = body
        super.init(core: core, isSender: true)
    }

    override var isEnabled: Bool { !offer.isEmpty }

    override func attempt() -> ChannelOutcome {
        withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment
        ) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("no memory for an element") }
            guard offer.unload(to: start) else { return .wouldWait }
            outcome = core.attemptSend(from: start)
            switch outcome {
            case .done, .doneYieldDue, .dropped: break
            case .wouldWait, .timedOut, .finished, .abandoned, .registered, .registeredPending:
                offer.reload(from: start)
            }
            return outcome
        }
    }

    override func load(_ node: WaiterRef) {
        PlainAccess.write(node.payload(core.layout))
        guard offer.unload(to: node.payload(core.layout)) else { preconditionFailure("an empty offer waits") }
    }

    override func accept(_ node: WaiterRef) {
        switch node.verdict {
        case .granted: outcome = .done
        case .abandoned: outcome = .abandoned
        case .finished, .cancelled, .timedOut, .none: outcome = .finished
        }
        if outcome != .done { takeBack(node) }
    }

    override func takeBack(_ node: WaiterRef) {
        PlainAccess.read(node.payload(core.layout))
        offer.reload(from: node.payload(core.layout))
    }

    override nonisolated(nonsending) func finish() async throws -> Output {
        nonisolated(unsafe) let result = result()
        return try await body(result)
    }

    /// What became of the element.
    func result() -> SendResult<Element> {
        switch outcome {
        case .done, .doneYieldDue: return .sent
        case .dropped: return .dropped
        default:
            guard let element = offer.take() else { preconditionFailure("an element was lost on its way back") }
            return .returned(
                Rejected(element: element, reason: outcome == .abandoned ? .abandoned : .finished))
        }
    }
}
