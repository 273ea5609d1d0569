// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The workloads in Rust: tokio, async-channel and flume as tasks on a tokio runtime of two workers, crossbeam-channel as
// threads. It takes turns with the other programs; `run` has the conversation.
//
// A measured loop never runs on the main thread, which only waits for it, but in a task of the runtime or in a thread.

use std::future::Future;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// Nanoseconds, or what was wrong.
type Outcome = Result<u128, String>;

/// What consumers got, against what producers sent: the integers from 0 up.
#[derive(Clone, Copy, Default)]
struct Checksum {
    sum: i64,
    count: i64,
}

impl Checksum {
    #[inline(always)]
    fn add(&mut self, element: i64) {
        self.sum = self.sum.wrapping_add(element);
        self.count += 1;
    }

    fn join(&mut self, other: Checksum) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.count += other.count;
    }

    fn verify(&self, elements: i64, nanoseconds: u128) -> Outcome {
        let expected = elements.wrapping_mul(elements - 1) / 2;
        if self.sum == expected && self.count == elements {
            Ok(nanoseconds)
        } else {
            Err(format!("{} of {} elements, sum {} instead of {}", self.count, elements, self.sum, expected))
        }
    }
}

fn share(elements: i64, index: i64, of: i64) -> std::ops::Range<i64> {
    (elements * index / of)..(elements * (index + 1) / of)
}

// MARK: - Channels of tasks

/// The loops, written out against each crate's types. `$split` makes so many receivers of one, and the last two say how
/// an element goes in and how one, or the end, comes out.
macro_rules! task_channel {
    ($module:ident, $make:path, $split:expr, |$tx:ident, $value:ident| $send:expr, |$rx:ident| $receive:expr,
     |$try_tx:ident, $try_value:ident| $try_send:expr, |$try_rx:ident| $try_receive:expr) => {
        mod $module {
            use super::*;

            #[allow(unused_mut)]
            pub async fn pair_try(elements: i64) -> Outcome {
                let ($try_tx, mut $try_rx) = $make(1024);
                let mut checksum = Checksum::default();
                let start = Instant::now();
                for $try_value in 0..elements {
                    if !$try_send { break }
                    match $try_receive { Some(element) => checksum.add(element), None => break }
                }
                checksum.verify(elements, start.elapsed().as_nanos())
            }

            #[allow(unused_mut)]
            pub async fn pair_await(elements: i64) -> Outcome {
                let ($tx, mut $rx) = $make(1024);
                let mut checksum = Checksum::default();
                let start = Instant::now();
                for $value in 0..elements {
                    if !$send { break }
                    match $receive { Some(element) => checksum.add(element), None => break }
                }
                checksum.verify(elements, start.elapsed().as_nanos())
            }

            #[allow(unused_mut)]
            pub async fn stream(capacity: usize, elements: i64, producers: i64, consumers: usize) -> Outcome {
                let (sender, receiver) = $make(capacity);
                let receivers = $split(receiver, consumers);
                let start = Instant::now();
                let mut sending = Vec::new();
                for index in 0..producers {
                    let $tx = sender.clone();
                    sending.push(tokio::spawn(async move {
                        for $value in share(elements, index, producers) { if !$send { break } }
                    }));
                }
                drop(sender);
                let mut receiving = Vec::new();
                for mut $rx in receivers {
                    receiving.push(tokio::spawn(async move {
                        let mut checksum = Checksum::default();
                        while let Some(element) = $receive { checksum.add(element) }
                        checksum
                    }));
                }
                let mut total = Checksum::default();
                for task in sending { task.await.map_err(|error| error.to_string())? }
                for task in receiving { total.join(task.await.map_err(|error| error.to_string())?) }
                total.verify(elements, start.elapsed().as_nanos())
            }

            #[allow(unused_mut)]
            pub async fn ping_pong(trips: i64) -> Outcome {
                let (there, mut questions) = $make(1);
                let (back, mut answers) = $make(1);
                let start = Instant::now();
                let answering = tokio::spawn(async move {
                    let mut checksum = Checksum::default();
                    loop {
                        let trip = { let $rx = &mut questions; $receive };
                        let Some(trip) = trip else { break };
                        checksum.add(trip);
                        let ($tx, $value) = (&back, trip + 1);
                        if !$send { break }
                    }
                    checksum
                });
                let mut returned = Checksum::default();
                for trip in 0..trips {
                    { let ($tx, $value) = (&there, trip); if !$send { break } }
                    let answer = { let $rx = &mut answers; $receive };
                    match answer { Some(answer) => returned.add(answer - 1), None => break }
                }
                drop(there);
                let sent = answering.await.map_err(|error| error.to_string())?;
                let elapsed = start.elapsed().as_nanos();
                sent.verify(trips, elapsed)?;
                returned.verify(trips, elapsed)
            }
        }
    };
}

