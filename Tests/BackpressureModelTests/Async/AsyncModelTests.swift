// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The shipped `send`, `receive` and iteration, with real continuations, cancellation handlers, a timer and a close, on
// two workers and a thread that strikes, in random schedules of the atomic steps.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestKit
    import ModelChecker
    import Synchronization
    import Testing

    /// A model of tasks.
    struct AsyncModel: Sendable, CustomStringConvertible {
        /// What a task does.
        enum Act: Sendable {
            case send(Int), receive, iterate, timedSend(Int), timedReceive
        }
        /// What the striking thread does.
        enum Strike: Sendable {
            case cancel(Int), finish, abandon, timer, trySend(Int), tryReceive
        }

        let name: String
        var capacity = 1
        var fairness = Fairness.fifo
        var filled = 0
        let tasks: [[Act]]
        let strikes: [Strike]

        var description: String { name }

        /// Waits of all executions: a program in which nobody sleeps shows nothing.
        static let parked = Atomic(0)

        /// What is shared in one execution.
        final class World: @unchecked Sendable {
            let executor = BatonExecutor()
            let clock = ManualClock()
            let channel: BoundedChannel<Int, Never>
            var tasks: [Task<Void, Never>] = []
            var accepted: [Int] = []
            var came: [Int] = []
            var wrong: String?

            init(_ model: AsyncModel) {
                final class Log: @unchecked Sendable { var elements: [Int] = [] }
                let log = Log()
                channel = BoundedChannel(capacity: model.capacity, fairness: model.fairness, clock: clock) {
                    element, _ in
                    log.elements.append(element)
                }
                hook = { log.elements }
                // The timer of a model is a thread of the model, not a task.
                channel.core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
                // No look before sleeping, as on a machine where looks have not helped for long: hundreds of steps less.
                for record in [72, 80] { AtomicWord(at: channel.ring.base + record).storeRelaxed(1 << 62) }
                for index in 0..<model.filled where channel.trySend(-1 - index).isSent { accepted.append(-1 - index) }
                for acts in model.tasks {
                    tasks.append(executor.start { for act in acts { await self.perform(act) } })
                }
            }

            let hook: () -> [Int]

            private func perform(_ act: Act) async {
                switch act {
                case .send(let element): note(await channel.send(element), element)
                case .timedSend(let element): note(await channel.send(element, timeout: .seconds(1)), element)
                case .timedReceive:
                    if let element = try? await channel.receive(timeout: .seconds(1)) { came.append(element) }
                case .receive: if let element = try? await channel.receive() { came.append(element) }
                case .iterate: for await element in channel { came.append(element) }
                }
            }

            func strike(_ strike: Strike) {
                switch strike {
                case .cancel(let task): ModelRuntime.withoutSwitching { tasks[task].cancel() }
                case .finish: channel.finish()
                case .abandon: channel.cancel()
                case .timer:
                    clock.advance(by: .seconds(2))
                    _ = channel.core.timerRang(generation: .max)
                case .trySend(let element): note(channel.trySend(element), element)
                case .tryReceive: if let element = channel.tryReceive().take() { came.append(element) }
                }
            }

            private func note(_ answer: SendResult<Int>, _ element: Int) {
                switch answer {
                case .sent: accepted.append(element)
                case .dropped: wrong = "\(element) was dropped"
                case .returned(let rejected): if rejected.element != element { wrong = "\(rejected) for \(element)" }
                }
            }

            func check() {
                if let wrong { ModelRuntime.fail(wrong) }
                let snapshot = channel.snapshot()
                AsyncModel.parked.wrappingAdd(
                    Int(snapshot.receivesParked + snapshot.sendsParked), ordering: .relaxed)
                ModelRuntime.expect(
                    snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0, "somebody waits: \(snapshot)")
                while let element = channel.tryReceive().take() { came.append(element) }
                came += hook()
                ModelRuntime.expect(came.sorted() == accepted.sorted(), "accepted \(accepted), came \(came)")
            }
        }

        var model: Model {
            let this = self
            return Model(
                name, setup: { World(this) },
                threads: [
                    { $0.executor.work() }, { $0.executor.work() },
                    { world in for strike in this.strikes { world.strike(strike) } },
                ],
                check: { $0.check() })
        }
    }

    extension AsyncModel {
        /// Each ends by its own count: a task that is left is a lost wake-up.
        static let all: [AsyncModel] = [Fairness.fifo, .eventual(bypass: 1)].flatMap { fairness in
            [
                AsyncModel(
                    name: "receive | receive, two offers", fairness: fairness, tasks: [[.receive], [.receive]],
                    strikes: [.trySend(20), .finish]),
                AsyncModel(
                    name: "receive cancelled, an offer", fairness: fairness, tasks: [[.receive]],
                    strikes: [.trySend(20), .cancel(0)]),
                AsyncModel(
                    name: "cancelled, then an offer", fairness: fairness, tasks: [[.receive], [.receive]],
                    strikes: [.cancel(0), .trySend(20), .finish]),
                AsyncModel(
                    name: "a loop, a sender, finish", fairness: fairness, tasks: [[.iterate], [.receive]],
                    strikes: [.trySend(20), .trySend(21), .finish]),
                AsyncModel(
                    name: "a loop cancelled", fairness: fairness, filled: 1, tasks: [[.iterate]],
                    strikes: [.trySend(20), .cancel(0)]),
                AsyncModel(
                    name: "full: two send, one receive", fairness: fairness, filled: 1,
                    tasks: [[.send(0)], [.send(10)]],
                    strikes: [.tryReceive, .tryReceive, .tryReceive, .finish]),
                AsyncModel(
                    name: "full: send cancelled, room", fairness: fairness, filled: 1,
                    tasks: [[.send(0)], [.send(10)]],
                    strikes: [.cancel(0), .tryReceive, .finish]),
                AsyncModel(
                    name: "timed out or served", fairness: fairness, tasks: [[.timedReceive], [.receive]],
                    strikes: [.timer, .trySend(20), .finish]),
                AsyncModel(
                    name: "full: timed out or room", fairness: fairness, filled: 1, tasks: [[.timedSend(0)]],
                    strikes: [.tryReceive, .timer, .finish]),
                AsyncModel(
                    name: "a task to a task", fairness: fairness,
                    tasks: [[.send(0), .send(1)], [.receive, .receive]], strikes: [.tryReceive, .finish]),
                AsyncModel(
                    name: "receive, abandon", fairness: fairness, tasks: [[.receive], [.receive]],
                    strikes: [.trySend(20), .abandon]),
            ]
        }
    }

    @Suite(.serialized) struct AsyncModelTests {
        /// At random and not by bounded search: a task that polls while the thread it waits for stands still would do so
        /// for ever once the bound is spent.
        @Test(arguments: AsyncModel.all)
        func holdsAtRandom(_ program: AsyncModel) {
            let executions = isDeep ? 100_000 : 1_000
            let exploration = Explorer.explore(
                program.model,
                Options(
                    strategy: .random(seed: 3, executions: executions, unevenly: true), maxSteps: 20_000,
                    usesThreads: true))
            let parked = AsyncModel.parked.exchange(0, ordering: .relaxed)
            print("tasks, \(exploration.description.prefix(300)); \(parked) waits")
            #expect(exploration.violation == nil, "\(exploration)")
            #expect(parked * 10 >= executions, "hardly anybody sleeps: \(parked) in \(executions) executions")
        }

        /// A wake that is dropped leaves a task behind: the tier can be red.
        @Test func aDroppedWakeIsFound() {
            let mutation = Mutation(
                file: "Waiter.swift", snippet: "decide(seen != Self.empty)", .forceFalse)
            let exploration = Explorer.explore(
                AsyncModel.all[1].model,
                Options(
                    strategy: .random(seed: 3, executions: 1_000, unevenly: true), maxSteps: 20_000,
                    mutation: mutation,
                    usesThreads: true))
            #expect(exploration.violation != nil, "\(exploration)")
        }
    }
#endif
