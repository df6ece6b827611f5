//! What an operator may write about detectors, what is shipped, and what can be wrong with it.
//!
//! Owns: the words of the configuration and the bounds on them. Never: compiles or scans.

use std::collections::BTreeSet;

use serde::Serialize;
use thiserror::Error;

/// Most words in all dictionaries together.
pub const MAX_WORDS: usize = 100_000;
/// Longest word or phrase of a dictionary, in octets.
pub const MAX_WORD_OCTETS: usize = 200;
/// Most dictionaries.
pub const MAX_DICTIONARIES: usize = 100;
/// Most patterns.
pub const MAX_PATTERNS: usize = 100;
/// Longest pattern as written, in octets.
pub const MAX_PATTERN_OCTETS: usize = 4096;
/// Largest compiled pattern, in octets.
pub const MAX_PATTERN_COMPILED: usize = 1024 * 1024;
/// Most codes in a loaded list; ICD-10-CM has some 75,000.
pub const MAX_CODES: usize = 200_000;
/// Longest name of a dictionary or pattern, in octets.
pub const MAX_NAME_OCTETS: usize = 64;

/// The detectors' configuration as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DetectorSource {
    /// Names of the shipped detectors that run.
    pub enabled: BTreeSet<String>,
    /// The operator's word lists.
    pub dictionaries: Vec<Dictionary>,
    /// The operator's regular expressions.
    pub patterns: Vec<Pattern>,
    /// Codes that count as ICD-10-CM, with or without their dot; `None` is the shipped table of
    /// categories.
    pub icd10_codes: Option<Vec<String>>,
}

impl DetectorSource {
    /// Every shipped detector, and nothing of the operator's own.
    pub fn all_shipped() -> Self {
        Self {
            enabled: SHIPPED.iter().map(|it| it.name.to_owned()).collect(),
            ..Self::default()
        }
    }
}

/// A list of words or phrases that fires as one detector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dictionary {
    /// The detector's name.
    pub name: String,
    /// Words and phrases; they match as whole words, with any white space between their words.
    pub words: Vec<String>,
    /// Whether capitals matter.
    pub case_sensitive: bool,
    /// How many different words of the list one text must hold. Zero counts as one.
    pub at_least: u32,
}

/// A regular expression that fires as a detector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pattern {
    /// The detector's name.
    pub name: String,
    /// In the syntax of the `regex` crate: no look-around, no back-references, linear time.
    pub regex: String,
}

/// A detector that comes with sealpost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShippedDetector {
    /// The name in configuration, findings and tables.
    pub name: &'static str,
    /// What it finds, for people.
    pub description: &'static str,
}

const fn shipped(name: &'static str, description: &'static str) -> ShippedDetector {
    ShippedDetector { name, description }
}

/// Every shipped detector; the order is that of [`Shipped`].
pub const SHIPPED: &[ShippedDetector] = &[
    shipped(
        "us-ssn",
        "US Social Security number: written 3-2-4, or nine digits beside a label",
    ),
    shipped(
        "us-npi",
        "US National Provider Identifier with a right check digit, beside a label",
    ),
    shipped(
        "us-dea",
        "US DEA registration number with a right check digit, beside a label or its holder",
    ),
    shipped(
        "us-mbi",
        "US Medicare Beneficiary Identifier: written 4-3-4, or beside a label",
    ),
    shipped("mrn", "medical record or patient number beside its label"),
    shipped(
        "icd10",
        "ICD-10-CM diagnosis code near something that identifies a person",
    ),
    shipped(
        "payment-card",
        "payment card number: issuer range, length and check digit; grouped, or beside a label",
    ),
    shipped(
        "birth-date",
        "date of birth beside its label or a patient's name",
    ),
    shipped("hl7v2", "HL7 version 2 message about a person"),
    shipped("x12", "X12 health care transaction about a person"),
    shipped("fhir", "FHIR resource about a person, JSON or XML"),
    shipped("c-cda", "C-CDA clinical document"),
    shipped("dicom", "DICOM file"),
];

