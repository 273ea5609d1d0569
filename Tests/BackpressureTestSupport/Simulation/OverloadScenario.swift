// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The five bad days of a service, fixed before there was anything to survive them with.
//
// 16 servers, work of 50 ms on average with sigma 1 (so one call in a hundred takes 310 ms), callers who wait 1 s.
// Critical requests are 20 % of capacity, always; all requests together are 75 % of it on a good day. The trouble
// starts after 20 s.

/// A named course of load and conditions.
public struct OverloadScenario: Sendable, CustomStringConvertible {
    /// What happens.
    public let name: String
    /// The second in which the trouble starts, and the one in which it is over.
    public let trouble: Range<Int>
    private let load: @Sendable (Double) -> SimulatedLoad
    private let conditions: SimulatedConditions

    /// The name.
    public var description: String { name }

    /// The first second of calm before the trouble that is measured: what starts cold has found its limit by then.
    public static let calm = 5..<20
    private static let second: Int64 = 1_000_000_000

    /// The scenario with the chances of `seed`.
    public func simulation(seed: UInt64) -> Simulation {
        var simulation = Simulation(
            load: .steady(0), length: Int64(trouble.upperBound + 20) * Self.second, seed: seed)
        simulation.criticalRate = 0.2 * simulation.capacity
        simulation.load = load(simulation.capacity)
        simulation.conditions = conditions
        return simulation
    }

    /// Nothing happens.
    public static let steady = OverloadScenario(
        name: "steady", trouble: 20..<40, load: { .steady(0.55 * $0) }, conditions: .normal)

    /// Four times what the servers can do, for 30 s.
    public static let spike = OverloadScenario(
        name: "spike to 4x capacity", trouble: 20..<50,
        load: { .spike(0.55 * $0, times: 3.8 / 0.55, from: 20 * second, to: 50 * second) }, conditions: .normal)

    /// Everything takes ten times as long, for 20 s.
    public static let slow = OverloadScenario(
        name: "downstream 10x slower", trouble: 20..<40, load: { .steady(0.55 * $0) },
        conditions: SimulatedConditions([.init(from: 20 * second, to: 40 * second, pace: 0.1)]))

    /// Nothing goes on, for 10 s.
    public static let stall = OverloadScenario(
        name: "stall of 10 s", trouble: 20..<30, load: { .steady(0.55 * $0) },
        conditions: SimulatedConditions([.init(from: 20 * second, to: 30 * second, pace: 0)]))

    /// For 20 s, one second slow and failing, one second well.
    public static let flapping = OverloadScenario(
        name: "flapping", trouble: 20..<40, load: { .steady(0.55 * $0) },
        conditions: .flapping(
            from: 20 * second, to: 40 * second, period: second, pace: 0.1, failures: 0.5))

    /// All five.
    public static let all = [steady, spike, slow, stall, flapping]

    /// Those in which a service without overload control must collapse, or the scenario shows nothing.
    public static let deadly = [spike, slow, stall, flapping]
}
