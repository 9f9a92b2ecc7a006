//! The house keeps its shape: modules point one way, files and functions stay small, rules and their
//! files and pages match, and every place that does I/O says so.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads the project's own files and may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use plimsoll::check;
use proc_macro2::Span;
use syn::{spanned::Spanned as _, visit::Visit};

/// The modules of the crate, lowest first: each may use those before it.
const ORDER: &[&str] = &[
    // words
    "oci",
    "secret",
    "rpm",
    "rule",
    "finding",
    "dockerfile",
    // judge
    "advisory",
    "subject",
    "inventory",
    "check",
    "policy",
    "report",
    // reach
    "registry",
    "layout",
    "fetch",
    "engine",
    "ci",
    "progress",
    // run
    "config",
    "plan",
    "gather",
    "error",
    "pipeline",
    "command",
];

/// Modules that reach out of the process by their nature.
const DO_IO: &[&str] = &[
    "registry", "layout", "fetch", "engine", "ci", "config", "gather", "pipeline", "command",
];

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 70;

struct Source {
    /// relative to `src`
    path: PathBuf,
    text: String,
    syntax: syn::File,
}

impl Source {
    /// The top-level module it belongs to; `None` for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<String> {
        let first = self.path.components().next()?;
        let name = Path::new(first.as_os_str()).with_extension("");
        let name = name.to_str()?.to_owned();
        (name != "lib" && name != "main").then_some(name)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources: Vec<Source> = walkdir::WalkDir::new(&root)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let syntax = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = path.strip_prefix(&root).unwrap().to_owned();
            Source { path, text, syntax }
        })
        .collect();
    let tests = test_modules(&sources);
    sources.retain(|source| !tests.iter().any(|test| source.path.starts_with(test)));
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// Files and directories of modules that are declared `#[cfg(test)] mod name;`.
fn test_modules(sources: &[Source]) -> BTreeSet<PathBuf> {
    let mut modules = BTreeSet::new();
    for source in sources {
        let stem = source.path.with_extension("");
        let directory = match stem.file_name().and_then(|name| name.to_str()) {
            Some("mod" | "lib" | "main") => stem.parent().unwrap().to_owned(),
            _ => stem,
        };
        for item in &source.syntax.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && is_test(&module.attrs)
            {
                let name = module.ident.to_string();
                modules.insert(directory.join(format!("{name}.rs")));
                modules.insert(directory.join(name));
            }
        }
    }
    modules
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test")))
    })
}

/// What production code says: the crate's modules it names, and the lengths of its functions.
#[derive(Default)]
struct Reader {
    uses: BTreeSet<String>,
    functions: Vec<(String, usize)>,
    /// lines of items that only tests see
    test_lines: usize,
}

fn lines(span: Span) -> usize {
    span.end().line - span.start().line + 1
}

impl Reader {
    fn read(source: &Source) -> Self {
        let mut reader = Self::default();
        reader.visit_file(&source.syntax);
        reader
    }

    /// Modules named below `crate` in a `use`, in brace groups too.
    fn tree(&mut self, tree: &syn::UseTree, below_crate: bool) {
        match tree {
            syn::UseTree::Path(path) if below_crate => {
                self.uses.insert(path.ident.to_string());
            }
            syn::UseTree::Path(path) => self.tree(&path.tree, path.ident == "crate"),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, below_crate);
                }
            }
            syn::UseTree::Name(name) if below_crate => {
                self.uses.insert(name.ident.to_string());
            }
            syn::UseTree::Rename(rename) if below_crate => {
                self.uses.insert(rename.ident.to_string());
            }
            _ => {}
        }
    }

    fn function(&mut self, name: &syn::Ident, span: Span) {
        self.functions.push((name.to_string(), lines(span)));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if is_test(attributes) {
            self.test_lines += lines(item.span());
        } else {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(module) = segments.next()
        {
            self.uses.insert(module.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }
}

fn position(module: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == module)
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let library = sources()
        .into_iter()
        .find(|s| s.path == Path::new("lib.rs"));
    let declared: BTreeSet<String> = library
        .unwrap()
        .syntax
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    let ordered: BTreeSet<String> = ORDER.iter().map(|&module| module.to_owned()).collect();
    assert_eq!(declared, ordered);
    assert_eq!(
        ordered.len(),
        ORDER.len(),
        "a module stands twice in the order"
    );
}

#[test]
fn modules_use_only_those_below_them() {
    let mut upward: BTreeMap<(String, String), BTreeSet<PathBuf>> = BTreeMap::new();
    for source in sources() {
        let Some(module) = source.module() else {
            continue;
        };
        for used in Reader::read(&source).uses {
            if position(&used).is_some_and(|used| Some(used) > position(&module)) {
                let edge = (module.clone(), used);
                upward.entry(edge).or_default().insert(source.path.clone());
            }
        }
    }
    assert!(
        upward.is_empty(),
        "modules use modules above them: {upward:#?}"
    );
}

#[test]
fn an_upward_use_is_seen_in_every_form() {
    for (text, want) in [
        ("use crate::check;", true),
        ("use crate::check::find;", true),
        ("use crate::{oci::Tag, check::{find, page}};", true),
        ("use crate::check as other;", true),
        ("fn f() { crate::check::find(\"x\"); }", true),
        ("fn f(x: &crate::check::Need) {}", true),
        ("use crate::{oci, finding};", false),
        ("use super::check;", false),
        ("use other::check;", false),
        ("#[cfg(test)] mod tests { use crate::check; }", false),
        ("#[cfg(test)] use crate::check;", false),
    ] {
        let source = Source {
            path: PathBuf::from("oci/x.rs"),
            text: text.to_owned(),
            syntax: syn::parse_file(text).unwrap(),
        };
        assert_eq!(Reader::read(&source).uses.contains("check"), want, "{text}");
        assert_eq!(source.module().as_deref(), Some("oci"));
    }
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|source| {
            let production = source.text.lines().count() - Reader::read(&source).test_lines;
            (source.path, production)
        })
        .filter(|(_, production)| *production > LONGEST_FILE)
        .collect();
    assert!(
        long.is_empty(),
        "over {LONGEST_FILE} production lines: {long:#?}"
    );
}

