// swift-tools-version: 6.2
import PackageDescription

// As `NewUser`, for the tasks that need a trait, and so a package from the network.

let package = Package(
    name: "new-user-with-traits",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(
            name: "swift-backpressure", path: Context.environment["BACKPRESSURE_PATH"] ?? "../..",
            traits: ["SwiftMetrics"]),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    ],
    targets: [
        .executableTarget(
            name: "MetricsToSwiftMetrics",
            dependencies: [
                .product(name: "Backpressure", package: "swift-backpressure"),
                .product(name: "BackpressureMetrics", package: "swift-backpressure"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ])
    ]
)
