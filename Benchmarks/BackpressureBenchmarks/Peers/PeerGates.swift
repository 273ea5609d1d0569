// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the suite `peers` set out to reach: ten times the channels that one can add to a package today, and five times
// OpenCombine's demand. A gate names the figure of ours and the peer's.

enum PeerRows {
    static let pair = "peers.pair"
    static let meeting = "peers.rendezvous"
    static let spsc = "peers.spsc"
    static let mpsc = "peers.mpsc"
    static let mpmc = "peers.mpmc"
    static let pingPong = "peers.pingpong"
    static let requestOne = "peers.demand.request1"
    static let requestMany = "peers.demand.request256"
}

/// The contenders' names, each with what sets its work apart from ours.
enum PeerNames {
    static let asyncChannel = "AsyncChannel (no buffer)"
    static let bufferedChannel = "AsyncChannel.buffer (one consumer)"
    static let bufferedSequence = "sequence.async.buffer (no channel)"
    static let mpsc = "MultiProducerSingleConsumerAsyncChannel (soft bound)"
    static let nioProducer = "NIOAsyncSequenceProducer (soft bound)"
    static let nioWriter = "NIOAsyncWriter into NIOAsyncSequenceProducer (soft bound)"
    static let nioWriterAlone = "NIOAsyncWriter into a sum (no queue)"
    static let stream = "AsyncStream (no backpressure: tries again)"
    static let ring = "ring on swift-atomics (cannot wait: tries again)"
    static let deque = "Mutex + Deque (no cancellation)"
    static let combineReturning = "OpenCombine, demand returned"
    static let combineRequesting = "OpenCombine, demand requested"

    /// Those a gate divides by.
    static let gatedChannels = [asyncChannel, mpsc, nioProducer]
    static let gatedDemand = [combineReturning, combineRequesting]
}

enum PeerGates {
    static func gates(_ results: [RowResult]) -> [Gate] {
        var gates: [Gate] = []
        for ours in results where ours.isOurs && ours.name.hasPrefix("peers.") {
            let isDemand = ours.name == PeerRows.requestOne || ours.name == PeerRows.requestMany
            for peer in results where peer.name == ours.name && sameQuestion(peer, ours) {
                guard (isDemand ? PeerNames.gatedDemand : PeerNames.gatedChannels).contains(peer.contender),
                    let times = peer.unit.ratio(of: peer.statistics.median, toFloor: ours.statistics.median)
                else { continue }
                let title = "\(ours.name.dropFirst("peers.".count))\(text(of: ours)), x \(shortName(peer))"
                gates.append(Gate(title, times, atLeast: isDemand ? 5 : 10, digits: 1))
            }
        }
        return gates
    }

    private static func sameQuestion(_ one: RowResult, _ other: RowResult) -> Bool {
        var parameters = one.parameters
        parameters.fairness = other.parameters.fairness
        return parameters == other.parameters
    }

    /// What tells the gates of one row's name, and of one row, apart; and what bounds the figure.
    private static func text(of ours: RowResult) -> String {
        var text = ours.name == PeerRows.pingPong ? "" : ours.parameters.capacity.map { " \($0)" } ?? ""
        if let fairness = ours.parameters.fairness, ours.name == PeerRows.mpsc || ours.name == PeerRows.mpmc {
            text += " \(fairness)"
        }
        if ours.contender == DemandRows.structName { text += ", struct" }
        if ours.contender == DemandRows.className { text += ", class" }
        // Where every element costs a task switch, which no channel can avoid, there is no tenth to be had.
        if ours.name == PeerRows.pingPong || ours.parameters.capacity == 1 { text += " (bound by task switches)" }
        return text
    }

    /// The name without what stands in brackets; and one that fills the column is known by its initials.
    private static func shortName(_ peer: RowResult) -> String {
        if peer.contender == PeerNames.mpsc { return "MPSC AsyncChannel" }
        return String(peer.contender.split(separator: " (").first ?? "")
    }
}
