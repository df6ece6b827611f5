//! The detectors at their limits, through the public door.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static ALL: LazyLock<Detectors> =
    LazyLock::new(|| Detectors::compile(&DetectorSource::all_shipped()).unwrap());

/// What fires in `text`, and where.
fn fired(detectors: &Detectors, text: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    detectors.scan_text(0, text, &mut found);
    found
        .into_iter()
        .map(|it| (it.detector.to_string(), it.offset))
        .collect()
}

#[track_caller]
fn assert_fires(detector: &str, cases: &[(&str, bool)]) {
    let detectors = &*ALL;
    for (text, expected) in cases {
        let fires = fired(detectors, text).iter().any(|(it, _)| it == detector);
        assert_eq!(fires, *expected, "{detector}: {text}");
    }
}

#[test]
fn social_security_numbers() {
    assert_fires(
        "us-ssn",
        &[
            ("001-01-0001", true),
            ("899-99-9999", true),
            ("665-01-0001", true),
            ("667-01-0001", true),
            ("734-12-4567", true),
            ("000-01-0001", false),
            ("666-01-0001", false),
            ("900-01-0001", false),
            ("123-00-4567", false),
            ("123-45-0000", false),
            ("078-05-1120", false),
            ("219-09-9999", false),
            ("987-65-4321", false),
            ("x123-45-6789", false),
            ("123-45-6789x", false),
            ("1-123-45-6789", false),
            ("123-45-6789-1", false),
            ("123-45-67890", false),
            ("123.45.6789", false),
            ("SSN 123.45.6789", true),
            ("123456789", false),
            ("SSN: 123456789", true),
            ("SSN123456789", true),
            ("ssn=123456789", true),
            ("SSN: 1234567890", false),
            ("123456789 (SSN)", true),
            ("SSN: unknown. Ticket 123456789", false),
            ("Order 123-45-6789", false),
            ("Ada,123-45-6789,Boston", true),
            ("- 123-45-6789.", true),
            ("patient 123 45 6789", true),
            ("123 45 6789", false),
            ("patient 1 123 45 6789", false),
        ],
    );
}

#[test]
fn provider_numbers() {
    assert_fires(
        "us-npi",
        &[
            ("NPI 1234567893", true),
            ("NPI 1234567890", false),
            ("NPI: 2625276011", true),
            ("1234567893", false),
            ("1234567893 (NPI)", true),
            ("808401234567893", true),
            ("808401234567890", false),
            ("NM1*82*1*WEISS*EVA****XX*1234567893", true),
            ("NPI 12345678930", false),
        ],
    );
    assert_fires(
        "us-dea",
        &[
            ("DEA BO8620571", true),
            ("DEA# bo8620571", true),
            ("DEA BO8620572", false),
            ("DEA B99180580", true),
            ("DEA BO-8620571", true),
            ("BO8620571", false),
            ("IDEA BO8620571", false),
            ("Dr. Okafor, BO8620571", true),
            ("Dr. Weiss, BO8620571", false),
        ],
    );
}

#[test]
fn medicare_and_record_numbers() {
    assert_fires(
        "us-mbi",
        &[
            ("1EG4-TE5-MK73", true),
            ("1EG4TE5MK73", false),
            ("Medicare ID 1EG4TE5MK73", true),
            ("1EG4-TE5MK73", false),
            ("0EG4-TE5-MK73", false),
            ("1SG4-TE5-MK73", false),
        ],
    );
    assert_fires(
        "mrn",
        &[
            ("MRN 4821", true),
            ("MRN 482", false),
            ("MRN 2024", false),
            ("MRN: 00000000", false),
            ("MRN: A-0048213", true),
            ("MRN: 03/14/1962", false),
            ("MRN is 00482913", true),
            ("MRN (Roe, Jane): 00482913", true),
            ("MRN pending; ticket 00482913", false),
            ("patient_id: 'P-48213'", true),
            ("patient id\r\n48213", true),
            ("24DE586600123456E7 (MRN)", false),
            ("medical records 2019-2024", false),
        ],
    );
}

