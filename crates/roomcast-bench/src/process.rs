//! What a server's processes cost, read from Linux's `/proc`: CPU to the nanosecond, memory, and which process
//! listens on a port. It only reads.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};

/// A process tree that can be sampled.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    roots: BTreeSet<u32>,
}

/// What a process tree has used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Nanoseconds on a CPU, by thread: an exited thread takes its count along, so only threads that are in
    /// both of two samples, or new in the second, can be compared.
    threads: HashMap<u32, u64>,
    user_ticks: u64,
    system_ticks: u64,
    resident_bytes: u64,
}

/// What was used between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) cpu_us: f64,
    /// The part of it in user space. The kernel counts this in ticks (4 or 10 ms), so short spans are coarse.
    pub(crate) user_us: f64,
    pub(crate) resident_growth_bytes: f64,
}

impl Probe {
    /// Of a process and its children.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let probe = Self { roots: BTreeSet::from([pid]) };
        match probe.sample() {
            Some(_) => Ok(probe),
            None => Err(format!("process {pid} can't be read from /proc (needs Linux and the same user)")),
        }
    }

    /// Of whatever listens on `address`, if that is on this machine and may be looked at.
    pub(crate) fn listening_on(address: SocketAddr) -> Result<Self, String> {
        if TcpListener::bind((address.ip(), 0)).is_err() {
            return Err(format!("{} isn't an address of this machine", address.ip()));
        }
        let roots = pids_with(&listening_inodes(address.port()));
        let probe = Self { roots };
        match probe.sample() {
            Some(_) => Ok(probe),
            None => Err(format!(
                "no process that this user may look at listens on port {} (needs Linux; --pid names it)",
                address.port()
            )),
        }
    }

    /// The processes at the top of the tree.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.roots.iter().copied().collect()
    }

    /// What the tree has used by now; `None` once it is gone.
    pub(crate) fn sample(&self) -> Option<Sample> {
        let mut sample = Sample::default();
        for pid in with_descendants(&self.roots) {
            sample.add_process(pid);
        }
        (!sample.threads.is_empty()).then_some(sample)
    }
}

impl Sample {
    /// A process that ends meanwhile counts as far as it could be read.
    fn add_process(&mut self, pid: u32) {
        for task in numbers_in(&format!("/proc/{pid}/task")) {
            let path = format!("/proc/{pid}/task/{task}/schedstat");
            let nanos = fs::read_to_string(path).ok().and_then(|text| text.split(' ').next()?.parse().ok());
            if let Some(nanos) = nanos {
                self.threads.insert(task, nanos);
            }
        }
        if let Some(fields) = stat_fields(pid) {
            // utime and stime: fields 14 and 15, of which `fields` starts at 3.
            let ticks =
                |at: usize| fields.get(at - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            self.user_ticks += ticks(14);
            self.system_ticks += ticks(15);
        }
        self.resident_bytes += resident_bytes(pid).unwrap_or(0);
    }

    /// What was used from here to `later`.
    pub(crate) fn cost_until(&self, later: &Self) -> Cost {
        let before = |task| self.threads.get(task).copied().unwrap_or(0);
        let nanos: u64 = later.threads.iter().map(|(task, nanos)| nanos.saturating_sub(before(task))).sum();
        let user = later.user_ticks.saturating_sub(self.user_ticks) as f64;
        let system = later.system_ticks.saturating_sub(self.system_ticks) as f64;
        let cpu_us = nanos as f64 / 1e3;
        Cost {
            cpu_us,
            user_us: cpu_us * user / (user + system).max(1.0),
            resident_growth_bytes: later.resident_bytes as f64 - self.resident_bytes as f64,
        }
    }
}

/// Resident memory: exact where the kernel walks the pages, else its own running estimate.
fn resident_bytes(pid: u32) -> Option<u64> {
    let exact = || {
        fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| kilobytes(&text, "Rss:"))
    };
    let estimate =
        || fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|text| kilobytes(&text, "VmRSS:"));
    exact().or_else(estimate).map(|kilobytes| kilobytes * 1024)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// `/proc/PID/stat` from the third field on; the second may hold anything, so it is skipped from behind.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn numbers_in(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn with_descendants(roots: &BTreeSet<u32>) -> BTreeSet<u32> {
    let parent = |pid| Some((pid, stat_fields(pid)?.get(1)?.parse::<u32>().ok()?));
    let parents: Vec<(u32, u32)> = numbers_in("/proc").into_iter().filter_map(parent).collect();
    let mut tree = roots.clone();
    loop {
        let children = parents.iter().filter(|(pid, parent)| tree.contains(parent) && !tree.contains(pid));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            return tree;
        }
        tree.extend(children);
    }
}

/// The sockets that listen on `port`, as `/proc/net/tcp` and `tcp6` name them.
fn listening_inodes(port: u16) -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| listening_inode(line, port)).collect()
}

fn listening_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == LISTEN && u16::from_str_radix(local_port, 16).ok()? == port;
    listens.then(|| format!("socket:[{}]", fields.get(9).copied().unwrap_or_default()))
}

fn pids_with(sockets: &BTreeSet<String>) -> BTreeSet<u32> {
    let holds = |pid: &u32| {
        numbers_in(&format!("/proc/{pid}/fd")).iter().any(|file| {
            let target = fs::read_link(format!("/proc/{pid}/fd/{file}")).ok();
            target.and_then(|target| target.to_str().map(|target| sockets.contains(target))).unwrap_or(false)
        })
    };
    numbers_in("/proc").into_iter().filter(holds).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn work_done_between_two_samples_is_seen() {
        let probe = Probe::of(std::process::id()).unwrap();
        let before = probe.sample().unwrap();
        let kept = vec![black_box(1_u8); 32 * 1024 * 1024];
        let mut sum = 0_u64;
        while probe.sample().unwrap().threads.values().sum::<u64>()
            < before.threads.values().sum::<u64>() + 20_000_000
        {
            sum = kept.iter().map(|byte| u64::from(black_box(*byte))).sum();
        }
        let cost = before.cost_until(&probe.sample().unwrap());
        assert!(cost.cpu_us >= 20_000.0, "{cost:?} after a sum of {sum}");
        assert!(cost.resident_growth_bytes > 16e6, "{cost:?}");
    }

    #[test]
    fn a_listening_port_leads_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Probe::listening_on(address).unwrap().pids(), [std::process::id()]);
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_named() {
        let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(Probe::listening_on(nowhere).unwrap_err().contains("port 0"));
    }

    #[test]
    fn another_machines_address_is_not_looked_for_here() {
        let elsewhere: SocketAddr = "192.0.2.1:8000".parse().unwrap();
        assert!(Probe::listening_on(elsewhere).unwrap_err().contains("192.0.2.1"));
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let line = |state| {
            format!(
                "  0: 0100007F:1F40 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 4711 1"
            )
        };
        assert_eq!(listening_inode(&line("0A"), 8000), Some("socket:[4711]".into()));
        assert_eq!(listening_inode(&line("01"), 8000), None);
        assert_eq!(listening_inode(&line("0A"), 8001), None);
        assert_eq!(listening_inode("  sl  local_address", 8000), None);
    }
}
