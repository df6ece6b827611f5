//! The words that say what a number is, and those that open a structured payload.
//!
//! Owns: the tables of labels and the two automata over them: one passes over the whole text, one
//! looks into the window around a number that needs company. Never: reads numbers.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::bytes::{at, before, is_letter, slice};
use super::source::{DetectorProblem, Shipped};

/// What a label announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Ssn,
    Npi,
    Dea,
    Mbi,
    Mrn,
    /// A health plan's member number: says whose text it is, and is no detector.
    Member,
    Card,
    /// Says outright that a date of birth follows.
    Birth,
    /// May say so of anybody.
    Born,
    /// A patient's name follows.
    Patient,
    Hl7,
    Hl7Patient,
    X12,
    X12Set,
    FhirJson,
    FhirXml,
    Ccda,
}

impl Label {
    /// Every label.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Ssn, Npi, Dea, Mbi, Mrn, Member, Card, Birth, Born, Patient, Hl7, Hl7Patient, X12, X12Set,
        FhirJson, FhirXml, Ccda,
    ];
    /// How many there are.
    pub(super) const COUNT: usize = 17;

    /// Which detector fires where its value is found.
    pub(super) const fn detector(self) -> Option<Shipped> {
        Some(match self {
            Ssn => Shipped::Ssn,
            Npi => Shipped::Npi,
            Dea => Shipped::Dea,
            Mbi => Shipped::Mbi,
            Mrn => Shipped::Mrn,
            Card => Shipped::Card,
            Birth | Born => Shipped::BirthDate,
            Hl7 | Hl7Patient => Shipped::Hl7,
            X12 | X12Set => Shipped::X12,
            FhirJson | FhirXml => Shipped::Fhir,
            Ccda => Shipped::Ccda,
            Member | Patient => return None,
        })
    }

    /// Whether its value says who a text is about.
    pub(super) const fn identifies(self) -> bool {
        matches!(self, Ssn | Mbi | Mrn | Member | Birth | Born | Patient)
    }

    /// Whether it opens a structured payload.
    pub(super) const fn is_structured(self) -> bool {
        matches!(
            self,
            Hl7 | Hl7Patient | X12 | X12Set | FhirJson | FhirXml | Ccda
        )
    }
}

use Label::{
    Birth, Born, Card, Ccda, Dea, FhirJson, FhirXml, Hl7, Hl7Patient, Mbi, Member, Mrn, Npi,
    Patient, Ssn, X12, X12Set,
};

