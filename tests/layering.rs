//! The map in `src/lib.rs` is the rule: a module imports from the groups above its own, and parts
//! know nothing of one another.
//!
//! Reads the groups from `lib.rs` (`// -- name: …` opens one, `pub mod x;` joins it) and every
//! `crate::x` path in `src/`, comments, strings and `#[cfg(test)]` items aside. What may be
//! imported within a group is data below, with its reason; a reason that nothing needs any more
//! fails too. The reader is tried on made-up trees first, so that it is known to be able to fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot read the sources has to stop"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Imports within a group: from, to, why.
const WITHIN_A_GROUP: &[(&str, &str, &str)] = &[
    ("spool", "journal", "mail is kept as journal records"),
    ("tables", "journal", "a table write is a journal record"),
    ("cli", "config", "commands read the configuration file"),
    ("cli", "dev", "`demo` and `serve --dev` run the dev world"),
    ("cli", "server", "`serve` runs the server"),
    (
        "server",
        "config",
        "the server is built from a checked configuration",
    ),
];

/// Modules that only compute: what they must not name.
const PURE: &[&str] = &["mail", "policy", "proto", "queue"];
const IMPURE_PATHS: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::io::stdin",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "Clock",
];

/// Calls that only a few files may make: what, where, why. Tests may make them too.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "attested(",
        &["mail/sealed.rs", "seal/"],
        "only `seal` looks at every octet before it says that content is sealed already",
    ),
    (
        "TcpStream::connect(",
        &["portal/answer/clamd.rs", "dev/"],
        "who the portal connects to stands in its configuration; the line goes by `world`",
    ),
    (
        "TcpSocket::new_",
        &["world/net.rs"],
        "connections to strangers are made by `world`, which sees to addresses and time limits",
    ),
    (
        "Rendition::sealed(",
        &["mail/rendition.rs", "flow/prepare/"],
        "the demand of sealed mail is given where it was sealed",
    ),
    (
        "Notice::composed(",
        &["mail/pickup/notice.rs", "notice/"],
        "a notice is a fixed text, and only `notice` has it",
    ),
    (
        "Rendition::notice(",
        &["mail/rendition.rs", "flow/prepare/"],
        "the demand of a notice is given where it was composed",
    ),
    (
        "Rendition::ours(",
        &["mail/rendition.rs", "flow/prepare/"],
        "what our own mails demand is given where their class is known",
    ),
    (
        "Rendition::untouched(",
        &["mail/rendition.rs", "flow/prepare/"],
        "the demand of sealed mail is given where it was found to be sealed",
    ),
];

/// Lines of a source file, its tests aside. What is longer holds a second idea.
const MAX_FILE_LINES: usize = 600;

/// A source file: its path under `src/`, its text without comments, strings and tests.
struct Source {
    path: PathBuf,
    code: String,
    opens_with_doc: bool,
    lines: usize,
}

/// Module → index of its group, in the order of `lib.rs`.
fn groups(lib: &str) -> BTreeMap<String, usize> {
    let mut group = None;
    let mut found = BTreeMap::new();
    for line in lib.lines().map(str::trim) {
        if line.starts_with("// -- ") {
            group = Some(group.map_or(0, |n: usize| n + 1));
        } else if let Some(module) = line
            .strip_prefix("pub mod ")
            .or_else(|| line.strip_prefix("mod "))
            .and_then(|rest| rest.strip_suffix(';'))
        {
            let group = group.unwrap_or_else(|| panic!("{module} stands in no group of lib.rs"));
            found.insert(module.to_owned(), group);
        }
    }
    found
}

/// `text` with comments, strings and character literals blanked; line breaks stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut wipe = |from: usize, to: usize| {
        for b in &mut out[from..to] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
    };
    let mut i = 0;
    while i < bytes.len() {
        let end = literal_end(bytes, i);
        if end > i {
            wipe(i, end);
            i = end;
        } else {
            i += 1;
        }
    }
    String::from_utf8(out).expect("whole characters are wiped")
}

