//! Carries out one plan on one server: the phases in order, and the server's cost between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::plan::{Group, Plan};
use crate::process::{Cost, Probe, Sample};
use crate::progress::Progress;
use crate::report::{Connect, Idle, Load, LoadCost, Outcome, Stalled};
use crate::server::Server;
use crate::tally::Tally;
use crate::worker::Worker;

const BAR_INTERVAL: Duration = Duration::from_millis(50);

/// Measures `server` as `plan` says. Files enough for its connections must be allowed.
pub(crate) fn conduct(plan: &Plan, server: &Server, progress: &Progress) -> Result<Outcome, Error> {
    let mut run = Run::new(plan, server, progress)?;
    let connect = run.connect()?;
    let idle = if plan.idle.is_zero() { None } else { Some(run.idle()?) };
    let (load, beside) = run.first_load()?;
    let stalled = if plan.stalled == 0 { None } else { Some(run.stalled_load(load.as_ref())?) };
    run.workers.into_iter().for_each(|(_, worker)| worker.close());
    Ok(Outcome {
        target: server.name.clone(),
        pids: server.probe.as_ref().map(Probe::pids).unwrap_or_default(),
        unmeasured: server.probe.as_ref().err().cloned(),
        scenario: plan.scenario,
        connections: plan.group.connections,
        rooms: plan.group.rooms,
        data_bytes: plan.data_bytes,
        pace: plan.group.pace,
        connect,
        idle,
        load,
        beside,
        stalled,
    })
}

/// Which connections a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Those that are reported on.
    Measured,
    /// The room beside.
    Beside,
}

struct Run<'a> {
    plan: &'a Plan,
    server: &'a Server,
    progress: &'a Progress,
    workers: Vec<(Part, Worker)>,
    joined: Arc<AtomicU32>,
    myself: Option<Probe>,
}

/// Both ends' use of CPU and memory so far.
struct Samples {
    at: Instant,
    server: Option<Sample>,
    client: Option<Sample>,
}

