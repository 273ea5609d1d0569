// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if HTTPScenario

    // The client: sends each request when it is due, whatever became of the ones before, over kept-alive connections, as many
    // as there are answers outstanding. Who waits longer than its patience closes the connection, as HTTP/1.1 has it.
    //
    // All of it runs on one event loop, whose timers are exact to the microsecond; nothing here is touched from elsewhere.

    import Backpressure
    import NIOCore
    import NIOPosix

    /// Confined to its event loop, hence unchecked.
    final class HTTPLoad: @unchecked Sendable {
        /// A request with all of its tries.
        private final class Call {
            let number: Int
            let arrival: Arrival
            var attempt = 0
            var timer: Scheduled<Void>?
            var connection: HTTPConnection?

            init(number: Int, arrival: Arrival) {
                self.number = number
                self.arrival = arrival
            }
        }

        /// More are not opened: a request that needs one more is lost.
        private static let mostConnections = 8_000

        private let loop: any EventLoop
        private let port: Int
        private let plan: LoadPlan
        private let settings = HTTPOverload.settings
        private let rule: RetryRule
        private let recorder: LoadRecorder
        private let start: Int
        private var next = 0
        private var idle: [HTTPConnection] = []
        private var connections = 0

        static func run(_ role: HTTPOverload.Role) async throws -> CInt {
            guard let port = role.rest.first.flatMap({ Int($0) }), (1...65_535).contains(port) else { return 64 }
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let recorder = LoadRecorder(role.plan)
            let processor = Platform.processorNanoseconds
            let load = HTTPLoad(role, port: port, loop: group.next(), recorder: recorder)
            load.loop.execute {
                Platform.preferThisThread()
                load.fire()
            }
            // Those that are due last have their chance, too.
            let wait = load.start + role.plan.length + load.settings.objective - Platform.nanoseconds()
            try await Task.sleep(for: .nanoseconds(max(wait, 0)))
            var outcome = ServiceOutcome(
                variant: role.variant, factor: role.factor, records: recorder.all, plan: role.plan,
                settings: load.settings, binLength: HTTPOverload.binLength)
            let used = Double(Platform.processorNanoseconds - processor)
            outcome.processorPart = used / Double(role.plan.length) / Double(Platform.onlineCores)
            Platform.write(outcome.json.text() + "\n", to: 1)
            return 0
        }

        private init(_ role: HTTPOverload.Role, port: Int, loop: any EventLoop, recorder: LoadRecorder) {
            self.loop = loop
            self.port = port
            self.recorder = recorder
            plan = role.plan
            rule = RetryRule(role.variant, HTTPOverload.settings)
            start = Platform.nanoseconds() + 50_000_000
        }

        private var now: Int { Platform.nanoseconds() - start }

        /// NIO's clock is the one of `Platform.nanoseconds`.
        private func at(_ time: Int, _ body: @escaping @Sendable () -> Void) {
            loop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(start + time)), body)
        }

        /// Sends what is due, and comes back when the next one is.
        private func fire() {
            while next < plan.arrivals.count, plan.arrivals[next].at <= now {
                let call = Call(number: next, arrival: plan.arrivals[next])
                next += 1
                recorder.sent(call.number, at: now)
                rule.beginRequest()
                send(call)
            }
            if next < plan.arrivals.count { at(plan.arrivals[next].at) { self.fire() } }
        }

        // MARK: One try

        private func send(_ call: Call) {
            call.attempt += 1
            let attempt = call.attempt
            let patience = TimeAmount.nanoseconds(Int64(settings.patience ?? settings.persistence))
            let confined = Confined(call)
            call.timer = loop.scheduleTask(in: patience) {
                guard confined.value.attempt == attempt else { return }
                self.lost(confined.value)
            }
            while let connection = idle.popLast() {
                if connection.isActive { return use(connection, for: call) }
            }
            guard connections < Self.mostConnections else { return lost(call) }
            connections += 1
            let connection = HTTPConnection(owner: self)
            call.connection = connection
            ClientBootstrap(group: loop)
                .channelOption(ChannelOptions.socketOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) }
                }
                .connect(host: "127.0.0.1", port: port)
                .whenComplete { result in
                    // The caller may have given up meanwhile.
                    let isAwaited = confined.value.connection === connection
                    switch result {
                    case .success where isAwaited: self.use(connection, for: confined.value)
                    case .success: connection.close()
                    case .failure:
                        self.connections -= 1
                        if isAwaited { self.lost(confined.value) }
                    }
                }
        }

        private func use(_ connection: HTTPConnection, for call: Call) {
            call.connection = connection
            let request = call.arrival.request
            connection.send(
                "GET /work/\(request.isCritical ? 1 : 0)/\(request.user) HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ) {
                [confined = Confined(call)] answer in
                let call = confined.value
                guard call.connection === connection else { return }
                guard let answer else { return self.lost(call) }
                call.connection = nil
                call.timer?.cancel()
                if answer.isKeptAlive { self.idle.append(connection) } else { connection.close() }
                self.answered(call, answer)
            }
        }

        private func answered(_ call: Call, _ answer: HTTPAnswer) {
            if call.attempt > 1 { rule.endRetry() }
            if answer.status == 200 {
                recorder.decided(call.number, at: now)
                return end(call, .answered)
            }
            let rejection = Rejection.response(status: answer.status, retryAfter: answer.retryAfter, now: 0)
            let seconds = answer.retryAfter.flatMap { Int($0) } ?? 0
            recorder.rejected(call.number, status: answer.status, isCorrect: rejection != nil && seconds >= 1)
            again(call, rejection, otherwise: .rejected)
        }

        /// No answer in time, or none at all.
        private func lost(_ call: Call) {
            call.timer?.cancel()
            call.connection?.close()
            call.connection = nil
            if call.attempt > 1 { rule.endRetry() }
            recorder.decided(call.number, at: now)
            again(call, nil, otherwise: .lost)
        }

        private func again(_ call: Call, _ rejection: Rejection?, otherwise outcome: CallRecord.Outcome) {
            let left = settings.persistence - (now - call.arrival.at)
            guard let delay = rule.delay(after: call.attempt, rejection: rejection, left: left) else {
                return end(call, outcome)
            }
            let due = now + delay
            at(due) { [confined = Confined(call)] in
                self.recorder.sentAgain(confined.value.number, due: due)
                self.send(confined.value)
            }
        }

        private func end(_ call: Call, _ outcome: CallRecord.Outcome) {
            recorder.ended(call.number, outcome, at: now)
            rule.endRequest()
        }

        /// A connection is gone, in use or not.
        func closed() { connections -= 1 }
    }

    /// What only the event loop touches, on its way through a closure that must be Sendable.
    private struct Confined<Value>: @unchecked Sendable {
        let value: Value

        init(_ value: Value) { self.value = value }
    }

#endif