/// Lower case; ASCII capitals do not matter.
const LABELS: &[(Label, &[&str])] = &[
    (
        Ssn,
        &[
            "ssn",
            "ss#",
            "ss #",
            "s.s.n.",
            "social security",
            "social-security",
            "social_security",
            "socialsecurity",
            "soc sec",
            "soc. sec",
            "soc.sec",
            "seguro social",
        ],
    ),
    (
        Npi,
        &[
            "npi",
            "national provider id",
            "national provider number",
            "nationalprovider",
            "national_provider_id",
            "*xx*",
            "|xx|",
        ],
    ),
    (
        Dea,
        &[
            "dea number",
            "dea no",
            "dea #",
            "dea#",
            "dea:",
            "dea registration",
            "dea license",
            "dea registered",
            "dea_n",
            "dea id",
            "deanumber",
        ],
    ),
    (
        Mbi,
        &[
            "mbi",
            "medicare number",
            "medicare beneficiary",
            "medicare id",
            "medicare no",
            "medicare #",
        ],
    ),
    (
        Mrn,
        &[
            "mrn",
            "m.r.n.",
            "med rec no",
            "med rec #",
            "med rec num",
            "med rec:",
            "med. rec. no",
            "medrec",
            "medical record number",
            "medical record no",
            "medical record num",
            "medical record #",
            "medical record id",
            "medical record:",
            "medical_record_n",
            "medical_record_id",
            "medicalrecordnumber",
            "medical rec. no",
            "medical rec no",
            "patient id",
            "patient_id",
            "patientid",
            "patient-id",
            "patient number",
            "patient no",
            "patient #",
            "patient_number",
            "patientnumber",
            "patient identifier",
            "patient account",
            "patient acct",
            "patient_account",
            "hospital number",
            "hospital no",
            "chart number",
            "chart no",
            "chart #",
            "chart id",
            "unit record",
            "nhs number",
            "nhs no",
            "patientennummer",
            "patienten-nr",
            "patientennr",
            "patienten-id",
            "pat.-nr",
            "pat-nr",
            "fallnummer",
            "historia clínica",
            "historia clinica",
            "nhc",
            "numéro de dossier",
            "numero de dossier",
            "n° de dossier",
            "dossier patient",
            "numéro de patient",
            "cartella clinica",
            "patiëntnummer",
            "prontuário",
            "診察券番号",
            "患者番号",
            "患者id",
        ],
    ),
    (
        Member,
        &[
            "member id",
            "member_id",
            "memberid",
            "member number",
            "member no",
            "member #",
            "subscriber id",
            "subscriber number",
            "subscriber no",
            "insured id",
            "insured's id",
            "insurance id",
            "health plan id",
            "beneficiary id",
            "policy holder id",
            "medicaid id",
            "medicaid number",
            "medicaid no",
            "versichertennummer",
            "versicherten-nr",
            "krankenversichertennummer",
            "número de afiliado",
        ],
    ),
    (
        Card,
        &[
            "card number",
            "card_number",
            "cardnumber",
            "card no",
            "card #",
            "card num",
            "credit card",
            "credit_card",
            "creditcard",
            "debit card",
            "cc number",
            "cc_number",
            "cc#",
            "cc #",
            "ccnum",
            "cc_num",
            "kreditkarte",
            "kartennummer",
            "kreditkartennummer",
            "tarjeta de crédito",
            "tarjeta de credito",
            "número de tarjeta",
            "numero de tarjeta",
            "carte de crédit",
            "carte bancaire",
            "numéro de carte",
            "numero carta",
            "carta di credito",
            "カード番号",
        ],
    ),
    (
        Birth,
        &[
            "dob",
            "d.o.b",
            "date of birth",
            "date_of_birth",
            "dateofbirth",
            "birth date",
            "birth_date",
            "birthdate",
            "date of b.",
            "birth_dt",
            "geburtsdatum",
            "geb.-datum",
            "geb.datum",
            "fecha de nacimiento",
            "fecha nac",
            "f. nac",
            "f.nac",
            "date de naissance",
            "data di nascita",
            "data de nascimento",
            "geboortedatum",
            "生年月日",
            "出生日期",
        ],
    ),
    (
        Born,
        &[
            "born",
            "birthday",
            "geburtstag",
            "geb.",
            "geboren",
            "né le",
            "née le",
            "né(e) le",
            "nacido el",
            "nacida el",
            "nato il",
            "nata il",
        ],
    ),
    (
        Patient,
        &[
            "patient:",
            "patient name",
            "name of patient",
            "patient's name",
            "patient_name",
            "patient mr",
            "patient ms",
            "pt name",
            "pt:",
            "re patient",
            "patientenname",
            "name des patienten",
            "patientin:",
            "nombre del paciente",
            "paciente:",
            "nom du patient",
            "patient (name)",
            "nome del paziente",
            "paziente:",
            "患者名",
            "患者氏名",
        ],
    ),
    (Hl7, &["msh|"]),
    (Hl7Patient, &["pid|"]),
    (X12, &["isa*", "isa|", "isa^", "isa~", "isa!"]),
    (X12Set, &["st*27", "st*83"]),
    (FhirJson, &["\"resourcetype\""]),
    (FhirXml, &["http://hl7.org/fhir\""]),
    (Ccda, &["<clinicaldocument", ":clinicaldocument"]),
];

/// What a word near a number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// A payment card.
    Card,
    /// A card that pays nothing.
    OtherCard,
    /// Somebody's test data.
    Test,
    Dea,
    /// Who writes prescriptions.
    Prescriber,
    /// A person's papers: health, insurance, tax, work.
    Person,
    /// Care: a patient is near.
    Care,
    /// Diagnoses and their codes.
    Diagnosis,
}

