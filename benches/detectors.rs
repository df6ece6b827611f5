//! How right the detectors are, and how fast.
//!
//! Right: over the sample documents of `tests/corpus`, per detector: how often it fired where it
//! should, where it should not, and did not where it should. Fast: MB/s of one thread over made-up
//! texts of several kinds, the median of several rounds. With a folder as argument, says instead
//! which detectors fire on how many of its files (never what they matched): the way to try them on
//! mail of one's own before a level depends on them.

#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark measures, in floating point"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealpost::scan::detect::{DetectorSource, Detectors, Dictionary, Pattern, SHIPPED};

#[path = "../tests/corpus/reader.rs"]
mod reader;

/// Rounds per text; the median counts.
const ROUNDS: usize = 9;
/// Octets of each made-up text.
const OCTETS: usize = 4 * 1024 * 1024;
/// Most files of a folder that are read, and most octets of each.
const MAX_FILES: usize = 20_000;
const MAX_FILE_OCTETS: u64 = 4 * 1024 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // `cargo bench` passes flags of its own.
    let folder = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let shipped = Detectors::compile(&DetectorSource::all_shipped())?;
    if let Some(folder) = folder {
        return try_on(Path::new(&folder), &shipped);
    }
    let documents: Vec<_> = reader::read("true")?
        .into_iter()
        .chain(reader::read("false")?)
        .collect();
    right(&documents, &shipped);
    fast(&documents, &shipped)
}

/// Fired and should have, fired and should not have, should have and did not.
#[derive(Default, Clone, Copy)]
struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Score {
    fn line(self, name: &str) {
        let share = |of: usize| match self.right + of {
            0 => "-".to_owned(),
            all => format!("{:.1} %", self.right as f64 * 100.0 / all as f64),
        };
        println!(
            "{name:<14} {:>6} {:>6} {:>7} {:>10} {:>9}",
            self.right,
            self.wrong,
            self.missed,
            share(self.wrong),
            share(self.missed),
        );
    }
}

fn right(documents: &[reader::Document], detectors: &Detectors) {
    let friends = documents.iter().filter(|it| it.expected.is_empty()).count();
    println!(
        "{} true documents, {friends} false friends",
        documents.len() - friends
    );
    println!(
        "{:<14} {:>6} {:>6} {:>7} {:>10} {:>9}",
        "detector", "right", "wrong", "missed", "precision", "recall"
    );
    let fired: Vec<_> = documents.iter().map(|it| it.scan(detectors)).collect();
    let mut all = Score::default();
    for shipped in SHIPPED {
        let mut score = Score::default();
        for (document, fired) in documents.iter().zip(&fired) {
            match (
                document.expected.contains(shipped.name),
                fired.contains(shipped.name),
            ) {
                (true, true) => score.right += 1,
                (false, true) => score.wrong += 1,
                (true, false) => score.missed += 1,
                (false, false) => {}
            }
        }
        score.line(shipped.name);
        all.right += score.right;
        all.wrong += score.wrong;
        all.missed += score.missed;
    }
    all.line("all");
    for (document, fired) in documents.iter().zip(&fired) {
        if *fired != document.expected {
            println!("wrong on {}: {fired:?}", document.name);
        }
    }
}

fn fast(documents: &[reader::Document], shipped: &Detectors) -> Result<(), Failure> {
    let mut source = DetectorSource::all_shipped();
    source.dictionaries.push(Dictionary {
        name: "words".to_owned(),
        words: (0..1000).map(|n| format!("confidential {n}x")).collect(),
        case_sensitive: false,
        at_least: 1,
    });
    source.patterns = (0..5)
        .map(|n| Pattern {
            name: format!("pattern-{n}"),
            regex: format!(r"\bEMP{n}-\d{{6}}\b"),
        })
        .collect();
    let own = Detectors::compile(&source)?;
    let corpus: String = documents
        .iter()
        .filter_map(|it| std::str::from_utf8(&it.content).ok())
        .collect::<Vec<_>>()
        .join("\n\n");
    println!(
        "\n{:<34} {:>12} {:>22}",
        "MB/s, median of rounds", "shipped", "+ 1,000 words, 5 regex"
    );
    for (name, text) in [
        ("prose", fill(|n| prose(n, &ENGLISH))),
        (
            "prose, German (folded letters)",
            fill(|n| prose(n, &GERMAN)),
        ),
        ("prose, Japanese", fill(|_| JAPANESE.to_owned())),
        ("letters and digits at random", fill(random_line)),
        ("digits: a table of readings", fill(readings)),
        ("digits: numbers of every length", fill(numbers)),
        ("labels and numbers, none valid", fill(labels)),
        (
            "openings of payloads, none whole",
            fill(|_| OPENINGS.to_owned()),
        ),
        ("the sample documents", fill(|_| corpus.clone())),
    ] {
        let rate = |detectors: &Detectors| {
            let mut rates: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let started = Instant::now();
                    let mut found = Vec::new();
                    detectors.scan_text(0, black_box(&text), &mut found);
                    black_box(found);
                    text.len() as f64 / 1e6 / started.elapsed().as_secs_f64()
                })
                .collect();
            rates.sort_by(f64::total_cmp);
            rates.get(ROUNDS / 2).copied().unwrap_or_default()
        };
        println!("{name:<34} {:>12.0} {:>22.0}", rate(shipped), rate(&own));
    }
    Ok(())
}

