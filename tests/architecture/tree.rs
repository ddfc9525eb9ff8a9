//! The modules of a crate and what they import, read from the syntax trees of its sources.
//!
//! Counted are `use` items and paths in code, with re-exports followed to the module that defines
//! the name. Test modules, `main.rs` and `bin` are left out; paths in macro calls are not seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A module's path within its crate, for example `["render", "html"]`; empty for `lib.rs`.
type ModulePath = Vec<String>;

/// The modules of a crate.
pub struct Tree {
    modules: BTreeMap<ModulePath, Module>,
}

/// One source file.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Where a path occurs (this module or an inline module of it), and the path.
    imports: Vec<(ModulePath, Vec<String>)>,
    /// What `pub use` offers under a name.
    reexports: BTreeMap<String, Vec<String>>,
    /// Files of modules that only tests have.
    test_modules: Vec<String>,
}

impl Tree {
    /// Reads every file below `source`.
    pub fn read(source: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![source.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder exists") {
                let path = entry.expect("the folder can be read").path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() && name != "bin" {
                    folders.push(path);
                } else if name.ends_with(".rs") && name != "main.rs" {
                    let file = path.strip_prefix(source).unwrap().to_owned();
                    let module_path = module_path(&file);
                    let text = std::fs::read_to_string(&path).unwrap();
                    modules.insert(module_path.clone(), Module::parse(file, module_path, &text));
                }
            }
        }
        let parents = modules.iter();
        let test_only: Vec<ModulePath> = parents
            .flat_map(|(parent, module)| {
                module
                    .test_modules
                    .iter()
                    .map(|name| [parent.as_slice(), std::slice::from_ref(name)].concat())
            })
            .collect();
        modules.retain(|path, _| !test_only.iter().any(|test| path.starts_with(test)));
        Self { modules }
    }

    /// The module that defines what `path`, written in `from`, names; `None` outside the crate.
    fn resolve(&self, from: &[String], path: &[String], depth: u8) -> Option<ModulePath> {
        let mut current = from.to_vec();
        let mut segments = path.iter().peekable();
        match segments.peek()?.as_str() {
            "crate" => current.clear(),
            "self" | "super" => {}
            first if self.child(&current, first).is_none() => return None,
            _ => {}
        }
        while let Some(segment) = segments.next() {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(current.pop()),
                name => match self.child(&current, name) {
                    Some(child) => current = child,
                    None => {
                        let reexport = self.modules.get(&current)?.reexports.get(name);
                        if let (Some(target), true) = (reexport, depth < 8) {
                            let target = target.iter().chain(segments).cloned().collect::<Vec<_>>();
                            return self.resolve(&current, &target, depth + 1).or(Some(current));
                        }
                        break;
                    }
                },
            }
        }
        while !self.modules.contains_key(&current) {
            current.pop()?;
        }
        Some(current)
    }

    fn child(&self, parent: &[String], name: &str) -> Option<ModulePath> {
        let child = [parent, &[name.to_owned()]].concat();
        self.modules.contains_key(&child).then_some(child)
    }

    /// Pairs of modules of which the first imports from the second.
    fn imports(&self) -> BTreeSet<(&ModulePath, ModulePath)> {
        let pairs = self.modules.iter().flat_map(|(module, parsed)| {
            let targets = parsed.imports.iter().filter_map(|(at, path)| self.resolve(at, path, 0));
            targets.map(move |target| (module, target))
        });
        pairs.filter(|(module, target)| *module != target).collect()
    }

    /// A shortest cycle of every folder whose entries import each other.
    pub fn cycles(&self) -> Vec<String> {
        // For each folder: its entries, what each imports from, and the files that show it.
        type Arrows = BTreeMap<String, BTreeMap<String, String>>;
        let mut folders: BTreeMap<Vec<String>, Arrows> = BTreeMap::new();
        for (module, target) in self.imports() {
            let (from, to) = (self.entry(module), self.entry(&target));
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let files = format!("{} -> {}", self.file(module), self.file(&target));
            let arrows = folders.entry(from[..shared].to_vec()).or_default();
            let targets = arrows.entry(from[shared].clone()).or_default();
            targets.entry(to[shared].clone()).or_insert(files);
        }
        let cycle = |(folder, arrows): (&Vec<String>, &Arrows)| {
            let cycles = arrows.keys().filter_map(|start| shortest_cycle(arrows, start));
            let cycle = cycles.min_by_key(Vec::len)?;
            let mut text = format!("cycle in `{}/`:", folder.join("/"));
            for (index, entry) in cycle.iter().enumerate() {
                let next = &cycle[(index + 1) % cycle.len()];
                write!(text, "\n    {entry} imports {next}: {}", arrows[entry][next]).unwrap();
            }
            Some(text)
        };
        folders.iter().filter_map(cycle).collect()
    }

    /// Imports from a later layer.
    pub fn upward_imports(&self, layers: &[&str]) -> Vec<String> {
        let layer = |path: &ModulePath| {
            layers.iter().position(|layer| path.starts_with(&split(layer, "/")))
        };
        let upward = |(module, target): (&ModulePath, ModulePath)| {
            let (from, to) = (layer(module)?, layer(&target)?);
            let files = || format!("{} -> {}", self.file(module), self.file(&target));
            (to > from)
                .then(|| format!("`{}` is below `{}`: {}", layers[from], layers[to], files()))
        };
        self.imports().into_iter().filter_map(upward).collect()
    }

    /// Where a module is in the tree of folders; `mod.rs` is an entry of its own folder.
    fn entry(&self, module: &ModulePath) -> Vec<String> {
        let has_children = self
            .modules
            .keys()
            .any(|other| other.len() > module.len() && other.starts_with(module));
        let own = (has_children || module.is_empty()).then(|| self.file(module));
        module.iter().cloned().chain(own).collect()
    }

    fn file(&self, module: &ModulePath) -> String {
        self.modules[module].file.display().to_string()
    }
}