/// What happened between two samples.
struct Span {
    seconds: f64,
    server: Option<Cost>,
    client: Option<Cost>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, server: &'a Server, progress: &'a Progress) -> Result<Self, Error> {
        let joined = Arc::new(AtomicU32::new(0));
        let worker = |part, group: &Group| Ok((part, Worker::new(plan, group, &server.door, &joined)?));
        let shares = plan.group.shares(plan.threads);
        let mut workers =
            shares.iter().map(|group| worker(Part::Measured, group)).collect::<Result<Vec<_>, _>>()?;
        if let Some(crowd) = &plan.crowd {
            workers.push(worker(Part::Beside, crowd)?);
        }
        let myself = Probe::of(std::process::id()).ok();
        Ok(Self { plan, server, progress, workers, joined, myself })
    }

    fn connect(&mut self) -> Result<Connect, Error> {
        let (target, joined, all) = (&self.server.name, Arc::clone(&self.joined), self.plan.connections());
        let before = self.sample();
        let window = self.plan.connect_window;
        let progress = self.progress;
        let watch = || progress.connecting(target, joined.load(Ordering::Relaxed), all);
        let times = together(&mut self.workers, |worker| worker.connect(window), watch)?;
        let cost = self.since(&before).server;
        let seconds = times.iter().map(|(_, time)| time.as_secs_f64()).fold(0.0, f64::max);
        let each = |sum: f64| sum / f64::from(all);
        Ok(Connect {
            connections: all,
            seconds,
            per_second: f64::from(all) / seconds,
            server_cpu_us: cost.map(|cost| each(cost.cpu_us)),
            server_resident_bytes: cost.map(|cost| each(cost.resident_growth_bytes)),
        })
    }

    fn idle(&mut self) -> Result<Idle, Error> {
        let before = self.sample();
        let duration = self.plan.idle;
        self.all("idle", duration, |worker| worker.watch(duration))?;
        let span = self.since(&before);
        Ok(Idle { seconds: span.seconds, server_cpu_ms: span.server.map(|cost| cost.cpu_us / 1e3) })
    }

    /// Warms up and measures: the group's load and that of the room beside.
    fn first_load(&mut self) -> Result<(Option<Load>, Option<Load>), Error> {
        if self.plan.group.pace.is_none() {
            return Ok((None, None));
        }
        let warmup = self.load("warming up", self.plan.warmup)?;
        let before = self.sample();
        let mut tallies = self.load("measuring", self.plan.duration)?;
        let span = self.since(&before);
        for (tally, warmup) in tallies.iter_mut().zip(&warmup) {
            tally.1.add_faults(&warmup.1);
        }
        let report = |part| Some(Load::new(&sum(&tallies, part)?, span.seconds));
        let (load, beside) = (report(Part::Measured), report(Part::Beside));
        Ok((load.map(|load| Load { cost: self.cost(&span, &tallies), ..load }), beside))
    }

    /// The same load again, while some readers don't read.
    fn stalled_load(&mut self, first: Option<&Load>) -> Result<Stalled, Error> {
        let readers = self.plan.stalled;
        for (_, worker) in self.workers.iter_mut().filter(|(part, _)| *part == Part::Measured) {
            worker.stall(readers);
        }
        let before = self.sample();
        let tallies = self.load("measuring with a stalled reader", self.plan.duration)?;
        let span = self.since(&before);
        let tally = sum(&tallies, Part::Measured).unwrap_or_else(Tally::new);
        let load = Load { cost: self.cost(&span, &tallies), ..Load::new(&tally, span.seconds) };
        let p99 = |load: &Load| load.delivery.map(|latency| latency.p99_us as f64);
        let p99_ratio = first.and_then(p99).and_then(|without| Some(p99(&load)? / without));
        let server_growth_bytes = span.server.map(|cost| cost.resident_growth_bytes);
        Ok(Stalled { readers, load, p99_ratio, server_growth_bytes })
    }

    fn load(&mut self, what: &str, duration: Duration) -> Result<Vec<(Part, Tally)>, Error> {
        let settle = self.plan.settle;
        self.all(what, duration, |worker| worker.load(duration, settle))
    }

    /// Lets every worker do the same at the same time, which takes about `duration`.
    fn all<T: Send>(
        &mut self,
        what: &str,
        duration: Duration,
        work: impl Fn(&mut Worker) -> Result<T, Error> + Sync,
    ) -> Result<Vec<(Part, T)>, Error> {
        let (progress, target, started) = (self.progress, &self.server.name, Instant::now());
        let watch = || progress.passing(target, what, started.elapsed(), duration);
        together(&mut self.workers, work, watch)
    }

    fn sample(&self) -> Samples {
        Samples {
            at: Instant::now(),
            server: self.server.probe.as_ref().ok().and_then(Probe::sample),
            client: self.myself.as_ref().and_then(Probe::sample),
        }
    }

    fn since(&self, before: &Samples) -> Span {
        let now = self.sample();
        let cost =
            |before: &Option<Sample>, now: &Option<Sample>| Some(before.as_ref()?.cost_until(now.as_ref()?));
        Span {
            seconds: (now.at - before.at).as_secs_f64(),
            server: cost(&before.server, &now.server),
            client: cost(&before.client, &now.client),
        }
    }

    /// What all deliveries of a span cost, those of a room beside included.
    fn cost(&self, span: &Span, tallies: &[(Part, Tally)]) -> Option<LoadCost> {
        let delivered: u64 = tallies.iter().map(|(_, tally)| tally.delivered).sum();
        let acked: u64 = tallies.iter().map(|(_, tally)| tally.acked).sum();
        let (server, client) = (span.server?, span.client?);
        let alone = self.plan.group.connections == self.plan.group.rooms && self.plan.crowd.is_none();
        Some(LoadCost {
            server_cpu_us_per_delivery: server.cpu_us / delivered.max(1) as f64,
            server_user_us_per_delivery: server.user_us / delivered.max(1) as f64,
            server_cpu_us_per_ack: alone.then(|| server.cpu_us / acked.max(1) as f64),
            server_cores: server.cpu_us / 1e6 / span.seconds,
            client_cores: client.cpu_us / 1e6 / span.seconds,
        })
    }
}

/// The tallies of one part, added up; `None` if there is none.
fn sum(tallies: &[(Part, Tally)], part: Part) -> Option<Tally> {
    let mut of_part = tallies.iter().filter(|(of, _)| *of == part).map(|(_, tally)| tally);
    let mut sum = of_part.next()?.clone();
    of_part.for_each(|tally| sum.add(tally));
    Some(sum)
}

/// Runs `work` on a thread for each worker and `watch` now and then until all are done.
fn together<T: Send>(
    workers: &mut [(Part, Worker)],
    work: impl Fn(&mut Worker) -> Result<T, Error> + Sync,
    watch: impl Fn(),
) -> Result<Vec<(Part, T)>, Error> {
    thread::scope(|scope| {
        let work = &work;
        let mut running = Vec::with_capacity(workers.len());
        for (part, worker) in workers {
            running.push((*part, scope.spawn(move || work(worker))));
        }
        while running.iter().any(|(_, thread)| !thread.is_finished()) {
            watch();
            thread::sleep(BAR_INTERVAL);
        }
        let join =
            |(part, thread): (Part, thread::ScopedJoinHandle<'_, Result<T, Error>>)| match thread.join() {
                Ok(result) => result.map(|result| (part, result)),
                Err(panic) => std::panic::resume_unwind(panic),
            };
        running.into_iter().map(join).collect()
    })
}