task_channel!(
    on_tokio, tokio::sync::mpsc::channel, |receiver, _consumers: usize| vec![receiver],
    |tx, value| tx.send(value).await.is_ok(), |rx| rx.recv().await,
    |tx, value| tx.try_send(value).is_ok(), |rx| rx.try_recv().ok()
);
task_channel!(
    on_async_channel, async_channel::bounded, |receiver, consumers: usize| vec![receiver; consumers],
    |tx, value| tx.send(value).await.is_ok(), |rx| rx.recv().await.ok(),
    |tx, value| tx.try_send(value).is_ok(), |rx| rx.try_recv().ok()
);
task_channel!(
    on_flume, flume::bounded, |receiver, consumers: usize| vec![receiver; consumers],
    |tx, value| tx.send_async(value).await.is_ok(), |rx| rx.recv_async().await.ok(),
    |tx, value| tx.try_send(value).is_ok(), |rx| rx.try_recv().ok()
);

// MARK: - Channels of threads

mod on_crossbeam {
    use super::*;
    use crossbeam_channel::bounded;

    fn on_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        std::thread::spawn(body).join().map_err(|_| "a thread has panicked".to_string())
    }

    pub fn pair_try(elements: i64) -> Outcome {
        on_thread(move || {
            let (sender, receiver) = bounded(1024);
            let mut checksum = Checksum::default();
            let start = Instant::now();
            for value in 0..elements {
                if sender.try_send(value).is_err() { break }
                match receiver.try_recv() { Ok(element) => checksum.add(element), Err(_) => break }
            }
            checksum.verify(elements, start.elapsed().as_nanos())
        })?
    }

    pub fn pair_blocking(elements: i64) -> Outcome {
        on_thread(move || {
            let (sender, receiver) = bounded(1024);
            let mut checksum = Checksum::default();
            let start = Instant::now();
            for value in 0..elements {
                if sender.send(value).is_err() { break }
                match receiver.recv() { Ok(element) => checksum.add(element), Err(_) => break }
            }
            checksum.verify(elements, start.elapsed().as_nanos())
        })?
    }

    pub fn stream(capacity: usize, elements: i64, producers: i64, consumers: usize) -> Outcome {
        let (sender, receiver) = bounded(capacity);
        let start = Instant::now();
        let mut sending = Vec::new();
        for index in 0..producers {
            let sender = sender.clone();
            sending.push(std::thread::spawn(move || {
                for value in share(elements, index, producers) { if sender.send(value).is_err() { break } }
            }));
        }
        drop(sender);
        let mut receiving = Vec::new();
        for receiver in vec![receiver; consumers] {
            receiving.push(std::thread::spawn(move || {
                let mut checksum = Checksum::default();
                while let Ok(element) = receiver.recv() { checksum.add(element) }
                checksum
            }));
        }
        let mut total = Checksum::default();
        for thread in sending { thread.join().map_err(|_| "a thread has panicked")? }
        for thread in receiving { total.join(thread.join().map_err(|_| "a thread has panicked")?) }
        total.verify(elements, start.elapsed().as_nanos())
    }

    pub fn ping_pong(trips: i64) -> Outcome {
        on_thread(move || {
            let (there, questions) = bounded::<i64>(1);
            let (back, answers) = bounded::<i64>(1);
            let start = Instant::now();
            let answering = std::thread::spawn(move || {
                let mut checksum = Checksum::default();
                while let Ok(trip) = questions.recv() {
                    checksum.add(trip);
                    if back.send(trip + 1).is_err() { break }
                }
                checksum
            });
            let mut returned = Checksum::default();
            for trip in 0..trips {
                if there.send(trip).is_err() { break }
                match answers.recv() { Ok(answer) => returned.add(answer - 1), Err(_) => break }
            }
            drop(there);
            let sent = answering.join().map_err(|_| "a thread has panicked")?;
            let elapsed = start.elapsed().as_nanos();
            sent.verify(trips, elapsed)?;
            returned.verify(trips, elapsed)
        })?
    }
}

// MARK: - Semaphores

