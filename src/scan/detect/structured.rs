//! Structured health payloads: HL7 v2, X12, FHIR, C-CDA, DICOM.
//!
//! Owns: telling a payload that carries a person from one that is only talked about. Each check
//! starts at an opening the automaton found, and looks a fixed number of octets on for the
//! person; the caller spaces the checks so that openings cannot multiply that cost.

use memchr::memmem;

use super::bytes::{at, before, digits, is_letter, is_word, line_end, slice};
use super::labels::{Label, Place};

/// How far behind its opening a payload's person is looked for.
const AHEAD: usize = 16 * 1024;
/// How far before: JSON members come in any order.
const BEHIND: usize = 2 * 1024;
/// After a check that found nothing, the next opening of that kind is looked at this much on; its
/// window overlaps with what was seen.
pub(super) const STRIDE: usize = 4 * 1024;
/// Longest segment of HL7 that is read.
const MAX_SEGMENT: usize = 2 * 1024;

/// What an opening turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No payload opens here, as a look at a few octets shows.
    NoPayload,
    /// One does, without a person in it.
    Nobody,
    /// One about a person.
    Person,
}

/// Whether a payload opens at `place` and carries a person.
pub(super) fn carries_a_person(text: &[u8], place: Place) -> Verdict {
    let start = place.start;
    let person = match place.label {
        Label::Hl7 if opens_hl7(text, place) => hl7(text, start),
        // One line costs no more than itself: the next is looked at as well.
        Label::Hl7Patient if starts_line(text, start) && hl7_patient(text, start) => true,
        Label::X12 if opens_x12(text, place) => x12(text, start, before(text, place.end)),
        Label::X12Set if starts_x12_segment(text, start) => x12_person(text, start, b'*'),
        Label::FhirJson => return fhir_json(text, place),
        Label::FhirXml => return fhir_xml(text, place),
        Label::Ccda if opens_ccda(text, start) => ccda(text, start),
        _ => return Verdict::NoPayload,
    };
    verdict(person)
}

const fn verdict(person: bool) -> Verdict {
    if person {
        Verdict::Person
    } else {
        Verdict::Nobody
    }
}

/// Whether a DICOM file starts here (PS3.10 §7.1): 128 octets, then its magic.
pub(super) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Which other payload a file of any kind is: HL7 v2, perhaps in MLLP framing, or X12. With a
/// person in it.
pub(super) fn other_file(bytes: &[u8]) -> Option<Label> {
    let start = slice(bytes, 0, 4)
        .iter()
        .take_while(|b| matches!(b, 0x0b | 0xef | 0xbb | 0xbf))
        .count();
    let label = match slice(bytes, start, start + 4) {
        b"MSH|" => Label::Hl7,
        [b'I', b'S', b'A', _] => Label::X12,
        _ => return None,
    };
    let place = Place {
        label,
        start: 0,
        end: 4,
    };
    let verdict = carries_a_person(slice(bytes, start, start + 2 * AHEAD), place);
    (verdict == Verdict::Person).then_some(label)
}

/// Whether a segment may start at `start`: at a line's start, quoted or indented or in MLLP
/// framing.
fn starts_line(text: &[u8], start: usize) -> bool {
    let mut from = start;
    while start - from < 8 && matches!(before(text, from), b' ' | b'\t' | b'>' | b'"') {
        from -= 1;
    }
    from == 0 || matches!(before(text, from), b'\n' | b'\r' | 0x0b)
}

/// `MSH|^~\&|` where a segment may start.
fn opens_hl7(text: &[u8], place: Place) -> bool {
    let encoding = slice(text, place.end, place.end + 5);
    let Some(length) = encoding.iter().position(|b| *b == b'|') else {
        return false;
    };
    let marked = (3..=5).contains(&length)
        && slice(encoding, 0, length)
            .iter()
            .all(u8::is_ascii_punctuation)
        && at(text, place.start) == b'M';
    marked && starts_line(text, place.start)
}

/// A message with a patient's segment.
fn hl7(text: &[u8], start: usize) -> bool {
    let window = slice(text, start, start + AHEAD);
    memmem::find_iter(window, b"PID|")
        .map(|it| start + it)
        .filter(|it| starts_line(text, *it))
        .take(8)
        .any(|it| hl7_patient(text, it))
}

