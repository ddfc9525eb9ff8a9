//! Process trees, as /proc shows them: who descends from a process, their memory, their end.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Environment variable of a worker; everything that it starts inherits its value.
pub const MARKER: &str = "UDVLA_WORKER";

/// Longest time that killed processes may take to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that has not ended.
#[derive(Debug, Clone, Copy)]
struct Process {
    id: u32,
    parent: u32,
    group: u32,
}

/// Descendants of `root` that have not ended, in no particular order.
pub fn descendants(root: u32) -> BTreeSet<u32> {
    below(root, &processes())
}

/// Resident memory of `root` and its descendants, bytes; pages that they share count for each.
pub fn resident_bytes(root: u32) -> u64 {
    let members = descendants(root).into_iter().chain([root]);
    members.filter_map(resident_pages).sum::<u64>() * page_size()
}

/// Processor time of `root`, its descendants and those of them that have ended, in seconds; counted
/// in the kernel's ticks of 10 ms.
pub fn processor_seconds(root: u32) -> f64 {
    let members = descendants(root).into_iter().chain([root]);
    // SAFETY: it reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    members.filter_map(processor_ticks).sum::<u64>() as f64 / ticks as f64
}

/// Children of this process that it did not start: orphans that it adopted. `started` are those
/// that were started in a process group of their own.
///
/// None for the first process of a container, which adopts everyone's orphans.
pub(crate) fn adopted(started: &BTreeSet<u32>) -> BTreeSet<u32> {
    let this = std::process::id();
    if this == 1 {
        return BTreeSet::new();
    }
    let all = processes();
    let own_group = all.iter().find(|process| process.id == this).map(|process| process.group);
    let is_adopted = |process: &&Process| {
        process.parent == this && Some(process.group) != own_group && !started.contains(&process.id)
    };
    all.iter().filter(is_adopted).map(|process| process.id).collect()
}

/// Processes that carry the value of [`MARKER`] in the environment that they were started with.
pub fn marked(value: &str) -> BTreeSet<u32> {
    let entry = format!("{MARKER}={value}");
    let is_marked = |process: &Process| {
        fs::read(format!("/proc/{}/environ", process.id))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|word| word == entry.as_bytes()))
    };
    processes().into_iter().filter(is_marked).map(|process| process.id).collect()
}

/// Kills what `find` finds until it finds nothing more: processes may start others meanwhile.
///
/// Gives up after 5 s, for a process inside a system call that does not return.
pub(crate) fn kill_all(find: impl Fn() -> BTreeSet<u32>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut found = find();
        found.remove(&std::process::id());
        if found.is_empty() || Instant::now() > deadline {
            return;
        }
        for id in found.iter().filter_map(|id| libc::pid_t::try_from(*id).ok()) {
            // SAFETY: the process was just found to belong to the tree. Only a child that this
            // process adopted is waited for: those that it started are not in `find`.
            unsafe {
                libc::kill(id, libc::SIGKILL);
                libc::waitpid(id, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn below(root: u32, all: &[Process]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        parents.extend(children.map(|child| child.id).filter(|id| found.insert(*id)));
    }
    found
}

/// All processes that have not ended; zombies have.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses and may contain any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (!matches!(state, "Z" | "X")).then_some(Process { id, parent, group })
}

/// Ticks in user and kernel mode, its own and those of children that were waited for.
fn processor_ticks(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    fields.skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

fn resident_pages(id: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    statm.split_whitespace().nth(1)?.parse().ok()
}

fn page_size() -> u64 {
    // SAFETY: it reads a constant of the system.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_over_generations_and_no_one_else_is() {
        let process = |(id, parent)| Process { id, parent, group: 0 };
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 7)].map(process);
        assert_eq!(below(2, &all), BTreeSet::from([3, 4]));
        assert_eq!(below(1, &all), BTreeSet::from([2, 3, 4, 5, 6]));
        // A process that is its own parent must not keep the walk from ending.
        assert_eq!(below(7, &all), BTreeSet::from([7]));
    }

    #[test]
    fn this_process_is_in_its_parents_tree_and_has_memory() {
        let this = read(std::process::id()).unwrap();
        assert!(descendants(this.parent).contains(&this.id));
        assert!(resident_bytes(this.id) > 1 << 18);
        let before = processor_seconds(this.id);
        let begun = Instant::now();
        while processor_seconds(this.id) < before + 0.05 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it counts nothing");
        }
    }
}