const ENGLISH: [&str; 32] = [
    "the",
    "meeting",
    "of",
    "our",
    "committee",
    "was",
    "moved",
    "to",
    "another",
    "room",
    "and",
    "everybody",
    "brought",
    "coffee",
    "with",
    "them",
    "because",
    "it",
    "had",
    "rained",
    "all",
    "morning",
    "so",
    "we",
    "began",
    "late",
    "but",
    "finished",
    "early,",
    "patiently",
    "as",
    "usual.",
];
const GERMAN: [&str; 16] = [
    "die",
    "Sitzung",
    "für",
    "den",
    "Frühling",
    "wurde",
    "verschoben,",
    "weil",
    "es",
    "über",
    "Nacht",
    "stürmte",
    "und",
    "niemand",
    "Kaffee",
    "kochte.",
];
const JAPANESE: &str = "新しい図書館は来月開館します。皆様のご来館をお待ちしております。\n";
const OPENINGS: &str = "{\"resourceType\":\"Patient\"} ISA*00*ST*837*\nMSH|^~\\&|PID|\n\
     <ClinicalDocument><Patient xmlns=\"http://hl7.org/fhir\">\n";

/// Steps a small generator: the texts are the same every time.
fn step(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn fill(line: impl Fn(&mut u64) -> String) -> String {
    let mut seed = 0x5ea1;
    let mut text = String::with_capacity(OCTETS + 1024);
    while text.len() < OCTETS {
        text.push_str(&line(&mut seed));
    }
    text
}

fn pick<'a>(seed: &mut u64, from: &[&'a str]) -> &'a str {
    let place = usize::try_from(step(seed)).unwrap_or(0) % from.len();
    from.get(place).copied().unwrap_or_default()
}

fn prose(seed: &mut u64, words: &[&str]) -> String {
    let line: Vec<&str> = (0..12).map(|_| pick(seed, words)).collect();
    format!("{}\r\n", line.join(" "))
}

fn random_line(seed: &mut u64) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
    let mut line: String = (0..76)
        .filter_map(|_| {
            let place = usize::try_from(step(seed)).unwrap_or(0) % LETTERS.len();
            LETTERS.get(place).map(|b| char::from(*b))
        })
        .collect();
    line.push_str("\r\n");
    line
}

fn readings(seed: &mut u64) -> String {
    let mut number = |below: u64| step(seed) % below;
    format!(
        "2025-09-02 {:02}:{:02},{}.{},{},{}\n",
        number(24),
        number(60),
        number(40),
        number(10),
        number(100),
        number(100_000)
    )
}

fn numbers(seed: &mut u64) -> String {
    let digits = step(seed) % 19 + 1;
    let mut out: String = (0..digits)
        .filter_map(|_| char::from_digit(u32::try_from(step(seed) % 10).unwrap_or(0), 10))
        .collect();
    out.push(if step(seed).is_multiple_of(4) {
        '\n'
    } else {
        ' '
    });
    out
}

fn labels(seed: &mut u64) -> String {
    let label = pick(
        seed,
        &[
            "SSN",
            "MRN,",
            "DOB;",
            "NPI\t",
            "patient: ",
            "card number ",
            "born ",
        ],
    );
    format!("{label} {}\n", step(seed) % 100)
}

fn try_on(folder: &Path, detectors: &Detectors) -> Result<(), Failure> {
    let mut folders = vec![folder.to_path_buf()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && files.len() < MAX_FILES
                && entry.metadata()?.len() <= MAX_FILE_OCTETS
            {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let mut fired: BTreeMap<String, Vec<(PathBuf, u64)>> = BTreeMap::new();
    let mut texts = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        texts += 1;
        let mut found = Vec::new();
        detectors.scan_text(0, &text, &mut found);
        found.dedup_by(|a, b| a.detector == b.detector);
        for finding in found {
            let places = fired.entry(finding.detector.to_string()).or_default();
            places.push((file.clone(), finding.offset));
        }
    }
    println!("{texts} texts");
    for (detector, places) in fired {
        println!("{detector}: {} texts", places.len());
        for (file, offset) in places.iter().take(40) {
            println!("    {} at {offset}", file.display());
        }
    }
    Ok(())
}