/// The shipped detectors as the code names them; the index into [`SHIPPED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shipped {
    Ssn,
    Npi,
    Dea,
    Mbi,
    Mrn,
    Icd10,
    Card,
    BirthDate,
    Hl7,
    X12,
    Fhir,
    Ccda,
    Dicom,
}

impl Shipped {
    /// Its place in [`SHIPPED`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// What is wrong with a detector's configuration. The texts are for `check`; the place in the
/// file is the reader's to add.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DetectorProblem {
    /// `enabled` names something that is not shipped.
    #[error("there is no shipped detector `{name}`")]
    UnknownDetector {
        /// As written.
        name: String,
    },
    /// A dictionary or pattern has an unusable name.
    #[error(
        "`{name}` cannot name a detector: 1 to {MAX_NAME_OCTETS} of a-z, 0-9, `-` and `_` can, starting with a letter"
    )]
    BadName {
        /// As written.
        name: String,
    },
    /// Two detectors share a name, or one takes a shipped detector's.
    #[error("`{name}` names two detectors")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// More than [`MAX_DICTIONARIES`] or [`MAX_PATTERNS`].
    #[error("too many {what}: at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A dictionary has no words.
    #[error("dictionary `{name}` has no words")]
    NoWords {
        /// The dictionary.
        name: String,
    },
    /// A word is blank, or has no letter or digit.
    #[error("dictionary `{name}`: word {position} has no letter or digit")]
    EmptyWord {
        /// The dictionary.
        name: String,
        /// Counted from 1.
        position: usize,
    },
    /// A word is longer than [`MAX_WORD_OCTETS`].
    #[error("dictionary `{name}`: word {position} is longer than {MAX_WORD_OCTETS} octets")]
    WordTooLong {
        /// The dictionary.
        name: String,
        /// Counted from 1.
        position: usize,
    },
    /// `at_least` asks for more than the list holds: it can never fire.
    #[error(
        "dictionary `{name}` can never fire: at_least = {at_least}, and it has {words} different words"
    )]
    NeverFires {
        /// The dictionary.
        name: String,
        /// As written.
        at_least: u32,
        /// Different words, capitals folded where they do not matter.
        words: usize,
    },
    /// The dictionaries do not fit into one automaton.
    #[error("the dictionaries are too large: at most {MAX_WORDS} words in all")]
    DictionariesTooLarge,
    /// A pattern is not a regular expression of the supported syntax.
    #[error("pattern `{name}`: {problem}")]
    BadPattern {
        /// The pattern.
        name: String,
        /// The compiler's words, one line.
        problem: String,
    },
    /// A pattern needs more than [`MAX_PATTERN_COMPILED`] when compiled, or is too long as written.
    #[error(
        "pattern `{name}` is too large: compiled, it may take {MAX_PATTERN_COMPILED} octets; counted repetition of a class is the usual reason"
    )]
    PatternTooLarge {
        /// The pattern.
        name: String,
    },
    /// All patterns together are too large for one pass.
    #[error("the patterns are too large together")]
    PatternsTooLarge,
    /// A pattern matches nothing at all, and so everywhere.
    #[error("pattern `{name}` matches the empty text, and so every mail")]
    PatternMatchesEmpty {
        /// The pattern.
        name: String,
    },
    /// A line of the loaded list is not an ICD-10-CM code.
    #[error("ICD-10-CM list: entry {position} is not a code")]
    BadCode {
        /// Counted from 1.
        position: usize,
    },
    /// The loaded list is empty or above [`MAX_CODES`].
    #[error("ICD-10-CM list: {count} codes; it takes 1 to {MAX_CODES}")]
    CodeCount {
        /// How many were given.
        count: usize,
    },
    /// The shipped tables do not compile: a defect of sealpost, not of the configuration.
    #[error("the shipped labels do not compile")]
    Internal,
}
