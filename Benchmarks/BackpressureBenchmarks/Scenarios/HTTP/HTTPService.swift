// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if HTTPScenario

    // The server: a route whose handler asks the guarded service, and turns a rejection into a status and a header.

    import Backpressure
    import HTTPTypes
    import Hummingbird
    import Logging
    import NIOCore

    enum HTTPService {
        /// Serves, has the client send its load, writes the outcome.
        static func run(_ role: HTTPOverload.Role) async throws -> CInt {
            let service = GuardedService(role.variant, HTTPOverload.settings)
            let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
            let application = application(service) { channel in
                continuation.yield(channel.localAddress?.port ?? 0)
                continuation.finish()
            }
            let server = Task {
                defer { continuation.finish() }
                try await application.runService(gracefulShutdownSignals: [])
            }
            let calibration = Task {
                while !Task.isCancelled {
                    try await Task.sleep(for: .nanoseconds(HTTPOverload.settings.calibrationPeriod))
                    service.calibrate()
                }
            }
            // The server is not cancelled: connections are open then, and NIO 2.101 may trap when a writer that nobody
            // finished goes away with its cancelled stream. The process ends with all of it.
            defer { calibration.cancel() }
            guard let port = await ports.first(where: { $0 > 0 }) else {
                throw HardFailure(text: "the HTTP server did not start: \(await server.result)")
            }

            let arguments =
                [Platform.executablePath, Children.flag, HTTPOverload.name, "client"] + role.words + ["\(port)"]
            let client: Result<ServiceOutcome, any Error> = await withUnsafeContinuation { continuation in
                Platform.detachThread {
                    continuation.resume(returning: Result { try ServiceOutcome(child: arguments) })
                }
            }
            var outcome = try client.get()
            // All of this process's life; the client's part is in it already, over the same length.
            let length = Double(role.plan.length) * Double(Platform.onlineCores)
            outcome.processorPart += Double(Platform.processorNanoseconds) / length
            outcome.peakBytes = Platform.peakResidentBytes
            outcome.peakInside = service.peakInside
            Platform.write(outcome.json.text() + "\n", to: 1)
            return 0
        }

        private static func application(
            _ service: GuardedService, onServerRunning: @escaping @Sendable (any Channel) async -> Void
        ) -> some ApplicationProtocol {
            let router = Router()
            router.get("work/{critical}/{user}") { _, context -> Response in
                let request = ServiceRequest(
                    isCritical: context.parameters.get("critical") == "1",
                    user: context.parameters.get("user", as: Int.self) ?? 0)
                guard let rejection = await service.handle(request) else {
                    return Response(
                        status: .ok, headers: [.contentType: "text/plain"],
                        body: .init(byteBuffer: ByteBuffer(string: "done\n")))
                }
                let answer = rejection.response()
                var headers = HTTPFields()
                if let seconds = answer.retryAfter { headers[.retryAfter] = "\(seconds)" }
                return Response(status: .init(code: answer.status), headers: headers)
            }
            var logger = Logger(label: HTTPOverload.name)
            logger.logLevel = .critical
            return Application(
                router: router,
                configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0), backlog: 4096),
                onServerRunning: onServerRunning, logger: logger)
        }
    }

#endif
