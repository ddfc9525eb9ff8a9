//! Checkpoints of the hub, from a server on this machine that speaks its file API.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Checkpoint, Ended, Run};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository, whose revision `v1` is the commit above.
const NAME: &str = "lab/nano";

/// A file of weights in it.
const WEIGHTS: &str = "model/model-00001-of-00002.safetensors";

/// What the server does that a hub should not.
#[derive(Default)]
struct Faults {
    /// A file of which the first answer is cut in the middle.
    cut: Option<String>,
    /// A file that the hub has another hash for.
    changed: Option<String>,
    /// `Range` of every answer with a part of that file.
    ranges: Vec<String>,
    /// The key that was shown.
    keys: Vec<String>,
}

struct Hub {
    port: u16,
    faults: Arc<Mutex<Faults>>,
    home: tempfile::TempDir,
}

impl Hub {
    fn new(folder: &Path, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = Arc::new(files(folder, folder));
        let faults = Arc::new(Mutex::new(faults));
        let shared = Arc::clone(&faults);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, faults) = (Arc::clone(&files), Arc::clone(&shared));
                std::thread::spawn(move || answer(stream, &files, &faults));
            }
        });
        Self { port, faults, home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, mut command: Command) -> Command {
        command.env("HF_ENDPOINT", format!("http://127.0.0.1:{}", self.port));
        command.env("HF_HOME", self.home.path()).env("HF_TOKEN", "hf_secret");
        command.env_remove("HF_HUB_OFFLINE");
        command
    }

    fn inspect(&self, address: &str, variables: &[(&str, &str)]) -> Ended {
        self.udvla(&["inspect", address], variables)
    }

    fn udvla(&self, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = self.command(Command::new(env!("CARGO_BIN_EXE_udvla-eval")));
        command.args(words).envs(variables.iter().copied());
        let output = command.output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The files below a folder, by their names in the repository.
fn files(root: &Path, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path: PathBuf = entry.path();
        if path.is_dir() {
            found.extend(files(root, &path));
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, std::fs::read(path).unwrap());
        }
    }
    found
}

fn answer(stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, faults: &Mutex<Faults>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "range" => range = value.strip_prefix("bytes=").map(str::to_owned),
            "authorization" => faults.lock().unwrap().keys.push(value.to_owned()),
            _ => {}
        }
    }
    let mut stream = stream;
    let mut reply = |status: &str, headers: &str, length: usize, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    if target == format!("/api/models/{NAME}/revision/v1?blobs=true") {
        let body = info(files, &faults.lock().unwrap()).to_string();
        return reply("200 OK", "Content-Type: application/json\r\n", body.len(), body.as_bytes());
    }
    let name = target.strip_prefix(&format!("/{NAME}/resolve/{SHA}/"));
    let Some((name, bytes)) = name.and_then(|name| files.get_key_value(name)) else {
        return reply("404 Not Found", "", 0, b"");
    };
    let (first, last) = range.as_deref().and_then(|range| range.split_once('-')).unwrap();
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(bytes.len(), |last: usize| last + 1);
    let part = &bytes[first.min(end)..end];
    let etag = sha256(bytes);
    let headers = format!(
        "ETag: \"{etag}\"\r\nX-Repo-Commit: {SHA}\r\nContent-Range: bytes {first}-{}/{}\r\n",
        end - 1,
        bytes.len()
    );
    let mut faults = faults.lock().unwrap();
    let is_probe = last == "0";
    let mut sent = part;
    if !is_probe && faults.cut.as_deref() == Some(name) {
        faults.ranges.push(range.clone().unwrap());
        if faults.ranges.len() == 1 {
            sent = &part[..part.len() / 2];
        }
    }
    reply("206 Partial Content", &headers, part.len(), sent);
}