/// Where the comment or literal that starts at `i` ends; `i` where none starts.
fn literal_end(bytes: &[u8], i: usize) -> usize {
    let rest = &bytes[i..];
    let after_word = i > 0 && is_word(bytes[i - 1]);
    if rest.starts_with(b"//") {
        return i + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut at) = (0_usize, i);
        while at < bytes.len() {
            if bytes[at..].starts_with(b"/*") {
                depth += 1;
                at += 2;
            } else if bytes[at..].starts_with(b"*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            } else {
                at += 1;
            }
        }
        return bytes.len();
    }
    // r"…", r#"…"#, and with b or c before the r.
    let raw = usize::from(matches!(rest.first(), Some(b'b' | b'c')));
    if !after_word && rest.get(raw) == Some(&b'r') {
        let hashes = rest[raw + 1..].iter().take_while(|b| **b == b'#').count();
        if rest.get(raw + 1 + hashes) == Some(&b'"') {
            let close: Vec<u8> = std::iter::once(b'"')
                .chain(std::iter::repeat_n(b'#', hashes))
                .collect();
            let start = i + raw + 2 + hashes;
            return find(bytes, start, &close).map_or(bytes.len(), |at| at + close.len());
        }
    }
    match rest {
        [b'"', ..] => quoted_end(bytes, i + 1, b'"'),
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => quoted_end(bytes, i + 1, b'\''),
        [b'\'', first, tail @ ..] => {
            let width = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xff => 4,
            };
            if tail.get(width - 1) == Some(&b'\'') {
                i + width + 2
            } else {
                i
            }
        }
        _ => i,
    }
}

fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    bytes
        .get(from..)?
        .windows(needle.len())
        .position(|window| window == needle)
        .map(|at| at + from)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Blanks every item under `#[cfg(test)]`, and names the test modules that are files.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    let mut files = Vec::new();
    while let Some(start) = out.find(MARK) {
        let bytes = out.as_bytes();
        let mut at = start + MARK.len();
        let mut depth = 0_usize;
        // To the `;` of a declaration or the end of the first block.
        let end = loop {
            match bytes.get(at) {
                None => break bytes.len(),
                Some(b';') if depth == 0 => break at + 1,
                Some(b'{') => depth += 1,
                Some(b'}') if depth <= 1 => break at + 1,
                Some(b'}') => depth -= 1,
                Some(_) => {}
            }
            at += 1;
        };
        let item = out[start + MARK.len()..end].to_owned();
        if let Some(name) = item
            .split_once("mod ")
            .and_then(|(_, rest)| rest.strip_suffix(';'))
        {
            files.push(name.trim().to_owned());
        }
        // A test item takes no lines: its line breaks go too.
        out.replace_range(start..end, "");
    }
    (out, files)
}

/// The module path of a file under `src/`: `relay/pool.rs` is `relay`, `pool`.
fn module_path(path: &Path) -> Vec<String> {
    let mut parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The top modules that `code` names by a path from the crate's root.
fn imports(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate", "sealpost"] {
        if root == "sealpost" && module != ["main"] {
            continue;
        }
        for (at, _) in code.match_indices(&format!("{root}::")) {
            if at == 0 || !is_word(code.as_bytes()[at - 1]) {
                found.extend(heads(&code[at + root.len() + 2..]));
            }
        }
    }
    // `super::` as often as the file is deep ends at the root too.
    let climb = "super::".repeat(module.len());
    for (at, _) in code.match_indices(&climb) {
        if !code[..at].ends_with("::") && (at == 0 || !is_word(code.as_bytes()[at - 1])) {
            found.extend(heads(&code[at + climb.len()..]));
        }
    }
    found
}

/// The first names of what follows `crate::`: one word, or each branch of a `{…}` tree.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(tree) = rest.trim_start().strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut depth = 0_usize;
    let mut names = vec![word(tree)];
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&tree[at + 1..])),
            _ => {}
        }
    }
    names
}

