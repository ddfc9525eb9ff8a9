//! `slurm` on a real cluster of one node, made for the test: `slurmctld`, `slurmd` and `munged` of
//! Debian's packages `slurm-wlm` and `munge`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Run, assert_same_outcomes, records, udvla};

const WORDS: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "2"];

/// A cluster, ended with the value.
struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    /// `None` after printing why the test is skipped.
    fn start() -> Option<Self> {
        let programs = ["slurmctld", "slurmd", "munged"];
        let is_there = |name: &&str| Path::new("/usr/sbin").join(name).exists();
        // SAFETY: it only asks for the user's number.
        let is_root = unsafe { libc::geteuid() } == 0;
        if !programs.iter().all(is_there) || !is_root {
            println!(
                "skipped: slurm: its daemons are not here (apt-get install slurm-wlm munge, root)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Self { folder, daemons: vec![] };
        cluster.daemon("munged", &["--foreground", "--force"], &cluster.munge());
        let socket = cluster.path("munge.socket");
        wait(|| socket.exists(), "munged");
        fs::write(cluster.path("slurm.conf"), cluster.configuration()).unwrap();
        for (name, arguments) in [("slurmctld", ["-D", "-i"]), ("slurmd", ["-D", "-s"])] {
            cluster.daemon(name, &arguments, &[]);
        }
        let up = || cluster.ask("sinfo", &["-h", "-o", "%T"]).contains("idle");
        wait(up, "the node");
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Arguments of `munged`, whose key is made here.
    fn munge(&self) -> Vec<String> {
        let key = self.path("munge.key");
        fs::write(&key, [7; 64]).unwrap();
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        let names = [("key-file", "key"), ("socket", "socket"), ("pid-file", "pid")];
        let more = [("log-file", "log"), ("seed-file", "seed")];
        let argument = |(flag, end): &(&str, &str)| {
            format!("--{flag}={}", self.path(&format!("munge.{end}")).display())
        };
        names.iter().chain(&more).map(argument).collect()
    }

    fn configuration(&self) -> String {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim();
        let port =
            || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (control, node) = (port(), port());
        let folder = self.folder.path().display();
        format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\n\
             AuthInfo=socket={folder}/munge.socket,cred_expire=2\n\
             SlurmctldPort={control}\nSlurmdPort={node}\n\
             StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n\
             SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid\n\
             SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nReturnToService=2\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n\
             SlurmdParameters=config_overrides\nMpiDefault=none\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES State=UP\n"
        )
    }

    fn daemon(&mut self, name: &str, arguments: &[&str], more: &[String]) {
        let log = fs::File::create(self.path(&format!("{name}.out"))).unwrap();
        let mut command = Command::new(Path::new("/usr/sbin").join(name));
        command.args(arguments).args(more).env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// What a command of Slurm prints.
    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command.args(arguments).env("SLURM_CONF", self.path("slurm.conf")).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// Runs the program with this cluster.
    fn udvla(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        command.args(words).env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.ask("scancel", &["--user=root"]);
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[track_caller]
fn wait(mut done: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(90);
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn parts_play_on_a_cluster_one_is_requeued_in_the_middle_and_the_tables_are_a_single_runs() {
    let Some(cluster) = Cluster::start() else { return };
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let out = cluster.path("a run");
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let folder = out.display().to_string();
    let mut words =
        vec!["slurm", "--parts=3", "--out", &folder, "--time=10", "--cpus=1", "--submit"];
    words.extend(["--before=export MARK=here", "--", "libero", "--simulator", fake]);
    words.extend(["--sim-option=step_ms=5", "--workers=1"]);
    words.extend(WORDS);
    let output = cluster.udvla(&words);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let job = stdout.split("parts: job ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    // As the time limit comes near, Slurm sends this signal to the shell of the part.
    let second = out.join("part-2/episodes.jsonl");
    let lines = || fs::read_to_string(&second).unwrap_or_default().lines().count();
    wait(|| lines() > 0, "a record of the second part");
    cluster.ask("scancel", &["--signal=USR1", "--batch", &format!("{job}_2")]);
    let log = |name: &str| fs::read_to_string(out.join("logs").join(name)).unwrap_or_default();
    wait(|| cluster.ask("squeue", &[]).contains("BeginTime"), "the requeue");
    // Slurm lets a job that was requeued wait for two minutes; within the same second it would be refused.
    std::thread::sleep(Duration::from_secs(3));
    cluster.ask("scontrol", &["update", &format!("jobid={job}_2"), "StartTime=now"]);
    let merged = out.join("whole/report.html");
    let end = Instant::now() + Duration::from_secs(150);
    while !merged.exists() {
        let queue = cluster.ask("squeue", &[]);
        assert!(
            Instant::now() < end && !queue.contains("DependencyNeverSatisfied"),
            "{queue}\n{}\n{}\n{}",
            log("part-2.log"),
            log("merge.log"),
            fs::read_to_string(cluster.path("slurmctld.log")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(
        log("part-2.log").contains("requeued: the time limit is near"),
        "{}",
        log("part-2.log")
    );
    assert!(log("part-2.log").contains("done already"), "{}", log("part-2.log"));
    assert!(!log("part-1.log").contains("requeued"), "{}", log("part-1.log"));
    assert_same_outcomes(&whole.records(), &records(&out.join("whole")));
    let tables = |directory: &Path| {
        let path = directory.display().to_string();
        let ended = udvla(&["tables", "--format=json", "--name=row", &path]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    assert_eq!(tables(&out.join("whole")), tables(&whole.directory()));
}

#[test]
fn the_script_is_printed_and_sound_and_commands_that_cannot_work_are_refused() {
    let words = ["slurm", "--parts=4", "--out=/shared/it's", "--time=4:00:00", "--gpus=h100:1"];
    let more = ["--memory=64G", "--partition=gpu", "--account=lab", "--at-once=2", "--drain=900"];
    let rest = ["--sbatch=--constraint=h200", "--", "libero", "--suite=long", "--policy", "expert"];
    let ended = udvla(&[&words[..], &more, &rest].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for line in [
        "#SBATCH --array=1-4%2",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR1@900",
        "#SBATCH --time=4:00:00",
        "#SBATCH --gpus=h100:1",
        "#SBATCH --mem=64G",
        "#SBATCH --constraint=h200",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
    ] {
        assert!(
            ended.stdout.lines().any(|printed| printed == line),
            "no `{line}` in {}",
            ended.stdout
        );
    }
    // The shell reads it, and the script inside, without complaint.
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = ended.stdout.split("<<'PART'\n").nth(1).unwrap().split("\nPART\n").next().unwrap();
    for script in [ended.stdout.as_str(), inside] {
        fs::write(file.path(), script).unwrap();
        let checked = Command::new("bash").arg("-n").arg(file.path()).output().unwrap();
        assert!(checked.status.success() && checked.stderr.is_empty(), "{script}\n{checked:?}");
    }
    let refused = |words: &[&str], expected: &str| {
        let ended = udvla(&[&["slurm"], words].concat());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
    };
    refused(&["--parts=2", "--", "libero", "--out=x"], "`--out` does not go into the command");
    refused(&["--parts=2", "--", "libero", "--part=1/2"], "`--part` does not go into the command");
    refused(&["--parts=2", "--", "tables", "x"], "plays no episodes");
    refused(&["--parts=2", "--", "libero", "--suit=long"], "--suit");
    refused(
        &["--parts=900", "--", "libero", "--suite=long"],
        "none of the run's 500 episodes is in",
    );
}
