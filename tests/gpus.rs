//! Cards by number, UUID and bus address, told by a driver library that is made here.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Run, records, shared_library};

/// Three devices: two cards whose UUIDs begin alike, and a MIG part of the second.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
static const char *names[] = {"NVIDIA H200", "NVIDIA H200", "NVIDIA H200 MIG 1g.18gb"};
static const char *buses[] = {"0000:17:00.0", "0000:65:00.0", "0000:65:00.0"};
static int status(void) { const char *text = getenv("TEST_CUDA"); return text ? atoi(text) : 0; }
int cuInit(unsigned flags) { (void)flags; return status(); }
int cuDeviceGetCount(int *count) { *count = 3; return status(); }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *text, int length, int device) { strncpy(text, names[device], length); return 0; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { strncpy(text, buses[device], length); return 0; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
  memset(uuid, 0xa1, 16);
  uuid[15] = device;
  if (device == 2) memset(uuid, 0xb2, 16);
  return 0;
}
"#;

/// A folder with such a `libcuda.so.1`.
struct Driver(tempfile::TempDir);

impl Driver {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        shared_library(&folder.path().join("libcuda.so.1"), DRIVER);
        Self(folder)
    }

    /// Ten episodes on the fake simulator with `--render-device`.
    fn go(&self, name: &str, device: &str, code: &str) -> (PathBuf, Output) {
        let directory = self.0.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        command.args(["libero", "--simulator", env!("CARGO_BIN_EXE_udvla-sim-fake")]);
        command.args(["--policy", "random", "--suite", "goal", "--trials", "1", "--workers", "2"]);
        command.args(["--no-progress", "--render-device", device, "--out"]).arg(&directory);
        command.env("LD_LIBRARY_PATH", self.0.path()).env("TEST_CUDA", code);
        let output = command.output().unwrap();
        (directory, output)
    }
}

#[test]
fn workers_draw_on_the_named_cards_in_turn() {
    let driver = Driver::new();
    for (name, device, cards) in [
        ("number", "cuda:1", vec!["0000:65:00.0"]),
        ("uuid", "GPU-a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a100", vec!["0000:17:00.0"]),
        ("bus", "0000:17", vec!["0000:17:00.0"]),
        ("both", "1,0", vec!["0000:65:00.0", "0000:17:00.0"]),
    ] {
        let (directory, output) = driver.go(name, device, "0");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        assert_eq!(records(&directory).len(), 10);
        for worker in 0..2 {
            let log = directory.join(format!("logs/worker-{worker:02}.log"));
            let log = std::fs::read_to_string(log).unwrap();
            let card = cards[worker % cards.len()];
            assert!(log.contains(&format!("option card={card}\n")), "{device}: {log}");
        }
        // As it was typed: on another machine it is another address.
        let manifest = std::fs::read_to_string(directory.join("run.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["resolved"]["simulator"]["options"]["render_device"], device);
    }
}

#[test]
fn a_card_that_is_not_there_not_unique_or_cannot_draw_is_refused_with_those_that_are() {
    let driver = Driver::new();
    for (device, code, text, list) in [
        ("cuda:7", "0", "there is no card `cuda:7`", true),
        ("GPU-a1a1", "0", "`--render-device GPU-a1a1` is several cards", true),
        ("MIG-b2b2", "0", "is a MIG part, which has no graphics", false),
        ("2", "0", "is a MIG part, which has no graphics", false),
        ("0", "100", "CUDA shows no card here", false),
        ("0", "999", "NVIDIA's driver does not start: cuInit answers with error 999", false),
    ] {
        let (directory, output) = driver.go("run", device, code);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{device}: {errors}");
        assert!(errors.contains(text), "{device}: {errors}");
        let line =
            "cuda:1 NVIDIA H200 (GPU-a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a101, bus 0000:65:00.0)";
        assert_eq!(errors.contains(line), list, "{device}: {errors}");
        assert!(!directory.exists());
    }
}

#[test]
fn the_overview_lists_the_cards_and_what_cannot_draw() {
    let driver = Driver::new();
    let home = tempfile::tempdir().unwrap();
    let overview = |code: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        // Without environments: no simulator is started.
        command.args(["doctor", "--json"]).env("UDVLA_HOME", home.path());
        command.env("LD_LIBRARY_PATH", driver.0.path()).env("TEST_CUDA", code);
        let rows: Vec<Value> = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        rows.into_iter().find(|row| row["part"] == "cards").unwrap()
    };
    let cards = overview("0");
    assert_eq!(cards["state"], "ready");
    let text = cards["text"].as_str().unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.ends_with("bus 0000:65:00.0): a MIG part, which cannot draw"), "{text}");
    assert_eq!(overview("100")["state"], "absent");
    assert_eq!(overview("999")["state"], "broken");
}

#[test]
fn a_run_without_the_flag_names_no_card() {
    let run = Run::fake(&["--policy", "random", "--suite", "goal", "--trials", "1"]);
    assert_eq!(run.go().code, 0);
    let log = std::fs::read_to_string(run.directory().join("logs/worker-00.log")).unwrap();
    assert!(!log.contains("option card="), "{log}");
}