/// Every `.rs` file below `src`, tests in files of their own aside.
fn sources(src: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut test_files = BTreeSet::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let relative = path.strip_prefix(src).unwrap().to_path_buf();
                let (code, tests) = without_tests(&blank(&text));
                let mut parent = module_path(&relative);
                if parent == ["lib"] {
                    parent.clear();
                }
                for test in tests {
                    let folder: PathBuf = parent.iter().collect();
                    test_files.insert(folder.join(test));
                }
                found.push(Source {
                    opens_with_doc: text.starts_with("//!"),
                    lines: code.trim_end().lines().count(),
                    path: relative,
                    code,
                });
            }
        }
    }
    found.retain(|source| {
        let module: PathBuf = module_path(&source.path).iter().collect();
        !test_files.iter().any(|test| module.starts_with(test))
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What a tree breaks, and which of the exceptions it used.
fn violations(
    sources: &[Source],
    groups: &BTreeMap<String, usize>,
    exceptions: &[(&str, &str, &str)],
) -> (Vec<String>, BTreeSet<(String, String)>) {
    let mut broken = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources {
        let module = module_path(&source.path);
        let from = module[0].as_str();
        let own = match from {
            "lib" => continue,
            "main" => usize::MAX,
            _ => *groups
                .get(from)
                .unwrap_or_else(|| panic!("{from} is not in lib.rs")),
        };
        for to in imports(&source.code, &module) {
            let Some(group) = groups.get(&to) else {
                continue; // a macro or item at the root
            };
            let excepted = exceptions.iter().any(|(a, b, _)| *a == from && *b == to);
            if excepted {
                used.insert((from.to_owned(), to.clone()));
            }
            if to != from && *group >= own && !excepted {
                broken.push(format!("{}: imports crate::{to}", source.path.display()));
            }
        }
        if PURE.contains(&from) {
            for path in IMPURE_PATHS {
                if source.code.contains(path) {
                    broken.push(format!("{}: pure, names {path}", source.path.display()));
                }
            }
        }
    }
    (broken, used)
}

/// Where a reserved call is made that must not be, and which places make one.
fn reserved(sources: &[Source]) -> (Vec<String>, BTreeSet<(&'static str, &'static str)>) {
    let mut broken = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources {
        // Nobody hides behind a line break.
        let code: String = source.code.split_whitespace().collect();
        for (call, places, why) in RESERVED {
            if !code.contains(call) {
                continue;
            }
            match places.iter().find(|place| source.path.starts_with(place)) {
                Some(place) => drop(used.insert((*call, *place))),
                None => broken.push(format!("{}: calls {call}): {why}", source.path.display())),
            }
        }
    }
    (broken, used)
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn modules_import_from_the_groups_above_only() {
    let groups = groups(&fs::read_to_string(src().join("lib.rs")).unwrap());
    let sources = sources(&src());
    assert!(sources.len() > 20, "only {} files were read", sources.len());
    let (broken, used) = violations(&sources, &groups, WITHIN_A_GROUP);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for (from, to, why) in WITHIN_A_GROUP {
        assert_eq!(groups[*from], groups[*to], "{from} → {to}: not one group");
        assert!(!why.is_empty());
        assert!(
            used.contains(&((*from).to_owned(), (*to).to_owned())),
            "{from} → {to}: nothing needs this exception"
        );
    }
}

#[test]
fn reserved_calls_are_made_in_few_places() {
    let (broken, used) = reserved(&sources(&src()));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for (call, places, _) in RESERVED {
        // `mail` itself defines some of them without naming their type.
        let called = places.iter().any(|place| used.contains(&(*call, *place)));
        assert!(called, "{call}): nobody calls it any more");
    }
}

#[test]
fn a_reserved_call_elsewhere_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("relay.rs", "//! x\nfn f() { AlreadySealed::attested(x); }"),
        (
            "flow/plans.rs",
            "//! x\nfn f() { Rendition\n    ::sealed(a); }",
        ),
        (
            "flow/prepare/render.rs",
            "//! x\nfn f() { Rendition::untouched(a); }",
        ),
        (
            "policy.rs",
            "//! x\n// attested(\n#[cfg(test)]\nmod tests { fn f() { Rendition::untouched(a) } }",
        ),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (broken, used) = reserved(&sources(folder.path()));
    let files: Vec<_> = broken
        .iter()
        .filter_map(|it| it.split(':').next())
        .collect();
    assert_eq!(files, ["flow/plans.rs", "relay.rs"]);
    assert_eq!(used.len(), 1);
}

#[test]
fn imports_within_a_group_make_no_circle() {
    let mut left: Vec<(&str, &str)> = WITHIN_A_GROUP.iter().map(|(a, b, _)| (*a, *b)).collect();
    // Take away whoever imports nothing more, until none is left.
    loop {
        let importers: BTreeSet<&str> = left.iter().map(|(from, _)| *from).collect();
        let before = left.len();
        left.retain(|(_, to)| importers.contains(to));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a circle: {left:?}");
}

#[test]
fn every_file_says_what_it_owns_and_fits_the_head() {
    let mut sources = sources(&src());
    sources.sort_by_key(|source| std::cmp::Reverse(source.lines));
    for source in &sources {
        println!("{:5} {}", source.lines, source.path.display());
    }
    let silent: Vec<_> = sources
        .iter()
        .filter(|source| !source.opens_with_doc && source.path != Path::new("main.rs"))
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no //! at the head of {silent:?}");
    let long: Vec<_> = sources
        .iter()
        .filter(|source| source.lines > MAX_FILE_LINES)
        .map(|source| format!("{} ({} lines)", source.path.display(), source.lines))
        .collect();
    assert!(
        long.is_empty(),
        "longer than {MAX_FILE_LINES} lines: {long:?}"
    );
}

// The reader itself, on made-up trees.

/// Two words, two parts, a flow, a process of two.
const LIB: &str = "//! x\n// -- words: a\npub mod mail;\n// -- parts: b\npub mod relay;\npub mod queue;\n// -- flow: c\npub mod flow;\n// -- process: d\npub mod cli;\npub mod server;\n";

fn tree(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let exceptions = [("cli", "server", "runs it")];
    violations(&sources(folder.path()), &groups(LIB), &exceptions).0
}

#[test]
fn what_is_allowed_passes() {
    let broken = tree(&[
        ("lib.rs", "pub use crate::cli::x;"),
        ("main.rs", "fn main() { sealpost::cli::run() }"),
        ("mail/mod.rs", "use crate::mail::id;\n"),
        (
            "relay/mod.rs",
            "use crate::mail::{self, X};\nuse crate::{mail::Y, relay::pool};",
        ),
        ("relay/pool.rs", "use super::Z;\nuse super::super::mail::W;"),
        (
            "flow/mod.rs",
            "use crate::{mail, queue::{A, B}, relay};\ncrate::relay::go();",
        ),
        ("cli/mod.rs", "use crate::{flow, server};"),
    ]);
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_way_to_break_it_is_seen() {
    for (path, text) in [
        ("mail/id.rs", "use crate::relay::X;"),
        ("relay/mod.rs", "use crate::queue::X;"),
        ("relay/mod.rs", "use crate::{mail::{A, B}, queue};"),
        (
            "relay/mod.rs",
            "use crate::{\n    mail::{A, B},\n    queue::{self, C},\n};",
        ),
        (
            "relay/mod.rs",
            "fn f() { let x = crate::flow::Handle::new(); }",
        ),
        ("relay/mod.rs", "use super::queue::X;"),
        ("relay/pool/deep.rs", "use super::super::super::flow::X;"),
        (
            "relay/mod.rs",
            "const C: char = '\"'; use crate::queue::X; const D: char = '\"';",
        ),
        (
            "relay/mod.rs",
            "fn f<'a>(x: &'a str) { crate::queue::go(x) }",
        ),
        (
            "relay/mod.rs",
            "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::queue::X;",
        ),
        ("server/mod.rs", "use crate::cli;"),
        ("queue/mod.rs", "use tokio::sync::mpsc;"),
        ("mail/id.rs", "fn f() { std::fs::read(\"x\"); }"),
    ] {
        assert_eq!(tree(&[(path, text)]).len(), 1, "{path}: {text}");
    }
}

#[test]
fn comments_strings_and_tests_are_not_imports() {
    let broken = tree(&[
        (
            "relay/mod.rs",
            "//! See [`crate::queue`].\n/* use crate::queue; /* nested */ crate::flow */\nconst A: &str = \"crate::queue::X\\\"\"; const B: &str = r#\"crate::flow \"x\" \"#;\n#[cfg(test)]\nmod tests { use crate::queue::X; fn f() { let c = '}'; } }\n#[cfg(test)]\nmod more;\n#[cfg(test)]\nuse crate::flow::Y;\n",
        ),
        ("relay/more.rs", "use crate::flow::X;"),
        ("relay/more/deep.rs", "use crate::flow::X;"),
    ]);
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
#[should_panic(expected = "not in lib.rs")]
fn a_module_outside_the_map_is_refused() {
    tree(&[("stray/mod.rs", "")]);
}
