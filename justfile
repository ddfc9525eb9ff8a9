# Tasks for contributors; `just` lists them. `.venv/bin/just` is installed by `scripts/setup`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Crates that need neither libtorch nor Python, in a target folder of their own: a program
# without libtorch must not replace the one that `scripts/setup` builds.
fast := "--package udvla-sims --package udvla-results --package udvla-eval --no-default-features --target-dir target/fast"

# List the tasks
default:
    @{{ just_executable() }} --list

# Install everything: toolchain, system packages, libtorch, the build, simulator environments
setup:
    scripts/setup

# Run the main job on the built-in assets
[positional-arguments]
demo *arguments:
    scripts/demo "$@"

# Run every lint and test (20 to 40 minutes)
test:
    scripts/test

# The empty data folder hides simulator environments, so that tests of real simulators skip; property
# tests run fewer cases than in `just test`.
# Run the tests that need neither libtorch nor Python (under a minute once built)
[positional-arguments]
test-fast *filters:
    cargo build --package udvla-vulkan-layer --target-dir target/fast --quiet
    UDVLA_HOME="$PWD/target/fast/home" PROPTEST_CASES=100 cargo nextest run {{ fast }} --status-level fail \
      --hide-progress-bar --test-threads 6 -E 'not binary(chaos) and not test(/^(worker|libero)::|no_python_is_named|on_stand_ins/)' "$@"

# `UDVLA_CHAOS_SEED=N` draws others, `UDVLA_CHAOS_CASE=N` repeats one case and prints what happened.
# Inject 1000 faults into runs on the fake simulator (minutes; needs neither libtorch nor Python)
chaos:
    cargo build --package udvla-vulkan-layer --target-dir target/fast --quiet
    UDVLA_HOME="$PWD/target/fast/home" UDVLA_CHAOS_FAULTS="${UDVLA_CHAOS_FAULTS:-1000}" \
      cargo nextest run {{ fast }} --no-capture -E 'binary(chaos) and not test(/^real::/)'

# Inject the faults and write their table into docs/reliability.md
chaos-table:
    UDVLA_CHAOS_WRITE=1 {{ just_executable() }} chaos

# Check the format and run all lints
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets --locked -- -D warnings
    .venv/bin/ruff format --check harness/python sims/python policies/python tests scripts scripts/gpu-check
    .venv/bin/ruff check harness/python sims/python policies/python tests scripts scripts/gpu-check

# Run clippy on the crates that need no libtorch
lint-fast:
    cargo clippy {{ fast }} --all-targets --locked -- -D warnings

# Check licenses, sources and duplicate versions of dependencies
deny:
    cargo deny --workspace check bans licenses sources

# Build the documentation of every crate; a warning is an error
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --workspace --locked

# Recompute recorded outputs of the released code, for example `just golden FILE.json`
[positional-arguments]
golden *arguments:
    cargo run --release --locked --package udvla-golden -- "$@"