/// A shortest way from `start` back to itself.
fn shortest_cycle(
    arrows: &BTreeMap<String, BTreeMap<String, String>>,
    start: &String,
) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(entry) = queue.pop_front() {
        for next in arrows.get(entry).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let way = std::iter::successors(Some(entry), |entry| came_from.get(entry).copied());
                let mut way: Vec<String> = way.cloned().collect();
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, entry);
                queue.push_back(next);
            }
        }
    }
    None
}

fn module_path(file: &Path) -> ModulePath {
    let without = file.with_extension("");
    let mut path = split(&without.to_string_lossy(), "/");
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

fn split(text: &str, separator: &str) -> Vec<String> {
    text.split(separator).map(str::to_owned).collect()
}

impl Module {
    fn parse(file: PathBuf, path: ModulePath, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let mut reader =
            Reader { module: Self { file, ..Self::default() }, at: path.clone(), path };
        reader.visit_file(&syntax);
        reader.module
    }
}

/// Collects a file's imports.
struct Reader {
    module: Module,
    /// The file's module, and the inline module of it that is being read.
    path: ModulePath,
    at: ModulePath,
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        if !attributes(item).iter().any(is_test) {
            visit::visit_item(self, item);
        } else if let Item::Mod(module) = item {
            self.module.test_modules.push(module.ident.to_string());
        }
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.at.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let mut paths = vec![];
        flatten(&item.tree, &mut vec![], &mut paths);
        let offered = !matches!(item.vis, Visibility::Inherited) && self.at == self.path;
        for (name, path) in paths {
            // A parent that offers what its children define does not depend on them.
            let from_below =
                path.first().is_some_and(|first| !["crate", "super"].contains(&first.as_str()));
            if offered {
                self.module.reexports.insert(name, path.clone());
            }
            if !(offered && from_below) {
                self.module.imports.push((self.at.clone(), path));
            }
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.module.imports.push((self.at.clone(), segments));
        }
        visit::visit_path(self, path);
    }
}

/// Every name of a `use` item with its path.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, out: &mut Vec<(String, Vec<String>)>) {
    let mut leaf = |name: String, last: Option<String>| {
        out.push((name, prefix.iter().cloned().chain(last).collect()));
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, out);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaf(prefix.last().cloned().unwrap_or_default(), None);
        }
        UseTree::Name(name) => leaf(name.ident.to_string(), Some(name.ident.to_string())),
        UseTree::Rename(name) => leaf(name.rename.to_string(), Some(name.ident.to_string())),
        UseTree::Glob(_) => leaf("*".into(), None),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix, out));
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attribute: &Attribute) -> bool {
    let is_cfg = attribute.path().is_ident("cfg");
    is_cfg && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}