#[test]
fn functions_stay_short() {
    let long: Vec<_> = sources()
        .iter()
        .flat_map(|source| {
            let functions = Reader::read(source).functions;
            functions
                .into_iter()
                .filter(|(_, length)| *length > LONGEST_FUNCTION)
                .map(|(name, length)| format!("{}: {name}: {length}", source.path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FUNCTION} lines: {long:#?}");
}

/// Rules that share one file, because they share one check.
fn file_of(rule: &str) -> String {
    match rule.strip_suffix("_label_exists") {
        Some(_) => "check/label_exists.rs".to_owned(),
        None => format!("check/{rule}.rs"),
    }
}

#[test]
fn each_rule_is_defined_in_its_own_file_and_stands_in_the_slice() {
    let mut defined: BTreeSet<(String, String)> = BTreeSet::new();
    for source in sources() {
        for item in &source.syntax.items {
            let syn::Item::Macro(item) = item else {
                continue;
            };
            if item
                .mac
                .path
                .segments
                .last()
                .is_none_or(|s| s.ident != "rule")
            {
                continue;
            }
            let text = item.mac.tokens.to_string();
            let id = text
                .split("id : \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let file = source.path.to_str().unwrap().to_owned();
            defined.insert((id.unwrap().to_owned(), file));
        }
    }
    let listed: BTreeSet<(String, String)> = check::rules()
        .map(|rule| (rule.id.to_owned(), file_of(rule.id)))
        .collect();
    assert_eq!(defined, listed);
    assert_eq!(
        listed.len(),
        check::CHECKS.len(),
        "two checks have the same id"
    );
}

#[test]
fn rules_keep_the_words_of_the_house() {
    for rule in check::rules() {
        let id = rule.id;
        let words = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(id.chars().all(words), "{id}");
        assert!(rule.title.chars().count() <= 80, "{id}: {}", rule.title);
        assert!(!rule.title.ends_with('.'), "{id}: {}", rule.title);
        let headings: Vec<_> = rule.sections().into_iter().map(|s| s.heading).collect();
        assert_eq!(
            headings,
            ["What it requires", "Why", "How to fix", "References"],
            "{id}"
        );
        if let Some(severity) = rule.security_severity {
            let severity: f64 = severity.parse().unwrap();
            assert!((0.1..=10.0).contains(&severity), "{id}");
        }
    }
}

#[test]
fn only_modules_that_reach_out_do_io() {
    let mut places = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            // Written apart so that this line is no place itself.
            if line.contains(concat!("clippy::disallowed", "_methods")) {
                places.push((source.module(), source.path.clone(), number + 1));
            }
        }
    }
    let astray: Vec<_> = places
        .iter()
        .filter(|(module, ..)| {
            // `main.rs` is the edge of the process: it takes arguments, environment and clock.
            module
                .as_deref()
                .is_some_and(|module| !DO_IO.contains(&module))
        })
        .collect();
    assert!(astray.is_empty(), "I/O outside {DO_IO:?}: {astray:#?}");
}
