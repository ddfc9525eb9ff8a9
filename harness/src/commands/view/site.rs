//! What is at which address, without HTTP.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udvla_results::compare::pairs::compare;
use udvla_results::out::html::{
    Compared, Listed, Timelines, compare_page, list_page, several_page,
};
use udvla_results::out::plots::{of_comparison, of_runs};
use udvla_results::paper::Paper;
use udvla_results::run::evidence::inside;
use udvla_results::run::read::Run;

use super::library::{Library, Loaded, stamp};

/// Folders of a run whose files are served, with the extension and the type of these files.
const FILES: [(&str, &str, &str); 2] =
    [("videos/", ".mp4", "video/mp4"), ("futures/", ".png", "image/png")];

/// What is at an address.
pub enum Found {
    /// A text that was made for it.
    Text {
        /// Its media type.
        kind: &'static str,
        /// The text.
        text: String,
        /// Changes with the text.
        version: String,
    },
    /// A file.
    File {
        /// Its media type.
        kind: &'static str,
        /// The open file.
        file: File,
    },
    /// The page is at this address: relative links need the slash at its end.
    Redirect(String),
    /// Nothing, and why.
    Nothing(String),
}

/// All pages.
pub struct Site {
    library: Library,
    port: u16,
}

impl Site {
    /// Of the runs of `library`, on this port.
    pub fn new(library: Library, port: u16) -> Self {
        Self { library, port }
    }

    /// Whether a browser was sent here by this name. A page elsewhere whose own name was made to
    /// lead to this machine has another.
    pub fn is_own_host(&self, host: &str) -> bool {
        let names = ["127.0.0.1", "localhost"];
        names.iter().any(|name| host.eq_ignore_ascii_case(&format!("{name}:{}", self.port)))
    }

    /// `3 runs`.
    pub fn count_text(&self) -> String {
        match self.library.runs().len() {
            1 => "1 run".into(),
            count => format!("{count} runs"),
        }
    }

    /// What is at `address`, the path and the query of a request.
    pub fn find(&self, address: &str) -> Found {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let Some(path) = decoded(path) else { return nothing("the address is not valid") };
        let values = |name: &str| -> Vec<String> {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let own = pairs.filter(|(key, _)| *key == name);
            own.filter_map(|(_, value)| decoded(&value.replace('+', " "))).collect()
        };
        match path.as_str() {
            "/" => self.list(),
            "/compare" => self.several(&values("run")),
            "/pair" => self.pair(&values("a"), &values("b")),
            path => match path.strip_prefix("/run/") {
                Some(rest) => self.of_run(rest, address),
                None => nothing("there is no such page"),
            },
        }
    }

