// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A browser without a window, which lays a page out at a width and says what it finds.
//
// The page stands in a frame of that width: a window of Chromium has a least width of its own, a frame has none, and its
// width is what the page's media queries see. A script beside the frame, not in the page, looks at every line of text.

import Testing

@testable import BackpressureBenchmarks

enum Chromium {
    /// What is wrong with a page at a width; nothing is left when all is well.
    struct Findings: Sendable {
        var clientWidth = 0
        var scrollWidth = 0
        /// How many lines of text were looked at.
        var texts = 0
        /// Lines of text that meet, are cut off by their drawing, or lie outside of the page.
        var complaints: [String] = []
    }

    struct Failure: Error { let text: String }

    /// The name of the browser on PATH; nil if there is none.
    static let name: String? = ["chromium", "chromium-browser", "google-chrome"].first {
        guard case .success((let status, _)) = Platform.run([$0, "--version"], capturing: 1) else { return false }
        return status == 0
    }

    static func look(at html: String, width: Int) throws -> Findings {
        guard let name else { throw Failure(text: "no browser") }
        let folder = Platform.environment("TMPDIR") ?? "/tmp"
        let path =
            "\(folder)/backpressure-report-\(Platform.processIdentifier)-\(width)-\(UInt32.random(in: 0 ... .max)).html"
        guard case .success(let descriptor) = Platform.openForWriting(path) else {
            throw Failure(text: "cannot write \(path)")
        }
        defer { Platform.removeFile(path) }
        Platform.write(harness(html, width: width), to: descriptor)
        Platform.closeFile(descriptor)
        let arguments = [
            "timeout", "60", name, "--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage",
            "--virtual-time-budget=3000", "--dump-dom", "file://\(path)",
        ]
        guard case .success((let status, let text)) = Platform.run(arguments, capturing: 1), status == 0 else {
            throw Failure(text: "\(name) did not run")
        }
        return try findings(text)
    }

    private static func findings(_ document: String) throws -> Findings {
        var findings = Findings()
        for line in document.split(separator: "\n") where line.hasPrefix("@ ") {
            let words = line.dropFirst(2).split(separator: " ", maxSplits: 1)
            guard words.count == 2 else { continue }
            switch words[0] {
            case "client": findings.clientWidth = Int(words[1]) ?? 0
            case "scroll": findings.scrollWidth = Int(words[1]) ?? 0
            case "texts": findings.texts = Int(words[1]) ?? 0
            default: findings.complaints.append("\(words[0]): \(words[1])")
            }
        }
        guard findings.clientWidth > 0 else { throw Failure(text: "the browser said nothing: \(document.prefix(400))") }
        return findings
    }

    private static func harness(_ html: String, width: Int) -> String {
        """
        <!DOCTYPE html><meta charset="utf-8">
        <iframe id="page" style="width:\(width)px;height:900px;border:0" srcdoc="\(Markup.escaped(html))"></iframe>
        <pre id="result"></pre>
        <script>
        onload = () => {
          const frame = document.getElementById("page"), page = frame.contentDocument, root = page.documentElement;
          const lines = ["client " + root.clientWidth, "scroll " + root.scrollWidth], boxes = [];
          const add = (element, text, rect) => {
            let box = { x1: rect.left, x2: rect.right, y1: rect.top, y2: rect.bottom, text: text.trim().slice(0, 60) };
            const clip = element.closest(".scroll");
            if (clip) {
              const outer = clip.getBoundingClientRect();
              box.x1 = Math.max(box.x1, outer.left); box.x2 = Math.min(box.x2, outer.right);
            }
            if (box.x2 - box.x1 < 1 || box.y2 - box.y1 < 1) return;
            if (box.x1 < -1 || box.x2 > root.clientWidth + 1) lines.push("outside " + box.text);
            const drawing = element.closest("svg");
            if (drawing) {
              const outer = drawing.getBoundingClientRect();
              if (box.x1 < outer.left - 1.5 || box.x2 > outer.right + 1.5 || box.y1 < outer.top - 3 || box.y2 > outer.bottom + 3)
                lines.push("cut " + box.text);
            }
            boxes.push(box);
          };
          const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
          for (let node; (node = walker.nextNode());) {
            if (!node.data.trim()) continue;
            const parent = node.parentElement;
            if (parent.closest("svg")) { add(parent, node.data, parent.getBoundingClientRect()); continue; }
            const range = page.createRange();
            range.selectNodeContents(node);
            for (const rect of range.getClientRects()) add(parent, node.data, rect);
          }
          lines.push("texts " + boxes.length);
          for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
            const a = boxes[i], b = boxes[j];
            const x = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1), y = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
            // The box of a glyph is higher than its ink.
            if (x > 1 && y > 2.5) lines.push("overlap " + a.text + " | " + b.text);
          }
          frame.remove();
          document.getElementById("result").textContent = "\\n" + lines.map(line => "@ " + line.replace(/\\s+/g, " ")).join("\\n") + "\\n";
        };
        </script>
        """
    }
}
