// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The workloads in Kotlin: kotlinx.coroutines' Channel on the default dispatcher. Debian's is 1.0.1 of 2018, whose
// channel is not the one of today, and which has no semaphore. It takes turns with the other programs; `run` has the
// conversation.

import kotlinx.coroutines.*
import kotlinx.coroutines.channels.Channel

/** What consumers got, against what producers sent: the integers from 0 up. */
class Checksum {
    private var sum = 0L
    private var count = 0L

    fun add(element: Long) {
        sum += element
        count++
    }

    fun join(other: Checksum) {
        sum += other.sum
        count += other.count
    }

    fun verify(elements: Long) {
        val expected = elements * (elements - 1) / 2
        check(sum == expected && count == elements) { "$count of $elements elements, sum $sum instead of $expected" }
    }
}

class Turn(val workload: String, val note: String, val body: suspend (Long) -> Long)

suspend fun pairTry(elements: Long): Long {
    val channel = Channel<Long>(1024)
    val checksum = Checksum()
    val start = System.nanoTime()
    for (element in 0 until elements) {
        channel.offer(element)
        val received = channel.poll()
        if (received != null) checksum.add(received)
    }
    val elapsed = System.nanoTime() - start
    checksum.verify(elements)
    return elapsed
}

suspend fun pairAwait(elements: Long): Long {
    val channel = Channel<Long>(1024)
    val checksum = Checksum()
    val start = System.nanoTime()
    for (element in 0 until elements) {
        channel.send(element)
        checksum.add(channel.receive())
    }
    val elapsed = System.nanoTime() - start
    checksum.verify(elements)
    return elapsed
}

suspend fun stream(capacity: Int, elements: Long, producers: Int, consumers: Int): Long = coroutineScope {
    val channel = Channel<Long>(capacity)
    val start = System.nanoTime()
    val sending = (0 until producers).map { index ->
        launch { for (element in elements * index / producers until elements * (index + 1) / producers) channel.send(element) }
    }
    val receiving = (0 until consumers).map {
        async {
            val checksum = Checksum()
            for (element in channel) checksum.add(element)
            checksum
        }
    }
    sending.forEach { it.join() }
    channel.close()
    val total = Checksum()
    receiving.forEach { total.join(it.await()) }
    val elapsed = System.nanoTime() - start
    total.verify(elements)
    elapsed
}

suspend fun pingPong(trips: Long): Long = coroutineScope {
    val there = Channel<Long>(1)
    val back = Channel<Long>(1)
    val start = System.nanoTime()
    val answering = async {
        val checksum = Checksum()
        for (trip in there) {
            checksum.add(trip)
            back.send(trip + 1)
        }
        checksum
    }
    val returned = Checksum()
    for (trip in 0 until trips) {
        there.send(trip)
        returned.add(back.receive() - 1)
    }
    there.close()
    val sent = answering.await()
    val elapsed = System.nanoTime() - start
    sent.verify(trips)
    returned.verify(trips)
    elapsed
}

const val CONTENDER = "kotlinx Channel"

fun turns(): List<Turn> {
    val turns = mutableListOf(
        Turn("pair.try", "", ::pairTry), Turn("pair.await", "", ::pairAwait), Turn("pingpong", "", ::pingPong))
    for (capacity in listOf(64, 256, 1024)) {
        turns += Turn("spsc.$capacity", "") { stream(capacity, it, 1, 1) }
        if (capacity == 256) continue
        turns += Turn("mpsc.$capacity", "") { stream(capacity, it, 4, 1) }
        turns += Turn("mpmc.$capacity", "") { stream(capacity, it, 4, 4) }
    }
    return turns
}

fun main() {
    val turns = turns()
    for (turn in turns) println("${turn.workload}\t$CONTENDER\t${turn.note}")
    println()
    System.out.flush()
    while (true) {
        val words = (readLine() ?: break).split("\t")
        val turn = turns.find { words.size == 3 && it.workload == words[0] && words[1] == CONTENDER }
        val answer = try {
            if (turn == null) "! no such turn" else runBlocking(Dispatchers.Default) { turn.body(words[2].toLong()) }.toString()
        } catch (error: Exception) {
            "! $error"
        }
        println(answer)
        System.out.flush()
    }
    System.exit(0)
}