    fn list(&self) -> Found {
        let found: Vec<(String, Arc<Result<Loaded, String>>)> = self
            .library
            .runs()
            .into_iter()
            .map(|(name, path)| (name, self.library.load(&path)))
            .collect();
        let mut runs: Vec<Listed<'_>> = found
            .iter()
            .map(|(name, loaded)| Listed {
                name: name.clone(),
                run: match loaded.as_ref() {
                    Ok(loaded) => Ok((&loaded.run, &loaded.summary)),
                    Err(reason) => Err(reason.clone()),
                },
            })
            .collect();
        let started = |run: &Listed<'_>| {
            run.run.as_ref().ok().map(|(run, _)| &*run.manifest.started).map(str::to_owned)
        };
        runs.sort_by_key(|run| std::cmp::Reverse(started(run)));
        page(list_page(&runs))
    }

    /// Runs by their names.
    fn load(&self, names: &[String]) -> Result<Vec<Arc<Result<Loaded, String>>>, String> {
        let runs = self.library.runs();
        let load = |name: &String| {
            let path = runs.get(name).ok_or_else(|| format!("there is no run `{name}`"))?;
            let loaded = self.library.load(path);
            match loaded.as_ref() {
                Ok(_) => Ok(loaded),
                Err(reason) => Err(format!("`{name}` cannot be read: {reason}")),
            }
        };
        names.iter().map(load).collect()
    }

    fn several(&self, names: &[String]) -> Found {
        if names.is_empty() {
            return nothing("select runs in the list first");
        }
        let loaded = match self.load(names) {
            Ok(loaded) => loaded,
            Err(reason) => return nothing(&reason),
        };
        let runs: Vec<&Loaded> =
            loaded.iter().filter_map(|run| run.as_ref().as_ref().ok()).collect();
        let copies: Vec<Run> = runs.iter().map(|loaded| loaded.run.clone()).collect();
        let plots = match of_runs(&copies, &[], &Paper::bundled()) {
            Ok((plots, _)) => plots,
            Err(error) => return nothing(&error.to_string()),
        };
        let runs: Vec<Compared<'_>> = names
            .iter()
            .zip(runs)
            .map(|(name, loaded)| Compared { name, run: &loaded.run, summary: &loaded.summary })
            .collect();
        page(several_page(&runs, &plots))
    }

    fn pair(&self, a: &[String], b: &[String]) -> Found {
        let names = [a, b].concat();
        let ([a, b], Ok(loaded)) = (names.as_slice(), self.load(&names)) else {
            return nothing("two runs can be compared; select them in the list");
        };
        let (Ok(one), Ok(other)) = (loaded[0].as_ref(), loaded[1].as_ref()) else {
            return nothing("a run cannot be read");
        };
        match compare(&one.run, &other.run) {
            Err(error) => nothing(&format!("these runs cannot be compared: {error}")),
            Ok(found) => match of_comparison(&found) {
                Err(error) => nothing(&error.to_string()),
                Ok(plots) => page(compare_page(&found, [a, b], &plots)),
            },
        }
    }

    /// A page or a file of a run: `rest` is `NAME/…`, where a name may contain slashes.
    fn of_run(&self, rest: &str, address: &str) -> Found {
        let runs = self.library.runs();
        let whole = |(name, path): (&String, &PathBuf)| {
            let file = rest.strip_prefix(name.as_str())?;
            (file.is_empty() || file.starts_with('/')).then(|| (path.clone(), file.to_owned()))
        };
        // The longest name that fits: `a (2)` before `a`.
        let Some((path, file)) = runs.iter().rev().find_map(whole) else {
            return nothing("there is no such run");
        };
        match file.strip_prefix('/') {
            None => Found::Redirect(address.split('?').next().unwrap_or(address).to_owned() + "/"),
            Some("") => self.run_page(&path),
            Some(file) => self.run_file(&path, file),
        }
    }

    fn run_page(&self, path: &Path) -> Found {
        match self.library.load(path).as_ref() {
            Err(reason) => nothing(&format!("the run cannot be read: {reason}")),
            Ok(loaded) => match loaded.page() {
                Ok(text) => page(text.to_owned()),
                Err(reason) => nothing(reason),
            },
        }
    }

    fn run_file(&self, directory: &Path, name: &str) -> Found {
        if name.starts_with("timelines/") {
            let loaded = self.library.load(directory);
            let Ok(loaded) = loaded.as_ref() else { return nothing("the run cannot be read") };
            let script = Timelines::new(directory, &loaded.run).file(name);
            return script.map_or_else(
                || nothing("there is no such file"),
                |text| Found::Text {
                    kind: "text/javascript; charset=utf-8",
                    version: format!("\"{:x}\"", hash(&(stamp(directory), name))),
                    text,
                },
            );
        }
        let kind = FILES
            .iter()
            .find(|(folder, extension, _)| name.starts_with(folder) && name.ends_with(extension));
        let Some((_, _, kind)) = kind else { return nothing("there is no such file") };
        match inside(directory, name).and_then(File::open) {
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                Found::File { kind, file }
            }
            _ => nothing("there is no such file"),
        }
    }
}

fn page(text: String) -> Found {
    let version = format!("\"{:x}\"", hash(&text));
    Found::Text { kind: "text/html; charset=utf-8", text, version }
}

fn nothing(reason: &str) -> Found {
    Found::Nothing(reason.to_owned())
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Text with its percent codes resolved; `None` if it is not UTF-8 or a code is broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push(u8::try_from(16 * digit(*high)? + digit(*low)?).ok()?);
                (bytes, tail)
            }
            (b'%', _) => return None,
            (byte, tail) => {
                bytes.push(*byte);
                (bytes, tail)
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_codes_are_resolved_and_broken_ones_refused() {
        assert_eq!(decoded("/run/a%2Fb%20c/").as_deref(), Some("/run/a/b c/"));
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