#[test]
fn payment_cards() {
    assert_fires(
        "payment-card",
        &[
            ("4384 2684 6563 2124", true),
            ("4384-2684-6563-2124", true),
            ("4384 2684-6563 2124", false),
            ("4384268465632124", false),
            ("Visa 4384268465632124", true),
            ("Visa 4384268465632125", false),
            ("3787 500474 39579", true),
            ("4384 2684 6563 2124 1234", false),
            ("1234 4384 2684 6563 2124", false),
            ("4384 2684 6563 2124 12/29", true),
            ("4111 1111 1111 1111", true),
            ("test card 4111 1111 1111 1111", false),
            ("4384 2684 6563\n2124", true),
            ("4384\n2684\n6563\n2124", false),
            ("12\n4384 2684\n6563 2124", false),
        ],
    );
}

#[test]
fn dates_of_birth() {
    assert_fires(
        "birth-date",
        &[
            ("DOB 3/14/62", true),
            ("DOB: 19620314", true),
            ("DOB: 00/00/0000", false),
            ("DOB: 01/01/1900", false),
            ("DOB: 13/13/1962", false),
            ("date of birth on file is 14 March 1962", true),
            ("date of birth: see page 2, signed 03/14/2025", false),
            ("birthDate\": \"1962-03-14\"", true),
            ("born March 14, 1962", false),
            ("The patient, born March 14, 1962, was admitted", true),
            ("Patient: Jane Roe (03/14/1962)", true),
            ("Patient: Jane Roe, seen 03/14/2025", false),
            ("Patient: none (03/14/1962)", false),
        ],
    );
}

#[test]
fn diagnosis_codes_need_a_person() {
    let far = format!("MRN 00482913 {} E11.9", "word ".repeat(300));
    assert_fires(
        "icd10",
        &[
            ("E11.9", false),
            ("MRN 00482913: E11.9", true),
            ("E11.9, MRN 00482913", true),
            ("MRN 00482913: I10", false),
            ("MRN 00482913, dx I10", true),
            ("MRN 00482913: B12.9", false),
            ("Member ID WZK884120937: E11.9", true),
            ("Patient: Jane Roe, E11.9", true),
            ("NPI 1234567893: E11.9", false),
            (&far, false),
        ],
    );
}

#[test]
fn a_loaded_list_of_codes_replaces_the_table() {
    let mut source = DetectorSource::all_shipped();
    source.icd10_codes = Some(vec!["E11.9".to_owned()]);
    let detectors = Detectors::compile(&source).unwrap();
    let codes = |text| {
        let fired = fired(&detectors, text);
        fired.into_iter().filter(|(it, _)| it == "icd10").count()
    };
    assert_eq!(codes("MRN 00482913: E11.9"), 1);
    assert_eq!(codes("MRN 00482913: E11.8"), 0);
}

#[test]
fn findings_are_few_ordered_and_in_place() {
    let text = "x ".repeat(3) + &"123-45-6789, 223-45-6789; ".repeat(9) + "MRN 00482913";
    let found = fired(&ALL, &text);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["us-ssn", "us-ssn", "us-ssn", "us-ssn", "us-ssn", "mrn"]
    );
    assert_eq!(found[0].1, 6);
    assert!(text[usize::try_from(found[5].1).unwrap()..].starts_with("00482913"));

    // The bound holds over several texts of one part, and for each part anew.
    let detectors = &*ALL;
    let mut out = Vec::new();
    detectors.scan_text(1, "123-45-6789", &mut out);
    detectors.scan_text(1, &text, &mut out);
    detectors.scan_text(2, "123-45-6789", &mut out);
    let count = |part| {
        out.iter()
            .filter(|it| it.part == part && &*it.detector == "us-ssn")
            .count()
    };
    assert_eq!((count(1), count(2)), (MAX_FINDINGS_PER_DETECTOR, 1));
}