const HINTS: &[(Hint, &[&str])] = &[
    (
        Hint::Card,
        &[
            "card",
            "cards",
            "visa",
            "mastercard",
            "master card",
            "amex",
            "american express",
            "discover",
            "diners",
            "jcb",
            "cvv",
            "cvc",
            "cc",
            "exp",
            "expires",
            "expiry",
            "valid thru",
            "card_number",
            "cardnumber",
            "kreditkarte",
            "karte",
            "kartennummer",
            "tarjeta",
            "carte",
            "carta",
            "mc",
            "pan",
        ],
    ),
    (
        Hint::OtherCard,
        &[
            "gift card",
            "library card",
            "sim card",
            "loyalty card",
            "membership card",
            "rewards card",
            "fuel card",
            "id card",
            "punch card",
            "sd card",
            "business card",
            "travel card",
            "key card",
        ],
    ),
    (
        Hint::Test,
        &[
            "test",
            "sandbox",
            "dummy",
            "example",
            "documentation",
            "testing",
        ],
    ),
    (Hint::Dea, &["dea"]),
    (
        Hint::Prescriber,
        &[
            "prescriber",
            "prescribed by",
            "dr.",
            "dr",
            "md",
            "m.d.",
            "physician",
            "rx",
            "dds",
            "np",
            "do",
            "dvm",
        ],
    ),
    (
        Hint::Person,
        &[
            "patient",
            "insured",
            "claimant",
            "beneficiary",
            "subscriber",
            "employee",
            "taxpayer",
            "dependent",
            "spouse",
            "applicant",
            "tenant",
            "guarantor",
            "medicare",
            "medicaid",
            "member",
            "dob",
            "birth",
            "social",
            "w-2",
            "1099",
            "i-9",
            "payroll",
            "born",
            "ssn",
            "client",
            "resident",
            "deceased",
        ],
    ),
    (
        Hint::Care,
        &[
            "patient",
            "patients",
            "mrn",
            "medical record",
            "diagnosis",
            "diagnosed",
            "admitted",
            "admission",
            "discharged",
            "discharge",
            "hospital",
            "clinic",
            "insurance",
            "insured",
            "prescribed",
            "referral",
            "referred",
            "treatment",
            "symptoms",
            "patientin",
            "diagnose",
            "stationär",
            "aufnahme",
            "überweisung",
            "krankenkasse",
            "paciente",
            "diagnóstico",
            "ingreso",
            "hospitalización",
            "patiente",
            "diagnostic",
            "hospitalisé",
            "hospitalisée",
            "paziente",
            "diagnosi",
            "ricovero",
            "consulta",
            "befund",
        ],
    ),
    (
        Hint::Diagnosis,
        &[
            "icd",
            "icd10",
            "icd-10",
            "icd-10-cm",
            "dx",
            "diagnosis",
            "diagnoses",
            "diag",
            "diagnose",
            "diagnosen",
            "diagnóstico",
            "diagnosi",
            "diagnostic",
            "dx1",
            "diagnosis_code",
            "dx_code",
        ],
    ),
];

/// A label in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) label: Label,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The labels that are wanted, as one automaton.
#[derive(Debug)]
pub(super) struct Labels {
    automaton: AhoCorasick,
    kinds: Vec<Label>,
}

fn automaton(words: &[&str]) -> Result<AhoCorasick, DetectorProblem> {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .map_err(|_| DetectorProblem::Internal)
}

/// Whether `start..end` stands as a word of its own, or as one within `snake_case` or
/// `camelCase`; a plural counts.
fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let (first, last) = (at(text, start), before(text, end));
    let previous = before(text, start);
    let opens = !first.is_ascii_alphabetic()
        || !is_letter(previous)
        || (previous.is_ascii_lowercase() && first.is_ascii_uppercase());
    let after = end + usize::from(at(text, end) == b's' && !is_letter(at(text, end + 1)));
    let next = at(text, after);
    let closes = !last.is_ascii_alphabetic()
        || !is_letter(next)
        || (last.is_ascii_lowercase() && next.is_ascii_uppercase())
        || (next >= 0x80 && !is_latin(text, after));
    opens && closes
}

