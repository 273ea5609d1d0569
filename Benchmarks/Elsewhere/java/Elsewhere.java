// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The workloads in Java: ArrayBlockingQueue, SubmissionPublisher and java.util.concurrent.Semaphore, all on threads. The
// Disruptor and Guava's RateLimiter are in files of their own, because they are not in the JDK. It takes turns with the
// other programs; `run` has the conversation.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SubmissionPublisher;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

public final class Elsewhere {
    /** Runs so many operations, verifies what came out, and returns the nanoseconds. */
    interface Workload {
        long run(long operations) throws Exception;
    }

    /** A line of the list. */
    static final class Turn {
        final String workload;
        final String contender;
        final String note;
        final Workload body;

        Turn(String workload, String contender, String note, Workload body) {
            this.workload = workload;
            this.contender = contender;
            this.note = note;
            this.body = body;
        }
    }

    /** What consumers got, against what producers sent: the integers from 0 up. */
    static final class Checksum {
        private long sum;
        private long count;

        void add(long element) {
            sum += element;
            count++;
        }

        synchronized void join(Checksum other) {
            sum += other.sum;
            count += other.count;
        }

        synchronized void verify(long elements) {
            long expected = elements * (elements - 1) / 2;
            if (sum != expected || count != elements) {
                throw new IllegalStateException(
                    count + " of " + elements + " elements, sum " + sum + " instead of " + expected);
            }
        }
    }

    static void expect(long counted, long expected, String what) {
        if (counted != expected) throw new IllegalStateException(counted + " instead of " + expected + " " + what);
    }

    interface Body {
        void run() throws Exception;
    }