#[test]
fn offsets_lead_into_the_text_as_it_was() {
    let text = "Größe\u{a0}und\u{200b}: SSN\u{a0}５３３\u{2011}01\u{2011}8842, ok";
    assert_eq!(
        fired(&ALL, text),
        [(
            "us-ssn".to_owned(),
            u64::try_from(text.find('５').unwrap()).unwrap()
        )]
    );
}

#[test]
fn what_lies_across_blocks_is_seen_once() {
    for shift in [-40_i32, -12, -6, 0, 3] {
        let lead = usize::try_from(128 * 1024 + shift).unwrap();
        let mut text = "x ".repeat(lead / 2);
        let at = u64::try_from(text.len()).unwrap();
        text.push_str("412-60-9931 E11.9 and no more");
        text.push_str(&" y".repeat(2000));
        let found = fired(&ALL, &text);
        assert_eq!(
            found,
            [("us-ssn".to_owned(), at), ("icd10".to_owned(), at + 12)],
            "shift {shift}"
        );
    }
}

#[test]
fn only_what_is_enabled_fires() {
    let text = "MRN 00482913 DOB 03/14/1962 E11.9 412-60-9931 NPI 1234567893";
    for shipped in SHIPPED {
        let source = DetectorSource {
            enabled: [shipped.name.to_owned()].into(),
            ..DetectorSource::default()
        };
        let detectors = Detectors::compile(&source).unwrap();
        assert!(!detectors.is_empty());
        for (name, _) in fired(&detectors, text) {
            assert_eq!(name, shipped.name);
        }
        if ["mrn", "birth-date", "icd10", "us-ssn", "us-npi"].contains(&shipped.name) {
            assert_eq!(fired(&detectors, text).len(), 1, "{}", shipped.name);
        }
    }
    let none = Detectors::compile(&DetectorSource::default()).unwrap();
    assert!(none.is_empty());
    assert_eq!(fired(&none, text), []);
}

#[test]
fn files_are_known_by_their_first_octets() {
    let detectors = &*ALL;
    let kinds = |bytes: &[u8]| {
        let mut out = Vec::new();
        detectors.scan_bytes(3, bytes, &mut out);
        out.into_iter()
            .map(|it| (it.detector.to_string(), it.part, it.offset))
            .collect::<Vec<_>>()
    };
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM\x02\0");
    assert_eq!(kinds(&dicom), [("dicom".to_owned(), 3, 0)]);
    assert_eq!(kinds(&dicom[1..]), []);
    assert_eq!(kinds(b"DICM"), []);
    let hl7 = b"\x0bMSH|^~\\&|A|B|C|D|1||ORU^R01|1|P|2.5\rPID|1||5510^^^GGH||LEVIN^H\xe9NRY\r";
    assert_eq!(kinds(hl7), [("hl7v2".to_owned(), 3, 0)]);
    assert_eq!(kinds(b"ISA*00*"), []);
}

fn dictionary(words: &[&str]) -> Dictionary {
    Dictionary {
        name: "words".to_owned(),
        words: words.iter().map(|it| (*it).to_owned()).collect(),
        case_sensitive: false,
        at_least: 1,
    }
}

fn with(dictionary: Dictionary) -> Result<Detectors, DetectorProblem> {
    Detectors::compile(&DetectorSource {
        dictionaries: vec![dictionary],
        ..DetectorSource::default()
    })
}

#[test]
fn words_match_whole_in_any_case_and_spacing() {
    let detectors = with(dictionary(&[
        "Psychotherapy notes",
        "ÜBERDOSIS",
        "HIV",
        "HIV-1x",
        "秘密",
    ]))
    .unwrap();
    for (text, offset) in [
        ("the PSYCHOTHERAPY\r\n   notes of", Some(4)),
        ("eine Überdosis", Some(5)),
        ("eine überdosis,", Some(5)),
        ("Überdosist", None),
        ("(hiv)", Some(1)),
        ("hiv-1xy", Some(0)),
        ("shiva", None),
        ("これは秘密です", Some(9)),
        ("psychotherapynotes", None),
        ("h\u{200b}iv", Some(0)),
        ("a  b  hiv", Some(6)),
    ] {
        let found = fired(&detectors, text).first().map(|(_, at)| *at);
        assert_eq!(found, offset, "{text}");
    }
    let mut sensitive = dictionary(&["AIDS"]);
    sensitive.case_sensitive = true;
    let detectors = with(sensitive).unwrap();
    assert_eq!(fired(&detectors, "hearing aids").len(), 0);
    assert_eq!(fired(&detectors, "with AIDS").len(), 1);
}

