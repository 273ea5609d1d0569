// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

#if HTTPScenario

    // One connection of the client: a request goes out, an answer of known length comes back, one after the other.

    import NIOCore

    /// What matters of an answer.
    struct HTTPAnswer: Sendable, Equatable {
        var status: Int
        var retryAfter: String?
        var isKeptAlive = true
        /// The bytes of the head and the body.
        var length: Int

        /// Reads the answer at the begin of some bytes; nil while it is not complete.
        ///
        /// - Throws: `Malformed` when it is none, or its length is not told.
        init?(_ bytes: ByteBufferView) throws {
            guard let end = Self.headEnd(bytes) else {
                guard bytes.count < 16_384 else { throw Malformed() }
                return nil
            }
            let head = String(decoding: bytes[bytes.startIndex..<end], as: UTF8.self)
            var lines = head.split(separator: "\r\n").makeIterator()
            let words = (lines.next() ?? "").split(separator: " ")
            guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else { throw Malformed() }
            self.status = status
            var body: Int?
            while let line = lines.next() {
                guard let colon = line.firstIndex(of: ":") else { throw Malformed() }
                let value = line[line.index(after: colon)...].drop { $0 == " " }
                switch line[..<colon].lowercased() {
                case "content-length": body = Int(value)
                case "retry-after": retryAfter = String(value)
                case "connection": if value.lowercased() == "close" { isKeptAlive = false }
                default: continue
                }
            }
            guard let body, body >= 0 else { throw Malformed() }
            length = end - bytes.startIndex + body
            guard bytes.count >= length else { return nil }
        }

        struct Malformed: Error {}

        /// The first index behind the empty line.
        private static func headEnd(_ bytes: ByteBufferView) -> Int? {
            var matched = 0
            for index in bytes.indices {
                let byte = bytes[index]
                if byte == (matched % 2 == 0 ? 0x0D : 0x0A) {
                    matched += 1
                } else {
                    matched = byte == 0x0D ? 1 : 0
                }
                if matched == 4 { return index + 1 }
            }
            return nil
        }
    }

    /// Confined to its event loop, hence unchecked.
    final class HTTPConnection: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = ByteBuffer

        private let owner: HTTPLoad
        private var context: ChannelHandlerContext?
        private var received = ByteBuffer()
        private var receive: ((HTTPAnswer?) -> Void)?

        init(owner: HTTPLoad) { self.owner = owner }

        var isActive: Bool { context?.channel.isActive ?? false }

        /// Sends a request; `receive` gets the answer, or nil when the connection ends before.
        func send(_ text: String, receive: @escaping (HTTPAnswer?) -> Void) {
            guard let context else { return receive(nil) }
            self.receive = receive
            context.writeAndFlush(NIOAny(context.channel.allocator.buffer(string: text)), promise: nil)
        }

        func close() { context?.close(promise: nil) }

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }

        func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var piece = unwrapInboundIn(data)
            received.writeBuffer(&piece)
            do {
                guard let answer = try HTTPAnswer(received.readableBytesView) else { return }
                received.moveReaderIndex(forwardBy: answer.length)
                received.discardReadBytes()
                finish(answer)
            } catch {
                context.close(promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            owner.closed()
            finish(nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func finish(_ answer: HTTPAnswer?) {
            let receive = receive
            self.receive = nil
            receive?(answer)
        }
    }

#endif