/// Whether the PID segment at `start` names somebody: an identifier (PID-3) and a name (PID-5), or
/// one of them and a date of birth (PID-7).
fn hl7_patient(text: &[u8], start: usize) -> bool {
    let segment = slice(text, start, line_end(text, start, MAX_SEGMENT));
    let mut fields = segment.split(|b| *b == b'|');
    let mut field = |index: usize| fields.nth(index).filter(|it| !is_blank_form(it));
    let figures = |it: &[u8]| it.iter().filter(|b| b.is_ascii_digit()).count();
    let number = field(3).is_some_and(|it| figures(it) >= 3);
    let name = field(1).is_some_and(|it| it.iter().filter(|b| is_letter(**b)).count() >= 3);
    let born = field(1).is_some_and(|it| digits(it, 0, 8) == 8);
    usize::from(number) + usize::from(name) + usize::from(born) >= 2
}

/// `<name>`, `[id]`, `{{mrn}}`, `$NAME`: to be filled in.
fn is_blank_form(field: &[u8]) -> bool {
    matches!(field.first(), Some(b'<' | b'[' | b'{' | b'$'))
}

/// `ISA*00*`: an interchange, by its separator.
fn opens_x12(text: &[u8], place: Place) -> bool {
    let separator = before(text, place.end);
    let spaced = slice(text, place.end, place.end + 4).contains(&separator);
    spaced && !is_word(before(text, place.start))
}

/// An interchange of health care transactions with a person in it.
fn x12(text: &[u8], start: usize, separator: u8) -> bool {
    let window = slice(text, start, start + 1024);
    let set = [b"ST".as_slice(), &[separator]].concat();
    let health = memmem::find_iter(window, &set).any(|it| is_health_set(window, it + set.len()));
    health && x12_person(text, start, separator)
}

/// Transaction sets of health care: eligibility, claim status, review, enrolment, payment, claim.
fn is_health_set(text: &[u8], from: usize) -> bool {
    const SETS: [&[u8; 3]; 9] = [
        b"269", b"270", b"271", b"275", b"276", b"277", b"278", b"834", b"835",
    ];
    let set = slice(text, from, from + 3);
    set == b"837" || SETS.iter().any(|it| it.as_slice() == set)
}

/// A fragment without its envelope: `ST*837*…` where a segment may start.
fn starts_x12_segment(text: &[u8], start: usize) -> bool {
    let opens = starts_line(text, start) || matches!(before(text, start), b'~' | b' ');
    opens && is_health_set(text, start + 3) && at(text, start + 6) == b'*'
}

/// A name segment of a person (NM1 with entity type 1): insured, patient, dependant.
fn x12_person(text: &[u8], from: usize, separator: u8) -> bool {
    let window = slice(text, from, from + AHEAD);
    let name = [b"NM1".as_slice(), &[separator]].concat();
    memmem::find_iter(window, &name).any(|it| {
        let segment = slice(window, it + name.len(), it + name.len() + 80);
        let mut fields = segment.split(|b| *b == separator);
        let role = fields.next().unwrap_or_default();
        let kind = fields.next().unwrap_or_default();
        let last = fields.next().unwrap_or_default();
        matches!(role, b"IL" | b"QC" | b"03" | b"74" | b"70")
            && kind == b"1"
            && last.first().is_some_and(|b| is_letter(*b))
    })
}

/// Resources that are a person.
const PERSONS: &[&[u8]] = &[b"Patient", b"Person", b"RelatedPerson"];

/// Resources about one.
const ABOUT: &[&[u8]] = &[
    b"Account",
    b"AdverseEvent",
    b"AllergyIntolerance",
    b"Appointment",
    b"BodyStructure",
    b"CarePlan",
    b"CareTeam",
    b"ChargeItem",
    b"Claim",
    b"ClaimResponse",
    b"ClinicalImpression",
    b"Communication",
    b"Composition",
    b"Condition",
    b"Consent",
    b"Coverage",
    b"CoverageEligibilityRequest",
    b"CoverageEligibilityResponse",
    b"DetectedIssue",
    b"DeviceRequest",
    b"DiagnosticReport",
    b"DocumentReference",
    b"Encounter",
    b"EpisodeOfCare",
    b"ExplanationOfBenefit",
    b"FamilyMemberHistory",
    b"Flag",
    b"Goal",
    b"GuidanceResponse",
    b"ImagingStudy",
    b"Immunization",
    b"Invoice",
    b"List",
    b"Media",
    b"MedicationAdministration",
    b"MedicationDispense",
    b"MedicationRequest",
    b"MedicationStatement",
    b"MolecularSequence",
    b"NutritionOrder",
    b"Observation",
    b"Procedure",
    b"QuestionnaireResponse",
    b"RiskAssessment",
    b"ServiceRequest",
    b"Specimen",
    b"SupplyRequest",
    b"Task",
    b"VisionPrescription",
];

fn window(text: &[u8], place: Place) -> &[u8] {
    slice(
        text,
        place.start.saturating_sub(BEHIND),
        place.start + AHEAD,
    )
}