#[test]
fn a_list_may_ask_for_several_different_words() {
    let mut list = dictionary(&["alpha", "beta", "gamma"]);
    list.at_least = 2;
    let detectors = with(list).unwrap();
    assert_eq!(fired(&detectors, "alpha alpha alpha").len(), 0);
    assert_eq!(fired(&detectors, "alpha alpha Beta").len(), 3);
}

#[test]
fn patterns_see_the_folded_text() {
    let detectors = Detectors::compile(&DetectorSource {
        patterns: vec![
            Pattern {
                name: "staff".to_owned(),
                regex: r"\bEMP-\d{4}\b".to_owned(),
            },
            Pattern {
                name: "never".to_owned(),
                regex: "zzz".to_owned(),
            },
        ],
        ..DetectorSource::default()
    })
    .unwrap();
    assert_eq!(
        fired(&detectors, "é EMP\u{2011}1234"),
        [("staff".to_owned(), 3)]
    );
    assert_eq!(fired(&detectors, "EMP-12345"), []);
    assert_eq!(
        fired(&detectors, &"EMP-1234 ".repeat(9)).len(),
        MAX_FINDINGS_PER_DETECTOR
    );
}

#[test]
fn what_is_wrong_is_named() {
    let name = || "words".to_owned();
    let long = "x".repeat(MAX_WORD_OCTETS + 1);
    for (words, problem) in [
        (vec![], DetectorProblem::NoWords { name: name() }),
        (
            vec!["ok", " - "],
            DetectorProblem::EmptyWord {
                name: name(),
                position: 2,
            },
        ),
        (
            vec![long.as_str()],
            DetectorProblem::WordTooLong {
                name: name(),
                position: 1,
            },
        ),
    ] {
        assert_eq!(with(dictionary(&words)).unwrap_err(), problem);
    }
    let mut greedy = dictionary(&["One", "one", "two"]);
    greedy.at_least = 3;
    assert_eq!(
        with(greedy).unwrap_err(),
        DetectorProblem::NeverFires {
            name: name(),
            at_least: 3,
            words: 2
        }
    );
    let mut taken = dictionary(&["x"]);
    taken.name = "us-ssn".to_owned();
    assert_eq!(
        with(taken.clone()).unwrap_err(),
        DetectorProblem::DuplicateName {
            name: "us-ssn".to_owned()
        }
    );
    taken.name = "Bad name".to_owned();
    assert!(matches!(
        with(taken).unwrap_err(),
        DetectorProblem::BadName { .. }
    ));
    let unknown = DetectorSource {
        enabled: ["us-snn".to_owned()].into(),
        ..DetectorSource::default()
    };
    assert_eq!(
        Detectors::compile(&unknown).unwrap_err(),
        DetectorProblem::UnknownDetector {
            name: "us-snn".to_owned()
        }
    );
}

#[test]
fn patterns_that_cannot_run_are_refused() {
    let problem = |regex: &str| {
        Detectors::compile(&DetectorSource {
            patterns: vec![Pattern {
                name: "p".to_owned(),
                regex: regex.to_owned(),
            }],
            ..DetectorSource::default()
        })
        .unwrap_err()
    };
    let p = || "p".to_owned();
    assert_eq!(
        problem(r"\w{5000}"),
        DetectorProblem::PatternTooLarge { name: p() }
    );
    assert_eq!(
        problem(&"x".repeat(5000)),
        DetectorProblem::PatternTooLarge { name: p() }
    );
    for empty in ["", "a*", "^", r"\b", "(?m)$", "x|"] {
        assert_eq!(
            problem(empty),
            DetectorProblem::PatternMatchesEmpty { name: p() },
            "{empty}"
        );
    }
    for broken in ["(", r"(?<=a)b", r"(a)\1", "[z-a]"] {
        let DetectorProblem::BadPattern { name, problem } = problem(broken) else {
            panic!("{broken}");
        };
        assert_eq!(name, "p");
        assert!(!problem.is_empty() && !problem.contains('\n'), "{problem}");
    }
}

