// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Steps in words. Only the execution that is repeated to show a violation is traced.

extension Engine {
    func site(_ index: Int32) -> String {
        index >= 0 ? state.pointee.sites.sites[Int(index)].description : "an unknown place"
    }

    func name(of index: Int32) -> String { name(of: state.pointee.table.locations[Int(index)]) }

    func name(of location: Location) -> String {
        let address = location.role == .lock ? location.address - 1 : location.address
        return state.pointee.names[address] ?? "\(location.role)#\(location.number)"
    }

    func traceText(_ thread: Int, _ text: String, _ site: Int32) {
        state.pointee.trace.append("thread \(thread): \(text) (\(self.site(site)))")
    }

    func tracePlain(_ thread: Int, _ verb: String, _ index: Int, _ site: Int32) {
        traceText(thread, "    \(verb) \(name(of: Int32(index)))", site)
    }

    func trace(_ thread: Int, _ operation: Operation, _ result: (original: UInt64, exchanged: Bool), after: UInt64) {
        var text = ""
        if operation.location >= 0 { text += name(of: operation.location) + " " }
        if operation.second >= 0 { text += "and \(name(of: operation.second)) " }
        switch operation.kind {
        case .load:
            text += "load \(result.original)"
            if result.original != after { text += " (stale, newest is \(after))" }
        case .store: text += "store \(result.original)->\(after)"
        case .compareExchange, .weakCompareExchange:
            text += "cas \(operation.expected)->\(operation.operand) "
            text += result.exchanged ? "ok" : "failed, found \(result.original)"
        case .exchange, .fetchOr, .fetchAnd, .fetchAdd: text += "\(operation.kind) \(result.original)->\(after)"
        case .lock, .unlock, .pause, .park, .invoke, .respond, .section, .rescue, .decide, .plainRead, .plainWrite,
            .free:
            text += "\(operation.kind)"
        }
        switch operation.kind {
        case .lock, .unlock, .pause, .park, .invoke, .respond, .section, .rescue: break
        default: text += " \(operation.order)"
        }
        traceText(thread, text, operation.site)
    }
}
