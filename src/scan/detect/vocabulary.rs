//! The words the detectors know, in the languages they know them in.
//!
//! Owns: the tables, nothing else. Lower case; ASCII capitals do not matter; `, ` parts the words.

use super::labels::Hint;
use super::labels::Label::{
    self, Birth, Born, Card, Ccda, Dea, FhirJson, FhirXml, Hl7, Hl7Patient, Mbi, Member, Mrn, Npi,
    Patient, Ssn, X12, X12Set,
};

/// What announces what.
pub(super) const LABELS: &[(Label, &str)] = &[
    (
        Ssn,
        "ssn, ss#, ss #, s.s.n., social security, social-security, social_security, \
         socialsecurity, soc sec, soc. sec, soc.sec, seguro social",
    ),
    (
        Npi,
        "npi, national provider id, national provider number, nationalprovider, \
         national_provider_id, *xx*, |xx|",
    ),
    (
        Dea,
        "dea number, dea no, dea #, dea#, dea:, dea registration, dea license, \
         dea registered, dea_n, dea id, deanumber",
    ),
    (
        Mbi,
        "mbi, medicare number, medicare beneficiary, medicare id, medicare no, medicare #",
    ),
    (
        Mrn,
        "mrn, m.r.n., med rec no, med rec #, med rec num, med rec:, med. rec. no, medrec, \
         medical record number, medical record no, medical record num, medical record #, \
         medical record id, medical record:, medical_record_n, medical_record_id, \
         medicalrecordnumber, medical rec. no, medical rec no, patient id, patient_id, \
         patientid, patient-id, patient number, patient no, patient #, patient_number, \
         patientnumber, patient identifier, patient account, patient acct, \
         patient_account, hospital number, hospital no, chart number, chart no, chart #, \
         chart id, unit record, nhs number, nhs no, patientennummer, patienten-nr, \
         patientennr, patienten-id, pat.-nr, pat-nr, fallnummer, historia clínica, \
         historia clinica, nhc, numéro de dossier, numero de dossier, n° de dossier, \
         dossier patient, numéro de patient, cartella clinica, patiëntnummer, prontuário, \
         診察券番号, 患者番号, 患者id",
    ),
    (
        Member,
        "member id, member_id, memberid, member number, member no, member #, \
         subscriber id, subscriber number, subscriber no, insured id, insured's id, \
         insurance id, health plan id, beneficiary id, policy holder id, medicaid id, \
         medicaid number, medicaid no, versichertennummer, versicherten-nr, \
         krankenversichertennummer, número de afiliado",
    ),
    (
        Card,
        "card number, card_number, cardnumber, card no, card #, card num, credit card, \
         credit_card, creditcard, debit card, cc number, cc_number, cc#, cc #, ccnum, \
         cc_num, kreditkarte, kartennummer, kreditkartennummer, tarjeta de crédito, \
         tarjeta de credito, número de tarjeta, numero de tarjeta, carte de crédit, \
         carte bancaire, numéro de carte, numero carta, carta di credito, カード番号",
    ),
    (
        Birth,
        "dob, d.o.b, date of birth, date_of_birth, dateofbirth, birth date, birth_date, \
         birthdate, date of b., birth_dt, geburtsdatum, geb.-datum, geb.datum, \
         fecha de nacimiento, fecha nac, f. nac, f.nac, date de naissance, \
         data di nascita, data de nascimento, geboortedatum, 生年月日, 出生日期",
    ),
    (
        Born,
        "born, birthday, geburtstag, geb., geboren, né le, née le, né(e) le, nacido el, \
         nacida el, nato il, nata il",
    ),
    (
        Patient,
        "patient:, patient name, name of patient, patient's name, patient_name, \
         patient mr, patient ms, pt name, pt:, re patient, patientenname, \
         name des patienten, patientin:, nombre del paciente, paciente:, nom du patient, \
         patient (name), nome del paziente, paziente:, 患者名, 患者氏名",
    ),
    (Hl7, "msh|"),
    (Hl7Patient, "pid|"),
    (X12, "isa*, isa|, isa^, isa~, isa!"),
    (X12Set, "st*27, st*83"),
    (FhirJson, "\"resourcetype\""),
    (FhirXml, "http://hl7.org/fhir\""),
    (Ccda, "<clinicaldocument, :clinicaldocument"),
];

/// What a word near a number says of it.
pub(super) const HINTS: &[(Hint, &str)] = &[
    (
        Hint::Card,
        "card, cards, visa, mastercard, master card, amex, american express, discover, \
         diners, jcb, cvv, cvc, cc, exp, expires, expiry, valid thru, card_number, \
         cardnumber, kreditkarte, karte, kartennummer, tarjeta, carte, carta, mc, pan",
    ),
    (
        Hint::OtherCard,
        "gift card, library card, sim card, loyalty card, membership card, rewards card, \
         fuel card, id card, punch card, sd card, business card, travel card, key card",
    ),
    (
        Hint::Test,
        "test, sandbox, dummy, example, documentation, testing",
    ),
    (Hint::Dea, "dea"),
    (
        Hint::Prescriber,
        "prescriber, prescribed by, dr., dr, md, m.d., physician, rx, dds, np, do, dvm",
    ),
    (
        Hint::Person,
        "patient, insured, claimant, beneficiary, subscriber, employee, taxpayer, \
         dependent, spouse, applicant, tenant, guarantor, medicare, medicaid, member, dob, \
         birth, social, w-2, 1099, i-9, payroll, born, ssn, client, resident, deceased",
    ),
    (
        Hint::Care,
        "patient, patients, mrn, medical record, diagnosis, diagnosed, admitted, \
         admission, discharged, discharge, hospital, clinic, insurance, insured, \
         prescribed, referral, referred, treatment, symptoms, patientin, diagnose, \
         stationär, aufnahme, überweisung, krankenkasse, paciente, diagnóstico, ingreso, \
         hospitalización, patiente, diagnostic, hospitalisé, hospitalisée, paziente, \
         diagnosi, ricovero, consulta, befund",
    ),
    (
        Hint::Diagnosis,
        "icd, icd10, icd-10, icd-10-cm, dx, diagnosis, diagnoses, diag, diagnose, \
         diagnosen, diagnóstico, diagnosi, diagnostic, dx1, diagnosis_code, dx_code",
    ),
];

/// The words of an entry.
pub(super) fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(", ")
}
