// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Whose turn it is among lanes: the order of a buffer, and the bound on how long a lane may be passed over.
//
// ## Algorithm
// Every service is counted, and each lane notes the count at which it began to wait for its next one: so how often it
// was passed over is a difference, and nothing is written for the lanes that are passed.
//   aging     A lane that was passed over `aging` times or more is next, the one passed over most often before others.
//   arrival   Otherwise the lane whose head arrived first (and no aging is needed).
//   strict    Otherwise the lane of the lowest number.
//   weighted  Otherwise the lane that is furthest behind its share: stride scheduling (Waldspurger and Weihl 1995).
//             Each service moves a lane's pass on by an amount that is inverse to its weight; the lowest pass is next.
//             A lane that begins to wait takes the pass of the last service, if its own is lower: it claims no arrears.
//
// ## The bound
// With k lanes, a lane that waits is passed over at most aging + k - 2 times (for k >= 2) before it is served. Once it
// has been passed `aging` times, only lanes that have been passed at least as often come before it, each of the k - 1
// others once at most, because being served takes its count to zero; and the first of them is the service that would
// have been its own. `TurnTests` holds it against all patterns.
//
// ## A lone lane
// Where lanes have no weights, a lane that begins to wait while no other does is passed over by nobody until another one
// begins: its `since` is the count of services at any time, and is not written. That is noted (`isLone`) until the other
// one comes. So a buffer that holds elements of one lane at a time counts its services and does nothing else here.
//
// ## Invariants
// I1  since <= served for every lane that waits, unless it is the lone one, whose `since` means nothing.
// I2  Passes are compared with each other only, and moved down together long before they could wrap around.

/// The order in which waiting lanes are served.
enum TurnOrder: Sendable, Hashable {
    case arrival
    case strict
    case weighted
}

/// The turns of one lane.
private struct LaneTurns {
    /// The count of services when it began to wait for its next one.
    var since: UInt64 = 0
    var pass: UInt64 = 0
    var step: UInt64
    var longest: UInt64 = 0
}

/// The turns of up to 64 lanes.
///
/// It is part of a state that a lock guards.
struct BufferTurns: ~Copyable {
    /// The step of a lane of weight 1.
    private static let unit: UInt64 = 1 << 32
    private static let highest: UInt64 = 1 << 62

    let order: TurnOrder
    private let aging: UInt64
    private let lanes: UnsafeMutablePointer<LaneTurns>
    private let count: Int
    private(set) var served: UInt64 = 0
    /// Whether no lane has waited beside another since the one that waits began; never where lanes have weights.
    private(set) var isLone = false
    private var lastPass: UInt64 = 0

    init(order: TurnOrder, aging: Int, weights: [Int]) {
        self.order = order
        self.aging = UInt64(aging)
        count = weights.count
        lanes = .allocate(capacity: weights.count)
        for (index, weight) in weights.enumerated() {
            (lanes + index).initialize(to: LaneTurns(step: Self.unit / UInt64(weight)))
        }
    }

    deinit { lanes.deallocate() }

    /// How often `lane` has been passed over since it began to wait.
    func passed(_ lane: Int) -> UInt64 { isLone ? 0 : served &- lanes[lane].since }

    /// How often `lane` was ever passed over before it was served.
    func longest(_ lane: Int) -> UInt64 { lanes[lane].longest }

    /// `lane` had nothing to serve, and has.
    @inline(__always)
    mutating func begin(_ lane: Int) {
        guard count > 1 else { return }
        lanes[lane].since = served
        if order == .weighted { lanes[lane].pass = max(lanes[lane].pass, lastPass) }
    }

    /// `lane` had nothing to serve, and has, while those in `mask` have; no lane has a weight.
    @inline(__always)
    mutating func begin(_ lane: Int, beside mask: UInt64) {
        guard mask != 0 else {
            if !isLone { isLone = true }
            return
        }
        if isLone { lanes[mask.trailingZeroBitCount].since = served }
        isLone = false
        lanes[lane].since = served
    }

    /// The only lane that has something is served, and `isLone` is true.
    @inline(__always)
    mutating func serveLone() { served &+= 1 }

    /// `lane` is served; unless it `goesOn` waiting for its next service, `begin` comes before that.
    @inline(__always)
    mutating func serve(_ lane: Int, goesOn: Bool = true) {
        guard !isLone else { return serveLone() }
        let passed = served &- lanes[lane].since
        served &+= 1
        guard count > 1 else { return }
        if passed > lanes[lane].longest { lanes[lane].longest = passed }
        if goesOn { lanes[lane].since = served }
        guard order == .weighted else { return }
        lastPass = lanes[lane].pass
        lanes[lane].pass = lastPass &+ lanes[lane].step
    }

    /// The next lane of those in `mask`, which is not 0.
    @inline(__always)
    func next(_ mask: UInt64, ticket: (Int) -> UInt64) -> Int {
        let first = mask.trailingZeroBitCount
        guard mask & (mask &- 1) != 0 else { return first }
        return nextOfSeveral(mask, ticket: ticket)
    }

    @inline(never)
    private func nextOfSeveral(_ mask: UInt64, ticket: (Int) -> UInt64) -> Int {
        let first = mask.trailingZeroBitCount
        switch order {
        case .arrival:
            return least(mask) { ticket($0) }
        case .strict:
            return oldest(mask) ?? first
        case .weighted:
            return oldest(mask) ?? least(mask) { lanes[$0].pass }
        }
    }

    /// The lane that has been passed over most often, if that is often enough.
    @inline(__always)
    private func oldest(_ mask: UInt64) -> Int? {
        var mask = mask
        var longest = aging
        var found: Int?
        while mask != 0 {
            let lane = mask.trailingZeroBitCount
            mask &= mask &- 1
            let passed = passed(lane)
            if decide(passed >= longest) {
                found = lane
                longest = passed &+ 1
            }
        }
        return found
    }

    @inline(__always)
    private func least(_ mask: UInt64, _ key: (Int) -> UInt64) -> Int {
        var mask = mask
        var found = mask.trailingZeroBitCount
        while mask != 0 {
            let lane = mask.trailingZeroBitCount
            mask &= mask &- 1
            if key(lane) < key(found) { found = lane }
        }
        return found
    }

    /// Moves all passes down if they have become high; arrears are forgiven, once in some 10^9 services.
    ///
    /// To be called at least once in some thousands of services.
    mutating func rebase() {
        guard lastPass > Self.highest else { return }
        for lane in 0..<count { lanes[lane].pass = lanes[lane].pass > lastPass ? lanes[lane].pass &- lastPass : 0 }
        lastPass = 0
    }
}