fn info(files: &BTreeMap<String, Vec<u8>>, faults: &Faults) -> serde_json::Value {
    let file = |(name, bytes): (&String, &Vec<u8>)| {
        let changed = faults.changed.as_ref() == Some(name);
        let digest = if changed { sha256(b"another file") } else { sha256(bytes) };
        match name.ends_with(".safetensors") {
            true => json!({"rfilename": name, "lfs": {"sha256": digest, "size": bytes.len()}}),
            false => json!({"rfilename": name}),
        }
    };
    let mut siblings: Vec<_> = files.iter().map(file).collect();
    siblings.push(json!({"rfilename": "pickled.bin"}));
    json!({"sha": SHA, "siblings": siblings})
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_download_that_is_cut_goes_on_and_is_not_repeated() {
    let checkpoint = Checkpoint::make();
    let weights = WEIGHTS.to_owned();
    let size = std::fs::metadata(checkpoint.path().join(&weights)).unwrap().len();
    let hub = Hub::new(&checkpoint.path(), Faults { cut: Some(weights), ..Faults::default() });
    let ended = hub.inspect("hf:lab/nano@v1", &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("snapshots/{SHA}")), "{}", ended.stderr);
    let ranges = hub.faults.lock().unwrap().ranges.clone();
    assert_eq!(ranges, ["0-".to_owned(), format!("{}-", size / 2)]);
    assert!(hub.faults.lock().unwrap().keys.iter().all(|key| key == "Bearer hf_secret"));
    // Everything is in the cache now, and no file is fetched twice.
    let again = hub.inspect("hf:lab/nano@v1", &[]);
    assert_eq!((again.code, &again.stdout), (0, &ended.stdout), "{}", again.stderr);
    assert_eq!(hub.faults.lock().unwrap().ranges.len(), 2);
    let offline = [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")];
    // The cache knows revisions by the name under which they were asked for.
    let offline = hub.inspect(&format!("hf:lab/nano@{SHA}"), &offline);
    assert_eq!((offline.code, &offline.stdout), (0, &ended.stdout), "{}", offline.stderr);
}

#[test]
fn a_file_that_is_not_as_the_hub_says_is_removed_and_the_checkpoint_refused() {
    let checkpoint = Checkpoint::make();
    let weights = WEIGHTS.to_owned();
    let faults = Faults { changed: Some(weights.clone()), ..Faults::default() };
    let hub = Hub::new(&checkpoint.path(), faults);
    for _ in 0..2 {
        let ended = hub.inspect("hf:lab/nano@v1", &[]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        for text in [WEIGHTS, "has SHA-256", &sha256(b"another file")] {
            assert!(ended.stderr.contains(text), "no `{text}` in {}", ended.stderr);
        }
    }
    hub.faults.lock().unwrap().changed = None;
    let ended = hub.inspect("hf:lab/nano@v1", &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn what_is_not_there_is_refused_with_the_next_step() {
    let checkpoint = Checkpoint::make();
    let hub = Hub::new(&checkpoint.path(), Faults::default());
    let offline = [("HF_HUB_OFFLINE", "1")];
    let nowhere = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    for (address, variables, expected) in [
        ("hf:lab/other", &[][..], "check owner, name and revision"),
        ("hf:lab", &[], "hf:owner/name@revision"),
        ("hf:lab/nano@v1", &nowhere, "HF_HUB_OFFLINE=1 uses what is in the cache"),
        ("hf:lab/nano@v1", &offline, "copy the files anywhere and pass `--checkpoint DIR`"),
    ] {
        let ended = hub.inspect(address, variables);
        assert_eq!(ended.code, 2, "{address}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{address}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hf_secret"), "{}", ended.stderr);
    }
}

#[test]
fn a_run_stores_the_commit_and_names_the_repository() {
    let checkpoint = Checkpoint::make();
    let hub = Hub::new(&checkpoint.path(), Faults::default());
    let run = Run::fake(&[
        "--checkpoint=hf:lab/nano@v1",
        "--device=cpu",
        "--denoise-steps=1",
        "--sim-option=side=256",
        "--suite=object",
        "--limit=1",
    ]);
    let output = hub.command(run.command()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let manifest = run.manifest();
    assert_eq!(manifest.checkpoint_name().as_deref(), Some(NAME));
    let stored = manifest.resolved.unwrap()["policy"]["checkpoint"].to_string();
    assert!(stored.contains(&format!("snapshots/{SHA}")), "{stored}");
}

#[test]
fn a_part_of_the_hub_is_assembled_with_others() {
    let checkpoint = Checkpoint::make();
    let part = |name: &str| checkpoint.path().join(name).display().to_string();
    let hub = Hub::new(&checkpoint.path().join("model"), Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mine").display().to_string();
    let benchmark = format!("libero={},{}", part("fast"), part("norm_stats.json"));
    let (vision, text) = (part("vision"), part("text"));
    let words = |model| {
        let parts = ["--vision", &vision, "--text", &text, "--benchmark", &benchmark];
        [&["assemble-checkpoint", &out, "--model", model][..], &parts].concat()
    };
    let ended = hub.udvla(&words("hf:lab/nano@v1"), &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let ended = hub.udvla(&["inspect", &out], &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // A repository of something else is not fetched.
    let other = Hub::new(&checkpoint.path().join("text"), Faults::default());
    std::fs::remove_dir_all(&out).unwrap();
    let ended = other.udvla(&words("hf:lab/nano@v1"), &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("has no `config.json`"), "{}", ended.stderr);
}
