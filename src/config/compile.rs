//! Whether the policy and the detectors are good as a whole: what they say of themselves when
//! they are compiled, told with the place in the file.

use super::problem::{Sheet, Spot};
use super::sections::Config;
use crate::mail::Timestamp;
use crate::policy::{Bounds, Policy, PolicyProblem};
use crate::scan::detect::{DetectorProblem, Detectors};

/// Keys of a rule that are no conditions.
const OF_RULES: [&str; 6] = ["name", "when", "raise", "hold", "reject", "alert"];

/// Notes what is wrong with the policy and the detectors of `config`, and what of it does nothing.
pub(super) fn policy(config: &Config, now: Timestamp, sheet: &mut Sheet<'_>) {
    if !config.policy_places.sound {
        // What could not be read is missing here, and the rest would only mislead.
        return;
    }
    let bounds = Bounds {
        message_size: Some(config.limits.message_size),
    };
    match Policy::compile_within(config.policy.clone(), bounds) {
        Ok(policy) => {
            for warning in policy.warnings(now) {
                let (at, what) = located(config, &warning);
                sheet.warn(at, what, warning.mend);
            }
        }
        Err(problems) => {
            for problem in problems {
                let (at, what) = located(config, &problem);
                sheet.wrong(at, what, problem.mend);
            }
        }
    }
    if let Err(problem) = Detectors::compile(&config.detectors) {
        let (at, mend) = detector(config, &problem);
        sheet.wrong(at, problem.to_string(), mend);
    }
}

/// Where a problem of the policy is, and what it is with the key's name.
fn located(config: &Config, problem: &PolicyProblem) -> (Spot, String) {
    let (table, key) = (problem.table, problem.key);
    let at = config.policy_places.find(table, problem.index, key);
    let name = match (table, key) {
        ("", "") => "[policy]".to_owned(),
        ("", key) => format!("policy.{key}"),
        (table, "") => format!("[[policy.{table}]]"),
        ("rule", key) if !OF_RULES.contains(&key) => format!("policy.rule.when.{key}"),
        (table, key) => format!("policy.{table}.{key}"),
    };
    (at, format!("{name}: {}", problem.what))
}

/// Where a detector is at fault, and what to do.
fn detector(config: &Config, problem: &DetectorProblem) -> (Spot, &'static str) {
    use DetectorProblem as P;
    let place = |name: &str, key: &str| detector_place(config, name, key);
    let top = |key: &str| config.policy_places.find("", 0, key);
    match problem {
        P::UnknownDetector { name } => (place(name, "name"), "correct the name"),
        P::BadName { name } => (place(name, "name"), "write it as in \"project-names\""),
        P::DuplicateName { name } => (place(name, "name"), "give it another name"),
        P::TooMany { .. } => (top(""), "join or remove some"),
        P::NoWords { name } => (words(config, name), "write some, one a line in a file"),
        P::EmptyWord { name, .. } => (words(config, name), "remove it"),
        P::WordTooLong { name, .. } => (words(config, name), "shorten it"),
        P::NeverFires { name, .. } => (place(name, "at_least"), "ask for fewer, or add words"),
        P::DictionariesTooLarge => (top(""), "remove words"),
        P::BadPattern { name, .. } => (
            place(name, "regex"),
            "correct it; look-around and back-references are not part of the syntax",
        ),
        P::PatternTooLarge { name } => (place(name, "regex"), "use fewer or smaller repetitions"),
        P::PatternsTooLarge => (top(""), "remove or simplify some"),
        P::PatternMatchesEmpty { name } => (
            place(name, "regex"),
            "let it ask for at least one character",
        ),
        P::BadCode { .. } => (
            top("icd10_codes"),
            "write one code a line, as in E11.9, or E119 with its name behind it",
        ),
        P::CodeCount { .. } => (top("icd10_codes"), "use a list as CMS publishes it"),
        P::Internal => (top(""), "report it: this is a fault of sealpost"),
    }
}

/// Where the words of a dictionary stand, or its file is named.
fn words(config: &Config, name: &str) -> Spot {
    let number = config
        .detectors
        .dictionaries
        .iter()
        .position(|dictionary| dictionary.name == name);
    let in_file = |(owner, _): &&(usize, _)| Some(*owner) == number;
    let key = match config.policy_places.word_files.iter().find(in_file) {
        Some(_) => "file",
        None => "words",
    };
    detector_place(config, name, key)
}

/// Where the last of the operator's detectors of this name has a key.
fn detector_place(config: &Config, name: &str, key: &str) -> Spot {
    let places = &config.policy_places;
    let detectors = &config.detectors;
    let pattern = detectors.patterns.iter().rposition(|it| it.name == name);
    if let Some(number) = pattern {
        return places.find("pattern", number, key);
    }
    let dictionary = detectors
        .dictionaries
        .iter()
        .rposition(|it| it.name == name);
    match dictionary {
        Some(number) => places.find("dictionary", number, key),
        None => places.find("", 0, ""),
    }
}
