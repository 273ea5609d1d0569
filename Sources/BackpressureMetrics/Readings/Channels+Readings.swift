// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What channels say of themselves. Each total is in one reading: sums over the reasons of a metric count nothing twice.

public import Backpressure

extension BoundedChannel: MetricSource where Element: ~Copyable {
    /// Depth, totals, drops and rejections by reason, and who waits, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.depth, now.depth), Reading(.capacity, now.capacity), Reading(.depthRatio, now.depthRatio),
            Reading(.peakDepth, now.peakDepth), Reading(.reserved, now.reserved),
            Reading(.sent, now.sent), Reading(.received, now.received),
            Reading(.dropped, now.droppedNewest, .reason("newest")), Reading(.dropped, now.evicted, .reason("evicted")),
            Reading(.dropped, now.abandoned, .reason("abandoned")),
            Reading(.paused, now.isPaused), Reading(.closed, now.isClosed),
        ]
            + rejections(
                full: now.refused, sends: (now.sendsTimedOut, now.sendsCancelled),
                receives: (now.receivesTimedOut, now.receivesCancelled))
            + waits(
                waiting: (now.waitingSenders, now.waitingReceivers), parked: (now.sendsParked, now.receivesParked))
            + waitTimes(now.sendWaits, now.receiveWaits, oldest: (now.oldestSendWait, now.oldestReceiveWait))
    }
}

extension RendezvousChannel: MetricSource where Element: ~Copyable {
    /// What was handed over, what was not by reason, and who waits, of one instant.
    public func readings() -> [Reading] {
        let now = snapshot()
        return [
            Reading(.sent, now.handedOver), Reading(.received, now.handedOver), Reading(.closed, now.isClosed),
            Reading(.waiting, now.waitingSenders, .side("send")),
            Reading(.waiting, now.waitingReceivers, .side("receive")),
        ]
            + rejections(
                full: now.refused, sends: (now.sendsTimedOut, now.sendsCancelled),
                receives: (now.receivesTimedOut, now.receivesCancelled))
            + waitTimes(now.sendWaits, now.receiveWaits, oldest: (now.oldestSendWait, now.oldestReceiveWait))
    }
}

extension BufferedChannel: MetricSource where Element: ~Copyable {
    /// Depth, totals, drops and rejections by reason, and who waits, of one instant.
    public func readings() -> [Reading] { bufferReadings(snapshot(), lane: "class") }
}

extension PriorityChannel: MetricSource where Element: ~Copyable {
    /// Depth, totals, drops and rejections by reason, each lane's share, and who waits, of one instant.
    public func readings() -> [Reading] { bufferReadings(snapshot(), lane: "lane") }
}

private func bufferReadings(_ now: BufferSnapshot, lane: String) -> [Reading] {
    func total(_ part: (BufferSnapshot.Lane) -> UInt64) -> UInt64 { now.lanes.reduce(0) { $0 + part($1) } }
    var readings = [
        Reading(.depth, now.depth), Reading(.capacity, now.capacity),
        Reading(.depthRatio, Double(now.cost) / Double(max(1, now.capacity))), Reading(.peakDepth, now.peakDepth),
        Reading(.sent, now.sent), Reading(.received, now.received),
        Reading(.dropped, total(\.droppedNewest), .reason("newest")),
        Reading(.dropped, total(\.evicted), .reason("evicted")),
        Reading(.dropped, total(\.expired), .reason("expired")),
        Reading(.dropped, total(\.shed), .reason("shed")),
        Reading(.dropped, total(\.abandoned), .reason("abandoned")), Reading(.conflated, total(\.conflated)),
        Reading(.rejected, now.exceeded, .reason("exceeds_limit")),
        Reading(.rejected, now.sendsExpired, .reason("expired")), Reading(.closed, now.isClosed),
    ]
    readings += rejections(
        full: now.refused, sends: (now.sendsTimedOut, now.sendsCancelled),
        receives: (now.receivesTimedOut, now.receivesCancelled))
    readings += waits(
        waiting: (now.lanes.reduce(0) { $0 + $1.waitingSenders }, now.waitingReceivers),
        parked: (now.sendsParked, now.receivesParked))
    readings += waitTimes(now.sendWaits, now.receiveWaits, oldest: (now.oldestSendWait, now.oldestReceiveWait))
    // One lane is the whole: nothing to tell apart.
    guard now.lanes.count > 1 else { return readings }
    for (index, part) in now.lanes.enumerated() {
        readings.append(Reading(.laneDepth, part.depth, Label(lane, "\(index)")))
    }
    return readings
}

private func rejections(
    full: UInt64, sends: (timedOut: UInt64, cancelled: UInt64), receives: (timedOut: UInt64, cancelled: UInt64)
) -> [Reading] {
    [
        Reading(.rejected, full, .reason("full")),
        Reading(.rejected, sends.timedOut, .reason("timed_out"), .side("send")),
        Reading(.rejected, sends.cancelled, .reason("cancelled"), .side("send")),
        Reading(.rejected, receives.timedOut, .reason("timed_out"), .side("receive")),
        Reading(.rejected, receives.cancelled, .reason("cancelled"), .side("receive")),
    ]
}

private func waits(waiting: (send: Int, receive: Int), parked: (send: UInt64, receive: UInt64)) -> [Reading] {
    [
        Reading(.waiting, waiting.send, .side("send")), Reading(.waiting, waiting.receive, .side("receive")),
        Reading(.waits, parked.send, .side("send")), Reading(.waits, parked.receive, .side("receive")),
    ]
}

func waitTimes(
    _ sends: WaitHistogram, _ receives: WaitHistogram, oldest: (send: Duration?, receive: Duration?)
) -> [Reading] {
    [
        Reading(.waitTime, sends, .send), Reading(.waitTime, receives, .receive),
        Reading(.oldestWait, oldest.send?.seconds ?? 0, .send),
        Reading(.oldestWait, oldest.receive?.seconds ?? 0, .receive),
    ]
}
