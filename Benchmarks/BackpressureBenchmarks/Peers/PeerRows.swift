// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rows of the suite `peers`. A contender takes part in the rows whose work it can do; how its work differs stands
// in its name.

#if Peers

    extension Peers {
        private static let pairCapacity = 1024

        // MARK: Pairs

        /// One element in and out, nobody else there.
        static var pairs: [Row] {
            [
                Row(
                    name: PeerRows.pair, parameters: Parameters(capacity: pairCapacity),
                    unit: .nanosecondsPerOperation, isFine: true,
                    contenders: [
                        AtomicAdds.floor, OurPairs.awaitPairs(.local),
                        pair(PeerNames.mpsc) { MPSCPeer(capacity: pairCapacity) },
                        pair(PeerNames.nioProducer) { NIOProducerPeer(capacity: pairCapacity) },
                        pair(PeerNames.nioWriter) { NIOWriterPeer(capacity: pairCapacity) },
                        Contender(PeerNames.nioWriterAlone) { try await NIOSum.sample($0) },
                        pair(PeerNames.stream) { AsyncStreamChannel(capacity: pairCapacity) },
                        pair(PeerNames.ring) { AtomicsRing(capacity: pairCapacity) },
                        pair(PeerNames.deque) { DequeChannel(capacity: pairCapacity) },
                    ])
            ]
        }

        /// A ping-pong with oneself through one channel is a row of pairs.
        private static func pair<Channel: IntChannel>(
            _ name: String, _ make: @escaping @Sendable () -> Channel
        ) -> Contender {
            Contender(name) { operations in
                let channel = make()
                let meter = Meter.begin()
                var checksum = await channel.ask(operations, back: channel)
                let sample = meter.end(operations: operations)
                await channel.finish()
                // The loop takes 1 off what came back, for the sake of a real ping-pong.
                checksum.sum &+= operations
                try checksum.verify(elements: operations, in: "pair, \(name)")
                return sample
            }
        }

        // MARK: Streams

        /// Without a buffer: sender and receiver meet for every element.
        static var meeting: Row {
            Row(
                name: PeerRows.meeting, parameters: Parameters(producers: 1, consumers: 1),
                unit: .operationsPerSecond,
                contenders: [
                    Rendezvous.contender("RendezvousChannel", ours: true, 1, 1) { OurRendezvous() },
                    Rendezvous.contender(PeerNames.asyncChannel, 1, 1) { AsyncChannelPeer() },
                ])
        }

        static var streams: [Row] {
            let spsc = [1, 16, 64, 256, 1024].map { row(PeerRows.spsc, capacity: $0, producers: 1, consumers: 1) }
            let mpsc = [64, 1024].map { row(PeerRows.mpsc, capacity: $0, producers: 4, consumers: 1) }
            let mpmc = [64, 1024].map { row(PeerRows.mpmc, capacity: $0, producers: 4, consumers: 4) }
            return spsc + mpsc + mpmc
        }

        private static func row(_ name: String, capacity: Int, producers: Int, consumers: Int) -> Row {
            var contenders: [Contender] = []
            func add<Channel: IntChannel>(
                _ name: String, ours: Bool = false, floor: Bool = false, fairness: String? = nil,
                _ make: @escaping @Sendable () -> Channel
            ) {
                contenders.append(
                    stream(name, ours: ours, floor: floor, fairness: fairness, producers, consumers, make))
            }

            if producers == 1 {
                add("spinning ring", floor: true) { SpinningRing(capacity: capacity) }
                add(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) {
                    OurChannel(capacity: capacity)
                }
            } else {
                for (label, mode) in OurChannel.fairnessModes {
                    add(OurChannel.name, ours: true, fairness: label) { OurChannel(capacity: capacity, fairness: mode) }
                }
            }
            if capacity == 1 || producers > 1 { add(PeerNames.asyncChannel) { AsyncChannelPeer() } }
            if consumers == 1 {
                add(PeerNames.bufferedChannel) { BufferedAsyncChannelPeer(capacity: capacity) }
                if producers == 1 { contenders.append(BufferedSequencePeer.contender(capacity: capacity)) }
                add(PeerNames.mpsc) { MPSCPeer(capacity: capacity) }
                add(PeerNames.nioProducer) { NIOProducerPeer(capacity: capacity) }
                add(PeerNames.nioWriter) { NIOWriterPeer(capacity: capacity) }
                add(PeerNames.stream) { AsyncStreamChannel(capacity: capacity) }
            }
            // A stamp cannot tell full from empty in a ring of one.
            if capacity > 1 { add(PeerNames.ring) { AtomicsRing(capacity: capacity) } }
            add(PeerNames.deque) { DequeChannel(capacity: capacity) }

            return Row(
                name: name, parameters: Parameters(capacity: capacity, producers: producers, consumers: consumers),
                unit: .operationsPerSecond, contenders: contenders)
        }

        private static func stream<Channel: IntChannel>(
            _ name: String, ours: Bool = false, floor: Bool = false, fairness: String? = nil, _ producers: Int,
            _ consumers: Int, _ make: @escaping @Sendable () -> Channel
        ) -> Contender {
            Contender(name, ours: ours, floor: floor, fairness: fairness) { operations in
                try await Streams.stream(
                    through: make(), elements: operations, producers: producers, consumers: consumers)
            }
        }

        // MARK: Ping-pong

        static var pingPong: Row {
            func contender<Channel: IntChannel>(
                _ name: String, ours: Bool = false, fairness: String? = nil, _ make: @escaping @Sendable () -> Channel
            ) -> Contender {
                Contender(name, ours: ours, fairness: fairness) { operations in
                    let (there, back) = (make(), make())
                    let sample = try await PingPong.roundTrips(operations, there: there, back: back)
                    await back.finish()
                    return sample
                }
            }
            return Row(
                name: PeerRows.pingPong, parameters: Parameters(capacity: 1, producers: 1, consumers: 1),
                unit: .operationsPerSecond,
                contenders: [
                    Contender(PingPong.floorName, floor: true) { try await ContinuationBaton().run(roundTrips: $0) },
                    contender(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) {
                        OurChannel(capacity: 1)
                    },
                    contender(PeerNames.asyncChannel) { AsyncChannelPeer() },
                    contender(PeerNames.bufferedChannel) { BufferedAsyncChannelPeer(capacity: 1) },
                    contender(PeerNames.mpsc) { MPSCPeer(capacity: 1) },
                    contender(PeerNames.nioProducer) { NIOProducerPeer(capacity: 1) },
                    contender(PeerNames.nioWriter) { NIOWriterPeer(capacity: 1) },
                    contender(PeerNames.deque) { DequeChannel(capacity: 1) },
                ])
        }

        // MARK: Demand

        static var demand: [Row] {
            [(PeerRows.requestOne, 1), (PeerRows.requestMany, 256)].map { name, batch in
                Row(
                    name: name, unit: .nanosecondsPerOperation,
                    contenders: [AtomicAdds.floor] + DemandRows.ours(batch: batch) + [
                        Contender(PeerNames.combineReturning) {
                            try CombineDemand.sample($0, batch: batch, isReturned: true)
                        },
                        Contender(PeerNames.combineRequesting) {
                            try CombineDemand.sample($0, batch: batch, isReturned: false)
                        },
                    ])
            }
        }
    }

#endif