/// A number that only holders change; two holders at once lose additions.
struct Ledger(std::cell::UnsafeCell<i64>);
unsafe impl Sync for Ledger {}
unsafe impl Send for Ledger {}

macro_rules! semaphore {
    ($module:ident, $make:expr, |$semaphore:ident| $acquire:expr) => {
        mod $module {
            use super::*;

            pub async fn pair(operations: i64) -> Outcome {
                let $semaphore = $make(1);
                let mut taken = 0;
                let start = Instant::now();
                for _ in 0..operations {
                    let permit = $acquire;
                    taken += 1;
                    drop(permit);
                }
                let elapsed = start.elapsed().as_nanos();
                if taken == operations { Ok(elapsed) } else { Err(format!("{taken} of {operations} permits")) }
            }

            pub async fn crowd(permits: usize, operations: i64, yields: bool) -> Outcome {
                const TASKS: i64 = 8;
                let shared = Arc::new($make(permits));
                let ledger = Arc::new(Ledger(std::cell::UnsafeCell::new(0)));
                let start = Instant::now();
                let mut tasks = Vec::new();
                for index in 0..TASKS {
                    let ($semaphore, ledger) = (shared.clone(), ledger.clone());
                    let times = share(operations, index, TASKS);
                    tasks.push(tokio::spawn(async move {
                        let ledger = ledger;
                        for _ in times {
                            let permit = $acquire;
                            if yields { tokio::task::yield_now().await } else { unsafe { *ledger.0.get() += 1 } }
                            drop(permit);
                        }
                    }));
                }
                for task in tasks { task.await.map_err(|error| error.to_string())? }
                let elapsed = start.elapsed().as_nanos();
                let sum = unsafe { *ledger.0.get() };
                if yields || permits > 1 || sum == operations { Ok(elapsed) }
                else { Err(format!("{sum} of {operations} additions under 1 permit")) }
            }
        }
    };
}

semaphore!(tokio_semaphore, tokio::sync::Semaphore::new, |semaphore| semaphore.acquire().await);
semaphore!(async_lock_semaphore, async_lock::Semaphore::new, |semaphore| semaphore.acquire().await);

// MARK: - A token bucket

/// GCRA in one atomic word, as one writes it by hand: no crate for it is in Debian.
struct Bucket {
    arrival: AtomicI64,
    interval: i64,
    tolerance: i64,
    origin: Instant,
}

impl Bucket {
    fn new(interval: i64, burst: i64, spent: i64) -> Bucket {
        Bucket { arrival: AtomicI64::new(spent * interval), interval, tolerance: (burst - 1) * interval, origin: Instant::now() }
    }

    #[inline(always)]
    fn try_acquire(&self) -> bool {
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let now = self.origin.elapsed().as_nanos() as i64;
            if arrival - now > self.tolerance { return false }
            let next = arrival.max(now) + self.interval;
            match self.arrival.compare_exchange_weak(arrival, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => arrival = seen,
            }
        }
    }
}

async fn bucket(operations: i64, allowed: bool) -> Outcome {
    let bucket = if allowed { Bucket::new(1, 1_000_000, 0) } else { Bucket::new(3_600_000_000_000, 1, 1) };
    let mut taken = 0;
    let start = Instant::now();
    for _ in 0..operations { if bucket.try_acquire() { taken += 1 } }
    let elapsed = start.elapsed().as_nanos();
    if taken == (if allowed { operations } else { 0 }) { Ok(elapsed) }
    else { Err(format!("{taken} of {operations} were allowed")) }
}

// MARK: - The conversation

const TOKIO: &str = "tokio";
const ASYNC_CHANNEL: &str = "async-channel";
const ASYNC_LOCK: &str = "async-lock";
const FLUME: &str = "flume";
const CROSSBEAM: &str = "crossbeam";
const BY_HAND: &str = "GCRA by hand, Rust";

