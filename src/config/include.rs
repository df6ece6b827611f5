//! Files that belong to the policy: those it includes, and the lists of words and codes.
//!
//! An included file holds `[policy]` alone, and includes nothing itself. Whoever can write such a
//! file can add an exception, so none of them may be writable by everybody.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::file::{self, FileError, read_bounded};
use super::problem::{At, Sheet, Spot};
use super::reader::Section;
use super::sections::{Config, Draft, policy_of_included};
use super::{MAX_FILE_OCTETS, digest};

/// Most files that are included.
const MAX_INCLUDED: usize = 256;
/// Most octets of all included files together.
const MAX_INCLUDED_OCTETS: usize = 16 << 20;
/// Largest list of words or codes.
const MAX_LIST_OCTETS: u64 = 16 << 20;
/// Most entries of a directory that are looked at for a pattern.
const MAX_DIRECTORY_ENTRIES: usize = 10_000;
/// Everybody may write it.
const WORLD_WRITABLE: u32 = 0o002;
/// What an included file may not say at its top.
const NOT_POLICY: [&str; 16] = [
    "hostname",
    "data_directory",
    "master_key",
    "postmaster",
    "listener",
    "tls",
    "auth",
    "limits",
    "dkim",
    "dns",
    "relay",
    "retry",
    "smime",
    "portal",
    "log",
    "admin",
];

/// Reads everything that belongs to the policy into `config`.
pub(super) fn read(config: &mut Config, sheet: &mut Sheet<'_>) {
    let faults = sheet.faults();
    includes(config, sheet);
    words(config, sheet);
    codes(config, sheet);
    digest::of_detectors(config);
    config.policy_places.sound &= sheet.faults() == faults;
}

fn includes(config: &mut Config, sheet: &mut Sheet<'_>) {
    let base = config.file.parent().map(Path::to_owned).unwrap_or_default();
    let mut seen = BTreeSet::new();
    seen.extend(std::fs::canonicalize(&config.file).ok());
    let mut octets = 0;
    for entry in config.policy_places.includes.clone() {
        for path in expand(&entry, &base, sheet) {
            let Some(text) = text_of(&path, entry.at, &mut seen, sheet) else {
                continue;
            };
            octets += text.len();
            if seen.len() > MAX_INCLUDED || octets > MAX_INCLUDED_OCTETS {
                sheet.wrong(
                    entry.at,
                    format!(
                        "policy.include names more than {MAX_INCLUDED} files, or more than {} MiB",
                        MAX_INCLUDED_OCTETS >> 20
                    ),
                    "join or remove some",
                );
                return;
            }
            included(config, &base, path, text, sheet);
        }
    }
}

/// The files that an entry of `policy.include` names, in the order of their names.
fn expand(entry: &At<PathBuf>, base: &Path, sheet: &mut Sheet<'_>) -> Vec<PathBuf> {
    let shown = entry.value.display();
    let path = base.join(&entry.value);
    let pattern = match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => name.to_owned(),
        None => {
            let what = format!("an entry of policy.include, {shown}, names no file");
            sheet.wrong(entry.at, what, "write it as in \"policy.d/*.toml\"");
            return Vec::new();
        }
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let is_pattern = |text: &str| text.contains(['*', '?']);
    // Of the base nothing is known, and it may have such characters.
    if entry
        .value
        .parent()
        .and_then(Path::to_str)
        .is_some_and(is_pattern)
    {
        let what = format!("an entry of policy.include, {shown}, has a pattern in its directory");
        sheet.wrong(entry.at, what, "use * and ? in the name of the file alone");
        return Vec::new();
    }
    if !is_pattern(&pattern) {
        return vec![path];
    }
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    if !kept(listed, entry.at, "the directory of policy.include,", sheet) {
        return Vec::new();
    }
    let names = match names_in(listed, &pattern) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let what = format!(
                "policy.include: {} cannot be read: {error}",
                listed.display()
            );
            sheet.wrong(
                entry.at,
                what,
                "make it readable for the user of the daemon",
            );
            return Vec::new();
        }
    };
    if names.is_empty() {
        let what = format!("an entry of policy.include, {shown}, matches no file");
        sheet.missing(entry.at, what, "correct it, or put a file there");
    }
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// The names in a directory that match, sorted. Hidden files match only a pattern that begins
/// with a dot.
fn names_in(directory: &Path, pattern: &str) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)?.take(MAX_DIRECTORY_ENTRIES) {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if matches(pattern.as_bytes(), name.as_bytes())
            && (pattern.starts_with('.') || !name.starts_with('.'))
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a name matches: `*` stands for anything, `?` for one octet. At most the product of the
/// lengths in steps.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Behind the last star, and where in the name it stopped taking.
    let mut back: Option<(usize, usize)> = None;
    while let Some(&octet) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                back = Some((at + 1, in_name));
                at += 1;
            }
            Some(&expected) if expected == b'?' || expected == octet => {
                at += 1;
                in_name += 1;
            }
            _ => match back {
                Some((behind, taken)) => {
                    back = Some((behind, taken + 1));
                    at = behind;
                    in_name = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|&rest| rest == b'*')
}

