// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A rendezvous as a case of a select. Here both sides may be cases: see `Selection`.

extension RendezvousCore: SelectableCore {
    func attemptSend(from source: UnsafeMutableRawPointer) -> ChannelOutcome {
        // Nothing is refused by an attempt of a select: it comes back to wait.
        send(from: source, times: nil, isCounted: false).0
    }

    func attemptReceive(into destination: UnsafeMutableRawPointer) -> ChannelOutcome {
        receive(into: destination, times: nil).0
    }

    /// Meets the waiters of the other side in their order; those that are dead are taken out, those of the same task
    /// passed over.
    func link(_ node: WaiterRef, isSender: Bool, times: WaitTimes) -> SelectStep {
        let times = WaitTimes(now: timeSource.now(), deadline: times.deadline)
        return withState { state, effects in
            guard decide(state.closure == .open) else {
                guard node.claim() else { return .decided }
                node.end(state.closure == .abandoned ? .abandoned : .finished)
                return .served
            }
            var next = isSender ? state.receivers.first : state.senders.first
            while let partner = next {
                next = partner.pointer.pointee.next.map(WaiterRef.init)
                switch Selection.take(node, meeting: partner) {
                case .same: continue
                case .ownLost: return .decided
                case .otherLost: state.detach(partner)
                case .both:
                    handOver(node, partner, isSender: isSender)
                    _ = grant(partner, &state, &effects)
                    node.end(.granted)
                    return .served
                }
            }
            enqueue(node, isSender: isSender, times, &state, &effects)
            return .waits
        }
    }

    private func handOver(_ node: WaiterRef, _ partner: WaiterRef, isSender: Bool) {
        let (source, destination) = isSender ? (node, partner) : (partner, node)
        PlainAccess.read(source.payload(layout))
        PlainAccess.write(destination.payload(layout))
        move(destination.payload(layout), source.payload(layout))
    }

    func withdraw(_ node: WaiterRef) {
        withState { state, _ in
            if decide(node.pointer.pointee.list != 0) { state.detach(node) }
        }
    }

    func waitLog(isSender: Bool) -> WaitLog { isSender ? sendLog : receiveLog }

    /// There is no slot that a sender could be half-way with.
    func mustPoll(_ node: WaiterRef) -> Bool { false }

    /// Nobody is left to a steward.
    func mustStayOn(isSender: Bool) -> Bool { false }
}