fn turns() -> Vec<(String, &'static str, &'static str)> {
    let mut turns = Vec::new();
    let names = |names: &[&'static str]| names.to_vec();
    for (workload, contenders) in [
        ("pair.try", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("pair.await", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("spsc.64", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("spsc.256", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("spsc.1024", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("mpsc.64", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("mpsc.1024", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("mpmc.64", names(&[ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("mpmc.1024", names(&[ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("pingpong", names(&[TOKIO, ASYNC_CHANNEL, FLUME, CROSSBEAM])),
        ("semaphore.pair", names(&[TOKIO, ASYNC_LOCK])),
        ("semaphore.8on1", names(&[TOKIO, ASYNC_LOCK])),
        ("semaphore.8on2.yield", names(&[TOKIO, ASYNC_LOCK])),
        ("bucket.try", names(&[BY_HAND])),
        ("bucket.denied", names(&[BY_HAND])),
    ] {
        for contender in contenders {
            let note = match contender {
                CROSSBEAM => "threads, which block",
                TOKIO if workload.starts_with("semaphore") => "strict order",
                TOKIO if !workload.starts_with("semaphore") => "one consumer",
                BY_HAND => "a floor: no limiter around it",
                _ => "",
            };
            turns.push((workload.to_string(), contender, note));
        }
    }
    turns
}

/// Runs a future in a task of the runtime.
fn in_task(runtime: &tokio::runtime::Runtime, future: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    runtime.block_on(runtime.spawn(future)).map_err(|error| error.to_string())?
}

macro_rules! by_crate {
    ($contender:expr, $runtime:expr, $function:ident ( $($argument:expr),* )) => {
        match $contender {
            TOKIO => in_task($runtime, on_tokio::$function($($argument),*)),
            ASYNC_CHANNEL => in_task($runtime, on_async_channel::$function($($argument),*)),
            FLUME => in_task($runtime, on_flume::$function($($argument),*)),
            _ => Err("no such turn".to_string()),
        }
    };
}

fn take_turn(runtime: &tokio::runtime::Runtime, workload: &str, contender: &str, operations: i64) -> Outcome {
    let mut parts = workload.split('.');
    let (kind, detail) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let capacity = detail.parse::<usize>().unwrap_or(0);
    let is_threads = contender == CROSSBEAM;
    match (kind, detail) {
        ("pair", "try") if is_threads => on_crossbeam::pair_try(operations),
        ("pair", "await") if is_threads => on_crossbeam::pair_blocking(operations),
        ("spsc", _) if is_threads => on_crossbeam::stream(capacity, operations, 1, 1),
        ("mpsc", _) if is_threads => on_crossbeam::stream(capacity, operations, 4, 1),
        ("mpmc", _) if is_threads => on_crossbeam::stream(capacity, operations, 4, 4),
        ("pingpong", _) if is_threads => on_crossbeam::ping_pong(operations),
        ("pair", "try") => by_crate!(contender, runtime, pair_try(operations)),
        ("pair", "await") => by_crate!(contender, runtime, pair_await(operations)),
        ("spsc", _) => by_crate!(contender, runtime, stream(capacity, operations, 1, 1)),
        ("mpsc", _) => by_crate!(contender, runtime, stream(capacity, operations, 4, 1)),
        ("mpmc", _) => by_crate!(contender, runtime, stream(capacity, operations, 4, 4)),
        ("pingpong", _) => by_crate!(contender, runtime, ping_pong(operations)),
        ("bucket", _) => in_task(runtime, bucket(operations, detail == "try")),
        ("semaphore", _) => match (contender, detail) {
            (TOKIO, "pair") => in_task(runtime, tokio_semaphore::pair(operations)),
            (TOKIO, "8on1") => in_task(runtime, tokio_semaphore::crowd(1, operations, false)),
            (TOKIO, _) => in_task(runtime, tokio_semaphore::crowd(2, operations, true)),
            (_, "pair") => in_task(runtime, async_lock_semaphore::pair(operations)),
            (_, "8on1") => in_task(runtime, async_lock_semaphore::crowd(1, operations, false)),
            (_, _) => in_task(runtime, async_lock_semaphore::crowd(2, operations, true)),
        },
        _ => Err("no such turn".to_string()),
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let mut out = std::io::stdout();
    let turns = turns();
    for (workload, contender, note) in &turns { println!("{workload}\t{contender}\t{note}") }
    println!();
    out.flush().expect("standard output");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input");
        let words: Vec<&str> = line.split('\t').collect();
        let operations = words.get(2).and_then(|word| word.parse::<i64>().ok()).filter(|&count| count > 0);
        let known = words.len() == 3 && turns.iter().any(|turn| turn.0 == words[0] && turn.1 == words[1]);
        let outcome = match operations {
            Some(operations) if known => take_turn(&runtime, words[0], words[1], operations),
            _ => Err("no such turn".to_string()),
        };
        match outcome {
            Ok(nanoseconds) => println!("{nanoseconds}"),
            Err(text) => println!("! {text}"),
        }
        out.flush().expect("standard output");
    }
}