/// Whether the character at `from` is a Latin letter with a mark (U+00C0 to U+024F).
fn is_latin(text: &[u8], from: usize) -> bool {
    matches!(at(text, from), 0xc3..=0xc9)
}

impl Labels {
    /// Those of `wanted`.
    pub(super) fn new(wanted: &BTreeSet<Label>) -> Result<Self, DetectorProblem> {
        let chosen = LABELS.iter().filter(|(label, _)| wanted.contains(label));
        let (kinds, words): (Vec<_>, Vec<_>) = chosen
            .flat_map(|(label, words)| words.iter().map(|word| (*label, *word)))
            .unzip();
        Ok(Self {
            automaton: automaton(&words)?,
            kinds,
        })
    }

    /// Every label that starts in `from..to`, in order.
    pub(super) fn find<'t>(
        &'t self,
        text: &'t [u8],
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = Place> + 't {
        self.automaton
            .find_iter(slice(text, from, to))
            .filter_map(move |found| {
                let place = Place {
                    label: *self.kinds.get(found.pattern().as_usize())?,
                    start: from + found.start(),
                    end: from + found.end(),
                };
                (place.label.is_structured() || stands_alone(text, place.start, place.end))
                    .then_some(place)
            })
    }
}

/// The hints as one automaton.
#[derive(Debug)]
pub(super) struct Hints {
    automaton: AhoCorasick,
    /// By word: what it hints at.
    kinds: Vec<BTreeSet<Hint>>,
}

impl Hints {
    /// All of them.
    pub(super) fn new() -> Result<Self, DetectorProblem> {
        let mut by_word: BTreeMap<&str, BTreeSet<Hint>> = BTreeMap::new();
        for (hint, words) in HINTS {
            for word in *words {
                by_word.entry(word).or_default().insert(*hint);
            }
        }
        let (words, kinds): (Vec<_>, Vec<_>) = by_word.into_iter().unzip();
        Ok(Self {
            automaton: automaton(&words)?,
            kinds,
        })
    }

    /// Whether a word of `hint` stands in `from..to`.
    pub(super) fn any(&self, text: &[u8], from: usize, to: usize, hint: Hint) -> bool {
        self.automaton
            .find_iter(slice(text, from, to))
            .any(|found| {
                let kinds = self.kinds.get(found.pattern().as_usize());
                kinds.is_some_and(|it| it.contains(&hint))
                    && stands_alone(text, from + found.start(), from + found.end())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Label, &str)> {
        let wanted = LABELS.iter().map(|(label, _)| *label).collect();
        let labels = Labels::new(&wanted).unwrap();
        labels
            .find(text.as_bytes(), 0, text.len())
            .map(|it| (it.label, &text[it.start..it.end]))
            .collect()
    }

    #[test]
    fn labels_stand_alone_or_within_names() {
        assert_eq!(
            found("SSNs, patient_ssn, customerSSN9, lessness, MRN0012"),
            [(Ssn, "SSN"), (Ssn, "ssn"), (Ssn, "SSN"), (Mrn, "MRN")]
        );
        assert_eq!(found("adobe, newborn, unborn, Born"), [(Born, "Born")]);
        assert_eq!(found("生年月日：1962"), [(Birth, "生年月日")]);
        assert_eq!(
            found("Medical Record Number"),
            [(Mrn, "Medical Record Number")]
        );
        assert_eq!(found("SSNé"), []);
    }

    #[test]
    fn longer_hints_hide_shorter_ones() {
        let hints = Hints::new().unwrap();
        let any = |text: &str, hint| hints.any(text.as_bytes(), 0, text.len(), hint);
        assert!(any("your VISA card", Hint::Card));
        assert!(!any("your gift card", Hint::Card));
        assert!(any("your gift card", Hint::OtherCard));
        assert!(!any("cardinal, discard", Hint::Card));
    }
}