    /** Runs the bodies in threads of their own; returns the nanoseconds until the last has ended. */
    static long together(List<Body> bodies) throws Exception {
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        long start = System.nanoTime();
        for (Body body : bodies) {
            Thread thread = new Thread(() -> {
                try {
                    body.run();
                } catch (Throwable error) {
                    failure.set(error);
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) thread.join();
        long elapsed = System.nanoTime() - start;
        if (failure.get() != null) throw new Exception(failure.get());
        return elapsed;
    }

    // Queues

    private static final long END = -1;

    static long pairTry(long elements) {
        ArrayBlockingQueue<Long> queue = new ArrayBlockingQueue<>(1024);
        Checksum checksum = new Checksum();
        long start = System.nanoTime();
        for (long element = 0; element < elements; element++) {
            queue.offer(element);
            Long received = queue.poll();
            if (received != null) checksum.add(received);
        }
        long elapsed = System.nanoTime() - start;
        checksum.verify(elements);
        return elapsed;
    }

    static long pairWaiting(long elements) throws InterruptedException {
        ArrayBlockingQueue<Long> queue = new ArrayBlockingQueue<>(1024);
        Checksum checksum = new Checksum();
        long start = System.nanoTime();
        for (long element = 0; element < elements; element++) {
            queue.put(element);
            checksum.add(queue.take());
        }
        long elapsed = System.nanoTime() - start;
        checksum.verify(elements);
        return elapsed;
    }

    static long stream(int capacity, long elements, int producers, int consumers) throws Exception {
        ArrayBlockingQueue<Long> queue = new ArrayBlockingQueue<>(capacity);
        AtomicInteger unfinished = new AtomicInteger(producers);
        Checksum total = new Checksum();
        List<Body> bodies = new ArrayList<>();
        for (int index = 0; index < producers; index++) {
            long first = elements * index / producers;
            long end = elements * (index + 1) / producers;
            bodies.add(() -> {
                for (long element = first; element < end; element++) queue.put(element);
                if (unfinished.decrementAndGet() > 0) return;
                for (int consumer = 0; consumer < consumers; consumer++) queue.put(END);
            });
        }
        for (int index = 0; index < consumers; index++) {
            bodies.add(() -> {
                Checksum checksum = new Checksum();
                for (long element = queue.take(); element != END; element = queue.take()) checksum.add(element);
                total.join(checksum);
            });
        }
        long elapsed = together(bodies);
        total.verify(elements);
        return elapsed;
    }

    static long pingPong(long trips) throws Exception {
        ArrayBlockingQueue<Long> there = new ArrayBlockingQueue<>(1);
        ArrayBlockingQueue<Long> back = new ArrayBlockingQueue<>(1);
        Checksum sent = new Checksum();
        Checksum returned = new Checksum();
        long elapsed = together(List.of(
            () -> {
                for (long trip = there.take(); trip != END; trip = there.take()) {
                    sent.add(trip);
                    back.put(trip + 1);
                }
            },
            () -> {
                for (long trip = 0; trip < trips; trip++) {
                    there.put(trip);
                    returned.add(back.take() - 1);
                }
                there.put(END);
            }));
        sent.verify(trips);
        returned.verify(trips);
        return elapsed;
    }

    // Demand

    private static final ExecutorService POOL = Executors.newFixedThreadPool(2, task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });

    /** The publisher submits and blocks while the subscriber's buffer is full; the subscriber asks for half a buffer. */
    static long publish(int capacity, long elements) throws Exception {
        Checksum checksum = new Checksum();
        CountDownLatch completed = new CountDownLatch(1);
        long start = System.nanoTime();
        try (SubmissionPublisher<Long> publisher = new SubmissionPublisher<>(POOL, capacity)) {
            publisher.subscribe(new Flow.Subscriber<>() {
                private final int batch = capacity / 2;
                private Flow.Subscription subscription;
                private int left;

                @Override
                public void onSubscribe(Flow.Subscription subscription) {
                    this.subscription = subscription;
                    left = batch;
                    subscription.request(capacity);
                }

                @Override
                public void onNext(Long element) {
                    checksum.add(element);
                    if (--left == 0) {
                        left = batch;
                        subscription.request(batch);
                    }
                }

                @Override
                public void onError(Throwable error) {
                    completed.countDown();
                }

                @Override
                public void onComplete() {
                    completed.countDown();
                }
            });
            for (long element = 0; element < elements; element++) publisher.submit(element);
        }
        completed.await();
        long elapsed = System.nanoTime() - start;
        checksum.verify(elements);
        return elapsed;
    }

    // Semaphores

    private static final int TASKS = 8;

    static long pairOfPermits(long operations) throws InterruptedException {
        Semaphore semaphore = new Semaphore(1);
        long taken = 0;
        long start = System.nanoTime();
        for (long index = 0; index < operations; index++) {
            semaphore.acquire();
            taken++;
            semaphore.release();
        }
        long elapsed = System.nanoTime() - start;
        expect(taken, operations, "permits");
        return elapsed;
    }

    /** With one permit only its holder adds to the ledger, so that two holders at once lose additions. */
    static long crowd(int permits, long operations, boolean yields) throws Exception {
        Semaphore semaphore = new Semaphore(permits);
        long[] ledger = new long[1];
        List<Body> bodies = new ArrayList<>();
        for (int task = 0; task < TASKS; task++) {
            long times = operations * (task + 1) / TASKS - operations * task / TASKS;
            bodies.add(() -> {
                for (long index = 0; index < times; index++) {
                    semaphore.acquire();
                    if (yields) {
                        Thread.yield();
                    } else {
                        ledger[0]++;
                    }
                    semaphore.release();
                }
            });
        }
        long elapsed = together(bodies);
        if (!yields && permits == 1) expect(ledger[0], operations, "additions under 1 permit");
        return elapsed;
    }

    // The conversation

    static List<Turn> turns() {
        String queue = "Java ArrayBlockingQueue";
        String publisher = "Java SubmissionPublisher";
        String semaphore = "Java Semaphore";
        String threads = "threads, which block";
        List<Turn> turns = new ArrayList<>();
        turns.add(new Turn("pair.try", queue, threads, Elsewhere::pairTry));
        turns.add(new Turn("pair.await", queue, threads, Elsewhere::pairWaiting));
        for (int capacity : new int[] {64, 256, 1024}) {
            turns.add(new Turn("spsc." + capacity, queue, threads, n -> stream(capacity, n, 1, 1)));
            turns.add(new Turn("spsc." + capacity, publisher, "a thread that blocks, demand", n -> publish(capacity, n)));
            if (capacity == 256) continue;
            turns.add(new Turn("mpsc." + capacity, queue, threads, n -> stream(capacity, n, 4, 1)));
            turns.add(new Turn("mpmc." + capacity, queue, threads, n -> stream(capacity, n, 4, 4)));
        }
        turns.add(new Turn("pingpong", queue, threads, Elsewhere::pingPong));
        turns.add(new Turn("semaphore.pair", semaphore, threads, Elsewhere::pairOfPermits));
        turns.add(new Turn("semaphore.8on1", semaphore, threads, n -> crowd(1, n, false)));
        turns.add(new Turn("semaphore.8on2.yield", semaphore, threads, n -> crowd(2, n, true)));
        return turns;
    }

    public static void main(String[] arguments) throws IOException {
        converse(turns());
    }

    static void converse(List<Turn> turns) throws IOException {
        for (Turn turn : turns) System.out.println(turn.workload + "\t" + turn.contender + "\t" + turn.note);
        System.out.println();
        System.out.flush();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(answer(turns, line.split("\t")));
            System.out.flush();
        }
        System.exit(0);
    }

    private static String answer(List<Turn> turns, String[] words) {
        try {
            for (Turn turn : turns) {
                if (words.length == 3 && turn.workload.equals(words[0]) && turn.contender.equals(words[1])) {
                    return Long.toString(turn.body.run(Long.parseLong(words[2])));
                }
            }
            return "! no such turn";
        } catch (Exception error) {
            return "! " + error;
        }
    }
}