#[test]
fn the_index_of_a_shipped_detector_is_its_place() {
    for (detector, name) in [
        (Shipped::Ssn, "us-ssn"),
        (Shipped::Npi, "us-npi"),
        (Shipped::Dea, "us-dea"),
        (Shipped::Mbi, "us-mbi"),
        (Shipped::Mrn, "mrn"),
        (Shipped::Icd10, "icd10"),
        (Shipped::Card, "payment-card"),
        (Shipped::BirthDate, "birth-date"),
        (Shipped::Hl7, "hl7v2"),
        (Shipped::X12, "x12"),
        (Shipped::Fhir, "fhir"),
        (Shipped::Ccda, "c-cda"),
        (Shipped::Dicom, "dicom"),
    ] {
        assert_eq!(SHIPPED.get(detector.index()).unwrap().name, name);
    }
}

/// Fragments that detectors look for, so that random texts reach them.
const FRAGMENTS: &[&str] = &[
    "SSN",
    "MRN",
    "DOB",
    "NPI",
    "DEA",
    "patient:",
    "Patient name ",
    "born",
    "geb.",
    "card number",
    "Visa",
    "ISA*00*",
    "ST*837*",
    "NM1*IL*1*ROE",
    "MSH|^~\\&|",
    "PID|1||4821||ROE^J",
    "\"resourceType\"",
    "\"Patient\"",
    "\"birthDate\":\"1962",
    "<ClinicalDocument",
    "patientRole",
    "family>",
    "http://hl7.org/fhir\"",
    "<Patient xmlns=\"",
    "412-60-9931",
    "4384 2684 6563 2124",
    "E11.9",
    "1EG4-TE5-MK73",
    "BO8620571",
    "14 März 1962",
    "03/14/1962",
    "1962年3月14日",
    "\u{a0}",
    "\u{200b}",
    "\u{2011}",
    "１２３",
    "é",
    "山",
    "🎉",
    "\r\n",
    "\n\n",
    " ",
    "  ",
    ",",
    ";",
    "\t",
    "|",
    ":",
    "(",
    ")",
    "\"",
    "'",
    "-",
    ".",
    "/",
    "0",
    "9",
    "Roe",
    "Jane",
    "is",
    "of",
];

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[0-9]{1,20}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|it| it.concat())
}

static WITH_OWN: LazyLock<Detectors> = LazyLock::new(|| {
    let mut source = DetectorSource::all_shipped();
    source
        .dictionaries
        .push(dictionary(&["Roe Jane", "é", "山"]));
    source.patterns.push(Pattern {
        name: "p".to_owned(),
        regex: r"\d{3}|é".to_owned(),
    });
    Detectors::compile(&source).unwrap()
});

proptest! {
    #[test]
    fn nothing_panics_and_offsets_lie_in_the_text(text in texts()) {
        for (name, offset) in fired(&WITH_OWN, &text) {
            let offset = usize::try_from(offset).unwrap();
            prop_assert!(offset < text.len(), "{name} at {offset}");
            prop_assert!(text.is_char_boundary(offset), "{name} at {offset}");
        }
        let mut out = Vec::new();
        WITH_OWN.scan_bytes(0, text.as_bytes(), &mut out);
    }

    #[test]
    fn a_detector_fires_whatever_harmless_prose_surrounds_it(before in "[a-z ,.\n]{0,200}", after in "[a-z ,.\n]{0,200}") {
        let text = format!("{before}\n412-60-9931\n{after}");
        let found = fired(&ALL, &text);
        prop_assert!(found.iter().any(|(it, _)| it == "us-ssn"), "{text}");
    }
}