/// The text of an included file, once.
fn text_of(
    path: &Path,
    at: Spot,
    seen: &mut BTreeSet<PathBuf>,
    sheet: &mut Sheet<'_>,
) -> Option<String> {
    let name = format!("policy.include {}", path.display());
    let octets = octets_of(path, at, &name, MAX_FILE_OCTETS, sheet)?;
    let canonical = std::fs::canonicalize(path).ok()?;
    if !seen.insert(canonical) {
        let what = format!("{name} is read already");
        sheet.wrong(at, what, "name it once, and never the main file");
        return None;
    }
    text(octets, at, &name, sheet)
}

fn text(octets: Vec<u8>, at: Spot, name: &str, sheet: &mut Sheet<'_>) -> Option<String> {
    match String::from_utf8(octets) {
        Ok(text) => Some(text),
        Err(_) => {
            sheet.wrong(at, format!("{name} is not UTF-8 text"), "save it as UTF-8");
            None
        }
    }
}

/// The octets of a file that belongs to the policy.
fn octets_of(
    path: &Path,
    at: Spot,
    name: &str,
    most: u64,
    sheet: &mut Sheet<'_>,
) -> Option<Vec<u8>> {
    match read_bounded(path, most) {
        Ok(octets) => kept(path, at, name, sheet).then_some(octets),
        Err(error) if error.is_not_found() => {
            sheet.missing(at, format!("{name} does not exist"), "correct the path");
            None
        }
        Err(FileError::Io(error)) => {
            let what = format!("{name} cannot be read: {error}");
            sheet.wrong(at, what, "make it readable for the user of the daemon");
            None
        }
        Err(error) => {
            sheet.wrong(at, format!("{name} is {error}"), "name a smaller text file");
            None
        }
    }
}

/// Whether not everybody may write it. `name` says what it is.
fn kept(path: &Path, at: Spot, name: &str, sheet: &mut Sheet<'_>) -> bool {
    match file::mode(path) {
        Ok(mode) if mode & WORLD_WRITABLE != 0 => {
            let what = format!("{name} can be written by everybody (mode {mode:04o})");
            sheet.wrong(at, what, format!("chmod o-w {}", path.display()));
            false
        }
        // What is not there is told by whoever reads it.
        _ => true,
    }
}

/// Reads an included file.
fn included(config: &mut Config, base: &Path, path: PathBuf, text: String, sheet: &mut Sheet<'_>) {
    let text: Arc<str> = text.into();
    let Some(number) = sheet.include(path, Arc::clone(&text)) else {
        return;
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        for error in errors {
            let at = Spot::new(number, error.span().unwrap_or_default());
            let what = format!("not TOML: {}", error.message());
            sheet.wrong(at, what, "see toml.io for the syntax");
        }
        return;
    }
    let mut root = Section::root(table.get_ref(), number);
    root.refuse(
        sheet,
        &NOT_POLICY,
        "stands in an included file, which may have [policy] alone",
        "move it into the main file",
    );
    let mut draft = Draft {
        source: &mut config.policy,
        detectors: &mut config.detectors,
        places: &mut config.policy_places,
        base,
    };
    match root.section(sheet, "policy") {
        Some(section) => policy_of_included(sheet, section, &mut draft),
        None if root.has("policy") => {}
        None => sheet.warn(
            root.at(),
            "an included file without [policy]: it says nothing",
            "write [[policy.rule]] and the like, or do not include it",
        ),
    }
    root.finish(sheet);
}

/// Lines that say something: neither blank nor beginning with `#`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn words(config: &mut Config, sheet: &mut Sheet<'_>) {
    for (number, path) in config.policy_places.word_files.clone() {
        let name = format!("policy.dictionary.file {}", path.display());
        let octets = octets_of(&path.value, path.at, &name, MAX_LIST_OCTETS, sheet);
        let text = octets.and_then(|octets| text(octets, path.at, &name, sheet));
        if let (Some(text), Some(dictionary)) =
            (text, config.detectors.dictionaries.get_mut(number))
        {
            dictionary.words = lines(&text).map(str::to_owned).collect();
        }
    }
}

fn codes(config: &mut Config, sheet: &mut Sheet<'_>) {
    let Some(path) = config.policy_places.code_file.clone() else {
        return;
    };
    let name = format!("policy.icd10_codes {}", path.display());
    let octets = octets_of(&path.value, path.at, &name, MAX_LIST_OCTETS, sheet);
    let Some(text) = octets.and_then(|octets| text(octets, path.at, &name, sheet)) else {
        return;
    };
    // The lists that CMS publishes have the code's name behind it.
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    config.detectors.icd10_codes = Some(lines(&text).filter_map(first).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("*.toml", "toml", false),
            ("??-*.toml", "10-lab.toml", true),
            ("??-*.toml", "1-lab.toml", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("*", "", true),
            ("?", "", false),
            ("", "", true),
            ("**", "a", true),
        ] {
            let matched = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(matched, expected, "{pattern} {name}");
        }
        // The worst case is the product of the lengths, not a power.
        assert!(!matches(
            "*a".repeat(100).as_bytes(),
            format!("{}b", "a".repeat(10_000)).as_bytes()
        ));
    }

    #[test]
    fn lists_skip_remarks() {
        let list: Vec<&str> = lines("# names\n\n Apollo \r\nGemini 4\n").collect();
        assert_eq!(list, ["Apollo", "Gemini 4"]);
    }
}