/// Past white space.
fn skip(text: &[u8], from: usize) -> usize {
    let rest = slice(text, from, from + 64);
    from + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Where the value of the member whose key ends at `from` starts: past `:`, `[` and white space.
fn member(text: &[u8], from: usize) -> Option<usize> {
    let colon = skip(text, from);
    if at(text, colon) != b':' {
        return None;
    }
    let value = skip(text, colon + 1);
    match at(text, value) {
        b'[' => Some(skip(text, value + 1)),
        _ => Some(value),
    }
}

/// Whether `key` has, within `window`, a string that `fits`.
fn has_string(window: &[u8], key: &[u8], fits: impl Fn(&[u8]) -> bool) -> bool {
    memmem::find_iter(window, key).any(|it| {
        member(window, it + key.len()).is_some_and(|value| {
            at(window, value) == b'"' && fits(slice(window, value + 1, value + 48))
        })
    })
}

fn is_date(value: &[u8]) -> bool {
    digits(value, 0, 4) == 4
}

fn is_filled(value: &[u8]) -> bool {
    value.first().is_some_and(|b| is_letter(*b))
}

/// `"resourceType": "Patient"` with a name or date of birth, or another resource that points to a
/// patient.
fn fhir_json(text: &[u8], place: Place) -> Verdict {
    let Some(value) = member(text, place.end) else {
        return Verdict::NoPayload;
    };
    let value = slice(text, value, value + 48);
    let mut quoted = value.split(|b| *b == b'"');
    let name = quoted.nth(1).unwrap_or_default();
    let (person, about) = (PERSONS.contains(&name), ABOUT.contains(&name));
    if !person && !about {
        return Verdict::NoPayload;
    }
    let window = window(text, place);
    let named = || {
        has_string(window, b"\"birthDate\"", is_date)
            || has_string(window, b"\"family\"", is_filled)
            || has_string(window, b"\"given\"", is_filled)
    };
    let pointed = || has_string(window, b"\"reference\"", points_to_patient);
    verdict((person && named()) || (about && pointed()))
}

/// `Patient/123`, or within a bundle `urn:uuid:…`, or by a whole address.
fn points_to_patient(value: &[u8]) -> bool {
    let filled = |from: usize| value.get(from).is_some_and(u8::is_ascii_alphanumeric);
    if value.starts_with(b"urn:uuid:") {
        return filled(9);
    }
    memmem::find(value, b"Patient/")
        .is_some_and(|it| (it == 0 || value.starts_with(b"http")) && filled(it + 8))
}

/// `<Patient xmlns="http://hl7.org/fhir">`, likewise.
fn fhir_xml(text: &[u8], place: Place) -> Verdict {
    let head = slice(text, place.start.saturating_sub(160), place.start);
    let Some(open) = head.iter().rposition(|b| *b == b'<') else {
        return Verdict::NoPayload;
    };
    let head = slice(head, open + 1, head.len());
    let length = head
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let name = slice(head, 0, length);
    let bundle = name == b"Bundle";
    let (person, about) = (PERSONS.contains(&name), ABOUT.contains(&name));
    if !bundle && !person && !about {
        return Verdict::NoPayload;
    }
    let window = window(text, place);
    let any = |key: &[u8], fits: fn(&[u8]) -> bool| {
        memmem::find_iter(window, key)
            .any(|it| fits(slice(window, it + key.len(), it + key.len() + 48)))
    };
    let named = || {
        any(b"<birthDate value=\"", is_date)
            || any(b"<family value=\"", is_filled)
            || any(b"<given value=\"", is_filled)
    };
    let pointed = || any(b"<reference value=\"", points_to_patient);
    verdict(((person || bundle) && named()) || ((about || bundle) && pointed()))
}

/// The document's first tag, with or without a prefix.
fn opens_ccda(text: &[u8], start: usize) -> bool {
    let prefix = slice(text, start.saturating_sub(12), start);
    at(text, start) == b'<' || (prefix.contains(&b'<') && !prefix.contains(&b'/'))
}

/// A clinical document with somebody in its record target.
fn ccda(text: &[u8], start: usize) -> bool {
    let window = slice(text, start, start + AHEAD);
    let Some(role) = memmem::find(window, b"patientRole") else {
        return false;
    };
    let target = slice(window, role, window.len());
    let names = memmem::find_iter(target, b"family>")
        .any(|it| is_letter(at(target, it + 7)) && at(target, it.saturating_sub(1)) != b'/');
    let born = memmem::find_iter(target, b"birthTime value=\"")
        .any(|it| is_date(slice(target, it + 17, it + 25)));
    names || born
}
